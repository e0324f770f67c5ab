"""XYZ: what ASE, LAMMPS, CP2K and i-PI write."""

from __future__ import annotations

import bz2
import gzip
import io
import logging
from pathlib import Path

import ase.io
import numpy as np
import pytest
import zstandard
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import kcal, mol
from helpers.xyz import ALL, CUBE, EXTENDED, NONE, block, frame, opened, refused, xyz

import icedask as ice

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
