"""Volumes and densities of Voronoi cells against OVITO's, on real water and ice."""

from __future__ import annotations

from typing import Any

import ase
import dask
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from helpers.systems import system, water_like
from ovito.io.ase import ase_to_ovito
from ovito.modifiers import VoronoiAnalysisModifier
from ovito.pipeline import Pipeline, StaticSource

import icedask as ice
from icedask.errors import InputError


def ovito(atoms: ase.Atoms) -> np.ndarray:
    wrapped = atoms.copy()
    wrapped.wrap()
    pipeline = Pipeline(source=StaticSource(data=ase_to_ovito(wrapped)))
    pipeline.modifiers.append(VoronoiAnalysisModifier(edge_threshold=0, face_threshold=0))
    return np.asarray(pipeline.compute().particles["Atomic Volume"])


def volumes(atoms: ase.Atoms, **options: Any) -> np.ndarray:
    return ice.voronoi(ice.from_ase(atoms), **options)["voronoi_volume"].values[0]


@pytest.mark.parametrize("frame", [0, -1])
def test_equals_ovito(mw: xr.Dataset, frame: int) -> None:
    cell_volumes = ice.voronoi(mw.isel(frame=[frame]))["voronoi_volume"].values[0]
    atoms = ice.to_ase(mw, frame)
    atoms.set_celldisp(np.zeros(3))
    expected = ovito(atoms)
    assert expected.std() > 0.5
    np.testing.assert_allclose(cell_volumes, expected, rtol=2e-5)
    assert cell_volumes.sum(dtype=float) == pytest.approx(atoms.get_volume(), rel=1e-6)


@pytest.mark.parametrize("kind", ["triclinic", "unwrapped", "boundary"])
def test_equals_ovito_in_any_cell(kind: str) -> None:
    atoms = system(kind)
    np.testing.assert_allclose(volumes(atoms), ovito(atoms), rtol=2e-5)


def test_small_box_equals_its_supercell() -> None:
    atoms = system("small_box")
    np.testing.assert_allclose(volumes(atoms * (3, 3, 3))[:2], volumes(atoms), rtol=1e-5)


def test_density_of_ice_and_water(mw: xr.Dataset) -> None:
    trj = mw.isel(frame=[0])
    density = ice.mass_density(trj, mass=18.015)["mass_density"].values
    np.testing.assert_allclose(density, 29.915 / ice.voronoi(trj)["voronoi_volume"], rtol=2e-5)
    atoms = ice.to_ase(trj, 0)
    # 18.015 g/mol over Avogadro's number, in a volume of cm^3.
    whole = len(atoms) * 18.015 / 6.02214076e23 / (atoms.get_volume() * 1e-24)
    # The density of the whole is the harmonic mean.
    assert 1 / np.mean(1 / density[0], dtype=float) == pytest.approx(whole, rel=1e-6)


def test_water_by_its_oxygens() -> None:
    oxygens = water_like()
    water = ase.Atoms(
        "OHH" * len(oxygens),
        (oxygens.positions[:, None] + [[0, 0, 0], [0.6, 0.7, 0], [-0.6, 0.7, 0]]).reshape(-1, 3),
        cell=oxygens.cell,
        pbc=True,
    )
    plain = volumes(oxygens)
    limited = ice.voronoi(ice.from_ase(water), centers="element O", species=["O"])
    np.testing.assert_array_equal(limited["voronoi_volume"].values[0], plain)
    assert limited["element"].values.tolist() == ["O"] * len(oxygens)
    everything = volumes(water)
    assert everything.reshape(-1, 3).sum() == pytest.approx(oxygens.get_volume(), rel=1e-5)
    assert (everything.reshape(-1, 3)[:, 0] < 0.8 * plain).all()


def test_centers_outside_the_environment() -> None:
    atoms = water_like()
    atoms.symbols[::3] = "Cu"
    limited = volumes(atoms, species=["O"])
    np.testing.assert_array_equal(np.isnan(limited), atoms.symbols == "Cu")
    atoms.symbols[::3] = "X"
    np.testing.assert_array_equal(volumes(atoms), limited)


def test_free_atoms_have_no_density() -> None:
    trj = ice.from_ase(bulk("Cu", cubic=True) * (3, 3, 3))
    assert np.isfinite(ice.mass_density(trj, mass=63.5)["mass_density"]).all()
    free = trj.assign(pbc=trj["pbc"].copy(data=[False] * 3))
    density = ice.mass_density(free, mass=63.5)["mass_density"].values[0]
    positions = trj["positions"].values[0]
    surface = ((positions < 0.1) | (positions > positions.max() - 0.1)).any(axis=1)
    assert np.isnan(density[surface]).all()
    assert density[~np.isnan(density)] == pytest.approx(4 * 63.5 * 1.66054 / 3.61**3, rel=1e-5)


def test_several_descriptors_tessellate_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from icedask.descriptors import frame as frame_module

    calls = []
    original = frame_module.tessellate

    def counting(*args: Any) -> Any:
        calls.append(len(args[0]))
        return original(*args)

    monkeypatch.setattr(frame_module, "tessellate", counting)
    trj = ice.from_ase([water_like()] * 2)
    both = ice.describe(trj, {"voronoi": {}, "mass_density": {"mass": 18.0}})
    dask.compute(*both.values(), scheduler="sync")
    assert calls == [216, 216]


def test_mass_is_required() -> None:
    with pytest.raises(InputError, match="mass is required"):
        ice.mass_density(ice.from_ase(water_like()))  # type: ignore[call-arg]
    with pytest.raises(InputError, match="number dalton above 0, found -1"):
        ice.mass_density(ice.from_ase(water_like()), mass=-1)
