"""Index of a LAMMPS text dump: offsets and headers of its frames."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError

_SCAN_BYTES = 16 * 2**20
_GZIP_SPACING = 16 * 2**20


class Header(NamedTuple):
    """The lines of one frame before its atoms."""

    step: int
    n_atoms: int
    time: float | None
    units: str | None
    cell: FloatArray
    origin: FloatArray
    pbc: npt.NDArray[np.bool_]
    columns: list[str]
    body: int


class Index(NamedTuple):
    """Where the whole frames of a file are.

    `offsets` has one more entry than there are frames.
    """

    offsets: IntArray
    steps: IntArray
    truncated: str


def open_dump(path: str, gzip_index: str | None) -> BinaryIO:
    """Open a dump for reading at any offset; a gzipped one at once only with its seek points."""
    if not path.endswith(".gz"):
        return Path(path).open("rb")
    if gzip_index is None or not Path(gzip_index).exists():
        return cast(BinaryIO, gzip.open(path, "rb"))
    from indexed_gzip import IndexedGzipFile

    return IndexedGzipFile(path, index_file=gzip_index)


def _rescued_pieces(path: str, reason: list[str]) -> Iterator[bytes]:
    """Yield what can be had of a broken gzip stream, and note why it ends."""
    with gzip.open(path, "rb") as file:
        try:
            while piece := file.read1(2**16):
                yield piece
        except (EOFError, OSError, zlib.error) as error:
            reason.append(f"the gzip stream breaks off ({error})")


def _scan(path: str, gzip_index: str | None) -> tuple[list[tuple[int, bytes]], int, str]:
    """Return (offset, label) of every ITEM line, the file's length and what broke it off."""
    if not path.endswith(".gz"):
        with Path(path).open("rb") as file:
            return *_item_offsets(iter(lambda: file.read(_SCAN_BYTES), b"")), ""
    from indexed_gzip import IndexedGzipFile, ZranError

    try:
        with IndexedGzipFile(path, spacing=_GZIP_SPACING) as file:
            items = _item_offsets(iter(lambda: file.read(_SCAN_BYTES), b""))
            if gzip_index is not None:
                file.export_index(gzip_index)
        return *items, ""
    except (ZranError, OSError):
        reason: list[str] = []
        items = _item_offsets(_rescued_pieces(path, reason))
        return *items, "".join(reason)


def _item_offsets(pieces: Iterable[bytes]) -> tuple[list[tuple[int, bytes]], int]:
    """Return (offset, label) of every ITEM line, and the number of bytes."""
    items: list[tuple[int, bytes]] = []
    base, buffer = 0, b""
    for piece in pieces:
        buffer += piece
        at = buffer.find(b"ITEM: ")
        while at >= 0:
            end = buffer.find(b"\n", at)
            if end < 0:
                break
            items.append((base + at, buffer[at + 6 : end].strip()))
            at = buffer.find(b"ITEM: ", end)
        # Keep a line that the piece cut; an ITEM line is short.
        keep = at if at >= 0 else max(0, len(buffer) - 5)
        base += keep
        buffer = buffer[keep:]
    return items, base + len(buffer)


def build_index(path: str, gzip_index: str | None = None) -> Index:
    """Scan a dump once for the offset of each frame; keep the seek points of a gzipped one.

    Raises InputError if the file is empty or not a LAMMPS text dump.
    """
    items, length, broken = _scan(path, gzip_index)
    if length == 0:
        what = broken or "the file is empty"
        raise InputError(f"{path}: expected a LAMMPS text dump, found nothing in it: {what}")
    starts, in_header = [], False
    for offset, label in items:
        if not in_header:
            starts.append(offset)
        in_header = not label.startswith(b"ATOMS")
    if not starts or not any(label.startswith(b"TIMESTEP") for _, label in items):
        raise InputError(
            f'{path}: expected a LAMMPS text dump ("ITEM: TIMESTEP ..."), found something else'
        )
    offsets = np.array([*starts, length], np.int64)
    with open_dump(path, gzip_index) as file:
        truncated = broken or _end_of_file(file, path, offsets[-2], length)
        if truncated:
            offsets = offsets[:-1]
        steps = [_step(file, start, path) for start in offsets[:-1]]
    return Index(offsets, np.array(steps, np.int64), truncated)


def _step(file: BinaryIO, start: int, path: str) -> int:
    file.seek(start)
    try:
        while not file.readline().startswith(b"ITEM: TIMESTEP"):
            pass
        return int(file.readline())
    except ValueError as error:
        raise InputError(
            f"{path}: expected a step number after ITEM: TIMESTEP at byte {start}, found none; a "
            "run was killed there: cut the broken header out"
        ) from error


def frame_text(file: BinaryIO, index: Index, frame: int) -> bytes:
    """Return the bytes of one frame of an open dump."""
    start, end = index.offsets[frame : frame + 2]
    file.seek(start)
    return file.read(end - start)


def _end_of_file(file: BinaryIO, path: str, start: int, end: int) -> str:
    """Return how the last frame is truncated, "" if it is not."""
    file.seek(start)
    text = file.read(end - start)
    try:
        header = parse_header(text, path)
    except InputError:
        return "its header is incomplete"
    lines = text.count(b"\n", header.body)
    return "" if lines >= header.n_atoms else f"it has {lines} of {header.n_atoms} atoms"


def parse_header(text: bytes, path: str) -> Header:
    """Parse the lines before the atoms of one frame; raise InputError if they are broken."""
    try:
        return _parse_header(text)
    except (ValueError, IndexError, KeyError) as error:
        start = text[:60].decode(errors="replace")
        raise InputError(
            f"{path}: the frame that begins with {start!r} has a broken header ({error}); repair "
            "it, or cut the frame out"
        ) from error


def _parse_header(text: bytes) -> Header:
    at = 0
    fields: dict[str, list[str]] = {}
    box = ""
    while True:
        end = text.index(b"\n", at)
        label = " ".join(text[at:end].decode().split()[1:])
        at = end + 1
        if label.startswith("ATOMS"):
            break
        is_box = label.startswith("BOX BOUNDS")
        key = "BOX BOUNDS" if is_box else label
        box = label if is_box else box
        fields[key] = []
        for _ in range(3 if is_box else 1):
            end = text.index(b"\n", at)
            fields[key].append(text[at:end].decode())
            at = end + 1
    cell, origin, pbc = _box(box, fields["BOX BOUNDS"])
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
    if len(words) < 3 or any(set(word) - set("pfsm") for word in words[-3:]):
        raise ValueError(
            f'expected the boundaries of the box, as in "BOX BOUNDS pp pp ff", found {label!r}; '
            "add them to the header of each frame"
        )
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
