"""Formats of ASE: what `ingest` and `from_ase` make of them, against ASE."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.calculators.singlepoint import SinglePointCalculator

import icedask as ice


def frames_of_slab(n=5):
    rng = np.random.default_rng(0)
    slab = fcc111("Cu", (2, 2, 3), vacuum=6.0)
    slab.info.clear()
    frames = []
    for _ in range(n):
        atoms = slab.copy()
        atoms.rattle(0.1, rng=rng)
        atoms.set_cell(atoms.cell.array * rng.uniform(0.98, 1.02))
        frames.append(atoms)
    return frames


def check_frames(trj, frames):
    assert trj.sizes["frame"] == len(frames)
    for i, atoms in enumerate(frames):
        np.testing.assert_array_equal(trj["positions"][i], atoms.positions.astype(np.float32))
        np.testing.assert_allclose(trj["cell"][i], atoms.cell.array, atol=1e-12)
    assert trj["pbc"].values.tolist() == frames[0].pbc.tolist()
    assert trj["element"].values.tolist() == frames[0].get_chemical_symbols()
    np.testing.assert_array_equal(trj["atom"], np.arange(len(frames[0])))


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz", "a.traj"])
def test_ase_formats(tmp_path, name):
    path = tmp_path / name
    ase.io.write(path, frames_of_slab(), **({} if name == "a.traj" else {"format": "extxyz"}))
    frames = ase.io.read(path, index=":")
    trj = ice.ingest(path, tmp_path / "t.zarr")
    check_frames(trj, frames)
    assert trj["pbc"].values.tolist() == [True, True, False]
    assert np.isnan(trj["time"]).all()
    timed = ice.ingest(path, tmp_path / "u.zarr", frame_interval=0.5, frames="1::2")
    check_frames(timed, frames[1::2])
    np.testing.assert_array_equal(timed["time"], [0.5, 1.5])
    np.testing.assert_array_equal(timed["step"], [1, 3])


@pytest.mark.parametrize("name", ["a.extxyz", "a.traj"])
def test_ase_forces_energies_and_arrays(tmp_path, name):
    rng = np.random.default_rng(2)
    frames = frames_of_slab(3)
    for atoms in frames:
        atoms.new_array("order", rng.normal(size=len(atoms)))
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=-1.0,
            forces=rng.normal(size=(len(atoms), 3)),
            energies=rng.normal(size=len(atoms)),
        )
    ase.io.write(tmp_path / name, frames)
    frames = ase.io.read(tmp_path / name, index=":")
    trj = ice.ingest(tmp_path / name, tmp_path / "t.zarr")
    check_frames(trj, frames)
    for i, atoms in enumerate(frames):
        np.testing.assert_array_equal(trj["force"][i], atoms.get_forces().astype(np.float32))
        energies = atoms.get_potential_energies().astype(np.float32)
        np.testing.assert_array_equal(trj["potential_energy"][i], energies)
        if name == "a.extxyz":
            np.testing.assert_array_equal(trj["order"][i], atoms.arrays["order"].astype(np.float32))
    if name == "a.traj":  # ASE's own format drops arrays it does not know
        return
    options = {"order": "lens_like", "energies": None}
    named = ice.ingest(tmp_path / name, tmp_path / "u.zarr", columns=options)
    np.testing.assert_array_equal(named["lens_like"], trj["order"])
    assert "potential_energy" not in named
    assert "order" not in named


@pytest.mark.parametrize("name", ["a.extxyz", "a.traj"])
def test_ase_velocities(tmp_path, name):
    frames = frames_of_slab(2)
    for i, atoms in enumerate(frames):
        atoms.set_velocities(np.random.default_rng(i).normal(size=(len(atoms), 3)))
    ase.io.write(tmp_path / name, frames)
    frames = ase.io.read(tmp_path / name, index=":")
    trj = ice.ingest(tmp_path / name, tmp_path / "t.zarr")
    expected = [atoms.get_velocities() * 1000 * units.fs for atoms in frames]
    np.testing.assert_allclose(trj["velocity"], expected, rtol=1e-5)


def triclinic():
    return Atoms(
        "OH2Na",
        positions=[[0, 0, 0], [1, 0, 0.5], [0, 1, -8.5], [30, 2, 2]],
        cell=[[9, 0.5, 0.1], [-3, 8, 1], [2, -2, 10]],
        pbc=True,
    )


@pytest.mark.parametrize(
    "atoms",
    [
        pytest.param(fcc111("Cu", (2, 2, 3), vacuum=6.0), id="slab"),
        pytest.param(triclinic(), id="triclinic"),
        pytest.param(bulk("NaCl", "rocksalt", a=5.64), id="primitive"),
        pytest.param(molecule("CH3CH2OH"), id="cluster"),
    ],
)
def test_ase_round_trip(tmp_path, atoms):
    trj = ice.from_ase([atoms, atoms])
    check_frames(trj, [atoms, atoms])
    saved = ice.save(trj, tmp_path / "t.zarr")
    for ds in (trj, saved):
        back = ice.to_ase(ds, -1)
        np.testing.assert_array_equal(
            back.positions.astype(np.float32), atoms.positions.astype(np.float32)
        )
        np.testing.assert_array_equal(back.cell.array, atoms.cell.array)
        np.testing.assert_array_equal(back.pbc, atoms.pbc)
        np.testing.assert_array_equal(back.numbers, atoms.numbers)
    with pytest.raises(ice.InputError, match="frame"):
        ice.to_ase(trj, 2)


def test_from_ase_equals_ingest(tmp_path):
    frames = frames_of_slab()
    ase.io.write(tmp_path / "a.traj", frames)
    trj = ice.ingest(tmp_path / "a.traj", tmp_path / "t.zarr", frame_interval=2.0)
    memory = ice.from_ase(frames, frame_interval=2.0)
    assert set(memory.variables) == set(trj.variables)
    for name in memory.variables:
        np.testing.assert_array_equal(memory[name], trj[name])
        assert memory[name].dims == trj[name].dims
        assert memory[name].attrs == trj[name].attrs


def test_molecules_of_ase_are_coordinates(tmp_path: Path) -> None:
    water = molecule("H2O")
    atoms = water + water
    atoms.positions[3:] += 4.0
    atoms.set_array("molecule", np.array([1, 1, 1, 2, 2, 2]))
    atoms.set_array("type", np.array(["OW", "HW", "HW"] * 2))
    trj = ice.from_ase(atoms)
    assert (
        trj["molecule"].dims == ("atom",) and trj["molecule"].values.tolist() == [1] * 3 + [2] * 3
    )
    again = ice.to_ase(ice.save(trj, tmp_path / "water.zarr"), 0)
    assert again.arrays["molecule"].tolist() == [1] * 3 + [2] * 3
    assert again.arrays["type"].tolist() == ["OW", "HW", "HW"] * 2
    assert ice.select(trj, "resid 2").sizes["atom"] == 3
