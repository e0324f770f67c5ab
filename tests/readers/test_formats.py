"""Every other format against what MDAnalysis or ASE reads from the same file."""

import warnings
from contextlib import contextmanager
from pathlib import Path

import ase.io
import MDAnalysis
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from MDAnalysisTests import datafiles as data

import icedask as ice

TO_EV = units.kJ / units.mol


@contextmanager
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def universe_of(*files):
    with quiet():
        return MDAnalysis.Universe(*map(str, files))


def by_first_letter(universe):
    return {str(name): str(name)[0] for name in set(universe.atoms.names)}


def check_against(trj, universe, atoms=None, *, timed=True):
    atoms = universe.atoms if atoms is None else atoms
    assert dict(trj.sizes) == {
        "frame": len(universe.trajectory),
        "atom": len(atoms),
        "xyz": 3,
        "cell_vector": 3,
    }
    np.testing.assert_array_equal(trj["atom"], atoms.indices)
    np.testing.assert_array_equal(trj["name"], atoms.names)
    np.testing.assert_array_equal(trj["residue"], atoms.resnames)
    np.testing.assert_array_equal(trj["molecule"], atoms.resids)
    assert trj["positions"].dtype == np.float32
    positions, velocity, force = trj["positions"].values, None, None
    ts = universe.trajectory[0]
    assert ("velocity" in trj) == ts.has_velocities
    assert ("force" in trj) == ts.has_forces
    if ts.has_velocities:
        velocity = trj["velocity"].values
    if ts.has_forces:
        force = trj["force"].values
    for i, ts in enumerate(universe.trajectory):
        np.testing.assert_array_equal(positions[i], atoms.positions)
        if timed:
            assert float(trj["time"][i]) == pytest.approx(ts.time, abs=1e-6)
        cell = np.zeros((3, 3)) if ts.dimensions is None else ts.triclinic_dimensions
        np.testing.assert_allclose(trj["cell"][i], cell, atol=1e-4)
        if velocity is not None:
            np.testing.assert_array_equal(velocity[i], atoms.velocities)
        if force is not None:
            np.testing.assert_allclose(force[i], atoms.forces * TO_EV, rtol=1e-5)
    periodic = universe.trajectory[0].dimensions is not None
    assert trj["pbc"].values.tolist() == [periodic] * 3


def copied(tmp_path, *files):
    # MDAnalysis writes an index beside some trajectories.
    for file in files:
        (tmp_path / Path(file).name).write_bytes(Path(file).read_bytes())
    return [tmp_path / Path(file).name for file in files]


@pytest.mark.parametrize("trajectory", ["XTC", "TRR"])
def test_gromacs(tmp_path, trajectory):
    tpr, path = copied(tmp_path, data.TPR, getattr(data, trajectory))
    massless = {"MW": "X"}
    trj = ice.ingest(path, tmp_path / "t.zarr", topology=tpr, elements=massless)
    universe = universe_of(tpr, path)
    check_against(trj, universe)
    known = universe.atoms.elements != ""
    np.testing.assert_array_equal(trj["element"][known], universe.atoms.elements[known])
    assert set(trj["element"].values[~known]) == {"X"}
    steps = [ts.data["step"] for ts in universe.trajectory]
    np.testing.assert_array_equal(trj["step"], steps)


@pytest.mark.parametrize("expression", ["protein and name CA", "resname SOL and name OW", "id 5:9"])
def test_gromacs_selections(tmp_path, expression):
    tpr, path = copied(tmp_path, data.TPR, data.XTC)
    trj = ice.ingest(
        path,
        tmp_path / "t.zarr",
        topology=tpr,
        elements={"MW": "X"},
        select=expression,
        frames="::3",
    )
    universe = universe_of(tpr, path)
    with quiet():
        atoms = universe.select_atoms(expression)
    np.testing.assert_array_equal(trj["atom"], atoms.indices)
    np.testing.assert_array_equal(trj["element"], atoms.elements)
    np.testing.assert_array_equal(
        trj["positions"], [atoms.positions for _ in universe.trajectory[::3]]
    )
    np.testing.assert_allclose(trj["time"], [ts.time for ts in universe.trajectory[::3]])


def test_geometric_selection_on_the_first_frame(tmp_path):
    psf, dcd = copied(tmp_path, data.PSF_TRICLINIC, data.DCD_TRICLINIC)
    universe = universe_of(psf, dcd)
    expression = "name OH2 and around 5 (resid 1)"
    trj = ice.ingest(
        dcd,
        tmp_path / "t.zarr",
        topology=psf,
        elements=by_first_letter(universe),
        select=expression,
    )
    np.testing.assert_array_equal(trj["atom"], universe.select_atoms(expression).indices)


def test_selection_by_given_element(tmp_path):
    psf, dcd = copied(tmp_path, data.PSF, data.DCD)
    universe = universe_of(psf, dcd)
    elements = by_first_letter(universe)
    trj = ice.ingest(
        dcd, tmp_path / "t.zarr", topology=psf, elements=elements, select="element S", frames=":5"
    )
    expected = [i for i, name in enumerate(universe.atoms.names) if name[0] == "S"]
    assert trj["atom"].values.tolist() == expected
    assert set(trj["element"].values) == {"S"}


