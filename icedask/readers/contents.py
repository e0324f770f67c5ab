"""Contents of source files, recognised by their first bytes, or else by name.

What a file holds decides how it is read. A name decides only among formats that look alike, and for
formats without a mark of their own.
"""

from __future__ import annotations

from pathlib import Path

from icedask.readers.compressed import PACKED, SourceFile
from icedask.readers.content_marks import (
    CHARMM_CRD,
    THREE,
    Content,
    begins,
    holds,
    is_amber_netcdf,
    is_dcd,
    is_gro,
    is_lammps_binary,
    is_lammps_data,
    is_lammps_netcdf,
    is_pdb,
    is_vasp,
    is_xdatcar,
    magic,
)

_TEXT_DUMP = 'write a text dump instead (LAMMPS "dump ID all custom N FILE id type element x y z")'
_NO_POSITIONS = "it holds no positions"
_AS_TOPOLOGY = (
    "it holds atoms but no trajectory: give it with topology= (--topology), and the trajectory "
    "file as the source"
)

CONTENTS: tuple[Content, ...] = (
    # Binary formats.
    Content("DCD", "mdanalysis", "DCD", (".dcd",), is_dcd, text=False),
    Content("GROMACS xtc", "mdanalysis", "XTC", (".xtc",), magic(1995, 2023), text=False),
    Content("GROMACS trr", "mdanalysis", "TRR", (".trr",), magic(1993), text=False),
    Content(
        "AMBER NetCDF",
        "mdanalysis",
        "NCDF",
        (".nc", ".ncdf", ".netcdf"),
        is_amber_netcdf,
        text=False,
    ),
    Content(
        "a LAMMPS NetCDF dump",
        "",
        "",
        (),
        is_lammps_netcdf,
        "its atoms may change places from frame to frame: " + _TEXT_DUMP,
        text=False,
    ),
    Content(
        "an AMBER NetCDF restart",
        "",
        "",
        (".ncrst",),
        lambda head: head[:3] == b"CDF" and b"AMBERRESTART" in head,
        "convert it with cpptraj (trajout FILE.nc netcdf)",
        text=False,
    ),
    Content(
        "H5MD",
        "mdanalysis",
        "H5MD",
        (".h5md", ".h5"),
        lambda head: head.startswith(b"\x89HDF") and b"h5md" in head,
        text=False,
        package="h5py",
        extra="h5md",
    ),
    Content(
        "an HDF5 file other than H5MD",
        "",
        "",
        (),
        begins(b"\x89HDF"),
        "convert NetCDF 4 with nccopy -k classic, and others with the program that wrote them, to "
        "NetCDF 3, xtc or dcd",
        text=False,
    ),
    Content(
        "GSD",
        "mdanalysis",
        "GSD",
        (".gsd",),
        begins(b"\xdf\x65" * 4),
        text=False,
        package="gsd",
        extra="gsd",
    ),
    Content(
        "GROMACS tng",
        "mdanalysis",
        "TNG",
        (".tng",),
        lambda head: b"GENERAL INFO" in head[:80],
        text=False,
        package="pytng",
        extra="tng",
    ),
    Content(
        "ASE traj",
        "ase",
        "traj",
        (".traj",),
        lambda head: head.startswith(b"- of Ulm") and b"ASE-Trajectory" in head[:32],
        text=False,
    ),
    Content(
        "ASE database",
        "ase",
        "db",
        (".db",),
        lambda head: head.startswith(b"SQLite format 3") and b"CREATE TABLE systems" in head,
        text=False,
    ),
    Content(
        "Desmond dms",
        "mdanalysis",
        "DMS",
        (".dms",),
        lambda head: head.startswith(b"SQLite format 3") and b"particle" in head,
        topology=True,
        text=False,
    ),
    Content(
        "a LAMMPS binary dump",
        "",
        "",
        (),
        is_lammps_binary,
        "convert it with binary2txt (of the LAMMPS tools), or " + _TEXT_DUMP,
        text=False,
    ),
    Content(
        "a LAMMPS restart",
        "",
        "",
        (".restart",),
        begins(b"LammpS RestartT"),
        "read it into LAMMPS (read_restart) and use write_dump or write_data",
        text=False,
    ),
    Content(
        "a GROMACS tpr",
        "",
        "TPR",
        (".tpr",),
        lambda head: head[8:15] == b"VERSION",
        "it holds atoms and the start of a run: give it with topology= (--topology), and the xtc "
        "or trr file as the source",
        topology=True,
        text=False,
    ),
    Content(
        "a GROMACS edr (energies)", "", "", (".edr",), magic(-55555), _NO_POSITIONS, text=False
    ),
    Content("AMBER/CHARMM trz", "mdanalysis", "TRZ", (".trz",), text=False),
    Content("NAMD binary coordinates", "mdanalysis", "COOR", (".coor", ".namdbin"), text=False),
    Content("MMTF", "mdanalysis", "MMTF", (".mmtf",), topology=True, text=False),
    Content(
        "an archive",
        "",
        "",
        (".zip", ".tar", ".tgz", ".7z", ".rar"),
        lambda head: (
            head.startswith((b"PK\x03\x04", b"7z\xbc\xaf", b"Rar!")) or head[257:262] == b"ustar"
        ),
        "unpack it, and ingest the trajectory in it",
        text=False,
    ),
    Content(
        "compressed twice, or with another program than gzip, bzip2, xz or zstd",
        "",
        "",
        (".lzma", ".z", ".lz4", ".lz"),
        begins(b"\x5d\x00\x00", b"\x1f\x9d", b"\x04\x22\x4d\x18", b"LZIP", *PACKED),
        "unpack it, and ingest what is in it",
        text=False,
    ),
    # Text.
    Content(
        "a LAMMPS yaml dump",
        "",
        "",
        (),
        holds(rb"\A---\s*\r?\ncreator: LAMMPS"),
        _TEXT_DUMP,
    ),
    Content(
        "a log of LAMMPS",
        "",
        "",
        (),
        begins(b"LAMMPS ("),
        "the positions are in the file that its dump command names",
    ),
    Content("LAMMPS data", "", "DATA", (), is_lammps_data, topology=True),
    Content("VASP XDATCAR", "", "", ("xdatcar", ".xdatcar"), is_xdatcar),
    Content(
        "VASP POSCAR",
        "ase",
        "vasp",
        ("poscar", "contcar", ".poscar", ".contcar", ".vasp"),
        is_vasp,
    ),
    Content("VASP OUTCAR", "ase", "vasp-out", ("outcar", ".outcar"), begins(b" vasp.", b"vasp.")),
    Content(
        "VASP vasprun.xml",
        "ase",
        "vasp-xml",
        ("vasprun",),
        holds(rb"\A(?:<\?xml[^>]*>)?\s*<modeling>"),
    ),
    Content(
        "Quantum ESPRESSO output",
        "ase",
        "espresso-out",
        (".pwo",),
        holds(rb"^\s*Program PWSCF"),
    ),
    Content("CASTEP md", "ase", "castep-md", (), begins(b" BEGIN header", b"BEGIN header")),
    Content(
        "XSF",
        "ase",
        "xsf",
        (".xsf", ".axsf"),
        holds(rb"\A(?:\s*#[^\n]*\n)*\s*(?:ANIMSTEPS|CRYSTAL|ATOMS|SLAB|POLYMER|MOLECULE)\b"),
    ),
    Content(
        "mmCIF",
        "mdanalysis",
        "MMCIF",
        (".cif", ".mmcif", ".pdbx"),
        holds(rb"^_atom_site\."),
        topology=True,
        package="gemmi",
        extra="mmcif",
    ),
    Content("CIF", "ase", "cif", (".cif",), holds(rb"^\s*data_", rb"^\s*_(?:cell|atom_site)_")),
    Content("GROMACS gro", "", "GRO", (".gro",), is_gro, topology=True),
    Content("PDB", "mdanalysis", "PDB", (".pdb", ".ent"), is_pdb, topology=True),
    Content(
        "PDBQT",
        "mdanalysis",
        "PDBQT",
        (".pdbqt",),
        holds(rb"^(?:ATOM|HETATM).{60}"),
        topology=True,
    ),
    Content("PQR", "mdanalysis", "PQR", (".pqr",), holds(rb"^(?:ATOM|HETATM)\s+\d"), topology=True),
    Content("mol2", "mdanalysis", "MOL2", (".mol2",), holds(rb"^@<TRIPOS>MOLECULE"), topology=True),
    Content(
        "CHARMM coordinates",
        "mdanalysis",
        "CRD",
        (".crd", ".cor"),
        lambda head: CHARMM_CRD.match(head) is not None,
        topology=True,
    ),
    Content(
        "AMBER coordinates (mdcrd)",
        "mdanalysis",
        "TRJ",
        (".mdcrd", ".crdbox", ".trj"),
        holds(rb"\A[^\n]*\r?\n(?: *-?\d+\.\d{3}){10}\r?\n"),
    ),
    Content(
        "AMBER restart",
        "mdanalysis",
        "INPCRD",
        (".inpcrd", ".rst7", ".restrt", ".rst"),
        holds(rb"\A[^\n]*\r?\n\s*\d+(?:\s+[-\d.E+]+)*\s*\r?\n(?: *-?\d+\.\d{7}){3}"),
    ),
    Content(
        "GROMOS11 trajectory",
        "mdanalysis",
        "TRC",
        (".trc", ".trj"),
        holds(rb"^TIMESTEP\s*$", rb"^POSITIONRED\s*$"),
    ),
    Content(
        "GROMOS coordinates without times",
        "",
        "",
        (".g96",),
        holds(rb"\ATITLE\s*\n", rb"^POSITION(?:RED)?\s*$"),
        "convert them with gmx trjconv to gro, xtc or trr",
    ),
    Content(
        "DL_POLY HISTORY",
        "mdanalysis",
        "HISTORY",
        ("history", ".history"),
        holds(rb"\A[^\n]*\n(?:[ \t]*\d+){2,5}\s*\r?\n", rb"^timestep\s+\d+"),
    ),
    Content(
        "DL_POLY CONFIG", "mdanalysis", "CONFIG", ("config", "revcon", ".config"), topology=True
    ),
    Content("Tinker coordinates", "mdanalysis", "TXYZ", (".txyz", ".arc"), topology=True),
    Content(
        "GAMESS output",
        "mdanalysis",
        "GMS",
        (".gms",),
        holds(rb"GAMESS VERSION"),
        topology=True,
    ),
    Content(
        "FHI-aims geometry",
        "mdanalysis",
        "IN",
        (".in",),
        holds(rb"^\s*(?:atom|atom_frac)\s+" + THREE + rb"\s+[A-Z]"),
        topology=True,
    ),
    # What is brought by mistake.
    Content("a PSF topology", "", "PSF", (".psf",), begins(b"PSF"), _AS_TOPOLOGY, topology=True),
    Content(
        "an AMBER topology",
        "",
        "TOP",
        (".prmtop", ".parm7", ".top"),
        holds(rb"\A\s*%(?:VERSION|FLAG)"),
        _AS_TOPOLOGY,
        topology=True,
    ),
    Content(
        "a GROMACS topology",
        "",
        "ITP",
        (".itp", ".top"),
        holds(rb"^\s*\[\s*(?:moleculetype|atomtypes|defaults|system|atoms)\s*\]"),
        _AS_TOPOLOGY,
        topology=True,
    ),
    Content(
        "HOOMD xml",
        "",
        "XML",
        (".xml",),
        holds(rb"<hoomd_xml"),
        _AS_TOPOLOGY,
        topology=True,
    ),
    Content(
        "an AtomEye cfg file",
        "",
        "",
        (".cfg",),
        holds(rb"^Number of particles\s*="),
        _TEXT_DUMP,
    ),
    Content(
        "an HTML page",
        "",
        "",
        (),
        holds(rb"\A\s*<(?:!DOCTYPE html|!doctype html|html)"),
        "a download probably failed: download the trajectory again",
    ),
    Content(
        "a table of numbers (xvg)",
        "",
        "",
        (".xvg",),
        holds(rb"^@\s+(?:title|xaxis|yaxis)"),
        _NO_POSITIONS,
    ),
)


