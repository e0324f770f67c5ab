"""What an export refuses: paths, frames and names, before the imports of what reads and writes."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from icedask.core.columns import (
    Column,
    Joined,
    classes_of,
    name_columns,
    part_names,
    variable_names,
)
from icedask.core.expressions import Condition
from icedask.core.frames import check_frames, slice_text
from icedask.core.trajectory import ATOM_COORDS
from icedask.core.types import IntArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.store.outline import Outline
from icedask.writers.formats import format_of

logger = logging.getLogger("icedask")

FRAME_NAMES = ("frame", "step", "time")
_NO_ROWS = np.empty(0, int)


def check_target(target: Path, overwrite: bool) -> None:
    """Raise InputError if a file cannot be made, or is there and not to be replaced."""
    try:
        target.lstat()
    except OSError as error:
        # What is not there is made; a name too long, or a folder without access, is not.
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise InputError(
                f"export: {target.name}: cannot be opened ({error.strerror}); give another path"
            ) from error
    if target.is_dir():
        raise InputError(f"export: expected a file, found the folder {target}")
    if target.exists() and not overwrite:
        raise InputError(
            f"export: {target} exists; give another path, or overwrite=True (--overwrite) to "
            "replace it"
        )
    if not target.parent.is_dir():
        raise InputError(f"export: expected an existing folder, found none at {target.parent}")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(
            f"export: expected a folder to write to, found {target.parent} read-only; choose "
            "another folder"
        )


def member_targets(pattern: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return the file of each member: a pattern with the name of the member for its star.

    Raises InputError without exactly one star in the name of the file.
    """
    if pattern.name.count("*") != 1 or "*" in str(pattern.parent):
        raise InputError(
            "export: expected one star for the names of members in the name of the file, such as "
            f"'out/*.extxyz', found {pattern}"
        )
    targets = {}
    for name in names:
        file = pattern.name.replace("*", name.replace("/", "-"))
        targets[name] = pattern.with_name(file).absolute()
    if len(set(targets.values())) < len(names):
        raise InputError(
            "export: expected names of members that differ with - for /, found "
            f"{', '.join(names)}; export them one by one"
        )
    return targets


def wanted_frames(n_frames: int, frames: Any) -> IntArray:
    """Return the frames that are asked for; raise InputError if there are none."""
    wanted = slice(None) if frames is None else check_frames(frames, "export: frames")
    chosen = np.arange(n_frames)[wanted]
    if len(chosen) == 0:
        raise InputError(
            f"export: frames: no frame of the {n_frames} is in {slice_text(wanted)}; the first is 0"
        )
    return chosen


def condition_on(where: str, joined: Joined) -> Condition:
    """Return a condition on columns; raise InputError if it is not understood."""
    return Condition(
        where,
        [*joined.names, *FRAME_NAMES],
        "export: where",
        classes=joined.classes,
        text_columns=joined.text_names,
    )


def chosen_columns(names: Sequence[str], joined: Joined) -> set[str]:
    """Return the columns that are chosen by name; raise InputError if one is not there."""
    columns = joined.columns
    known = {name: name for name in columns}
    known |= {part: name for name, column in columns.items() for part in column.names}
    known |= {alias: known[name] for alias, name in joined.aliases.items()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"export: columns: no column {unknown[0]!r}; there are {', '.join(columns)}"
        )
    return {known[name] for name in names}


def refuse(
    store: Path,
    runs: Sequence[tuple[str | None, str]],
    target: Path,
    *,
    frames: Any = None,
    where: str | None = None,
    columns: Sequence[str] | None = None,
    overwrite: bool = False,
    **_: Any,
) -> None:
    """Raise InputError for options that a trajectory and runs refuse by their outlines.

    `runs` are the runs with their names, None where they have none; the options are those of
    `export`.
    """
    format_of(target)
    check_target(target, overwrite)
    trajectory = Outline(store)
    results = [Outline(store, run) for _, run in runs]
    wanted_frames(trajectory.sizes.get(FRAME, 0), frames)
    try:
        groups = [(_result_columns(result), result.attrs) for result in results]
        names = [name for name, _ in runs]
        own = _own_columns(trajectory)
        joined = Joined(*name_columns(own, names, groups, "export"), _NO_ROWS, _NO_ROWS)
        if columns is not None:
            chosen_columns(columns, joined)
        if where is not None:
            condition_on(where, joined)
    except InputError:
        raise
    except Exception as error:  # what an outline has not: the export decides
        logger.debug("export: not checked: %s", error)


def _own_columns(outline: Outline) -> dict[str, Column]:
    """Return the columns of a trajectory without their values."""
    columns = {
        name: Column(name, _no_values(outline, name), by_frame=False)
        for name in ATOM_COORDS
        if name in outline and outline[name].dims == (ATOM,)
    }
    columns.setdefault(ATOM, Column(ATOM, np.empty(0, int), by_frame=False))
    return columns | {name: _column(outline, name) for name in _variables(outline, "positions")}


def _no_values(outline: Outline, name: str) -> Any:
    """Return an array of the type of a variable, which that of the atoms' types hangs on."""
    array = outline[name]
    if name == "type" and array.dtype.kind == "U":
        numbers = all(str(value).isdigit() for value in array.values.tolist())
        return np.empty(0, int if numbers else str)
    return np.empty(0, array.dtype)


def _result_columns(outline: Outline) -> dict[str, Column]:
    return {name: _column(outline, name) for name in _variables(outline, "label")}


def _variables(outline: Outline, first: str) -> list[str]:
    coordinates = outline.attrs.get("coordinate_names", [])
    arrays = outline.variables.items()
    return variable_names({name: a.dims for name, a in arrays if name not in coordinates}, first)


def _column(outline: Outline, name: str) -> Column:
    """Return a column of an outline without its values."""
    array = outline[name]
    (*rest,) = (dim for dim in array.dims if dim not in (FRAME, ATOM))
    parts: tuple[str, ...] = ()
    if rest:
        (dim,) = rest
        labels = outline[dim].values if dim in outline else None
        parts = part_names(dim, outline.sizes[dim], labels)
    values = np.empty(0, array.dtype)
    return Column(name, values, FRAME in array.dims, parts, classes_of(array.attrs))
