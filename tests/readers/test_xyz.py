"""The XYZ reader against ASE and by hand, on valid and on broken files."""

from __future__ import annotations

import bz2
import gzip
import io
import logging
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import zstandard
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import kcal, mol

import icedask as ice
from icedask.readers.formats import SourceOptions, open_file
from icedask.readers.xyz import XyzFile

NONE = (False, False, False)
ALL = (True, True, True)
CUBE = (9.0, 0, 0, 0, 9.0, 0, 0, 0, 9.0)
EXTENDED = 'Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3'


def xyz(tmp_path: Path, text: str | bytes, name: str = "a.xyz") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def opened(path: Path, **options: Any) -> XyzFile:
    source = open_file(str(path), SourceOptions(**options), None)
    assert isinstance(source, XyzFile)
    return source


def block(path: Path, **options: Any):
    source = opened(path, **options)
    source.ask_elements({**source.atoms(), "atom": np.arange(source.n_atoms)})
    return source.read(range(source.n_frames))


def refused(path: Path, match: str, **options: Any) -> str:
    with pytest.raises(ice.InputError, match=match) as caught:
        block(path, **options)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def frame(*rows: str, comment: str = EXTENDED) -> str:
    return f"{len(rows)}\n{comment}\n" + "".join(f"{row}\n" for row in rows)


# Against ASE


def random_frames(n: int = 4) -> list[Atoms]:
    rng = np.random.default_rng(0)
    cell = [[9, 0.5, 0.1], [-3, 8, 1], [2, -2, 10]]
    frames = []
    for number in range(n):
        atoms = Atoms("CuOHHNaCl", rng.normal(0, 9, (6, 3)), cell=cell, pbc=[True, False, True])
        atoms.set_cell(atoms.cell.array * (1 + 0.01 * number))
        atoms.set_velocities(rng.normal(size=(6, 3)))
        atoms.set_initial_charges(rng.normal(size=6))
        atoms.set_tags(rng.integers(-5, 500, 6))
        atoms.set_initial_magnetic_moments(rng.normal(size=(6, 3)))
        atoms.new_array("flag", rng.random(6) > 0.5)
        atoms.new_array("site", np.array(["a", "bb", "c", "a", "d", "a"]))
        atoms.new_array("nine", rng.normal(size=(6, 9)))
        atoms.info = {"text": 'he said "x = 1"', "matrix": np.eye(3), "list": [1, 2], "on": True}
        forces, energies = rng.normal(size=(6, 3)), rng.normal(size=6)
        atoms.calc = SinglePointCalculator(
            atoms, energy=-1.0, forces=forces, energies=energies, magmoms=rng.normal(size=6)
        )
        frames.append(atoms)
    return frames


@pytest.mark.parametrize("masses", [False, True])
def test_all_that_ase_writes(tmp_path, masses, caplog) -> None:
    frames = random_frames()
    if masses:
        for atoms in frames:
            atoms.set_masses([60, 17, 2, 2, 20, 40])
    path = tmp_path / "a.extxyz"
    ase.io.write(path, frames)
    frames = ase.io.read(path, index=":")
    with caplog.at_level(logging.INFO, "icedask"):
        source = opened(path)
    assert "site, nine" in caplog.text
    result = source.read(range(4))
    for number, atoms in enumerate(frames):
        expected = {
            "velocity": atoms.get_velocities() * 1000 * units.fs,
            "force": atoms.get_forces(),
            "potential_energy": atoms.get_potential_energies(),
            "charge": atoms.get_initial_charges(),
            "tags": atoms.get_tags(),
            "initial_magmoms": atoms.get_initial_magnetic_moments(),
            "magmoms": atoms.calc.results["magmoms"],
            "flag": atoms.arrays["flag"],
        }
        assert result.columns.keys() == expected.keys()
        for name, values in expected.items():
            column = result.columns[name][number]
            np.testing.assert_allclose(column, values, rtol=1e-6, err_msg=name)
        np.testing.assert_array_equal(result.positions[number], atoms.positions.astype(np.float32))
        np.testing.assert_array_equal(result.cell[number], atoms.cell.array)
    assert result.pbc.tolist() == [True, False, True]
    assert source.atoms()["element"].tolist() == frames[0].get_chemical_symbols()
    if masses:
        assert source.atoms()["mass"].tolist() == [60, 17, 2, 2, 20, 40]
    assert source.keeps_order and source.stamps()[0].tolist() == [0, 1, 2, 3]
    assert {str(values.dtype) for values in result.columns.values()} == {"float32", "int32", "bool"}


