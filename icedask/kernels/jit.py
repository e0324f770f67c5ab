"""How kernels are compiled: for this host, cached on disk, with the GIL released."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from numba import njit
from numba.core import event

logger = logging.getLogger("icedask")

_PACKAGE = __name__.partition(".")[0]


def jit(function: Callable[..., Any]) -> Any:
    """Compile a function of a module when it is first called, or take it from the cache."""
    return _compile(function)


def jit_inline(function: Callable[..., Any]) -> Any:
    """Like `jit`, in the place of every call: a loop over such calls can run on vectors."""
    return _compile(function, forceinline=True)


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    # Division by zero gives inf or NaN as in NumPy, so that loops stay free of branches. No
    # `fastmath`: how sums are reordered and products fused would be the host's choice.
    options |= {"nogil": True, "error_model": "numpy"}
    try:
        compiled = njit(cache=True, **options)(function)
    except RuntimeError:
        _log_no_cache()
        return njit(**options)(function)
    # The compiler's cache knows changes of the function's own file only: a kernel that calls those
    # of other files would go on with their old code.
    files = _sources(sys.modules[function.__module__], {})
    stamp = tuple((file.stat().st_mtime, file.stat().st_size) for file in files)
    compiled._cache._cache_file._source_stamp = stamp
    return compiled


@cache
def _log_no_cache() -> None:
    """Log, once, that compiled kernels cannot be kept."""
    logger.warning(
        "compiled kernels cannot be kept, because neither %s nor the home folder can be written "
        "to: each process compiles them again; set NUMBA_CACHE_DIR to a folder that can be",
        Path(__file__).parents[1],
    )


class _CompileNotice(event.Listener):
    """Listener that logs the first compilation of a kernel in this process."""

    def __init__(self) -> None:
        self._logged = False

    def on_start(self, started: event.Event) -> None:
        """Log the first one."""
        module = started.data["dispatcher"].py_func.__module__
        if not self._logged and module.partition(".")[0] == _PACKAGE:
            self._logged = True
            logger.info("compiling kernels, once: up to a minute for each descriptor")

    def on_end(self, ended: event.Event) -> None:
        """Log nothing."""


event.register("numba:compile", _CompileNotice())


def _sources(module: ModuleType, seen: dict[str, Path]) -> list[Path]:
    """Return the files of a module and of the modules of this package that it takes names from."""
    if module.__file__ is not None:
        seen[module.__name__] = Path(module.__file__)
    for value in list(vars(module).values()):
        name = getattr(value, "__module__", None) or ""
        if name.partition(".")[0] == _PACKAGE and name not in seen and name in sys.modules:
            _sources(sys.modules[name], seen)
    return [seen[name] for name in sorted(seen)]
