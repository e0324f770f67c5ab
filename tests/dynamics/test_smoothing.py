"""Savitzky-Golay smoothing against SciPy, in any blocks, and where values are missing."""

from __future__ import annotations

from pathlib import Path

import cloudpickle
import dask
import numpy as np
import pytest
import xarray as xr
from helpers.systems import system
from scipy.signal import savgol_filter

import icedask as ice
from icedask.dynamics.smoothing import smooth_columns
from icedask.errors import InputError
from icedask.store import chunks


def series(*shape: int, dtype: str = "float64", seed: int = 0) -> xr.Dataset:
    values = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    dims = ("frame", "atom", "feature")[: len(shape)]
    time = ("frame", 0.5 * np.arange(shape[0]))
    return xr.Dataset({"value": (dims, values, {"units": "eV"})}, {"time": time})


def moving(n_frames: int) -> xr.Dataset:
    """Water-like atoms that diffuse."""
    atoms = system("orthogonal")
    rng = np.random.default_rng(5)
    frames = []
    for _ in range(n_frames):
        atoms = atoms.copy()
        atoms.positions += rng.normal(0, 0.2, atoms.positions.shape)
        frames.append(atoms)
    return ice.from_ase(frames, frame_interval=1.0)


@pytest.mark.parametrize(
    ("window", "order"), [(1, 0), (2, 1), (5, 2), (7, 6), (20, 2), (21, 3), (50, 4), (51, 2)]
)
@pytest.mark.parametrize("shape", [(51, 30), (51, 6, 4)])
def test_equals_scipy(shape: tuple[int, ...], window: int, order: int) -> None:
    ds = series(*shape)
    expected = savgol_filter(ds["value"].values, window, order, axis=0)
    smoothed = ice.smooth(ds, window=window, order=order)["value"]
    np.testing.assert_allclose(smoothed, expected, atol=1e-12)
    single = ice.smooth(ds.astype("float32"), window=window, order=order)["value"]
    assert single.dtype == "float32"
    np.testing.assert_allclose(single, expected, atol=1e-6)


@pytest.mark.parametrize("window", [2, 6, 7])
@pytest.mark.parametrize("frames", [1, 13, 60])
@pytest.mark.parametrize("budget", [2**25, 2**10])
def test_blocks_change_nothing(
    window: int, frames: int, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = series(60, 56, 3, dtype="float32")
    values = ds["value"].values
    values[-4:] = np.nan
    # Wherever blocks end: a gap at every distance, and two with a window or less between them.
    atoms = np.arange(56)
    values[atoms, atoms, 1:] = np.nan
    values[np.minimum(atoms + window, 59), atoms, 2] = np.nan
    whole = ice.smooth(ds, window=window, order=1)["value"]
    assert whole.data.npartitions == 1
    monkeypatch.setattr(chunks, "BLOCK_BYTES", budget)
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 56 * 3)
    split = ice.smooth(ds.chunk(frame=frames, atom=11), window=window, order=1)["value"]
    assert split.data.numblocks[0] > 1
    assert (split.data.numblocks[1] > 1) == (budget == 2**10)
    np.testing.assert_array_equal(split, whole)


def test_missing_values_end_a_series() -> None:
    values = np.random.default_rng(1).normal(size=(40, 4))
    values[-3:] = np.nan  # as LENS
    values[17, 1] = np.nan
    values[[10, 14], 2] = np.inf, np.nan
    values[:, 3] = np.nan
    smoothed = smooth_columns(values, 5, 2)
    expected = np.full_like(values, np.nan)
    stretches = [(0, 0, 37), (1, 0, 17), (1, 18, 37), (2, 0, 10), (2, 15, 37)]
    for atom, first, last in stretches:
        expected[first:last, atom] = savgol_filter(values[first:last, atom], 5, 2)
    np.testing.assert_allclose(smoothed, expected, atol=1e-12)
    assert np.isnan(smoothed[11:14, 2]).all()  # three frames are no window


def test_polynomials_stay_as_they_are() -> None:
    time = np.linspace(-1, 1, 30)
    ds = series(30, 3)
    ds["value"][:] = (2 - time + 3 * time**2)[:, None] * [1, 10, -4]
    smoothed = ice.smooth(ds, window=9)["value"]
    np.testing.assert_allclose(smoothed, ds["value"], atol=1e-12)


def test_even_window_runs_half_a_frame_ahead() -> None:
    ds = series(30, 1)
    ds["value"][:, 0] = np.arange(30)
    smoothed = ice.smooth(ds, window=6, order=1)["value"].values[:, 0]
    np.testing.assert_allclose(smoothed[3:-3] - np.arange(30)[3:-3], 0.5)
    np.testing.assert_allclose(smoothed[:3], [0, 1, 2], atol=1e-12)