def test_ingest_of_what_ase_writes(tmp_path) -> None:
    frames = random_frames()
    ase.io.write(tmp_path / "a.extxyz", frames)
    trj = ice.ingest(tmp_path / "a.extxyz", tmp_path / "t.zarr", frames="1::2")
    assert trj["flag"].dtype == bool and trj["tags"].dtype == np.int32
    np.testing.assert_array_equal(trj["tags"], [a.get_tags() for a in frames[1::2]])
    assert trj.attrs["atom_order"] == "kept"


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("name", ["cu.xyz", "cu.extxyz", "CU.XYZ", "movie.out"])
def test_a_packed_crystal_keeps_its_cell(tmp_path, name, suffix) -> None:
    crystal = bulk("Cu", cubic=True) * (3, 3, 3)
    buffer = io.StringIO()
    ase.io.write(buffer, [crystal, crystal], format="extxyz")
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.compress}
    path = xyz(tmp_path, pack[suffix](buffer.getvalue().encode()), name + suffix)
    trj = ice.ingest(path, tmp_path / "t.zarr")
    assert (ice.coordination(trj, r_cut=3.0)["coordination"].values == 12).all()


# Forms that are valid


@pytest.mark.parametrize(
    ("text", "z"),
    [
        pytest.param("1\n\nO 0 0 1", [1], id="no line end"),
        pytest.param("2\n\nO 0 0.12 1\nH 0 0.1 1.25", [1], id="no line end, free format"),
        pytest.param("1\n\nO 0 0 1\n\n  \n1\n\nO 0 0 2\n\n", [1, 2], id="blank lines"),
        pytest.param("\n \n1\nx\nO 0 0 1\n", [1], id="blank lines first"),
        pytest.param(" 1 \r\nx\r\nO\t0  0 \t1 \r\n", [1], id="tabs and carriage returns"),
        pytest.param(b"\xef\xbb\xbf1\nx\nO 0 0 1\n", [1], id="byte order mark"),
        pytest.param(b"1\nLa\xe7age caf\xe9\nO 0 0 1\n", [1], id="latin-1"),
        pytest.param("1\nit's \"a comment\nO 0 0 1\n", [1], id="quotes in words"),
        pytest.param("1\nx\nO +.0 -0. 1E+0\n", [1], id="numbers"),
        pytest.param(("2\nx\nO 0 0 1.50\nH 0 0 2.25\n" * 2)[:-1], [1.5] * 2, id="fixed format"),
    ],
)
def test_valid_forms(tmp_path, text, z) -> None:
    path = xyz(tmp_path, text)
    source = opened(path, pbc=NONE)
    assert source.truncated == ""
    result = source.read(range(source.n_frames))
    assert result.positions[:, 0, 2].tolist() == z
    assert np.isnan(result.time).all() and result.step.tolist() == list(range(len(z)))


@pytest.mark.parametrize(
    ("comment", "cell", "pbc"),
    [
        ('Lattice="5 1 2 0 6 3 0 0 7"', [5, 1, 2, 0, 6, 3, 0, 0, 7], ALL),
        ("Lattice={5 0 0 0 6 0 0 0 7} pbc=[T, F, T]", [5, 0, 0, 0, 6, 0, 0, 0, 7], (1, 0, 1)),
        ('b d=[[1, 2], [3, 4]] pbc="F F F" name=it\'s', [0] * 9, NONE),
        ('Lattice = "5 0 0 0 6 0 0 0 7" pbc="1 0 0"', [5, 0, 0, 0, 6, 0, 0, 0, 7], (1, 0, 0)),
    ],
)
def test_comments_of_extended_xyz(tmp_path, comment, cell, pbc) -> None:
    result = block(xyz(tmp_path, frame("O 0 0 1", comment=comment)))
    assert result.cell[0].ravel().tolist() == cell
    assert result.pbc.tolist() == list(map(bool, pbc))


def test_numbers_that_are_none_are_kept_but_not_in_positions(tmp_path) -> None:
    comment = 'pbc="F F F" Properties=species:S:1:pos:R:3:lens:R:1'
    path = xyz(tmp_path, frame("O 0 0 0 nan", "O 0 0 1 -inf", comment=comment))
    np.testing.assert_array_equal(block(path).columns["lens"], [[np.nan, -np.inf]])


def test_atoms_are_in_the_order_of_their_ids(tmp_path) -> None:
    comment = 'pbc="F F F" Properties=id:I:1:species:S:1:pos:R:3:n:I:1'
    rows = "7 O 0 0 7 70", "5 H 0 0 5 50", "6 Cu 0 0 6 60"
    path = xyz(tmp_path, frame(*rows, comment=comment) + frame(*rows[::-1], comment=comment))
    source = opened(path)
    assert source.atoms()["id"].tolist() == [5, 6, 7]
    assert source.atoms()["element"].tolist() == ["H", "Cu", "O"]
    result = source.read([0, 1])
    assert result.columns["n"].tolist() == [[50, 60, 70]] * 2
    assert result.positions[:, :, 2].tolist() == [[5, 6, 7]] * 2
    twice = xyz(tmp_path, frame(*rows, "6 Cu 0 0 8 80", comment=comment))
    refused(twice, "id 6 stands for two atoms")
    other = frame(rows[0], rows[1], "8 Cu 0 0 6 60", comment=comment)
    refused(xyz(tmp_path, frame(*rows, comment=comment) + other), "frame 1.*the ids of atoms")


