"""The tasks of an export, each of which writes some frames into a file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.columns import of_atoms, plain
from icedask.core.expressions import Condition
from icedask.core.types import FloatArray, IntArray
from icedask.writers.formats import Format, FrameTable


class Taken(NamedTuple):
    """How the values of a frame follow from a block of an array."""

    name: str
    names: tuple[str, ...]
    kind: str
    rows: IntArray | None  # places of the atoms in the array
    missing: npt.NDArray[np.bool_] | None  # frames without a value


class Part(NamedTuple):
    """What every task of an export needs."""

    format: Format
    folder: Path
    frames: IntArray
    # Of the frames: step, time, cell, origin.
    step: IntArray
    time: FloatArray
    cell: FloatArray
    origin: FloatArray | None
    pbc: npt.NDArray[np.bool_]
    size: int
    # Columns that change from frame to frame, without data.
    columns: tuple[Taken, ...]
    shared: Mapping[str, npt.NDArray[Any]]
    condition: Condition | None
    aliases: Mapping[str, str]
    n_atoms: int


def part_path(folder: Path, number: int) -> Path:
    """Return the file of a task."""
    return folder / f"part-{number}"


def write_part(number: int, part: Part, *blocks: npt.NDArray[Any]) -> tuple[int, int]:
    """Write the frames of one task; return how many frames and rows it has. Runs on a worker."""
    counts = [0, 0]

    def counted() -> Iterator[FrameTable]:
        for place in range(len(blocks[0])):
            frame = _frame_table(part, number * part.size + place, [b[place] for b in blocks])
            if len(frame.rows):
                counts[0] += 1
                counts[1] += len(frame.rows)
                yield frame

    part.format.write(part_path(part.folder, number), counted())
    return counts[0], counts[1]


def _frame_table(part: Part, index: int, values: Sequence[npt.NDArray[Any]]) -> FrameTable:
    """Return one frame with the atoms for which the condition holds."""
    columns = {}
    for taken, block in zip(part.columns, values, strict=True):
        column = of_atoms(plain(np.asarray(block), taken.kind), taken.rows)
        if taken.missing is not None and taken.missing[index]:
            column = of_atoms(column, np.full(len(column), -1))
        columns[taken.name] = column
    rows = np.arange(part.n_atoms)
    if part.condition is not None:
        rows = np.flatnonzero(_holds(part, part.condition, index, columns))
        columns = {name: column[rows] for name, column in columns.items()}
    return FrameTable(
        int(part.frames[index]),
        int(part.step[index]),
        float(part.time[index]),
        part.cell[index],
        None if part.origin is None else part.origin[index],
        part.pbc,
        rows,
        columns,
    )


def _holds(
    part: Part, condition: Condition, index: int, columns: Mapping[str, npt.NDArray[Any]]
) -> npt.NDArray[np.bool_]:
    values: dict[str, Any] = {
        "frame": part.frames[index],
        "step": part.step[index],
        "time": part.time[index],
        **part.shared,
    }
    for taken in part.columns:
        column = columns[taken.name]
        several = column.T if column.ndim == 2 else [column]
        values |= dict(zip(taken.names, several, strict=True))
    values |= {alias: values[name] for alias, name in part.aliases.items() if name in values}
    return np.broadcast_to(condition(values), part.n_atoms)
