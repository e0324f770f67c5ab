"""Ids of results by the content that they were computed from, wherever it lies."""

from __future__ import annotations

import shutil
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from ase.build import bulk

import icedask as ice
from icedask.errors import StoreError


def make(store: Path, seed: int) -> xr.Dataset:
    """Return a stored trajectory whose energies depend on the seed, its positions do not."""
    frames = []
    for number in range(4):
        atoms = bulk("Cu", cubic=True) * (2, 2, 1)
        atoms.rattle(0.1, seed=number)
        frames.append(atoms)
    trj = ice.from_ase(frames)
    energy = np.random.default_rng(seed).normal(size=(4, len(frames[0]))).astype(np.float32)
    trj["potential_energy"] = (("frame", "atom"), energy, {"units": "eV"})
    return ice.save(trj, store)


def fitted(energies: xr.DataArray) -> str:
    """Return the id of what rests on energies."""
    model = ice.KMeans(2, seed=0).fit(energies)
    return str(model.to_dataset().attrs["run_id"])


def test_new_energies_at_the_same_path_are_another_result(tmp_path: Path) -> None:
    first = fitted(make(tmp_path / "cu.zarr", 1)["potential_energy"])
    shutil.rmtree(tmp_path / "cu.zarr")
    assert fitted(make(tmp_path / "cu.zarr", 2)["potential_energy"]) != first
    shutil.rmtree(tmp_path / "cu.zarr")
    assert fitted(make(tmp_path / "cu.zarr", 1)["potential_energy"]) == first


@pytest.mark.parametrize("part", [slice(None), slice(1, 3)])
def test_a_copied_store_gives_the_same_ids(tmp_path: Path, part: slice) -> None:
    trj = make(tmp_path / "cu.zarr", 1)
    shutil.copytree(tmp_path / "cu.zarr", tmp_path / "another" / "copy.zarr")
    copy = ice.open_trajectory(tmp_path / "another" / "copy.zarr")
    energies = [ds["potential_energy"].isel(frame=part) for ds in (trj, copy)]
    assert fitted(energies[0]) == fitted(energies[1])
    assert fitted(2 * energies[0]) == fitted(2 * energies[1]) != fitted(energies[0])


def test_columns_of_a_store_without_their_content_are_read(tmp_path: Path) -> None:
    trj = make(tmp_path / "cu.zarr", 1)
    anonymous = trj["potential_energy"].copy(
        data=da.from_array(zarr.open_array(tmp_path / "cu.zarr/trajectory/potential_energy"))
    )
    assert fitted(anonymous) == fitted(anonymous.copy(data=anonymous.data.rechunk((1, 5))))
    assert fitted(anonymous) != fitted(2 * anonymous)


def test_a_file_of_a_user_counts_by_its_content(tmp_path: Path) -> None:
    ids = []
    for seed in (1, 2, 1):
        values = np.random.default_rng(seed).normal(size=(4, 8)).astype(np.float32)
        zarr.create_array(str(tmp_path / "mine.zarr"), data=values, overwrite=True)
        energies = xr.DataArray(da.from_zarr(tmp_path / "mine.zarr"), dims=("frame", "atom"))
        ids.append(fitted(energies.rename("energy")))
    assert ids[0] == ids[2] != ids[1]


def test_other_energies_are_not_the_stored_trajectory(tmp_path: Path) -> None:
    trj = make(tmp_path / "cu.zarr", 1)
    assert ice.save(trj.load(), tmp_path / "cu.zarr").sizes == trj.sizes
    with pytest.raises(StoreError, match="other columns"):
        ice.save(make(tmp_path / "other.zarr", 2), tmp_path / "cu.zarr")