def test_extra_columns_of_plain_xyz(tmp_path) -> None:
    path = xyz(tmp_path, "1\n\nO 0 0 0 0.5 -1\n")
    assert block(path, pbc=NONE).columns["column_6"].tolist() == [[-1.0]]
    named = block(path, pbc=NONE, columns={"column_5": "charge", "column_6": None})
    assert list(named.columns) == ["charge"]
    text = xyz(tmp_path, "1\n\nO 0 0 0 abc\n", "b.xyz")
    refused(text, "number in column 5, found 'abc'.*column_5", pbc=NONE)
    assert not block(text, pbc=NONE, columns={"column_5": None}).columns
    refused(path, "columns: the file has no charge; it has", pbc=NONE, columns={"charge": None})


# What is not valid


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("0\n\n", "number of atoms, found '0'"),
        ("-3\n\nO 0 0 0\n", "number of atoms, found '-3'"),
        (f"1{'0' * 22}\n\nO 0 0 0\n", "number of atoms"),
        ("1000000000000\n\nO 0 0 0\n", "no whole frame: it has 1 of 1000000000000 atoms"),
        ("1.0\n\nO 0 0 0\n", "number of atoms"),
        ("3 water\n1 O 0 0 0\n", "number of atoms, found '3 water'"),
        (f"1\n\nO{' 0' * 20_000}\n", "at most 10000 fields, found 20001"),
        ("1\n\nO 0 0\n", "a label and x, y, z, found 3"),
        ("2\n\nO 0 0 0\n\n", "atom 1: expected 4 fields, found 0"),
        ("2\n\nO 0 0 0\nO 0 0 0 1\n", "atom 1: expected 4 fields, found 5"),
        ("3\n\nO 0 0 0\nO 0 0 0 1\nO 0 0\n", "atom 1: expected 4 fields, found 5"),
        ("2\n\nO 0 0 0\nO 0 0 x\n", "atom 1: expected a number in column 4, found 'x'"),
        ("1\n\nO 0 0 True\n", "expected a number"),
        ("1\n\nO 0 0 1_0\n", "expected a number"),
        ("1\n\nO 0 0 1.0D0\n", "expected a number"),
        ("1\n\nO 0 0 0x1\n", "expected a number"),
        ("1\n\nO 0 0 NA\n", "expected a number"),
        ("1\n\nO 0 0\x0b0\n", "control character 11"),
        ("1\n\nO 0 0 0\n1\n", "truncated|None"),
        ("1\n\nO 0 0 0\nO 0 0 1\n", "frame 1, at byte 11: .*too much or too little in frame 0"),
        ("1\rx\rO 0 0 0\r", "number of atoms"),
        ("2\n\nO 0.10 0.10 0.10\nO 0.10 0.10 0.1", "no whole frame.*may be cut"),
        ("2\n\nO 0 0 0\nO 0 0", "no whole frame.*may be cut"),
        ("2\n\nO 0 0 0\n", "no whole frame: it has 1 of 2 atoms"),
        ("2\nx", "no whole frame: its header"),
        ("\n \n", "empty"),
    ],
)
def test_broken_plain_xyz(tmp_path, text, match) -> None:
    path = xyz(tmp_path, text)
    if "truncated" in match:
        assert opened(path, pbc=NONE).truncated == "its header is incomplete"
    else:
        refused(path, match, pbc=NONE)


PROPERTIES = "pbc=[F F F] Properties="


