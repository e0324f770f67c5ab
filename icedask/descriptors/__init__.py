"""Structural and dynamical descriptors, one file for each family."""

from __future__ import annotations

import importlib

from icedask.descriptors.descriptor import REGISTRY, Descriptor

_MODULES = (
    "bispectrum",
    "chill",
    "coordination",
    "displacement",
    "lens",
    "radial",
    "soap",
    "steinhardt",
    "symmetry",
    "tetrahedral",
    "voronoi",
)


def registry() -> dict[str, Descriptor]:
    """Return every descriptor by name."""
    for module in _MODULES:
        importlib.import_module(f"icedask.descriptors.{module}")
    return dict(sorted(REGISTRY.items()))
