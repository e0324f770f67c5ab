"""LAMMPS text dumps, plain or gzipped: one scan for the offsets, then frames by numpy blocks."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from icedask.errors import InputError
from icedask.io.elements import ElementMap, map_elements
from icedask.io.frames import FrameBlock, join_blocks
from icedask.io.provenance import digest
from icedask.io.units import Units

_SCAN_BYTES = 16 * 2**20
_GZIP_SPACING = 16 * 2**20
# Coordinate columns: unwrapped first, because a wrapped position follows from an unwrapped one.
_CONVENTIONS = {
    "xu yu zu": False,
    "xsu ysu zsu": True,
    "x y z": False,
    "xs ys zs": True,
}
_VECTORS = {
    "velocity": ("vx", "vy", "vz"),
    "force": ("fx", "fy", "fz"),
    "image": ("ix", "iy", "iz"),
}
_PER_ATOM = ("id", "type", "element", "mol", "mass")
_RENAMED = {"q": "charge"}


class Header(NamedTuple):
    """The lines of one frame before its atoms."""

    step: int
    n_atoms: int
    time: float | None
    units: str | None
    cell: npt.NDArray[np.float64]
    origin: npt.NDArray[np.float64]
    pbc: npt.NDArray[np.bool_]
    columns: list[str]
    body: int


class Index(NamedTuple):
    """Where the whole frames of a file are.

    `offsets` has one more entry than there are frames.
    """

    offsets: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    truncated: str


def _open(path: str, gzip_index: str | None) -> BinaryIO:
    if not path.endswith(".gz"):
        return Path(path).open("rb")
    from indexed_gzip import IndexedGzipFile

    if gzip_index is not None and Path(gzip_index).exists():
        return IndexedGzipFile(path, index_file=gzip_index)
    return IndexedGzipFile(path, spacing=_GZIP_SPACING)


def _item_offsets(file: BinaryIO) -> tuple[list[tuple[int, bytes]], int, str]:
    """Return (offset, label) of every ITEM line, the file's length and what broke it off."""
    from indexed_gzip import ZranError

    items: list[tuple[int, bytes]] = []
    base, buffer, broken = 0, b"", ""
    while True:
        try:
            chunk = file.read(_SCAN_BYTES)
        except (ZranError, EOFError, OSError) as error:
            chunk, broken = b"", f"the gzip stream breaks off ({error})"
        buffer += chunk
        at = buffer.find(b"ITEM: ")
        while at >= 0:
            end = buffer.find(b"\n", at)
            if end < 0:
                break
            items.append((base + at, buffer[at + 6 : end].strip()))
            at = buffer.find(b"ITEM: ", end)
        if not chunk:
            return items, base + len(buffer), broken
        # Keep a line that the chunk cut; an ITEM line is short.
        keep = at if at >= 0 else max(0, len(buffer) - 5)
        base += keep
        buffer = buffer[keep:]


def _column_digests(table: pd.DataFrame) -> dict[str, str]:
    return {
        name: digest(pd.util.hash_pandas_object(table[name], index=False).to_numpy())
        for name in ("id", "type", "element")
        if name in table
    }


@dataclass(frozen=True)
class Reference:
    """What every frame of a file must have in common with the first."""

    n_atoms: int
    columns: tuple[str, ...]
    digests: Mapping[str, str]

    @classmethod
    def of(cls, header: Header, table: pd.DataFrame) -> Reference:
        """Note a frame."""
        return cls(len(table), tuple(header.columns), _column_digests(table))

    def check(self, header: Header, table: pd.DataFrame, where: str) -> None:
        """Raise InputError if a frame has other atoms or columns."""
        if len(table) != self.n_atoms:
            raise InputError(
                f"{where}: expected {self.n_atoms} atoms as in the first frame, found "
                f"{len(table)}; icedask needs a constant number of atoms: dump a fixed group"
            )
        if tuple(header.columns) != self.columns:
            raise InputError(
                f"{where}: expected the columns {' '.join(self.columns)} as in the first frame, "
                f"found {' '.join(header.columns)}; split the file where they change"
            )
        for name, value in _column_digests(table).items():
            if value != self.digests[name]:
                raise InputError(
                    f"{where}: column {name} differs from the first frame; icedask needs the same "
                    "atoms in every frame" + ("" if "id" in table else ": dump the atom id too")
                )


def build_index(path: str, gzip_index: str | None = None) -> Index:
    """Scan a dump once for the offset of each frame.

    Parameters
    ----------
    path
        The dump.
    gzip_index
        Where to keep the seek points of a gzipped file.

    Raises
    ------
    InputError
        If the file is empty or not a LAMMPS text dump.
    """
    with _open(path, None) as file:
        items, length, broken = _item_offsets(file)
        if gzip_index is not None and path.endswith(".gz") and not broken:
            file.export_index(gzip_index)  # type: ignore[attr-defined]
        if length == 0:
            raise InputError(f"{path}: the file is empty")
        starts, open_frame = [], False
        for offset, label in items:
            if not open_frame:
                starts.append(offset)
            open_frame = not label.startswith(b"ATOMS")
        if not starts or not any(label.startswith(b"TIMESTEP") for _, label in items):
            raise InputError(
                f'{path}: expected a LAMMPS text dump ("ITEM: TIMESTEP ..."), found something else'
            )
        offsets = np.array([*starts, length], np.int64)
        truncated = broken or _end_of_file(file, path, offsets[-2], length)
        if truncated:
            offsets = offsets[:-1]
        steps = [_step(file, start) for start in offsets[:-1]]
    return Index(offsets, np.array(steps, np.int64), truncated)


