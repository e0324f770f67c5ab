"""Declaration of a workflow: settings as options, presets, and a registry that finds the modules.

A workflow is a module of this package with a dataclass of options and a function decorated by
`workflow`; the tables and figures of its report come from `sections` in `<module>_report`. One that
takes a trajectory or a collection has the function for collections, `members`, in
`<module>_members`, and its report in `<module>_members_report`.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import update_wrapper
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_type_hints

import xarray as xr

from icedask.core.collection import Collection
from icedask.core.options import (
    Option,
    Parameter,
    checked,
    documented,
    parameter,
    plain_signature,
)
from icedask.errors import InputError
from icedask.store.hold import hold_if_writable
from icedask.store.outline import Outline
from icedask.tasks.progress import reporting

if TYPE_CHECKING:
    from icedask.plot.report import Section

logger = logging.getLogger("icedask")

S = TypeVar("S")
R = TypeVar("R")

Presets = Mapping[str, Mapping[str, Any]]
Takes = Literal["trajectory", "collection", "either"]
StorePath = str | os.PathLike[str]


@dataclass(frozen=True)
class Workflow(Generic[S, R]):
    """Entry of the registry.

    Attributes
    ----------
    name
        Name on the command line, and label of the main result.
    settings
        Dataclass of the options.
    presets
        Values of some of its fields, by name.
    parameters
        Preset and fields as options; None stands for the value of the preset or the default.
    function
        The public function.
    check
        Function of an `Outline` of the trajectory, or those of members by name, and of the
        settings: raises InputError for what the function will refuse, before the imports of what
        computes.
    takes
        What the function takes: a trajectory, a collection, or either.
    """

    name: str
    settings: type[S]
    presets: Presets
    parameters: tuple[Parameter, ...]
    function: Callable[..., R]
    check: Callable[[Any, S], None]
    takes: Takes

    def refuse_other(self, *, is_collection: bool) -> None:
        """Raise InputError unless the workflow takes a collection, or a trajectory."""
        if is_collection and self.takes == "trajectory":
            raise InputError(
                f"{self.name}: expected one trajectory, found a collection; call it for each member"
            )
        if not is_collection and self.takes == "collection":
            raise InputError(
                f"{self.name}: expected a folder of stores, opened with icedask.open_collection, "
                "found a single trajectory"
            )

    def resolve(self, options: Mapping[str, Any]) -> S:
        """Return the settings: of each field the option, else the preset, else the default.

        Raises InputError if an option is unknown, out of bounds, or missing.
        """
        values = checked(self.name, self.parameters, options)
        preset = self.presets.get(values.pop("preset", None) or "", {})
        values = {**preset, **{name: value for name, value in values.items() if value is not None}}
        for field in fields(self.settings):  # type: ignore[arg-type]
            if field.name not in values and field.default is MISSING:
                raise InputError(
                    f"{self.name}: expected {field.name}, or a preset ({', '.join(self.presets)}), "
                    "found neither"
                )
        return self.settings(**values)

    def refuse(self, outline: Outline | Mapping[str, Outline], options: Mapping[str, Any]) -> None:
        """Raise InputError for options that can be refused without the frames of a trajectory.

        Parameters
        ----------
        outline : Outline or mapping of str to Outline
            That of the trajectory, or those of the members of a collection by name.
        options : mapping
            As they are given to the function.
        """
        is_collection = isinstance(outline, Mapping)
        self.refuse_other(is_collection=is_collection)
        settings = self.resolve(options)
        check: Any = self.check
        if is_collection and self.takes == "either":
            check = getattr(self._of_members(), "check", None) or self._check_each
        try:
            check(outline, settings)
        except InputError:
            raise
        except Exception as error:  # what an outline has not: the function decides
            logger.debug("%s: not checked: %s", self.name, error)

    def _check_each(self, outlines: Mapping[str, Outline], settings: S) -> None:
        """Raise InputError if the function refuses all members, else it reports those it does."""
        first: InputError | None = None
        for outline in outlines.values():
            try:
                self.check(outline, settings)
            except InputError as error:
                first = first or error
            else:
                return
        if first is not None:
            raise first

    def _of_members(self) -> Any:
        """Return the module for collections of a workflow that takes either."""
        return importlib.import_module(f"{self.function.__module__}_members")

    def compute(self, body: Callable[..., R], data: Any, store: Path, settings: S) -> R:
        """Call the function of a trajectory or that of a collection."""
        if isinstance(data, Collection) and self.takes == "either":
            body = self._of_members().members
        return body(data, store, settings)

    def sections(self, result: R, trj: xr.Dataset | Collection, *, draw: bool) -> list[Section]:
        """Return the tables of a result, and its figures if they are to be drawn."""
        both = isinstance(trj, Collection) and self.takes == "either"
        report = f"{self.function.__module__}{'_members' if both else ''}_report"
        if find_spec(report) is None:
            return []
        # Matplotlib is imported there.
        sections: list[Section] = importlib.import_module(report).sections(result, trj, draw=draw)
        return sections

    def present(
        self,
        result: R,
        trj: xr.Dataset | Collection,
        *,
        figures: str | os.PathLike[str] | None = None,
        report: str | os.PathLike[str] | None = None,
    ) -> list[Section]:
        """Return the tables of a result; write figures, PNGs in a folder, and an HTML report."""
        check_outputs(figures, report)
        sections = self.sections(result, trj, draw=figures is not None or report is not None)
        if figures is not None:
            for section in sections:
                for caption, figure in section.figures.items():
                    name = _slug(section.title, caption.partition(":")[0])
                    figure.savefig(Path(figures) / f"{name}.png")
        if report is not None:
            from icedask.plot.report import collection_summary, html_report, trajectory_summary

            title = self.name.replace("-", " ").capitalize()
            if isinstance(trj, Collection):
                source, subtitle = trj.store and trj.store.parent.name, collection_summary(trj)
            else:
                source = Path(trj.encoding.get("source", "")).name
                subtitle = trajectory_summary(trj)
            html_report(
                report, f"{title}: {source}" if source else title, sections, subtitle=subtitle
            )
        return sections


def check_outputs(
    figures: str | os.PathLike[str] | None, report: str | os.PathLike[str] | None
) -> None:
    """Make the folders of figures and of a report.

    Raises InputError if a file is where a folder should be or the other way round, or they cannot
    be written to.
    """
    folders = {"figures": figures, "report": None if report is None else Path(report).parent}
    for name, folder in folders.items():
        if folder is not None:
            make_output_folder(folder, name)
    if report is not None and Path(report).is_dir():
        raise InputError(f"report: expected the path of a file, found the folder {report}")


def make_output_folder(folder: str | os.PathLike[str], name: str) -> None:
    """Make a folder; InputError if a file is in its place, or it cannot be written to."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{name}: expected a folder that can be made at {folder}, found: {error.strerror}; "
            "give another path"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{name}: expected a folder to write to, found {folder} read-only")


