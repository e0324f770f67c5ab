"""timeSOAP against its formula on the full square of components, and on planted cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase
import cloudpickle
import dask
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from helpers.systems import system

import icedask as ice
from icedask.descriptors import block
from icedask.errors import InputError
from icedask.store import chunks

OPTIONS: dict[str, Any] = {"r_cut": 4.0, "n_max": 3, "l_max": 2, "sigma": 0.5}


def frames(n_frames: int, *, hydrogen: bool = False) -> list[ase.Atoms]:
    atoms = system("triclinic")
    if hydrogen:
        atoms.symbols[::3] = "H"
    rng = np.random.default_rng(2)
    result = []
    for _ in range(n_frames):
        atoms = atoms.copy()
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
        result.append(atoms)
    return result


def changes(vectors: np.ndarray, delay: int) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=2, keepdims=True)
    cosine = np.sum(unit[:-delay] * unit[delay:], axis=2)
    return np.sqrt(np.maximum(2 - 2 * cosine, 0))


@pytest.mark.parametrize("hydrogen", [False, True])
@pytest.mark.parametrize("delay", [1, 3])
@pytest.mark.parametrize("filled", [True, False])
def test_equals_the_formula(hydrogen: bool, delay: int, filled: bool) -> None:
    trj = ice.from_ase(frames(6, hydrogen=hydrogen))
    soap, full = (
        ice.soap(trj, **OPTIONS, dtype="float64", layout=layout) for layout in ("compact", "full")
    )
    vectors = (full if filled else soap)["soap"].values
    distances = ice.time_soap(soap, delay=delay, filled=filled)["time_soap"]
    assert distances.dtype == "float32"
    np.testing.assert_allclose(distances[:-delay], changes(vectors, delay), rtol=1e-6)
    assert np.isnan(distances[-delay:]).all()


@pytest.mark.parametrize("hydrogen", [False, True])
def test_full_layout_is_not_weighted_again(hydrogen: bool) -> None:
    trj = ice.from_ase(frames(3, hydrogen=hydrogen))
    compact, full = (
        ice.soap(trj, **OPTIONS, dtype="float64", layout=layout) for layout in ("compact", "full")
    )
    expected = ice.time_soap(compact)["time_soap"]
    np.testing.assert_allclose(ice.time_soap(full)["time_soap"], expected, rtol=1e-6)
    unweighted = ice.time_soap(full, filled=False)["time_soap"]
    np.testing.assert_allclose(unweighted, expected, rtol=1e-6)


def test_still_atoms_do_not_change() -> None:
    soap = ice.soap(ice.from_ase([system("cluster")] * 3), **OPTIONS)
    assert not ice.time_soap(soap)["time_soap"][:-1].values.any()


def test_exchange_of_identities_is_not_seen() -> None:
    crystal = bulk("Cu", cubic=True) * (4, 4, 4)
    permuted = crystal[np.random.default_rng(0).permutation(len(crystal))]
    trj = ice.from_ase([crystal, permuted])
    soap = ice.soap(trj, **OPTIONS, dtype="float64")
    assert float(ice.time_soap(soap)["time_soap"][0].max()) < 1e-5
    assert float(ice.lens(trj, r_cut=3.0)["lens"][0].mean()) > 0.8


def test_scale_does_not_matter_and_opposites_are_far() -> None:
    vectors = np.zeros((2, 3, 4))
    vectors[0, :, 0] = 1, 1, 1
    vectors[1, 0, 0], vectors[1, 1, 1], vectors[1, 2, 0] = 1e9, 1e-9, -2
    ds = xr.Dataset({"x": (("frame", "atom", "feature"), vectors)})
    distances = ice.time_soap(ds, filled=False)["time_soap"][0]
    np.testing.assert_allclose(distances, [0, np.sqrt(2), 2], rtol=1e-6)


def test_zero_vectors_have_no_direction() -> None:
    soap = ice.soap(
        ice.from_ase([ase.Atoms("OH", [[0, 0, 0], [0, 0, z]]) for z in (1, 1.1, 30, 1)]),
        **OPTIONS,
        species=["H"],
        centers="element O",
    )
    distances = ice.time_soap(soap)["time_soap"].values[:, 0]
    assert np.isnan(distances).tolist() == [False, True, True, True]


@pytest.mark.parametrize(("delay", "frames_of_block"), [(1, 3), (4, 1), (4, 3), (4, 11)])
def test_blocks_change_nothing(
    delay: int, frames_of_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trj = ice.from_ase(frames(11), frame_interval=2.0)
    whole = ice.time_soap(ice.soap(trj, **OPTIONS), delay=delay)
    rates = ice.time_soap_derivative(whole)
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", frames_of_block * trj.sizes["atom"])
    split = ice.time_soap(ice.soap(trj, **OPTIONS), delay=delay)
    assert split["time_soap"].data.numblocks[0] == -(-11 // frames_of_block)
    np.testing.assert_array_equal(split["time_soap"], whole["time_soap"])
    assert split.attrs["run_id"] == whole.attrs["run_id"]
    np.testing.assert_array_equal(
        ice.time_soap_derivative(split)["time_soap_derivative"], rates["time_soap_derivative"]
    )


def test_soap_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count = []
    original = block.Frame

    def counting(*args: Any) -> Any:
        count.append(1)
        return original(*args)

    trj = ice.from_ase(frames(7))
    monkeypatch.setattr(block, "Frame", counting)
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 2 * trj.sizes["atom"])
    distances = ice.time_soap(ice.soap(trj, **OPTIONS), delay=3)["time_soap"]
    distances.compute(scheduler="sync")
    assert len(count) == 7


def test_derivative() -> None:
    soap = ice.soap(ice.from_ase(frames(6), frame_interval=2.0), **OPTIONS)
    changes = ice.time_soap(soap)
    rates = ice.time_soap_derivative(changes)["time_soap_derivative"]
    expected = np.diff(changes["time_soap"].values.astype(float), axis=0) / 2
    np.testing.assert_allclose(rates[:-1], expected, rtol=1e-6)
    assert np.isnan(rates[-2:]).all()
    assert rates.attrs["units"] == "1/picosecond"
    unknown = changes.assign_coords(time=("frame", np.full(6, np.nan)))
    rates = ice.time_soap_derivative(unknown)["time_soap_derivative"]
    np.testing.assert_allclose(rates[:-1], 2 * expected, rtol=1e-6)
    assert rates.attrs["units"] == "1/frame"


def test_run_of_the_derivative_knows_the_interval() -> None:
    soap = ice.soap(ice.from_ase(frames(6), frame_interval=0.1), **OPTIONS)
    changes = ice.time_soap(soap)
    rates = ice.time_soap_derivative(changes)
    other = changes.assign_coords(time=2 * changes["time"])
    assert ice.time_soap_derivative(other).attrs["run_id"] != rates.attrs["run_id"]
    # The intervals of a part are the same but for rounding: so are the features.
    part = ice.time_soap_derivative(ice.time_soap(soap.isel(frame=slice(2, None))))
    assert part.attrs["parameters"] == rates.attrs["parameters"] == {"interval": 0.1}


def test_blocks_are_shipped_to_other_processes() -> None:
    rates = ice.time_soap_derivative(
        ice.time_soap(ice.soap(ice.from_ase(frames(4)), **OPTIONS), delay=2)
    )["time_soap_derivative"]
    copy = cloudpickle.loads(cloudpickle.dumps(rates))
    np.testing.assert_array_equal(copy, rates)
    assert np.isfinite(copy[0]).all()


def test_small_changes_do_not_cancel() -> None:
    vectors = np.ones((2, 1, 3), np.float32)
    vectors[1, 0, 0] += 1e-6
    step = vectors[1, 0, 0].astype(float) - 1
    ds = xr.Dataset({"x": (("frame", "atom", "feature"), vectors)})
    distance = float(ice.time_soap(ds, filled=False)["time_soap"][0, 0])
    # The part of the step across the direction (1, 1, 1), over the length of the vector.
    assert distance == pytest.approx(step * np.sqrt(2 / 3) / np.sqrt(3), rel=1e-5)


def test_stored(tmp_path: Path, mw: xr.Dataset) -> None:
    soap = ice.soap(mw.isel(frame=slice(0, 4)), **OPTIONS, centers="index 0:99")
    changes = ice.time_soap(soap)
    rates = ice.time_soap_derivative(ice.smooth(changes, window=3))
    saved = ice.save([soap, changes, rates], tmp_path / "s.zarr")
    assert saved[1].attrs["parents"] == [soap.attrs["run_id"]]
    assert saved[1].attrs["group"] == "descriptors"
    assert saved[1]["time_soap"].attrs["delay"] == 1
    assert soap.attrs["run_id"] in saved[2].attrs["lineage"]
    np.testing.assert_array_equal(saved[1]["time_soap"], changes["time_soap"])
    # From the stored SOAP it is the same run.
    again = ice.time_soap(saved[0])
    assert again.attrs["run_id"] == changes.attrs["run_id"]
    np.testing.assert_array_equal(again["time_soap"], changes["time_soap"])
    assert (changes["time_soap"][:-1] > 0).all()


def test_lazy(nothing_computes: None) -> None:
    changes = ice.time_soap(ice.soap(ice.from_ase(frames(3)), **OPTIONS))
    rates = ice.time_soap_derivative(changes)
    assert dask.is_dask_collection(changes) and dask.is_dask_collection(rates)
    assert "element" in rates.coords and "species_a" not in rates.coords


def test_bad_input() -> None:
    soap = ice.soap(ice.from_ase(frames(4), frame_interval=1.0), **OPTIONS)
    with pytest.raises(InputError, match="delay 4 needs at least 5 frames, the trajectory has 4"):
        ice.time_soap(soap, delay=4)
    with pytest.raises(InputError, match="delay: expected at least 1, found 0"):
        ice.time_soap(soap, delay=0)
    with pytest.raises(InputError, match="delay: expected a whole number"):
        ice.time_soap(soap, delay=1.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="time_soap: expected frames at even time steps"):
        ice.time_soap(soap.isel(frame=[0, 1, 3]))
    with pytest.raises(InputError, match="expected the component labels of SOAP"):
        ice.time_soap(soap.drop_vars("n_a"))
    with pytest.raises(InputError, match=r"expected a variable \(frame, atom, feature\)"):
        ice.time_soap(ice.time_soap(soap))
    with pytest.raises(InputError, match=r"expected a variable \(frame, atom\)"):
        ice.time_soap_derivative(soap)
    with pytest.raises(InputError, match="at least 2 frames"):
        ice.time_soap_derivative(ice.time_soap(soap).isel(frame=[0]))