def _step(file: BinaryIO, start: int) -> int:
    file.seek(start)
    while not file.readline().startswith(b"ITEM: TIMESTEP"):
        pass
    return int(file.readline())


def frame_text(file: BinaryIO, index: Index, frame: int) -> bytes:
    """Return the bytes of one frame of an open dump."""
    start, end = index.offsets[frame : frame + 2]
    file.seek(start)
    return file.read(end - start)


def first_header(path: str, index: Index, gzip_index: str | None) -> Header:
    """Parse the header of the first frame."""
    with _open(path, gzip_index) as file:
        return parse_header(frame_text(file, index, 0), path)


def _end_of_file(file: BinaryIO, path: str, start: int, end: int) -> str:
    """Return what is missing from the last frame, "" if it is whole."""
    file.seek(start)
    text = file.read(end - start)
    try:
        header = parse_header(text, path)
    except (InputError, ValueError, IndexError):
        return "its header is incomplete"
    lines = text.count(b"\n", header.body)
    return "" if lines >= header.n_atoms else f"it has {lines} of {header.n_atoms} atoms"


def parse_header(text: bytes, path: str) -> Header:
    """Parse the lines before the atoms of one frame."""
    at, fields = 0, {}
    while True:
        end = text.index(b"\n", at)
        label = text[at + 6 : end].decode().strip()
        at = end + 1
        if label.startswith("ATOMS"):
            break
        values = []
        for _ in range(3 if label.startswith("BOX BOUNDS") else 1):
            end = text.index(b"\n", at)
            values.append(text[at:end].decode())
            at = end + 1
        fields[label.split(" ")[0] if label.startswith("BOX") else label] = values
        if label.startswith("BOX BOUNDS"):
            bounds_label = label
    if "BOX" not in fields or "NUMBER OF ATOMS" not in fields or "TIMESTEP" not in fields:
        raise InputError(f"{path}: a frame lacks its TIMESTEP, NUMBER OF ATOMS or BOX BOUNDS")
    cell, origin, pbc = _box(bounds_label, fields["BOX"])
    return Header(
        step=int(fields["TIMESTEP"][0]),
        n_atoms=int(fields["NUMBER OF ATOMS"][0]),
        time=float(fields["TIME"][0]) if "TIME" in fields else None,
        units=fields["UNITS"][0].strip() if "UNITS" in fields else None,
        cell=cell,
        origin=origin,
        pbc=pbc,
        columns=label.split()[1:],
        body=at,
    )


