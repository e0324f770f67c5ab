"""Structural and dynamical descriptors: each is one module, or package, that declares itself."""

from __future__ import annotations

import importlib
import pkgutil

from icedask.descriptors.descriptor import REGISTRY, Descriptor


def registry() -> dict[str, Descriptor]:
    """Return every descriptor by name; imports all modules of this package."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(REGISTRY.items()))


def find(name: str) -> Descriptor | None:
    """Return a descriptor, None if there is none; others stay out if the module has its name."""
    if name not in REGISTRY and name in [module.name for module in pkgutil.iter_modules(__path__)]:
        importlib.import_module(f"{__name__}.{name}")
    return REGISTRY.get(name) or registry().get(name)
