"""What files are, by their first bytes: with other suffixes, none, or wrong ones."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import struct
from pathlib import Path

import ase.io
import numpy as np
import pytest
import zstandard
from ase import Atoms
from ase.build import bulk
from MDAnalysisTests import datafiles as data

import icedask as ice
from icedask.readers.compressed import SourceFile
from icedask.readers.contents import content_of

DUMP = (
    "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
    "ITEM: ATOMS id type x y z\n1 1 1 2 3\n2 1 4 5 6\n"
)
DUMP_OPTIONS = {"units": "metal", "timestep": 0.001, "elements": "Cu"}
GRO = (
    "two atoms, t= 5.0 step= 2500\n    2\n"
    "    1SOL     OW    1   0.230   0.628   0.113\n"
    "    1SOL    HW1    2   0.137   0.626   0.150\n"
    "   1.00000   1.00000   1.00000\n"
)
POSCAR = "NaCl\n1.0\n5 0 0\n0 5 0\n0 0 5\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
PDB = (
    "CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1\n"
    "ATOM      1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O\n"
    "ATOM      2  H1  HOH A   1       0.960   0.000   0.000  1.00  0.00           H\n"
    "END\n"
)
PACKERS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def refused(path: Path, match: str, **options: object) -> str:
    store = path.parent / "out.zarr"
    with pytest.raises(ice.InputError, match=match) as caught:
        ice.ingest(path, store, **options)  # type: ignore[arg-type]
    assert not store.exists()
    return str(caught.value)


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize(
    "name", ["dump.melt", "a.lammpstrj", "A.LAMMPSTRJ", "run.xyz", "a.pdb", "x"]
)
def test_dumps_of_any_name_and_compression(tmp_path: Path, name: str, packed: str) -> None:
    path = tmp_path / f"{name}{packed}"
    path.write_bytes(PACKERS[packed](DUMP.encode()))
    trj = ice.ingest(path, tmp_path / "t.zarr", **DUMP_OPTIONS)
    assert trj["positions"].values.tolist() == [[[1.0, 2, 3], [4, 5, 6]]]


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("name", ["a.gro", "A.GRO", "conf", "a.pdb", "a.xyz", "water.gro.1"])
def test_gro_of_any_name_and_compression(tmp_path: Path, name: str, packed: str) -> None:
    path = tmp_path / f"{name}{packed}"
    path.write_bytes(PACKERS[packed](GRO.encode()))
    trj = ice.ingest(path, tmp_path / "t.zarr", elements={"OW": "O", "HW1": "H"})
    np.testing.assert_allclose(trj["positions"][0, 0], [2.3, 6.28, 1.13], rtol=1e-6)
    assert (float(trj["time"][0]), int(trj["step"][0])) == (5.0, 2500)


@pytest.mark.parametrize(
    "name", ["POSCAR", "POSCAR_1", "CONTCAR.relax", "POSCAR.gz", "a.vasp", "POSCAR.1.bz2", "start"]
)
def test_poscar_of_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    suffix = path.suffix if path.suffix in PACKERS else ""
    path.write_bytes(PACKERS[suffix](POSCAR.encode()))
    trj = ice.ingest(path, tmp_path / "t.zarr")
    assert trj["element"].values.tolist() == ["Na", "Cl"]
    np.testing.assert_allclose(trj["positions"][0, 1], [2.5] * 3)


def test_plain_file_with_the_suffix_of_a_compression(tmp_path: Path) -> None:
    path = tmp_path / "a.gro.gz"
    path.write_text(GRO)
    assert ice.ingest(path, tmp_path / "t.zarr", elements="O").sizes["atom"] == 2


@pytest.mark.parametrize("name", ["a.dat", "a.xtc", "noname"])
@pytest.mark.parametrize("kind", ["xtc", "trr", "dcd", "nc"])
def test_binary_trajectories_of_any_name(tmp_path: Path, kind: str, name: str) -> None:
    source = {
        "xtc": data.COORDINATES_XTC,
        "trr": data.COORDINATES_TRR,
        "dcd": data.COORDINATES_DCD,
        "nc": data.CPPTRAJ_TRAJ,
    }[kind]
    content = content_of(SourceFile.of(shutil.copy(source, tmp_path / name)))
    expected = {"xtc": "XTC", "trr": "TRR", "dcd": "DCD", "nc": "NCDF"}[kind]
    assert content is not None
    assert content.key == expected


def test_vasp_files_are_distinguished(tmp_path: Path) -> None:
    crystal = bulk("Cu", cubic=True)
    ase.io.write(tmp_path / "b", [crystal] * 2, format="vasp-xdatcar")
    ase.io.write(tmp_path / "c", crystal, format="vasp")
    labels = [content_of(SourceFile.of(str(tmp_path / name))).label for name in "bc"]
    assert labels == ["VASP XDATCAR", "VASP POSCAR"]


REFUSED = {
    "t.bin": (struct.pack("<q", -10) + b"DUMPCUSTOM" + bytes(64), "binary2txt"),
    "t.yaml": (b"---\ncreator: LAMMPS\ntimestep: 0\n", "dump ID all custom"),
    "t.restart": (b"LammpS RestartT\0" + bytes(64), "read_restart"),
    "log.lammps": (b"LAMMPS (29 Aug 2024)\nunits metal\n", "dump command"),
    "topol.tpr": (b"\0\0\0\x0c\0\0\0\x0bVERSION 4.0\0", "--topology"),
    "a.edr": (struct.pack(">i", -55555) + bytes(64), "no positions"),
    "topol.top": (b"[ moleculetype ]\nSOL 2\n", "--topology"),
    "a.psf": (b"PSF EXT\n\n1 !NTITLE\n", "--topology"),
    "a.prmtop": (b"%VERSION  VERSION_STAMP = V0001.000\n%FLAG TITLE\n", "--topology"),
    "README.md": (b"# A title\n\nSome text about a simulation.\n", "not a trajectory that icedask"),
    "a.png": (b"\x89PNG\r\n\x1a\n" + bytes(64), "not a trajectory that icedask"),
    "a.pdf": (b"%PDF-1.7\n" + bytes(64), "not a trajectory that icedask"),
    "run.zip": (b"PK\x03\x04" + bytes(64), "unpack it"),
    "a.xtc": (b"some text\nwhich is no trajectory\n", "expected GROMACS xtc by its name"),
    "page.xtc": (b"<!DOCTYPE html>\n<html>", "download"),
    "a.nc": (b"\x89HDF\r\n\x1a\n" + bytes(64), "nccopy"),
    "lammps.nc": (b"CDF\x02" + b"Conventions AMBER program LAMMPS", "dump ID all custom"),
    "a.cfg": (b"Number of particles = 2\nA = 1 Angstrom\n", "dump ID all custom"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_named_with_the_way_out(tmp_path: Path, name: str) -> None:
    content, match = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(content)
    message = refused(path, match)
    assert "\n" not in message
    assert len(message) - len(str(path)) < 320


@pytest.mark.parametrize("option", ["units", "timestep", "lj_sigma"])
def test_options_are_checked_after_the_format_is_known(tmp_path: Path, option: str) -> None:
    path = tmp_path / "a.dump"
    path.write_text(GRO)
    value = "real" if option == "units" else 1.0
    message = refused(path, "is read as GROMACS gro, which", **{option: value})
    assert f"leave out {option} (--{option.replace('_', '-')})" in message


def test_cell_is_taken_where_the_file_has_none(tmp_path: Path) -> None:
    path = tmp_path / "a.pdb"
    path.write_text(PDB)  # with the placeholder of structures without a cell
    trj = ice.ingest(path, tmp_path / "t.zarr", cell=[10, 11, 12])
    np.testing.assert_allclose(trj["cell"][0], np.diag([10, 11, 12]), atol=1e-9)
    assert trj["pbc"].values.tolist() == [True] * 3
    slab = ice.ingest(path, tmp_path / "u.zarr", cell=[10, 11, 12], pbc=(True, True, False))
    assert slab["pbc"].values.tolist() == [True, True, False]
    alone = ice.ingest(path, tmp_path / "v.zarr")
    assert not alone["cell"].values.any()


def test_cell_is_refused_with_both_values_where_the_file_states_one(tmp_path: Path) -> None:
    path = tmp_path / "a.gro"
    path.write_text(GRO)
    refused(path, "the cell of the file, 10, 10, 10 .* found 9, 9, 9", cell=[9, 9, 9], elements="O")
    same = ice.ingest(path, tmp_path / "t.zarr", cell=[10, 10, 10], elements="O")
    assert same.sizes["atom"] == 2


def test_boundaries_that_a_file_states_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.traj"
    ase.io.write(path, Atoms("H", cell=[5] * 3, pbc=[True, True, False]))
    refused(path, r"\[True, True, False\], found \[True, True, True\]", pbc=(True, True, True))


def test_elements_rename_symbols_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "XDATCAR"
    path.write_text(
        "heavy\n1\n5 0 0\n0 5 0\n0 0 5\nO D\n1 1\nDirect configuration= 1\n0 0 0\n.2 0 0\n"
    )
    trj = ice.ingest(path, tmp_path / "t.zarr", elements={"D": "H"})
    assert trj["element"].values.tolist() == ["O", "H"]
    path = tmp_path / "a.pdb"
    path.write_text(PDB)
    trj = ice.ingest(path, tmp_path / "u.zarr", elements={"H": "X"})
    assert trj["element"].values.tolist() == ["O", "X"]


def test_folders_of_stores(tmp_path: Path) -> None:
    path = tmp_path / "a.gro"
    path.write_text(GRO)
    ice.ingest(path, tmp_path / "t.zarr", elements="O")
    with pytest.raises(ice.InputError, match="an icedask store, which is ingested already"):
        ice.ingest(tmp_path / "t.zarr", tmp_path / "u.zarr")


def test_latin_1_in_a_title(tmp_path: Path) -> None:
    path = tmp_path / "a.gro"
    path.write_bytes(GRO.replace("two atoms", "zwei Kalzium-Käfige").encode("latin-1"))
    trj = ice.ingest(path, tmp_path / "t.zarr", elements="O")
    assert float(trj["time"][0]) == 5.0
    path = tmp_path / "POSCAR"
    path.write_bytes(POSCAR.replace("NaCl", "Käfig").encode("latin-1"))
    assert ice.ingest(path, tmp_path / "u.zarr").sizes["atom"] == 2
