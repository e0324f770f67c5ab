"""Formats of MDAnalysis: what `ingest` and `from_mdanalysis` make of them, against MDAnalysis."""

import warnings
from contextlib import contextmanager
from pathlib import Path

import ase.io
import MDAnalysis
import numpy as np
import pytest
from ase import units
from ase.build import molecule
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
        np.testing.assert_allclose(positions[i], atoms.positions, rtol=2e-7, atol=1e-9)
        if timed:
            assert float(trj["time"][i]) == pytest.approx(ts.time, abs=1e-5)
        cell = np.zeros((3, 3)) if ts.dimensions is None else ts.triclinic_dimensions
        np.testing.assert_allclose(trj["cell"][i], cell, atol=1e-4)
        if velocity is not None:
            np.testing.assert_allclose(velocity[i], atoms.velocities, rtol=2e-7, atol=1e-9)
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
        if name == "time":  # MDAnalysis has seven digits of the unit of time
            np.testing.assert_allclose(memory[name], trj[name], rtol=1e-6)
        else:
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
