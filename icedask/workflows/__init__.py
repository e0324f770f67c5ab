"""Published analyses, each from a trajectory to its tables and figures."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icedask.workflows.motifs import motifs as motifs
    from icedask.workflows.phases import phases as phases
    from icedask.workflows.structure_dynamics import structure_dynamics as structure_dynamics


class _Workflows(ModuleType):
    """Package whose workflows are imported when they are first used, as functions.

    Python binds a module in its package after the import, here to a function of the same name.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and hasattr(vars(value).get(name), "workflow"):
            value = vars(value)[name]
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in [
            module.name for module in pkgutil.iter_modules(self.__path__)
        ]:
            importlib.import_module(f"{__name__}.{name}")
            return vars(self)[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.modules[__name__].__class__ = _Workflows
