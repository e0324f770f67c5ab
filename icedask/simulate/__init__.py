"""Simulation of trajectories by recipes, with LAMMPS and OpenMM."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["run", "table"]

if TYPE_CHECKING:
    from icedask.simulate.campaign import run, table


def __getattr__(name: str) -> Any:
    # Lazy: child processes import this package, too, and need no campaign.
    if name not in __all__:
        raise AttributeError(f"module 'icedask.simulate' has no attribute {name!r}")
    return getattr(importlib.import_module("icedask.simulate.campaign"), name)
