"""Dask-distributed analysis of molecular-dynamics trajectories.

The public names are listed once, in the stub `__init__.pyi`. Each is imported at its first use, so
that `import icedask` stays fast. Descriptors that the stub does not list come from their registry.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path
from typing import Any

__version__ = "0.1.0"


def _modules() -> dict[str, str]:
    """Return the module of each public name, as imported in the stub."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    return {
        alias.name: str(node.module)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


_MODULES = _modules()

__all__ = ["__version__", *sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        parent = _MODULES[name]
        if parent == __name__:
            return importlib.import_module(f"{__name__}.{name}")
        value = globals()[name] = getattr(importlib.import_module(parent), name)
        return value
    # Neither what Python looks for in every module, nor submodules, which it finds by itself.
    if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}") is None:
        entry = importlib.import_module(f"{__name__}.descriptors").find(name)
        if entry is not None:
            return entry.function
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