@pytest.mark.parametrize(
    ("comment", "row", "match"),
    [
        (PROPERTIES + "pos:R:1000000000", "0 0 0", "at most 10000 columns in Prop"),
        (PROPERTIES + "a:R:999:b:R:999:pos:R:3", "0 0 0", "2001 fields .*found 3"),
        (PROPERTIES + "species:S:1:vel:R:3", "O 0 0 0", "expected positions, pos:R:3"),
        (PROPERTIES + "species:S:1:pos:R:2", "O 0 0", "expected positions, pos:R:3"),
        (PROPERTIES + "species:S:1:pos:I:3", "O 0 0 0", "expected positions, pos:R:3"),
        (PROPERTIES + "species:S:1:pos:R:3:pos:R:3", "O 0 0 0 0 0 0", "pos twice"),
        (PROPERTIES + "species:S:1:pos:R", "O 0 0 0", "name:kind:columns"),
        (PROPERTIES + "species:S:1:pos:R:x", "O 0 0 0", "name:kind:columns"),
        (PROPERTIES + "species:S:1:pos:Q:3", "O 0 0 0", "name:kind:columns"),
        (PROPERTIES + "species:S:1:pos:R:-3", "O 0 0 0", "name:kind:columns"),
        (PROPERTIES + "species:I:1:pos:R:3", "1 0 0 0", "expected species:S:1"),
        (PROPERTIES + "pos:R:3", "0 0 0", "elements: the file does not say"),
        (PROPERTIES + "species:S:1:pos:R:3:n:I:1", "O 0 0 0 1.0", "whole number in column 5"),
        (PROPERTIES + "species:S:1:pos:R:3:n:I:1", "O 0 0 0 1e3", "whole number in column 5"),
        (PROPERTIES + "species:S:1:pos:R:3:n:I:1", f"O 0 0 0 {2**40}", "more than 32 bits"),
        (PROPERTIES + "species:S:1:pos:R:3:n:I:1", f"O 0 0 0 {'9' * 30}", "whole number"),
        (PROPERTIES + "species:S:1:pos:R:3:n:L:1", "O 0 0 0 G", "T or F in column 5"),
        (PROPERTIES + "Z:I:1:pos:R:3", "300 0 0 0", "atomic numbers in the column Z, found 300"),
        (PROPERTIES + "species:S:1:pos:R:3:time:R:1", "O 0 0 0 1", "time means something else"),
        (PROPERTIES + "species:S:1:pos:R:3:force:R:1", "O 0 0 0 1", "force means something else"),
        ("Properties=species:S:1:pos:R:3 pbc=[T T]", "O 0 0 0", "three of T and F"),
        ('Lattice="5 0 0 0 5 0 0 0"', "O 0 0 0", "9 numbers as Lattice"),
        ('Lattice="5 0 0 0 5 0 0 0 5', "O 0 0 0", "not closed"),
        ('Lattice=5 0 0 0 5 0 0 0 5"', "O 0 0 0", "not closed"),
        ('Lattice="5 0 0 0 5 0 0 0 5"pbc="T T T"', "O 0 0 0", "touch the next word"),
        ('Lattice="5 0 0 0 5 0 0 0 x"', "O 0 0 0", "9 numbers as Lattice"),
        ('lattice="5 0 0 0 5 0 0 0 5"', "O 0 0 0", "expected Lattice=.*found 'lattice'"),
        ('Mattice="5 0 0 0 5 0 0 0 5" pbc="F F F"', "O 0 0 0", "expected Lattice="),
        ('Lattice="5 0 0 0 5 0 0 0 5" qbc="T T F"', "O 0 0 0", "expected pbc=.*found 'qbc'"),
        ("pbc=[F F F] Proprties=species:S:1:pos:R:3", "O 0 0 0", "expected Properties="),
        ("pbc=[F F F] pbc=[T T T]", "O 0 0 0", "pbc= once"),
    ],
)
def test_broken_extended_xyz(tmp_path, comment, row, match) -> None:
    refused(xyz(tmp_path, frame(row, comment=comment)), match)


@pytest.mark.parametrize(
    ("second", "match"),
    [
        (frame("O 0 0 0", "H 0 0 1"), "expected the 1 atoms of the first frame, found 2"),
        (frame("H 0 0 0"), "other elements"),
        (frame("O 0 0 0", comment='pbc="T T T"'), "expected in the comment a cell"),
        (frame("O 0 0 0", comment=EXTENDED + " step=5"), "no more than in the first.*a step"),
        (frame("O 0 0 0", comment=EXTENDED + " Timestep=5"), "no more than in the first"),
        (frame("O 0 0 0", comment=EXTENDED + ' pbc="T T F"'), "no more than in the first"),
        (frame("O 0 0 0", comment=EXTENDED.split(" Prop")[0]), "expected Properties="),
        (frame("O 0 0 0", comment=EXTENDED.replace("pos", "p")), "frame 1.*expected positions"),
    ],
)
def test_frames_that_differ_from_the_first(tmp_path, second, match) -> None:
    path = xyz(tmp_path, frame("O 0 0 0") + second)
    refused(path, match)
    assert opened(path).read([0]).positions.shape == (1, 1, 3)


# Boundaries


def test_plain_xyz_is_not_silently_isolated(tmp_path) -> None:
    path = xyz(tmp_path, "1\nwater\nO 0 0 1\n")
    refused(path, "neither a cell nor boundaries; give cell=.*--pbc none")
    refused(path, "states no cell; give cell=", pbc=ALL)
    refused(path, "states no boundaries; give pbc=", cell=CUBE)
    isolated = block(path, pbc=NONE)
    assert not isolated.cell.any() and not isolated.pbc.any()
    periodic = block(path, pbc=(True, True, False), cell=CUBE)
    assert periodic.cell.ravel().tolist() == list(CUBE)
    assert periodic.pbc.tolist() == [True, True, False]
    trj = ice.ingest(path, tmp_path / "t.zarr", cell=[9, 9, 9], pbc=ALL)
    assert trj["cell"].values.ravel().tolist() == list(CUBE)


def test_what_the_file_states_is_not_overridden(tmp_path) -> None:
    stated = xyz(tmp_path, frame("O 0 0 0", comment=EXTENDED + ' pbc="T T F"'))
    message = refused(stated, "leave cell out", cell=CUBE)
    assert "5 0 0 0 5 0 0 0 5" in message and "9 0 0 0 9 0 0 0 9" in message
    refused(stated, r"pbc: the file says \(True, True, False\).*says \(True, True, True\)", pbc=ALL)
    assert block(stated, pbc=(True, True, False)).pbc.tolist() == [True, True, False]
    lattice_only = xyz(tmp_path, frame("O 0 0 0"), "b.xyz")
    assert block(lattice_only).pbc.all()
    assert not block(lattice_only, pbc=NONE).pbc.any()
    pbc_only = xyz(tmp_path, frame("O 0 0 0", comment='pbc="T T T"'), "c.xyz")
    refused(pbc_only, "states no cell; give cell=")
    assert block(pbc_only, cell=CUBE).cell.ravel().tolist() == list(CUBE)