def test_charmm(tmp_path):
    psf, dcd = copied(tmp_path, data.PSF, data.DCD)
    universe = universe_of(psf, dcd)
    elements = by_first_letter(universe)
    trj = ice.ingest(dcd, tmp_path / "t.zarr", topology=psf, elements=elements)
    check_against(trj, universe)
    np.testing.assert_array_equal(trj["element"], [name[0] for name in universe.atoms.names])
    np.testing.assert_array_equal(trj["cell"], np.zeros((98, 3, 3)))


def test_charmm_triclinic(tmp_path):
    psf, dcd = copied(tmp_path, data.PSF_TRICLINIC, data.DCD_TRICLINIC)
    universe = universe_of(psf, dcd)
    trj = ice.ingest(dcd, tmp_path / "t.zarr", topology=psf, elements=by_first_letter(universe))
    check_against(trj, universe)


def test_amber(tmp_path):
    prmtop, path = copied(tmp_path, data.PRM_NCBOX, data.TRJ_NCBOX)
    universe = universe_of(prmtop, path)
    assert universe.trajectory.ts.has_velocities
    assert universe.trajectory.ts.has_forces
    trj = ice.ingest(path, tmp_path / "t.zarr", topology=prmtop)
    check_against(trj, universe)
    np.testing.assert_array_equal(trj["element"], universe.atoms.elements)


def test_amber_without_elements(tmp_path):
    prmtop, path = copied(tmp_path, data.PRMncdf, data.NCDF)
    universe = universe_of(prmtop, path)
    with pytest.raises(ice.InputError, match="elements"):
        ice.ingest(path, tmp_path / "t.zarr", topology=prmtop)
    elements = by_first_letter(universe)
    # The file says time 0 for every frame.
    with pytest.raises(ice.InputError, match=r"time: expected to increase.*frame_interval"):
        ice.ingest(path, tmp_path / "t.zarr", topology=prmtop, elements=elements)
    options = {"elements": elements, "frame_interval": 2.0}
    trj = ice.ingest(path, tmp_path / "t.zarr", topology=prmtop, **options)
    check_against(trj, universe, timed=False)
    np.testing.assert_array_equal(trj["time"], np.arange(30) * 2.0)


def test_gro_alone(tmp_path):
    (gro,) = copied(tmp_path, data.GRO_velocity)
    elements = {"OW1": "O", "HW2": "H", "HW3": "H"}
    trj = ice.ingest(gro, tmp_path / "t.zarr", elements=elements)
    assert "velocity" in trj
    check_against(trj, universe_of(gro), timed=False)
    assert trj["element"].values.tolist() == ["O", "H", "H"] * 2


def pdb_without_times(tmp_path):
    path = tmp_path / "a.pdb"
    water = molecule("H2O")
    ase.io.write(path, [water, water, water], format="proteindatabank")
    return path


def test_time_is_not_invented(tmp_path):
    path = pdb_without_times(tmp_path)
    trj = ice.ingest(path, tmp_path / "t.zarr")
    assert trj["element"].values.tolist() == ["O", "H", "H"]
    assert trj["positions"].shape == (3, 3, 3)
    assert np.isnan(trj["time"]).all()


def test_from_mdanalysis_does_not_invent_time(tmp_path):
    trj = ice.from_mdanalysis(universe_of(pdb_without_times(tmp_path)))
    assert np.isnan(trj["time"]).all()


def test_pbc_and_frame_interval_given(tmp_path):
    (gro,) = copied(tmp_path, data.two_water_gro)
    psf, dcd = copied(tmp_path, data.PSF_TRICLINIC, data.DCD_TRICLINIC)
    elements = {"OW": "O", "HW1": "H", "HW2": "H"}
    trj = ice.ingest(gro, tmp_path / "g.zarr", elements=elements, pbc=(True, True, False))
    assert trj["pbc"].values.tolist() == [True, True, False]
    elements = {"OH2": "O", "H1": "H", "H2": "H"}
    trj = ice.ingest(
        dcd,
        tmp_path / "d.zarr",
        topology=psf,
        elements=elements,
        frame_interval=0.25,
        frames="2::4",
    )
    np.testing.assert_array_equal(trj["time"], [0.5, 1.5])


def test_two_trajectory_files(tmp_path):
    (psf,) = copied(tmp_path, data.PSF_TRICLINIC)
    universe = universe_of(psf, data.DCD_TRICLINIC)
    with quiet():
        for name, frames in (("run.2.trr", slice(0, 6)), ("run.10.trr", slice(5, 10))):
            with MDAnalysis.Writer(str(tmp_path / name), universe.atoms.n_atoms) as writer:
                for ts in universe.trajectory[frames]:
                    ts.data["step"] = ts.frame
                    writer.write(universe.atoms)
    trj = ice.ingest(
        tmp_path / "run.*.trr",
        tmp_path / "t.zarr",
        topology=psf,
        elements=by_first_letter(universe),
    )
    assert trj.sizes["frame"] == 10
    expected = np.array([ts.positions.copy() for ts in universe.trajectory])
    np.testing.assert_allclose(trj["positions"], expected, atol=1e-5)


