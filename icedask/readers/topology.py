"""Topology files: the atoms of trajectories that hold coordinates only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.contents import content_of
from icedask.readers.formats import SourceOptions

# Columns of the section Atoms of a LAMMPS data file, by atom style.
ATOM_STYLES = {
    "atomic": "id type x y z",
    "angle": "id resid type x y z",
    "bond": "id resid type x y z",
    "molecular": "id resid type x y z",
    "charge": "id type charge x y z",
    "dipole": "id type charge x y z mux muy muz",
    "dpd": "id type theta x y z",
    "electron": "id type charge espin eradius x y z",
    "ellipsoid": "id type ellipsoidflag density x y z",
    "full": "id resid type charge x y z",
    "line": "id resid type lineflag density x y z",
    "peri": "id type volume density x y z",
    "sphere": "id type diameter density x y z",
    "spin": "id type x y z spx spy spz sp",
    "template": "id type resid template_index template_atom x y z",
    "tri": "id resid type triangleflag density x y z",
}
# Formats of coordinates without atoms.
_COORDINATES_ONLY = (
    "XTC",
    "TRR",
    "DCD",
    "NCDF",
    "TRJ",
    "TRZ",
    "COOR",
    "TNG",
    "INPCRD",
    "H5MD",
    "TRC",
)
_ATOMS_SECTION = re.compile(rb"^[ \t]*Atoms[ \t]*(?:#[ \t]*([^\r\n]*))?\r?$", re.MULTILINE)


@dataclass(frozen=True)
class Topology:
    """A file with the atoms of a trajectory.

    Attributes
    ----------
    path
        As it was given, for messages.
    plain
        Where its bytes are.
    key
        MDAnalysis' name of its format; "" where its name tells.
    columns
        Columns of a LAMMPS data file, "" in other formats.
    """

    path: str
    plain: str
    key: str
    columns: str = ""

    def options(self) -> dict[str, Any]:
        """Return the arguments of a Universe for the file."""
        options: dict[str, Any] = {"topology_format": self.key or None}
        if self.columns:
            options["atom_style"] = self.columns
        return options


def topology_of(
    source: SourceFile, key: str, options: SourceOptions, scratch: Path | None
) -> Topology:
    """Return the topology of a trajectory file: another file, or itself.

    Raises InputError if it needs another one, or that is no topology.
    """
    if options.topology is None:
        if options.atom_style is not None:
            raise InputError(
                f"{source.path}: atom_style applies to LAMMPS data files, and no topology= "
                "(--topology) is given; leave it out"
            )
        if key in _COORDINATES_ONLY:
            raise InputError(
                f"{source.path}: holds coordinates but no atoms; give topology= (--topology), a "
                "tpr, gro, psf, prmtop, pdb or LAMMPS data file"
            )
        return Topology(source.path, source.plain, key)
    file = SourceFile.of(options.topology)
    content = content_of(file)
    if file.packed:
        if scratch is None:
            raise InputError(f"{file.path}: expected a topology that is not compressed")
        file = file.unpacked(scratch)
    if content is None:
        return Topology(file.path, file.plain, "")
    if not content.topology:
        raise InputError(
            f"{file.path}: expected a topology (tpr, gro, psf, prmtop, pdb, LAMMPS data), found "
            f"{content.label}; it holds no atoms that icedask can use"
        )
    if content.text:
        file = file.in_ascii(scratch)
    columns = ""
    if content.key == "DATA":
        columns = ATOM_STYLES[atom_style(file, options.atom_style)]
    elif options.atom_style is not None:
        raise InputError(
            f"{file.path}: atom_style applies to LAMMPS data files, found {content.label}; leave "
            "it out"
        )
    return Topology(file.path, file.plain, content.key, columns)


def atom_style(file: SourceFile, option: str | None) -> str:
    """Return the atom style of a LAMMPS data file, as it states, or else as given.

    Raises InputError if neither is there, both differ, or the style is not known.
    """
    match = _ATOMS_SECTION.search(Path(file.plain).read_bytes())
    if match is None:
        raise InputError(
            f"{file.path}: expected a LAMMPS data file with a section Atoms, found none; write it "
            "with write_data"
        )
    comment = (match.group(1) or b"").decode("latin-1").split()
    # Style hybrid and comments of other programs are not among the known ones.
    stated = comment[0] if comment and comment[0] in (*ATOM_STYLES, "hybrid") else None
    style = stated or option
    if style is None:
        raise InputError(
            f"{file.path}: the data file does not state its atom style ('Atoms # full'); give "
            "atom_style= (--atom-style), as in the atom_style command of the simulation"
        )
    if option is not None and option != style:
        raise InputError(
            f"{file.path}: expected atom_style {style!r}, as the file states, found {option!r}; "
            "leave atom_style out"
        )
    if style not in ATOM_STYLES:
        raise InputError(
            f"{file.path}: atom_style {style!r} is not read; expected one of "
            f"{', '.join(ATOM_STYLES)}: write the trajectory as a text dump (dump custom)"
        )
    return style
