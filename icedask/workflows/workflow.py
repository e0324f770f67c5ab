"""What a workflow is: settings declared once, presets, and an entry in a registry.

The settings of a workflow are a dataclass whose fields are annotated with an `Option` each, as
the options of a descriptor are: they drive validation, the command line and the docstring.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

import xarray as xr

from icedask.core.options import Option, Parameter, parameter
from icedask.errors import InputError
from icedask.tasks.progress import reporting

if TYPE_CHECKING:
    from icedask.plot.report import Section

S = TypeVar("S")
R = TypeVar("R")


@dataclass(frozen=True)
class Workflow(Generic[S, R]):
    """An entry of the registry.

    Attributes
    ----------
    name
        On the command line, and the label of the main result.
    settings
        The dataclass.
    presets
        Values for some of its fields, by name.
    parameters
        Preset and fields as options. None stands for what the preset or the default says.
    function
        The public function.
    sections
        Function of its result and of the trajectory: the tables and, if asked for, the figures.
    """

    name: str
    settings: type[S]
    presets: Mapping[str, Mapping[str, Any]]
    parameters: tuple[Parameter, ...]
    function: Callable[..., R]
    sections: Callable[..., list[Section]]

    def resolve(self, given: Mapping[str, Any]) -> S:
        """Return the settings: what is given, else what the preset says, else the default.

        Raises
        ------
        InputError
            If there is no such option, one is out of bounds, or one that is needed is missing.
        """
        names = [one.name for one in self.parameters]
        unknown = [name for name in given if name not in names]
        if unknown:
            raise InputError(
                f"{self.name}: has no option {unknown[0]!r}; its options are {', '.join(names)}"
            )
        checked = {one.name: one.check(given.get(one.name), self.name) for one in self.parameters}
        chosen = self.presets.get(checked.pop("preset") or "", {})
        values = {**chosen, **{k: value for k, value in checked.items() if value is not None}}
        missing = [
            field.name
            for field in fields(self.settings)  # type: ignore[arg-type]
            if field.name not in values and field.default is MISSING
        ]
        if missing:
            raise InputError(
                f"{self.name}: expected {missing[0]}, or a preset ({', '.join(self.presets)}), "
                "found neither"
            )
        return self.settings(**values)

    def present(
        self,
        result: R,
        trj: xr.Dataset,
        *,
        figures: str | os.PathLike[str] | None = None,
        report: str | os.PathLike[str] | None = None,
    ) -> list[Section]:
        """Return the tables of a result, and write its figures and its report where asked to.

        Parameters
        ----------
        result
            What the function returned.
        trj
            The trajectory.
        figures
            Folder for a PNG of each figure, made if it does not exist.
        report
            HTML file.
        """
        check_outputs(figures, report)
        found = self.sections(result, trj, draw=figures is not None or report is not None)
        if figures is not None:
            for section in found:
                for caption, figure in section.figures.items():
                    figure.savefig(Path(figures) / f"{_slug(section.title, caption)}.png")
        if report is not None:
            from icedask.plot.report import html_report

            html_report(report, self.name.replace("-", " ").capitalize(), found)
        return found


def check_outputs(
    figures: str | os.PathLike[str] | None, report: str | os.PathLike[str] | None
) -> None:
    """Make the folders that figures and a report go to.

    Raises
    ------
    InputError
        If a file is where a folder should be or the other way round, or they cannot be written to.
    """
    folders = {"figures": figures, "report": None if report is None else Path(report).parent}
    for name, folder in folders.items():
        if folder is None:
            continue
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{name}: expected a folder that can be made at {folder}, found: {error.strerror}"
            ) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"{name}: expected a folder to write to, found {folder} read-only")
    if report is not None and Path(report).is_dir():
        raise InputError(f"report: expected the path of a file, found the folder {report}")


def _slug(*parts: str) -> str:
    return "-".join(re.findall("[a-z0-9]+", " ".join(parts).lower()))


WORKFLOWS: dict[str, Workflow[Any, Any]] = {}


def workflow(
    name: str,
    settings: type[S],
    presets: Mapping[str, Mapping[str, Any]],
    sections: Callable[..., list[Section]],
) -> Callable[[Callable[[xr.Dataset, Path, S], R]], Callable[..., R]]:
    """Register a workflow; see the module's docstring.

    Parameters
    ----------
    name
        On the command line.
    settings
        A dataclass of options.
    presets
        Published or proven values of its fields.
    sections
        Of the registered entry.
    """

    def decorate(body: Callable[[xr.Dataset, Path, S], R]) -> Callable[..., R]:
        def function(trj: xr.Dataset, store: str | os.PathLike[str], **options: Any) -> R:
            path = Path(store)
            resolved = entry.resolve(options)
            with reporting(path, name):
                return body(trj, path, resolved)

        update_wrapper(function, body)
        parameters = _parameters(settings, presets)
        function.__signature__ = _signature(parameters)  # type: ignore[attr-defined]
        entries = "\n".join(
            [
                "trj : xarray.Dataset\n    A trajectory.",
                "store : path\n    A store of this trajectory, or a path where none is yet.",
                *(one.documentation() for one in parameters),
            ]
        )
        text = inspect.cleandoc(body.__doc__ or "")
        function.__doc__ = text.replace("{parameters}", f"Parameters\n----------\n{entries}")
        entry = Workflow(name, settings, presets, parameters, function, sections)
        WORKFLOWS[name] = entry
        return function

    return decorate


def _parameters(
    settings: type[Any], presets: Mapping[str, Mapping[str, Any]]
) -> tuple[Parameter, ...]:
    hints = get_type_hints(settings, include_extras=True)
    told = "; ".join(
        f"{name}: {', '.join(f'{key} {value}' for key, value in values.items())}"
        for name, values in presets.items()
    )
    preset = Option(
        f"Settings for what is not given, before the defaults. {told}.", choices=tuple(presets)
    )
    return (
        Parameter("preset", str, None, preset),
        *(_parameter(field, hints[field.name]) for field in fields(settings)),
    )


def _parameter(field: Field[Any], hint: Any) -> Parameter:
    """Return an option that is None if not given, and says what it is then."""
    one = parameter(field.name, hint, None)
    if field.default is MISSING or field.default is None:
        return one
    told = f"{one.option.help} Default {field.default}."
    return replace(one, option=replace(one.option, help=told))


def _signature(parameters: tuple[Parameter, ...]) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    first = [
        inspect.Parameter("trj", kind, annotation=xr.Dataset),
        inspect.Parameter("store", kind, annotation="path"),
    ]
    rest = [
        inspect.Parameter(
            one.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=one.kind
        )
        for one in parameters
    ]
    return inspect.Signature([*first, *rest])
