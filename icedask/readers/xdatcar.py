"""VASP XDATCAR files: frames by offset, with a lattice of each frame or one for all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.contents import content_of
from icedask.readers.elements import ElementMap, map_elements
from icedask.readers.formats import Format, SourceOptions, boxed
from icedask.store.frame_block import FrameBlock

_CONFIGURATION = re.compile(
    rb"\s*(direct|cartesian)?\b[^\n]*configuration\s*=\s*(\d*)", re.IGNORECASE
)


class _Lattice(NamedTuple):
    """Cell, symbols ("" where the file has none) and number of atoms of each kind."""

    cell: FloatArray
    symbols: tuple[str, ...]
    counts: tuple[int, ...]


def _numbers(line: bytes, n: Sequence[int]) -> FloatArray | None:
    try:
        values = np.array([float(part) for part in line.split()])
    except ValueError:
        return None
    return values if len(values) in n and np.isfinite(values).all() else None


def _read_lattice(file: BinaryIO, where: str) -> _Lattice:
    """Read scale, vectors, symbols and counts, which follow the comment."""

    def line(n: Sequence[int], what: str) -> FloatArray:
        text = file.readline()
        values = _numbers(text, n)
        if values is None:
            raise InputError(
                f"{where}: expected {what}, found {text[:60].decode('latin-1')!r}; repair the file"
            )
        return values

    scale = line((1, 3), "a scale factor")
    cell = np.stack([line((3,), "a lattice vector") for _ in range(3)])
    if len(scale) == 1 and scale[0] < 0:  # it is the volume
        scale = np.cbrt(-scale / abs(np.linalg.det(cell)))
    text = file.readline().decode("latin-1")
    symbols: tuple[str, ...] = ()
    if not text.split() or not text.split()[0].isdigit():
        # POTCAR names such as Fe_pv and hashes behind a slash are no part of the element.
        symbols = tuple(re.split(r"[_/.]", name)[0] for name in text.split())
        text = file.readline().decode("latin-1")
    counts = tuple(int(part) for part in text.split() if part.isdigit())
    if len(counts) != len(text.split()) or not counts or (symbols and len(symbols) != len(counts)):
        raise InputError(
            f"{where}: expected the number of atoms of each of {len(symbols) or 'its'} kinds, "
            f"found {text.strip()[:60]!r}; repair the file"
        )
    return _Lattice(cell * scale, symbols, counts)


def _is_cut(last: bytes, first: bytes) -> bool:
    return not last.endswith(b"\n") and len(last) < len(first.rstrip())


class _Index(NamedTuple):
    """First and last byte of the atoms of each frame, its cell, its number, and the kinds."""

    spans: IntArray
    cells: FloatArray
    steps: IntArray
    lattice: _Lattice
    direct: bool
    truncated: str


def _index(path: str, shown: str) -> _Index:
    """Find the frames of a file.

    Raises InputError where a frame should begin and does not, or kinds of atoms change.
    """
    spans: list[tuple[int, int]] = []
    cells: list[FloatArray] = []
    steps: list[int] = []
    kinds: set[bool] = set()
    first = lattice = None
    truncated = ""
    with Path(path).open("rb") as file:
        while line := file.readline():
            where = f"{shown}: frame {len(spans)}"
            match = _CONFIGURATION.match(line)
            if match is None and not line.strip() and lattice is not None:
                continue
            if match is None:
                lattice = _read_lattice(file, where)
                first = first or lattice
                if lattice[1:] != first[1:]:
                    raise InputError(
                        f"{where}: expected the atoms {first.symbols} {first.counts} of the first "
                        f"frame, found {lattice.symbols} {lattice.counts}; split the file there"
                    )
                continue
            if lattice is None:
                raise InputError(f"{where}: expected a lattice before it; repair the file")
            start, n_atoms = file.tell(), sum(lattice.counts)
            lines = list(islice(file, n_atoms))
            # Lines have one width: one without an end that is shorter lacks digits.
            if len(lines) < n_atoms or _is_cut(lines[-1], lines[0]):
                truncated = f"it has {len(lines)} of {n_atoms} atoms, the last of which may be cut"
                break
            kinds.add((match.group(1) or b"direct").lower() == b"direct")
            spans.append((start, file.tell()))
            cells.append(lattice.cell)
            steps.append(int(match.group(2) or len(spans)))
    if first is None:
        raise InputError(f"{shown}: expected an XDATCAR file, found no lattice")
    if len(kinds) > 1:
        raise InputError(
            f"{shown}: expected Direct or Cartesian frames, found both; split the file"
        )
    return _Index(
        np.array(spans, np.int64).reshape(-1, 2),
        np.array(cells).reshape(-1, 3, 3),
        np.array(steps, np.int64),
        first,
        kinds != {False},
        truncated,
    )


@dataclass(frozen=True)
class XdatcarFile(Format):
    """A VASP XDATCAR file."""

    title: ClassVar = "VASP XDATCAR"
    options: ClassVar = ("elements", "pbc", "cell")
    advice: ClassVar = "give frame_interval (--frame-interval) for a time between frames"
    rank: ClassVar = 0

    path: str
    plain: str
    n_frames: int
    truncated: str
    direct: bool
    symbols: tuple[str, ...]
    counts: tuple[int, ...]
    elements: ElementMap = None
    pbc: tuple[bool, bool, bool] | None = None
    cell: tuple[float, ...] | None = None
    spans: IntArray = field(default_factory=lambda: np.zeros((0, 2), int))
    cells: FloatArray = field(default_factory=lambda: np.zeros((0, 3, 3)))
    steps: IntArray = field(default_factory=lambda: np.zeros(0, int))

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether a file is an XDATCAR file."""
        content = content_of(file)
        return content is not None and content.label == cls.title

    @classmethod
    def open(
        cls, file: SourceFile, options: SourceOptions, scratch: Path | None = None
    ) -> XdatcarFile:
        """Find the frames of a file."""
        index = _index(file.plain, file.path)
        return cls(
            path=file.path,
            plain=file.plain,
            n_frames=len(index.spans),
            truncated=index.truncated,
            direct=index.direct,
            symbols=index.lattice.symbols,
            counts=index.lattice.counts,
            spans=index.spans,
            cells=index.cells,
            steps=index.steps,
            **{name: getattr(options, name) for name in cls.options},
        )

    def stamps(self) -> tuple[IntArray, FloatArray]:
        """Return step and time of every frame; the file has no times."""
        return self.steps, np.full(self.n_frames, np.nan)

    def atoms(self) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom coordinates: elements, or the number of the kind as type."""
        names = self.symbols or tuple(str(k + 1) for k in range(len(self.counts)))
        kinds = np.repeat(np.array(names), self.counts)
        if not self.symbols:
            if self.elements is None:
                return {"type": kinds, "element": np.full(len(kinds), "")}
            return {"type": kinds, "element": map_elements(kinds, self.elements, "atom type")}
        if isinstance(self.elements, str):
            kinds = np.full(len(kinds), self.elements)
        elif self.elements:
            table = {str(key): symbol for key, symbol in self.elements.items()}
            kinds = np.array([table.get(str(kind), str(kind)) for kind in kinds])
        return {"element": kinds}

    def read(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames by index."""
        chosen = np.asarray(frames, int)
        n_atoms = sum(self.counts)
        positions = np.empty((len(chosen), n_atoms, 3), np.float32)
        with Path(self.plain).open("rb") as file:
            for row, frame in enumerate(chosen):
                start, end = self.spans[frame].tolist()
                file.seek(start)
                lines = file.read(end - start).splitlines()
                values = [line.split() for line in lines]
                if any(len(parts) != 3 for parts in values):
                    raise InputError(
                        f"{self.path}: frame {frame}: expected three coordinates in every line; "
                        "repair the file"
                    )
                points = np.array(values).astype(np.float64)
                positions[row] = points @ self.cells[frame] if self.direct else points
        block = FrameBlock(
            positions=positions,
            cell=self.cells[chosen],
            pbc=np.ones(3, bool),
            time=np.full(len(chosen), np.nan),
            step=self.steps[chosen],
        )
        return boxed(block, self.path, self.cell, self.pbc)