# Elements


@pytest.mark.parametrize(
    ("labels", "elements", "expected"),
    [
        ("1 1", {"1": "Cu"}, "Cu Cu"),
        ("1 2", "Cu", "Cu Cu"),
        ("OW HW1", {"OW": "O", "HW1": "H"}, "O H"),
        ("D O", {"D": "H"}, "H O"),
        ("X O", None, "X O"),
    ],
)
def test_labels_are_mapped(tmp_path, labels, elements, expected) -> None:
    rows = [f"{label} 0 0 {number}" for number, label in enumerate(labels.split())]
    source = opened(xyz(tmp_path, frame(*rows)), elements=elements)
    atoms = source.atoms()
    assert atoms["element"].tolist() == expected.split()
    if labels == expected:
        assert "type" not in atoms
    else:
        assert atoms["type"].tolist() == labels.split()


def test_labels_that_are_no_symbols_are_asked_for(tmp_path) -> None:
    numbers = xyz(tmp_path, frame("29 0 0 0"))
    refused(numbers, "types or atomic numbers: '29'; give elements=.*--elements 29=SYMBOL")
    refused(xyz(tmp_path, frame("CU 0 0 0")), "--elements CU=Cu")
    refused(xyz(tmp_path, frame("OW 0 0 0", "HW 0 0 1")), "'OW'", elements={"HW": "H"})
    hydrogen = xyz(tmp_path, frame("H 0 0 0"))
    for elements in ("O", {"H": "O"}):
        refused(hydrogen, "the file says H, elements= .* says O", elements=elements)


def test_atomic_numbers_and_types(tmp_path) -> None:
    comment = "pbc=[F F F] Properties=Z:I:1:pos:R:3"
    assert opened(xyz(tmp_path, frame("8 0 0 0", comment=comment))).atoms()["element"] == "O"
    both = comment.replace("Z:", "species:S:1:Z:")
    refused(xyz(tmp_path, frame("H 8 0 0 0", comment=both)), "disagree")
    types = comment.replace("Z:", "type:")
    path = xyz(tmp_path, frame("8 0 0 0", comment=types))
    refused(path, "types or atomic numbers")
    assert opened(path, elements={"8": "Cu"}).atoms()["element"] == "Cu"


# LAMMPS

LAMMPS = (
    'Timestep={} Time={}.000000 pbc="T T T" Lattice="8 0 0 0 8 0 0 0 8" Potential_energy=-2.5 '
    "Temperature=300 Properties=species:S:1:pos:R:3:vel:R:3:forces:R:3"
)


def lammps_extended(tmp_path: Path) -> Path:
    text = "".join(
        frame("Cu 0 0 0 1 2 3 4 5 6", "Cu 2 0 0 1 2 3 4 5 6", comment=LAMMPS.format(step, 2 * step))
        for step in (0, 50)
    )
    return xyz(tmp_path, text, "dump.extxyz")


def test_lammps_extended_xyz_needs_its_units(tmp_path) -> None:
    path = lammps_extended(tmp_path)
    refused(path, "of LAMMPS and does not state the unit of vel; give units=")
    kept = block(path, columns={"vel": None, "forces": "raw_force"})
    assert list(kept.columns) == ["raw_force"] and np.isnan(kept.time).all()
    real = block(path, units="real")
    np.testing.assert_allclose(real.columns["velocity"][0, 0], [1000, 2000, 3000])
    np.testing.assert_allclose(real.columns["force"][0, 0], np.array([4, 5, 6]) * kcal / mol)
    np.testing.assert_allclose(real.time, [0, 0.1])
    assert real.step.tolist() == [0, 50]
    metal = block(path, units="metal")
    np.testing.assert_allclose(metal.columns["force"][0, 0], [4, 5, 6])
    np.testing.assert_allclose(metal.time, [0, 100])
    scale = {"lj_sigma": 2.0, "lj_epsilon": 3.0, "lj_tau": 4.0}
    lj = block(path, units="lj", **scale)
    assert lj.positions[0, 1].tolist() == [4, 0, 0] and lj.cell[0, 0, 0] == 16
    np.testing.assert_allclose(lj.columns["velocity"][0, 0], np.array([1, 2, 3]) / 2)
    np.testing.assert_allclose(lj.columns["force"][0, 0], np.array([4, 5, 6]) * 1.5)
    np.testing.assert_allclose(lj.time, [0, 400])
    refused(path, "lj_sigma, lj_epsilon", units="lj")
    refused(path, "expected with units lj", units="real", lj_sigma=2.0)
    refused(
        path, "timestep: expected none, as the comments state the time", units="real", timestep=1
    )


