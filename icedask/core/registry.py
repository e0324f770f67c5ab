"""Registries without a list: the subclasses of a class in the modules of a package."""

from __future__ import annotations

import importlib
import pkgutil
from inspect import isabstract
from typing import TypeVar

T = TypeVar("T")


def subclasses_in(package: str, base: type[T]) -> list[type[T]]:
    """Return the concrete subclasses of a class that the modules of a package define."""
    path = importlib.import_module(package).__path__
    names = [f"{package}.{module.name}" for module in pkgutil.iter_modules(path)]
    return [
        value
        for name in names
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == name
        and not isabstract(value)
    ]