def _box(label: str, lines: list[str]) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    """Return cell, origin and periodicity from the three lines of the box bounds."""
    words = label.split()[2:]
    pbc = np.array([word.startswith("p") for word in words[-3:]])
    rows = np.array([[float(value) for value in line.split()] for line in lines])
    if words[:2] == ["abc", "origin"]:
        return rows[:, :3], rows[:, 3], pbc
    low, high = rows[:, 0], rows[:, 1]
    xy, xz, yz = rows[:, 2] if rows.shape[1] == 3 else np.zeros(3)
    # The bounds of a triclinic box enclose it: take the tilts off again.
    low = low - [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
    high = high - [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
    size = high - low
    return np.array([[size[0], 0, 0], [xy, size[1], 0], [xz, yz, size[2]]]), low, pbc


def _parse_body(body: bytes, n_columns: int, n_atoms: int) -> pd.DataFrame:
    # A single blank as separator is parsed a third faster than runs of blanks.
    single = b"  " not in body and b"\t" not in body and b"\n " not in body
    return pd.read_csv(
        io.BytesIO(body),
        sep=" " if single and not body.startswith(b" ") else r"\s+",
        header=None,
        usecols=range(n_columns),
        nrows=n_atoms,
        engine="c",
        na_values=[],
        keep_default_na=True,
        low_memory=False,
    )


@dataclass(frozen=True)
class LammpsDump:
    """A LAMMPS text dump as a source of frames.

    Attributes
    ----------
    path
        The dump, plain or .gz.
    index
        Its frames, from `build_index`.
    units
        Factors of the unit style.
    timestep
        In the file's unit of time; None if the dump says the time itself.
    elements
        Element of each type, or of all atoms, where the dump has no element column.
    columns
        Variable name of a source column; None drops the column.
    gzip_index
        Seek points of a gzipped dump.
    """

    path: str
    index: Index
    units: Units
    timestep: float | None
    elements: ElementMap = None
    columns: Mapping[str, str | None] | None = None
    gzip_index: str | None = None
    reference: Reference | None = None

    def with_reference(self) -> LammpsDump:
        """Return the source with its first frame noted, which every other one must match."""
        with _open(self.path, self.gzip_index) as file:
            header, table = self._raw(file, 0)
        return replace(self, reference=Reference.of(header, table))

    @property
    def n_frames(self) -> int:
        """Whole frames in the file."""
        return len(self.index.steps)

    @property
    def truncated(self) -> str:
        """What is wrong with the end of the file."""
        return self.index.truncated

    def _raw(self, file: BinaryIO, frame: int) -> tuple[Header, pd.DataFrame]:
        text = frame_text(file, self.index, frame)
        header = parse_header(text, self.path)
        try:
            table = _parse_body(text[header.body :], len(header.columns), header.n_atoms)
        except (pd.errors.ParserError, ValueError) as error:
            raise InputError(
                f"{self.path}: frame {frame}: the atoms cannot be read ({error})"
            ) from (error)
        table.columns = pd.Index(header.columns)
        if len(table) != header.n_atoms:
            raise InputError(
                f"{self.path}: frame {frame}: expected {header.n_atoms} atoms, found {len(table)}"
            )
        if "id" in table and not table["id"].is_monotonic_increasing:
            table = table.sort_values("id", kind="stable", ignore_index=True)
        return header, table

    def atoms(self) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom coordinates, from the first frame."""
        with _open(self.path, self.gzip_index) as file:
            _, table = self._raw(file, 0)
        atoms: dict[str, npt.NDArray[Any]] = {}
        if "id" in table:
            atoms["id"] = table["id"].to_numpy(np.int64)
        if "mol" in table:
            atoms["molecule"] = table["mol"].to_numpy(np.int64)
        if "mass" in table:
            atoms["mass"] = table["mass"].to_numpy(np.float64)
        if "type" in table:
            atoms["type"] = table["type"].to_numpy().astype(str)
        if self.elements is None and "element" in table:
            atoms["element"] = table["element"].to_numpy().astype(str)
        else:
            keys = atoms.get("type", np.full(len(table), ""))
            atoms["element"] = map_elements(keys, self.elements, "atom type")
        return atoms

    def read(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames by index."""
        blocks = []
        with _open(self.path, self.gzip_index) as file:
            for frame in frames:
                head, table = self._raw(file, frame)
                if self.reference is not None:
                    self.reference.check(head, table, f"{self.path}: frame {frame}")
                blocks.append(self._convert(head, table))
        return join_blocks(blocks)

    def _convert(self, head: Header, table: pd.DataFrame) -> FrameBlock:
        units = self.units
        convention = next(
            (names for names in _CONVENTIONS if set(names.split()) <= set(head.columns)), None
        )
        if convention is None:
            raise InputError(
                f"{self.path}: expected the columns x y z, xs ys zs, xu yu zu or xsu ysu zsu, "
                f"found {' '.join(head.columns)}"
            )
        xyz = self._numbers(table, convention.split())
        if _CONVENTIONS[convention]:
            xyz = xyz @ head.cell + head.origin
        time = head.time if head.time is not None else head.step * (self.timestep or np.nan)
        return FrameBlock(
            positions=(xyz * units.length).astype(np.float32)[None],
            cell=head.cell[None] * units.length,
            pbc=head.pbc,
            time=np.array([time * units.time]),
            step=np.array([head.step]),
            cell_origin=head.origin[None] * units.length,
            columns={k: v[None] for k, v in self._columns(table, convention.split()).items()},
        )

    def _columns(self, table: pd.DataFrame, used: list[str]) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom variables of one frame, in icedask's units where these are known."""
        factors = {
            "velocity": self.units.velocity,
            "force": self.units.force,
            "potential_energy": self.units.energy,
            "kinetic_energy": self.units.energy,
        }
        wanted = dict(self.columns or {})
        unknown = [name for name in wanted if name not in table]
        if unknown:
            raise InputError(
                f"columns: the dump has no {', '.join(unknown)}; it has {' '.join(table.columns)}"
            )
        result: dict[str, npt.NDArray[Any]] = {}
        done = {*used, *_PER_ATOM}
        for name, parts in _VECTORS.items():
            if set(parts) <= set(table.columns) and not set(parts) & wanted.keys():
                values = self._numbers(table, list(parts)) * factors.get(name, 1)
                result[name] = values.astype(np.int32 if name == "image" else np.float32)
                done |= set(parts)
        for column in table.columns:
            target = wanted.get(column, _RENAMED.get(column, column))
            if (column in done and column not in wanted) or target is None:
                continue
            values = self._numbers(table, [column])[:, 0] * factors.get(target, 1)
            result[target] = values.astype(np.float32)
        return result

    def _numbers(self, table: pd.DataFrame, names: list[str]) -> npt.NDArray[np.float64]:
        values = table[names]
        bad = [name for name, kind in values.dtypes.items() if kind.kind not in "iufb"]
        if bad:
            raise InputError(
                f"{self.path}: column {bad[0]} is not numeric; repair the file, or drop the "
                f"column with columns={{{bad[0]!r}: None}} (--column {bad[0]}=)"
            )
        return values.to_numpy(np.float64)
