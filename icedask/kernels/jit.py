"""How kernels are compiled: for this host, cached on disk, with the GIL released."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from numba import njit

_PACKAGE = __name__.partition(".")[0]


def jit(function: Callable[..., Any]) -> Any:
    """Compile a function of a module when it is first called, or take it from the cache."""
    return _compile(function, fastmath=False)


def jit_vector(function: Callable[..., Any]) -> Any:
    """Like `jit`; sums may be reordered and products fused into them: loops run on vectors."""
    return _compile(function, fastmath={"reassoc", "contract"})


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    # Division by zero gives inf or NaN as in NumPy, so that loops stay free of branches.
    compiled = njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    # The compiler's cache knows changes of the function's own file only: a kernel that calls those
    # of other files would go on with their old code.
    files = _sources(sys.modules[function.__module__], {})
    stamp = tuple((file.stat().st_mtime, file.stat().st_size) for file in files)
    compiled._cache._cache_file._source_stamp = stamp
    return compiled


def _sources(module: ModuleType, seen: dict[str, Path]) -> list[Path]:
    """Return the files of a module and of the modules of this package that it takes names from."""
    if module.__file__ is not None:
        seen[module.__name__] = Path(module.__file__)
    for value in list(vars(module).values()):
        name = getattr(value, "__module__", None) or ""
        if name.partition(".")[0] == _PACKAGE and name not in seen and name in sys.modules:
            _sources(sys.modules[name], seen)
    return [seen[name] for name in sorted(seen)]