def frames_of_slab(n=5):
    rng = np.random.default_rng(0)
    slab = fcc111("Cu", (2, 2, 3), vacuum=6.0)
    slab.info.clear()
    frames = []
    for _ in range(n):
        one = slab.copy()
        one.rattle(0.1, rng=rng)
        one.set_cell(one.cell.array * rng.uniform(0.98, 1.02))
        frames.append(one)
    return frames


def check_frames(trj, frames):
    assert trj.sizes["frame"] == len(frames)
    for i, one in enumerate(frames):
        np.testing.assert_array_equal(trj["positions"][i], one.positions.astype(np.float32))
        np.testing.assert_allclose(trj["cell"][i], one.cell.array, atol=1e-12)
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
    for one in frames:
        one.new_array("order", rng.normal(size=len(one)))
        one.calc = SinglePointCalculator(
            one,
            energy=-1.0,
            forces=rng.normal(size=(len(one), 3)),
            energies=rng.normal(size=len(one)),
        )
    ase.io.write(tmp_path / name, frames)
    frames = ase.io.read(tmp_path / name, index=":")
    trj = ice.ingest(tmp_path / name, tmp_path / "t.zarr")
    check_frames(trj, frames)
    for i, one in enumerate(frames):
        np.testing.assert_array_equal(trj["force"][i], one.get_forces().astype(np.float32))
        energies = one.get_potential_energies().astype(np.float32)
        np.testing.assert_array_equal(trj["potential_energy"][i], energies)
        if name == "a.extxyz":
            np.testing.assert_array_equal(trj["order"][i], one.arrays["order"].astype(np.float32))
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
    for i, one in enumerate(frames):
        one.set_velocities(np.random.default_rng(i).normal(size=(len(one), 3)))
    ase.io.write(tmp_path / name, frames)
    frames = ase.io.read(tmp_path / name, index=":")
    trj = ice.ingest(tmp_path / name, tmp_path / "t.zarr")
    expected = [one.get_velocities() * 1000 * units.fs for one in frames]
    np.testing.assert_allclose(trj["velocity"], expected, rtol=1e-5)


def test_extxyz_selection_and_plain_xyz(tmp_path):
    path = tmp_path / "a.xyz"
    water = molecule("H2O")
    ase.io.write(path, [water, water], format="xyz")
    trj = ice.ingest(path, tmp_path / "t.zarr", select="element H")
    assert trj["atom"].values.tolist() == [1, 2]
    assert trj["pbc"].values.tolist() == [False] * 3
    np.testing.assert_array_equal(trj["cell"], np.zeros((2, 3, 3)))
    boxed = ice.ingest(path, tmp_path / "u.zarr")
    np.testing.assert_allclose(boxed["positions"][1], water.positions, atol=1e-6)


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


@pytest.mark.parametrize("expression", [None, "protein and name CA"])
def test_from_mdanalysis_equals_ingest(tmp_path, expression):
    psf, dcd = copied(tmp_path, data.PSF, data.DCD)
    universe = universe_of(psf, dcd)
    elements = by_first_letter(universe)
    trj = ice.ingest(dcd, tmp_path / "t.zarr", topology=psf, elements=elements, select=expression)
    group = universe.atoms if expression is None else universe.select_atoms(expression)
    memory = ice.from_mdanalysis(group, elements=elements)
    assert set(memory.variables) == set(trj.variables)
    for name in memory.variables:
        np.testing.assert_array_equal(memory[name], trj[name], err_msg=name)
        assert memory[name].attrs == trj[name].attrs


def test_from_mdanalysis_with_velocities_and_forces():
    universe = universe_of(data.PRM_NCBOX, data.TRJ_NCBOX)
    check_against(ice.from_mdanalysis(universe), universe)


@pytest.mark.parametrize(
    "expression",
    ["name CA", "resname LYS and not name H*", "element N", "resid 3:5 or id 1", "type 20"],
)
def test_select_equals_mdanalysis(expression):
    universe = universe_of(data.PSF, data.DCD)
    universe.transfer_to_memory(stop=2)
    elements = by_first_letter(universe)
    trj = ice.from_mdanalysis(universe, elements=elements)
    universe.trajectory[0]
    with quiet():
        universe.add_TopologyAttr("elements", np.array([n[0] for n in universe.atoms.names], "O"))
        expected = universe.select_atoms(expression)
    chosen = ice.select(trj, expression)
    np.testing.assert_array_equal(chosen["atom"], expected.indices)
    np.testing.assert_array_equal(chosen["positions"][0], expected.positions)
    # The source index survives a second selection.
    again = ice.select(chosen, "index 0")
    assert again["atom"].values.tolist() == [expected.indices[0]]


def test_molecules_of_ase_are_coordinates(tmp_path: Path) -> None:
    from ase.build import molecule

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