def test_window_longer_than_the_finite_values() -> None:
    lens = ice.lens(moving(12), r_cut=3.4, delay=2)
    with pytest.raises(InputError, match="at least 11 frames with values, the trajectory has 10"):
        ice.smooth(lens, window=11)


def test_integers_are_refused() -> None:
    with pytest.raises(InputError, match=r"coordination \(frame, atom\) of int32; pass counts"):
        ice.smooth(ice.coordination(moving(12), r_cut=3.4), window=5)


def test_lens_keeps_its_tail_and_its_record(tmp_path: Path) -> None:
    lens = ice.lens(moving(30), r_cut=3.4, delay=2)
    result = ice.smooth(lens, window=7)
    assert dask.is_dask_collection(result["lens"])
    values, smoothed = lens["lens"].values, result["lens"].values
    np.testing.assert_allclose(smoothed[:-2], savgol_filter(values[:-2], 7, 2, axis=0), atol=1e-5)
    assert np.isnan(smoothed[-2:]).all()
    assert result["lens"].attrs == lens["lens"].attrs
    assert set(result.coords) == set(lens.coords)
    assert result.attrs["parents"] == [lens.attrs["run_id"]]
    assert result.attrs["run_id"] != ice.smooth(lens, window=9).attrs["run_id"]
    saved = ice.save(result, tmp_path / "s.zarr", label="smooth")
    assert saved.attrs["group"] == "results"
    assert saved.attrs["parameters"] == {"window": 7, "order": 2}
    np.testing.assert_array_equal(saved["lens"], smoothed)
    reopened = ice.smooth(ice.save(lens, tmp_path / "s.zarr"), window=7)
    assert reopened.attrs["run_id"] == result.attrs["run_id"]
    np.testing.assert_array_equal(reopened["lens"], smoothed)


def test_soap_keeps_its_labels(nothing_computes: None) -> None:
    soap = ice.soap(moving(6), r_cut=4.0, n_max=2, l_max=1)
    smoothed = ice.smooth(soap, window=3)
    assert smoothed["soap"].dims == soap["soap"].dims
    for name in ("species_a", "n_b", "l"):
        assert smoothed[name].identical(soap[name])


def test_smoothed_features_are_other_features() -> None:
    trj = moving(12)
    options = {"r_cut": 3.4}
    model = ice.PCA().fit(ice.smooth(ice.lens(trj, **options), window=5))
    model.transform(ice.smooth(ice.lens(trj.isel(frame=slice(0, 9)), **options), window=5))
    others = [
        ice.lens(trj, **options),
        ice.smooth(ice.lens(trj, **options), window=7),
        ice.smooth(ice.lens(trj, r_cut=3.5), window=5),
    ]
    for other in others:
        with pytest.raises(InputError, match="compute them with the same options"):
            model.transform(other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window: expected at least 1 frame, found 0"),
        ({"window": 5.5}, "window: expected a whole number"),
        ({"window": True}, "window: expected a number"),
        ({"window": 5, "order": -1}, "order: expected at least 0, found -1"),
        ({"window": 2}, "a polynomial of order 2 needs a window of at least 3 frames, found 2"),
        ({"window": 12}, "window 12 needs at least 12 frames with values, the trajectory has 11"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ice.smooth(series(11, 3), **options)


def test_uneven_steps() -> None:
    ds = series(20, 3)
    with pytest.raises(InputError, match="smooth: expected frames at even time steps"):
        ice.smooth(ds.isel(frame=[0, 1, 2, 5, 6, 7]), window=3)
    unknown = ds.assign_coords(time=("frame", np.full(20, np.nan)))
    assert ice.smooth(unknown, window=3)["value"].shape == (20, 3)
    assert ice.smooth(ds.drop_vars("time"), window=3)["value"].shape == (20, 3)


def test_nothing_to_smooth() -> None:
    counts = series(9, 3)["value"].astype(int)
    vectors = series(9, 3, 4).expand_dims(xyz=3, axis=3)
    for wrong in (xr.Dataset(), counts, counts.to_dataset(), vectors):
        with pytest.raises(InputError, match="one floating-point variable"):
            ice.smooth(wrong, window=3)


def test_blocks_are_shipped_to_other_processes() -> None:
    smoothed = ice.smooth(series(20, 3).chunk(frame=5), window=5)["value"]
    copy = cloudpickle.loads(cloudpickle.dumps(smoothed))
    np.testing.assert_array_equal(copy, smoothed)
