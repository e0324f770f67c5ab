"""Deferred imports of the command line: a package is loaded when something of it is first used.

The same in Python's own LazyLoader loads at the second import already, and loads modules twice
that the package itself imports.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# Together 4 s of a processor, for which a wrong name or a missing file need not wait. Modules of
# this package are those that cannot be imported without a compiler or scikit-learn.
_DEFERRED = frozenset(
    {
        *("dask.array", "pandas", "xarray", "zarr"),
        *("scipy.fftpack", "scipy.linalg", "scipy.sparse", "scipy.special", "scipy.stats"),
        *("icedask.descriptors.bispectrum.kernels", "icedask.descriptors.radial.kernels"),
        *("icedask.descriptors.soap.cells", "icedask.descriptors.soap.dscribe"),
        *("icedask.descriptors.symmetry.kernels", "icedask.dynamics.merging"),
        *("icedask.kernels.cells", "icedask.kernels.elementary"),
    }
)
_DEFERRED_IN = ("icedask.learn", "icedask.motifs", "icedask.phases")


class _DeferredModule(ModuleType):
    """Module without content: the first attribute that it lacks loads it."""

    def __getattr__(self, name: str) -> Any:
        _load(self)
        return getattr(self, name)


class _DeferredLoader(Loader):
    """Loader that leaves the work of another one for later."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python to make an empty module."""

    def exec_module(self, module: ModuleType) -> None:
        """Load nothing yet."""
        module.__class__ = _DeferredModule


class _LoadedLoader(Loader):
    """Loader of a module that is there already."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module."""
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        """Give its specification back, which Python has replaced."""
        module.__spec__ = self.spec


class _Finder(MetaPathFinder):
    """Finder of the packages to defer, and of modules inside those that are deferred."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of such a module, None for all others."""
        if _is_deferred(name):
            spec = PathFinder.find_spec(name, path)
            if spec is not None and spec.loader is not None:
                spec.loader = _DeferredLoader(spec.loader)
            return spec
        package = sys.modules.get(name.rpartition(".")[0])
        if isinstance(package, _DeferredModule):
            _load(package)
            if name in sys.modules:
                module = sys.modules[name]
                # Python takes the specification from here, and would load the module again.
                module.__spec__ = ModuleSpec(name, _LoadedLoader(module))
                return module.__spec__
        return None


def _is_deferred(name: str) -> bool:
    return name in _DEFERRED or name.rpartition(".")[0] in _DEFERRED_IN


def _load(module: ModuleType) -> None:
    spec = module.__spec__
    if spec is not None and isinstance(spec.loader, _DeferredLoader):
        module.__class__ = ModuleType
        module.__loader__ = spec.loader = spec.loader.loader
        spec.loader.exec_module(module)


def defer_imports() -> None:
    """Defer the heavy imports of this process, but not of its workers."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def load_deferred() -> None:
    """Load all deferred packages, in this thread, before other threads use them."""
    for name in sorted(filter(_is_deferred, sys.modules)):
        _load(sys.modules[name])