def _slug(*parts: str) -> str:
    return "-".join(re.findall("[a-z0-9]+", " ".join(parts).lower()))


def _modules() -> list[str]:
    """Return the names of the modules that may have workflows."""
    package = importlib.import_module(__package__)
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return [name for name in names if not name.endswith(("_report", "_members"))]


def _entries(module: str) -> dict[str, Workflow[Any, Any]]:
    """Import a module, and return its workflows by name."""
    values = vars(importlib.import_module(f"{__package__}.{module}")).values()
    declared = [vars(value).get("workflow") for value in values if inspect.isfunction(value)]
    return {entry.name: entry for entry in declared if isinstance(entry, Workflow)}


def registry() -> dict[str, Workflow[Any, Any]]:
    """Import all modules of this package, and return their workflows by name."""
    return {name: entry for module in _modules() for name, entry in _entries(module).items()}


def find(name: str) -> Workflow[Any, Any] | None:
    """Return a workflow, None if there is none; others stay out if the module has its name."""
    if (module := name.replace("-", "_")) in _modules() and name in (entries := _entries(module)):
        return entries[name]
    return registry().get(name)


def _unchecked(trj: Any, settings: Any) -> None:
    """Refuse nothing."""


def workflow(
    name: str,
    settings: type[S],
    presets: Presets,
    *,
    check: Callable[[Any, S], None] = _unchecked,
    takes: Takes = "trajectory",
) -> Callable[[Callable[[Any, Path, S], R]], Callable[..., R]]:
    """Declare a workflow by its name on the command line, its options, and its presets.

    Parameters
    ----------
    name : str
        Name on the command line, and label of the main result.
    settings : type
        Dataclass of the options.
    presets : mapping
        Values of some of its fields, by name.
    check : callable, optional
        Refuses options before the imports of what computes; see `Workflow`.
    takes : {"trajectory", "collection", "either"}
        What the decorated function takes first, a trajectory or a collection; with "either" a
        trajectory, and `members` of `<module>_members` takes collections.
    """

    def decorate(body: Callable[[Any, Path, S], R]) -> Callable[..., R]:
        def function(
            trj: xr.Dataset | Collection, store: StorePath | None = None, **options: Any
        ) -> Any:
            entry.refuse_other(is_collection=isinstance(trj, Collection))
            path = _store(name, trj, store)
            resolved = entry.resolve(options)
            # Nobody else writes between two results.
            with hold_if_writable(path, f"run {name}"), reporting(path, name):
                return entry.compute(body, trj, path, resolved)

        update_wrapper(function, body)
        parameters = _parameters(settings, presets)
        entry = Workflow(name, settings, presets, parameters, function, check, takes)
        function.workflow = entry  # type: ignore[attr-defined]
        function.__signature__ = _signature(parameters, takes)  # type: ignore[attr-defined]
        function.__doc__ = documented(body.__doc__, parameters, *_ARGUMENTS[takes])
        return function

    return decorate