def content_by_bytes(file: SourceFile) -> Content | None:
    """Return the content of a file by its first bytes; its name decides among several."""
    head = file.head.removeprefix(b"\xef\xbb\xbf")
    matching = [kind for kind in CONTENTS if kind.matches is not None and kind.matches(head)]
    named = [kind for kind in matching if kind.named(file.name)]
    return next(iter(named or matching), None)


def content_of(file: SourceFile) -> Content | None:
    """Return the content of a file by its first bytes, else by its name; None if not known.

    A name counts for formats without a mark in their first bytes, and for those that are refused.
    """
    content = content_by_bytes(file)
    if content is not None:
        return content
    named = [kind for kind in CONTENTS if kind.named(file.name)]
    return next((kind for kind in named if kind.matches is None or kind.refusal), None)


def misnamed(file: SourceFile) -> str:
    """Return what a file should be by its name, and how it begins instead, for a message; or ""."""
    named = [kind for kind in CONTENTS if kind.named(file.name)]
    if not named:
        return ""
    return (
        f"expected {named[0].label} by its name, found another content, which begins with "
        f"{_shown(file.head)}; if the file is whole, rename it for what it is"
    )


def _shown(head: bytes) -> str:
    line = head.splitlines()[0] if head.splitlines() else b""
    return repr(line[:30].decode("latin-1"))


def folder_content(path: str) -> str:
    """Return the kind of a folder, for a message that refuses it as a source."""
    folder = Path(path)
    if (folder / "trajectory" / "zarr.json").exists():
        return "an icedask store, which is ingested already: use open_trajectory"
    if any((folder / name).exists() for name in ("zarr.json", ".zgroup", ".zarray")):
        return "a Zarr store that icedask did not write"
    return "a folder"
