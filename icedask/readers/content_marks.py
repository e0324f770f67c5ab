"""Marks by which the content of a file is recognised: tests of its first bytes."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

Test = Callable[[bytes], bool]


@dataclass(frozen=True)
class Content:
    """A format by which the content of a file is known.

    Attributes
    ----------
    label
        Name of the format in messages.
    library
        Library that reads it, "mdanalysis" or "ase"; "" where a class of icedask does, or nobody.
    key
        Name of the format in that library.
    suffixes
        Ends of the names of its files, or, without a dot, beginnings of whole names.
    matches
        Test of the first bytes; None where only the name tells.
    refusal
        Why it is not read, and what to do; "" where it is.
    topology
        Whether it can be a topology.
    text
        Whether it is text.
    package, extra
        Module that must be installed, "" where nothing more is needed, and the extra with it.
    """

    label: str
    library: str
    key: str
    suffixes: tuple[str, ...] = ()
    matches: Test | None = None
    refusal: str = ""
    topology: bool = False
    text: bool = True
    package: str = ""
    extra: str = ""

    def named(self, name: str) -> bool:
        """Return whether a name, in lower case, is one of this format."""
        for suffix in self.suffixes:
            if suffix.startswith("."):
                # POSCAR.vasp, run.xtc; and run.dcd.1 or a.gro.2 as numbered parts.
                if re.search(re.escape(suffix) + r"(\.\d+)?$", name):
                    return True
            elif re.match(re.escape(suffix) + r"($|[._\-\d])", name):
                return True
        return False


def begins(*starts: bytes) -> Test:
    """Return a test for the first bytes."""
    return lambda head: head.startswith(starts)


def holds(*patterns: bytes) -> Test:
    """Return a test for regular expressions, in several lines, that must all be there."""
    compiled = [re.compile(pattern, re.MULTILINE) for pattern in patterns]
    return lambda head: all(pattern.search(head) for pattern in compiled)


_NUMBER = rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"
THREE = rb"[ \t]*" + rb"[ \t]+".join([_NUMBER] * 3)
_EOL = rb"[ \t]*\r?\n"
# The lattice of VASP: a comment, one or three factors, three vectors, symbols, counts.
_VASP = re.compile(
    rb"[^\n]*\n[ \t]*"
    + _NUMBER
    + rb"(?:[ \t]+"
    + _NUMBER
    + rb"){0,2}"
    + _EOL
    + (THREE + rb"[^\n]*\n") * 3
    + rb"(?:[ \t]*[A-Za-z][^\n]*\n)?(?:[ \t]*\d+)+"
    + rb"(?:[ \t]*![^\n]*)?"
    + _EOL
)
_GRO_ATOM = re.compile(rb"[ \d]{5}.{10}[ \d*]{5}(?: *-?\d+\.\d+){3}")
_PDB_ATOM = re.compile(rb"^(?:ATOM  |HETATM).{24}(.{8})(.{8})(.{8})", re.MULTILINE)
_PDB_RECORDS = (
    rb"HEADER|TITLE|REMARK|CRYST1|MODEL|ATOM  |HETATM|COMPND|AUTHOR|ORIGX|SCALE|EXPDTA|SEQRES|HELIX"
)
CHARMM_CRD = re.compile(rb"(?:\*[^\n]*\n)+[ \t]*\d+([ \t]+EXT)?" + _EOL)


def is_vasp(head: bytes) -> bool:
    """Return whether the first bytes mark a POSCAR of VASP."""
    return _VASP.match(head) is not None


def is_xdatcar(head: bytes) -> bool:
    """Return whether the first bytes mark an XDATCAR of VASP."""
    match = _VASP.match(head)
    return (
        match is not None
        and re.match(
            rb"\s*(?:Direct|Cartesian)?[^\n]*configuration[^\n]*=",
            head[match.end() :],
            re.IGNORECASE,
        )
        is not None
    )


def is_gro(head: bytes) -> bool:
    """Return whether the first bytes mark a GROMACS gro file."""
    lines = head.split(b"\n", 3)
    if len(lines) < 3 or not lines[1].strip().isdigit():
        return False
    return _GRO_ATOM.match(lines[2]) is not None


def is_pdb(head: bytes) -> bool:
    """Return whether the first bytes mark a PDB file."""
    if not re.match(rb"\s*(?:" + _PDB_RECORDS + rb")", head):
        return False
    match = _PDB_ATOM.search(head)
    if match is None:
        return False
    try:
        [float(part) for part in match.groups()]
    except ValueError:
        return False
    return True


def is_dcd(head: bytes) -> bool:
    """Return whether the first bytes mark a DCD file, of either byte order."""
    return head[4:8] == b"CORD" and head[:4] in (struct.pack("<i", 84), struct.pack(">i", 84))


def magic(*values: int) -> Test:
    """Return a test for one of some big-endian numbers of four bytes at the start."""
    starts = tuple(struct.pack(">i", value) for value in values)
    return lambda head: head[:4] in starts


def is_amber_netcdf(head: bytes) -> bool:
    """Return whether the first bytes mark an AMBER NetCDF trajectory."""
    netcdf = head[:4] in (b"CDF\x01", b"CDF\x02", b"CDF\x05")
    return netcdf and b"AMBERRESTART" not in head and not is_lammps_netcdf(head)


def is_lammps_netcdf(head: bytes) -> bool:
    """Return whether the first bytes mark a NetCDF dump of LAMMPS."""
    return head[:3] == b"CDF" and b"LAMMPS" in head


def is_lammps_data(head: bytes) -> bool:
    """Return whether the first bytes mark a LAMMPS data file."""
    return (
        re.search(rb"^[ \t]*\d+[ \t]+atoms\b", head, re.MULTILINE) is not None
        and re.search(rb"^[^#\n]*\b(?:xlo[ \t]+xhi|avec)\b", head, re.MULTILINE) is not None
    )


def is_lammps_binary(head: bytes) -> bool:
    """Return whether the first bytes mark a binary dump of LAMMPS."""
    return head[8:16] in (b"DUMPATOM", b"DUMPCUST", b"DUMPGRID", b"DUMPLOCA")