def test_order_of_what_lammps_writes_is_not_known(tmp_path) -> None:
    path = lammps_extended(tmp_path)
    assert not opened(path, units="real").keeps_order
    assert opened(path, units="real", fixed_order=True).keeps_order
    steps, times = opened(path, units="real").stamps()
    assert list(steps) == [0, 50]
    np.testing.assert_allclose(times, [0, 0.1])
    trj = ice.ingest(path, tmp_path / "t.zarr", units="real")
    assert trj.attrs["atom_order"] == "not known"
    assert trj["force"].attrs["units"] == "eV/angstrom"


def test_lammps_dump_xyz(tmp_path) -> None:
    text = "".join(frame("1 0 0 0", comment=f" Atoms. Timestep: {step}") for step in (0, 50))
    path = xyz(tmp_path, text)
    options = {"elements": {"1": "Cu"}, "pbc": ALL, "cell": CUBE}
    source = opened(path, **options)
    assert source.read([0, 1]).step.tolist() == [0, 50] and not source.keeps_order
    timed = block(path, units="real", timestep=2.0, **options)
    np.testing.assert_allclose(timed.time, [0, 0.1])
    refused(path, "timestep: expected with units=", timestep=2.0, **options)
    stated = xyz(tmp_path, text.replace("Timestep: 50", "Timestep: 50 Time: 0.1"))
    refused(stated, "no more than in the first frame, found a time", **options)


def test_a_run_of_two_dimensions_asks_for_its_boundaries(tmp_path) -> None:
    comment = 'Timestep=0 pbc="T T T" Lattice="5 0 0 0 5 0 0 0 1" Properties=species:S:1:pos:R:3'
    path = xyz(tmp_path, frame("Cu 0 0 0", "Cu 1 0 0", comment=comment))
    refused(path, "one plane.*--pbc xy")
    assert block(path, pbc=(True, True, False)).pbc.tolist() == [True, True, False]
    refused(path, "leave pbc out", pbc=(True, False, False))
    # In units lj, a lattice of density 0.9 is 1.054 high.
    thick = xyz(tmp_path, frame("Cu 0 0 0", "Cu 1 0 0", comment=comment.replace('0 1"', '0 4"')))
    refused(thick, "one plane.*--pbc xy.*--pbc xyz")
    assert block(thick, pbc=(True, True, True)).pbc.all()
    layer = comment.replace("Timestep=0", "").replace('0 1"', '0 4"')
    assert block(xyz(tmp_path, frame("Cu 0 0 0", "Cu 1 0 0", comment=layer))).pbc.all()


# Times


@pytest.mark.parametrize("key", ["Time", "time"])
def test_times_count_where_units_are_given(tmp_path, key, caplog) -> None:
    frames = (frame("O 0 0 0", comment=f"{EXTENDED} {key}={t}") for t in (5, 6.5))
    path = xyz(tmp_path, "".join(frames))
    with caplog.at_level(logging.INFO, "icedask"):
        source = opened(path)
    assert "unit of its times is not stated; give units" in caplog.text
    assert np.isnan(source.read([0, 1]).time).all() and np.isnan(source.stamps()[1]).all()
    assert block(path, units="metal").time.tolist() == [5, 6.5]
    np.testing.assert_allclose(block(path, units="real").time, [0.005, 0.0065])
    refused(path, "timestep: expected none, as the comments", units="real", timestep=1.0)


@pytest.mark.parametrize("key", ["Timestep", "step", "Step"])
def test_steps_of_the_comments(tmp_path, key) -> None:
    path = xyz(tmp_path, "".join(frame("O 0 0 0", comment=f"{EXTENDED} {key}={s}") for s in (0, 7)))
    assert block(path).step.tolist() == [0, 7]
    steps, times = opened(path).stamps()
    assert list(steps) == [0, 7] and np.isnan(times).all()
    assert block(path, units="metal", timestep=0.5).time.tolist() == [0, 3.5]


def test_a_timestep_needs_steps(tmp_path) -> None:
    refused(xyz(tmp_path, frame("O 0 0 0")), "frame_interval", units="metal", timestep=1.0)


@pytest.mark.parametrize("interval", [None, 0.5])
def test_files_are_joined_without_a_frame_at_their_seam(tmp_path, interval) -> None:
    frames = [frame(f"O 0 0 {z}") for z in range(4)]
    xyz(tmp_path, "".join(frames[:3]), "run.1.xyz")
    xyz(tmp_path, "".join(frames[2:]), "run.2.xyz")
    trj = ice.ingest(tmp_path / "run.*.xyz", tmp_path / "t.zarr", frame_interval=interval)
    assert trj["positions"][:, 0, 2].values.tolist() == [0, 1, 2, 3]
    if interval:
        assert trj["time"].values.tolist() == [0, 0.5, 1, 1.5]


# Columns with units


@pytest.mark.parametrize("name", ["vel", "velo", "velocities", "force", "potential_energy"])
def test_units_that_are_not_stated_are_asked_for(tmp_path, name) -> None:
    width = 1 if "energy" in name else 3
    comment = f"{EXTENDED}:{name}:R:{width}"
    path = xyz(tmp_path, frame("O 0 0 0" + " 1" * width, comment=comment))
    message = refused(path, f"does not state the unit of {name}; give units=")
    assert f"--column {name}=raw_{name}" in message
    assert list(block(path, columns={name: f"raw_{name}"}).columns) == [f"raw_{name}"]
    assert not block(path, columns={name: None}).columns
    assert opened(path, units="metal").column_units == "unconverted (metal)"


