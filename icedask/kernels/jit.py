"""How kernels are compiled: for this host, cached on disk, with the GIL released."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import cache, update_wrapper
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any

logger = logging.getLogger("icedask")

_PACKAGE = __name__.partition(".")[0]
_LOCK = RLock()


class _Kernel:
    """A function that is compiled when it is first called, by Python or by another kernel.

    Until then the compiler, which takes half a second to import, is not needed: modules that
    declare kernels are imported to check options too.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        update_wrapper(self, function)
        self._function, self._options = function, options
        self._dispatcher: Any = None

    @property
    def _compiled(self) -> Any:
        if self._dispatcher is None:
            # Of two threads one makes it: the compiler holds it by a weak reference.
            with _LOCK:
                if self._dispatcher is None:
                    self._dispatcher = _compile(self._function, self._options)
        return self._dispatcher

    @property
    def _numba_type_(self) -> Any:
        # The compiler asks any object for it that a kernel takes from its module.
        return self._compiled._numba_type_

    def __call__(self, *args: Any) -> Any:
        return self._compiled(*args)

    def __getattr__(self, name: str) -> Any:
        # Not what pickle and inspect look for in every object.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._compiled, name)

    def __reduce__(self) -> str:
        return str(self._function.__qualname__)


def jit(function: Callable[..., Any]) -> Any:
    """Compile a function of a module when it is first called, or take it from the cache."""
    return _Kernel(function, {})


def jit_inline(function: Callable[..., Any]) -> Any:
    """Like `jit`, in the place of every call: a loop over such calls can run on vectors."""
    return _Kernel(function, {"forceinline": True})


def _compile(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    from numba import njit

    _log_compilation()
    # Division by zero gives inf or NaN as in NumPy, so that loops stay free of branches. No
    # `fastmath`: how sums are reordered and products fused would be the host's choice.
    options = {**options, "nogil": True, "error_model": "numpy"}
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


@cache
def _log_compilation() -> None:
    """Log, once, that a kernel is compiled in this process and not taken from the cache."""
    from numba.core import event

    class Notice(event.Listener):
        logged = False

        def on_start(self, started: event.Event) -> None:
            module = started.data["dispatcher"].py_func.__module__
            if not self.logged and module.partition(".")[0] == _PACKAGE:
                self.logged = True
                logger.info("compiling kernels, once: up to a minute for each descriptor")

        def on_end(self, ended: event.Event) -> None:
            pass

    event.register("numba:compile", Notice())


def _sources(module: ModuleType, seen: dict[str, Path]) -> list[Path]:
    """Return the files of a module and of the modules of this package that it takes names from."""
    if module.__file__ is not None:
        seen[module.__name__] = Path(module.__file__)
    for value in list(vars(module).values()):
        if isinstance(value, ModuleType):
            continue
        name = getattr(value, "__module__", None) or ""
        if name.partition(".")[0] == _PACKAGE and name not in seen and name in sys.modules:
            _sources(sys.modules[name], seen)
    return [seen[name] for name in sorted(seen)]