_OF_ALL = (
    "A store for what belongs to all members; by default collection.zarr in the folder of the "
    "members."
)
_ARGUMENTS: Mapping[Takes, tuple[str, str]] = {
    "trajectory": (
        "trj : xarray.Dataset\n    A trajectory.",
        "store : path\n    A store of this trajectory, or a path where none is yet.",
    ),
    "collection": (
        "collection : Collection\n    Trajectories with stores, as `open_collection` returns.",
        f"store : path, optional\n    {_OF_ALL}",
    ),
    "either": (
        "trj : xarray.Dataset or Collection\n    A trajectory, or many with stores, as "
        "`open_collection` returns.",
        "store : path, optional\n    A store of this trajectory, or a path where none is yet. Of a "
        f"collection: {_OF_ALL[0].lower()}{_OF_ALL[1:]}",
    ),
}


def _store(name: str, data: xr.Dataset | Collection, store: StorePath | None) -> Path:
    """Return the path of the store: the one given, or that of a collection."""
    if store is not None:
        return Path(store)
    if not isinstance(data, Collection):
        raise InputError(f"{name}: expected the path of a store, found none")
    if data.store is None:
        raise InputError(
            f"{name}: expected a store for what belongs to all members, found none; open their "
            "folder with icedask.open_collection, or give store"
        )
    return data.store


def _parameters(settings: type[Any], presets: Presets) -> tuple[Parameter, ...]:
    """Return the preset and the fields as options that are None by default."""
    hints = get_type_hints(settings, include_extras=True)
    values = "; ".join(
        f"{name}: {', '.join(f'{key} {value}' for key, value in preset.items())}"
        for name, preset in presets.items()
    )
    preset = Option(
        f"Settings that replace the defaults of other options. {values}.", choices=tuple(presets)
    )
    parameters = [Parameter("preset", str, None, preset)] if presets else []
    for field in fields(settings):
        declared = parameter(field.name, hints[field.name], None)
        if field.default is not MISSING and field.default is not None:
            text = f"{declared.option.help} Default {field.default}."
            declared = replace(declared, option=replace(declared.option, help=text))
        parameters.append(declared)
    return tuple(parameters)


def _signature(parameters: tuple[Parameter, ...], takes: Takes) -> inspect.Signature:
    kind = inspect.Parameter
    # The same word as in the documentation of the arguments.
    first, _, annotation = _ARGUMENTS[takes][0].splitlines()[0].partition(" : ")
    default = kind.empty if takes == "trajectory" else None
    arguments = [
        kind(first, kind.POSITIONAL_OR_KEYWORD, annotation=annotation),
        kind("store", kind.POSITIONAL_OR_KEYWORD, default=default, annotation="path"),
        *(kind(declared.name, kind.KEYWORD_ONLY, default=None) for declared in parameters),
    ]
    return plain_signature(inspect.Signature(arguments), parameters, kind.empty)