def test_momenta_of_atoms_that_are_no_elements_need_masses(tmp_path) -> None:
    path = xyz(tmp_path, frame("D 0 0 0 1 0 0", comment=EXTENDED + ":momenta:R:3"))
    refused(path, "need a column of masses", elements={"D": "H"})
    path = xyz(tmp_path, frame("D 0 0 0 1 0 0 2", comment=EXTENDED + ":momenta:R:3:masses:R:1"))
    velocity = block(path, elements={"D": "H"}).columns["velocity"]
    np.testing.assert_allclose(velocity[0, 0], [500 * units.fs, 0, 0])


def test_two_columns_of_one_name(tmp_path) -> None:
    path = xyz(tmp_path, frame("O 0 0 0 1 2", comment=EXTENDED + ":initial_charges:R:1:charge:R:1"))
    assert sorted(block(path).columns) == ["charge", "initial_charges"]
    refused(path, "two columns are called c", columns={"initial_charges": "c", "charge": "c"})


# CP2K and i-PI


def test_cp2k(tmp_path) -> None:
    comment = " i = {:8d}, time = {:12.3f}, E =       -17.1643447508"
    text = "".join(frame("O 0 0 0", "H 0 0 1", comment=comment.format(i, i / 2)) for i in (10, 20))
    path = xyz(tmp_path, text, "water-pos-1.xyz")
    refused(path, "neither a cell nor boundaries")
    source = opened(path, cell=CUBE, pbc=ALL)
    result = source.read([0, 1])
    assert result.step.tolist() == [10, 20] and source.keeps_order
    np.testing.assert_allclose(result.time, [0.005, 0.01])
    refused(path, "units: expected none, as CP2K writes its own", cell=CUBE, pbc=ALL, units="real")
    velocities = xyz(tmp_path, text, "water-vel-1.xyz")
    refused(velocities, "found velocities or forces of CP2K", pbc=NONE)


BOHR = units.Bohr
IPI = "# CELL({}): {} Step:  {}  Bead:       0 {}"


