"""Structures beyond the first in files of formats whose readers stop there."""

from __future__ import annotations

import re
from pathlib import Path

_ATOM = re.compile(rb"^(?:ATOM|HETATM)\b", re.MULTILINE)
_END_THEN_ATOM = re.compile(
    rb"^(?:END|ENDMDL)[ \t]*\r?\n(?:(?!ATOM|HETATM).*\n)*(?:ATOM|HETATM)", re.MULTILINE
)
_MODEL = re.compile(rb"^MODEL\b", re.MULTILINE)
# A lattice of VASP: a factor, three vectors, symbols or counts.
_LATTICE = re.compile(
    rb"^[ \t]*[-+.\deE]+[ \t]*\r?\n"
    rb"(?:[ \t]*[-+.\deE]+[ \t]+[-+.\deE]+[ \t]+[-+.\deE]+[ \t]*\r?\n){3}"
    rb"(?:[ \t]*[A-Z][^\n]*\n)?(?:[ \t]*\d+)+[ \t]*\r?\n",
    re.MULTILINE,
)
_SPLIT = "split it into one file a structure, and give them all"


def several(path: str, key: str) -> str:
    """Return that a file holds several structures where its format cannot, "" if it does not."""
    if key not in ("PDB", "PQR", "PDBQT", "IN"):
        return ""
    text = Path(path).read_bytes()
    if key == "IN":
        return _lattice_vectors(text)
    models = len(_MODEL.findall(text))
    if (key == "PDB" and models) or (models < 2 and not _END_THEN_ATOM.search(text)):
        return ""
    n_structures = max(models, len(_END_THEN_ATOM.findall(text)) + 1)
    marks = ", with MODEL records between several" if key == "PDB" else ""
    return f"expected one structure{marks}, found {n_structures}; {_SPLIT}"


def excess(path: str, key: str, n_atoms: int, n_frames: int) -> str:
    """Return the content of a file beyond the frames that are read of it, "" if none.

    Parameters
    ----------
    path
        The file.
    key
        Name of its format in the library that reads it.
    n_atoms, n_frames
        What the library reads.
    """
    if key == "COOR":
        return _binary_coordinates(path, n_atoms)
    check = {
        "PDB": _records,
        "PQR": _records,
        "PDBQT": _records,
        "MMCIF": _records,
        "INPCRD": _box,
        "vasp": _lattices,
    }.get(key)
    return "" if check is None else check(Path(path).read_bytes(), n_atoms, n_frames)


def _records(text: bytes, n_atoms: int, n_frames: int) -> str:
    records = len(_ATOM.findall(text))
    if records != n_atoms * n_frames:
        return (
            f"expected {n_frames} x {n_atoms} atoms, found {records} atom records; the structures "
            f"in it differ: {_SPLIT}"
        )
    return ""


def _lattice_vectors(text: bytes) -> str:
    vectors = len(re.findall(rb"^\s*lattice_vector\b", text, re.MULTILINE))
    if vectors not in (0, 3):
        return f"expected no or three lattice vectors, found {vectors}; " + _SPLIT
    return ""


def _box(text: bytes, n_atoms: int, n_frames: int) -> str:
    lines = [line for line in text.splitlines()[2:] if line.strip()]
    rest = lines[(n_atoms + 1) // 2 :]
    if rest:
        last = ",".join(part.decode("latin-1") for part in rest[-1].split())
        return (
            "expected positions only, found velocities or a box after them, which are not read; "
            f"convert it with cpptraj (trajout FILE.nc netcdf) [its last line is {last}]"
        )
    return ""


def _lattices(text: bytes, n_atoms: int, n_frames: int) -> str:
    n_lattices = len(_LATTICE.findall(text))
    if n_lattices > n_frames:
        return f"expected one structure, found {n_lattices}; {_SPLIT}"
    return ""


def _binary_coordinates(path: str, n_atoms: int) -> str:
    size, expected = Path(path).stat().st_size, 4 + 24 * n_atoms
    if size != expected:
        return f"expected {expected} bytes for {n_atoms} atoms, found {size}; write it again"
    return ""
