"""XYZ: valid forms, boundaries, elements, times, units of columns."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from ase import units
from helpers.xyz import ALL, CUBE, EXTENDED, NONE, block, frame, opened, refused, xyz

import icedask as ice

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