@pytest.mark.parametrize(
    ("kind", "numbers", "named", "cell", "x"),
    [
        ("abcABC", "8 9 10 90 90 90", "positions{angstrom} cell{angstrom}", (8, 9, 10), 1),
        (
            "abcABC",
            "8 9 10 90 90 90",
            "positions{angstrom} cell{atomic_unit}",
            (8 * BOHR, 9 * BOHR, 10 * BOHR),
            1,
        ),
        ("abcABC", "8 9 10 90 90 90", "cell{angstrom} positions{atomic_unit}", (8, 9, 10), BOHR),
        ("abcABC", "8 9 10 90 90 90", "", (8 * BOHR, 9 * BOHR, 10 * BOHR), BOHR),
        (
            "H",
            "5 1 2 0 6 3 0 0 7",
            "x_centroid{angstrom} cell{angstrom}",
            (5, 0, 0, 1, 6, 0, 2, 3, 7),
            1,
        ),
        (
            "GENH",
            "5 0 0 1 6 0 2 3 7",
            "positions{nanometer} cell{angstrom}",
            (5, 0, 0, 1, 6, 0, 2, 3, 7),
            10,
        ),
    ],
)
def test_ipi(tmp_path, kind, numbers, named, cell, x) -> None:
    rows = "O 1 0 0", "H 0 0 1"
    text = "".join(frame(*rows, comment=IPI.format(kind, numbers, s, named)) for s in (0, 20))
    path = xyz(tmp_path, text)
    result = block(path)
    expected = np.diag(cell) if len(cell) == 3 else np.reshape(cell, (3, 3))
    np.testing.assert_allclose(result.cell, [expected] * 2, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(result.positions[:, 0, 0], x, rtol=1e-6)
    assert result.pbc.all() and result.step.tolist() == [0, 20] and np.isnan(result.time).all()
    assert not block(path, pbc=NONE).pbc.any()
    refused(path, "units: expected none, as i-PI writes its own", units="real")


@pytest.mark.parametrize(
    ("comment", "match"),
    [
        (IPI.format("abcABC", "8 9 10 90 90", 0, ""), r"6 numbers as CELL\(abcABC\)"),
        (IPI.format("abcABC", "8 9 10 90 90 x", 0, ""), r"6 numbers as CELL\(abcABC\)"),
        (IPI.format("ABC", "8 9 10 90 90 90", 0, ""), "expected a cell such as"),
        (IPI.format("H", "8 9 10", 0, "forces{atomic_unit}"), "9 numbers"),
        (
            IPI.format("abcABC", "8 9 10 90 90 90", 0, "forces{angstrom}"),
            "expected positions, found forces",
        ),
        (IPI.format("abcABC", "8 9 10 90 90 90", 0, "positions{furlong}"), "found 'furlong'"),
    ],
)
def test_broken_ipi(tmp_path, comment, match) -> None:
    refused(xyz(tmp_path, frame("O 1 0 0", comment=comment)), match)


def test_beads_of_ipi_are_not_frames(tmp_path) -> None:
    comment = "# bead: {} CELL(abcABC): 8 8 8 90 90 90"
    text = "".join(frame("O 1 0 0", comment=comment.format(bead)) for bead in (0, 1))
    refused(xyz(tmp_path, text), "expected the bead as in the first frame, 0, found.*1; split")


def test_extended_xyz_of_ipi(tmp_path) -> None:
    ipi = ' pbc="T T T" ipi_comment="Step: 5 Bead: 0 {}{{atomic_unit}} cell{{angstrom}}"'
    path = xyz(tmp_path, frame("O 1 0 0", comment=EXTENDED + ipi.format("positions")))
    result = block(path)
    assert result.cell[0, 0, 0] == 5 and result.step.tolist() == [5]
    np.testing.assert_allclose(result.positions[0, 0, 0], BOHR, rtol=1e-6)
    refused(
        xyz(tmp_path, frame("O 1 0 0", comment=EXTENDED + ipi.format("forces"))), "found forces"
    )


# Large and damaged files


def test_blocks_of_the_index_may_end_anywhere(tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(1)
    frames = [Atoms("CuOHH", rng.random((4, 3)), cell=[5] * 3, pbc=True) for _ in range(7)]
    path = tmp_path / "a.extxyz"
    ase.io.write(path, frames)
    whole = opened(path).index
    for size in (1, 2, 3, 7, 64, 127, 1000):
        monkeypatch.setattr("icedask.readers.xyz_index._SCAN_BYTES", size)
        index = opened(path).index
        assert index.starts.tolist() == whole.starts.tolist()
        assert index.ends.tolist() == whole.ends.tolist()
        cut = xyz(tmp_path, path.read_bytes()[:-1], "b.extxyz")
        assert opened(cut).n_frames == 7
        assert opened(xyz(tmp_path, path.read_bytes()[:-2], "c.extxyz")).n_frames == 6


def mutated(text: bytes, rng: np.random.Generator) -> bytes:
    at, kind = int(rng.integers(len(text))), int(rng.integers(6))
    if kind == 0:
        return text[:at] + bytes([text[at] ^ (1 << int(rng.integers(8)))]) + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at + 1 :]
    if kind == 2:
        return text[:at] + bytes([int(rng.choice(list(b" \t\n.-+eE09TFx\x00\xa0")))]) + text[at:]
    if kind == 3:
        return text[: at + 1]
    lines = text.split(b"\n")
    a, b = (int(n) for n in rng.integers(len(lines) - 1, size=2))
    lines[a : a + 1] = [] if kind == 4 else [lines[b], lines[a]]
    return b"\n".join(lines)


def strictly(text: bytes) -> list[list[list[str]]]:
    """Return the fields of every atom of every frame; raise an exception for anything odd."""
    lines = text.decode("latin-1").split("\n")
    frames = []
    while any(line.strip() for line in lines):
        if not lines[0].strip():
            del lines[0]
            continue
        n_atoms = int(lines[0])
        rows = [line.split() for line in lines[2 : 2 + n_atoms]]
        _, *words = lines[1].split('"')
        assert len([float(word) for word in words[0].split(" ")]) == 9
        assert "Properties=species:S:1:pos:R:3:n:I:1" in words[1].replace("= ", "=")
        assert len(rows) == n_atoms > 0 and all(len(row) == 5 for row in rows)
        for row in rows:
            assert row[0] in ("O", "H") and row[4].lstrip("+-").isdecimal()
            assert np.isfinite([float(word) for word in row[1:4]]).all()
            int(row[4])
        frames.append(rows)
        del lines[: 2 + n_atoms]
    assert frames and all([row[0] for row in f] == [row[0] for row in frames[0]] for f in frames)
    return frames


@pytest.mark.slow
def test_damaged_files_are_refused_or_read_as_a_strict_parser_does(tmp_path) -> None:
    rng = np.random.default_rng(4)
    comment = EXTENDED.replace("5", "9.0") + ':n:I:1 energy=-1.5 pbc="T T T"'
    values = rng.normal(size=(3, 3, 3)).round(6)
    rows = [[f"{'OHH'[i]} {' '.join(map(str, v[i]))} {i}" for i in range(3)] for v in values]
    whole = "".join(frame(*row, comment=comment) for row in rows).encode()
    path = tmp_path / "a.extxyz"
    accepted = 0
    for _ in range(600):
        path.write_bytes(text := mutated(whole, rng))
        try:
            source = opened(path)
            result = source.read(range(source.n_frames))
        except ice.InputError:
            continue
        if source.truncated or not np.isfinite(result.positions).all():
            continue
        accepted += 1
        expected = [[row[1:] for row in rows] for rows in strictly(text)]
        np.testing.assert_allclose(result.positions, np.array(expected, float)[:, :, :3], rtol=1e-6)
        np.testing.assert_array_equal(result.columns["n"], np.array(expected)[:, :, 3].astype(int))
    assert 50 < accepted < 400
