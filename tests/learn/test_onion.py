"""Onion clustering against the authors' program and planted states, in any blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import tropea_clustering
import xarray as xr
from helpers.systems import system
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score

import icedask as ice
from icedask.errors import InputError
from icedask.learn import onion
from icedask.store import chunks
from icedask.tasks import run as compute

LEARNED = ("means_", "sigmas_", "areas_", "fractions_", "thresholds_", "bands_")


def telegraph(
    means: list[float],
    widths: list[float],
    *,
    shape: tuple[int, int] = (603, 60),
    shares: list[float] | None = None,
    stay: float = 0.99,
    seed: int = 0,
) -> tuple[np.ndarray, xr.Dataset]:
    """Atoms that jump between levels with noise of these standard deviations."""
    rng = np.random.default_rng(seed)
    state = rng.choice(len(means), size=shape, p=shares)
    for frame in range(1, shape[0]):
        stays = rng.random(shape[1]) < stay
        state[frame, stays] = state[frame - 1, stays]
    values = rng.normal(np.array(means)[state], np.array(widths)[state])
    time = ("frame", 0.5 * np.arange(shape[0]))
    return state, xr.Dataset({"signal": (("frame", "atom"), values)}, {"time": time})


TWO = ([0.0, 1.0], [0.1, 0.1])
THREE = ([0.1, 0.3, 0.7], [0.03, 0.04, 0.08])


def authors(ds: xr.Dataset, window: int, n_sigma: float) -> tuple[list[Any], np.ndarray]:
    """Return the states and the labels (frame, atom) of the authors' program."""
    values = ds["signal"].values
    values = values[: len(values) // window * window].T
    cut = tropea_clustering.helpers.reshape_from_nt(values.copy(), window)
    states, labels = tropea_clustering.onion_uni(cut, number_of_sigmas=n_sigma)
    return states, np.repeat(labels.reshape(len(values), -1), window, axis=1).T


@pytest.mark.parametrize(
    ("levels", "window", "n_sigma"),
    [(TWO, 5, 2.0), (TWO, 20, 3.0), (THREE, 5, 2.0), (THREE, 10, 2.0)],
)
def test_equals_the_authors_program(levels: Any, window: int, n_sigma: float) -> None:
    _, ds = telegraph(*levels)
    states, expected = authors(ds, window, n_sigma)
    model = ice.OnionClustering(window, n_sigma=n_sigma).fit(ds)
    np.testing.assert_allclose(model.means_, [state.mean for state in states], rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(model.sigmas_, [state.sigma for state in states], rtol=3e-3)
    labels = model.predict(ds)["label"].values[: len(expected)]
    assert adjusted_rand_score(expected.ravel(), labels.ravel()) > 0.99
    both = (expected >= 0) & (labels >= 0)
    np.testing.assert_array_equal(expected[both], labels[both])
    # It also labels some windows that are in no band, if their values are close to each other.
    assert np.mean((expected < 0) & (labels >= 0)) < 0.001
    limits = [state.th_sup[0] for state in states[:-1]]
    np.testing.assert_allclose(model.thresholds_, limits, rtol=2e-3)


def test_equals_the_authors_program_on_lens(mw: xr.Dataset) -> None:
    # Skewed and on a comb: no Gaussians.
    lens = ice.lens(ice.select(mw, "index 0:999"), r_cut=5.0).compute()
    ds = lens.isel(frame=slice(-1)).rename(lens="signal").astype(np.float64)
    states, _ = authors(ds, 3, 2.0)
    model = ice.OnionClustering(3).fit(ds)
    np.testing.assert_allclose(model.means_, [state.mean for state in states], atol=2e-3)
    np.testing.assert_allclose(model.sigmas_, [state.sigma for state in states], rtol=0.02)
    np.testing.assert_allclose(
        model.thresholds_, [state.th_sup[0] for state in states[:-1]], atol=2e-3
    )


@pytest.mark.parametrize(("levels", "window"), [(TWO, 10), (THREE, 10)])
def test_planted_states(levels: Any, window: int) -> None:
    means, widths = levels
    truth, ds = telegraph(means, widths, shape=(600, 100))
    model = ice.OnionClustering(window)
    label = model.fit_predict(ds)["label"].values
    np.testing.assert_allclose(model.means_, means, rtol=0.02, atol=0.005)
    # Broader than planted: the bandwidth is that of the values as a whole.
    assert (model.sigmas_ > 0.95 * np.sqrt(2) * np.array(widths)).all()
    np.testing.assert_allclose(model.sigmas_ / np.sqrt(2), widths, rtol=0.5)
    assert adjusted_rand_score(truth[label >= 0], label[label >= 0]) > 0.99
    assert model.n_states_ == len(means)
    assert model.n_windows_ == 60 * 100
    assert np.mean(label < 0) == pytest.approx(model.unclassified_)
    assert 0.03 < model.unclassified_ < 0.12
    counts = np.bincount(label[label >= 0]) / label.size
    np.testing.assert_allclose(model.fractions_, counts)
    assert ((means[:-1] < model.thresholds_) & (model.thresholds_ < means[1:])).all()


def test_one_state() -> None:
    _, ds = telegraph([0.4], [0.2], shape=(100, 200))
    model = ice.OnionClustering(5).fit(ds)
    np.testing.assert_allclose(model.means_, [0.4], rtol=0.02)
    np.testing.assert_allclose(model.sigmas_, [0.2 * np.sqrt(2)], rtol=0.02)
    assert len(model.thresholds_) == 0
    # In 1 - 0.9953^5 of the windows a value is beyond 2 sqrt(2) standard deviations.
    assert model.unclassified_ < 0.024
    assert set(np.unique(model.predict(ds)["label"])) == {-1, 0}


@pytest.mark.parametrize("blocks", [(603, 60), (1, 60), (8, 7), (100, 60)])
def test_blocks_change_nothing(blocks: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    _, ds = telegraph(*THREE)
    whole = ice.OnionClustering(10).fit(ds)
    expected = whole.predict(ds)["label"].values
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 60 * 37)
    monkeypatch.setattr(chunks, "BLOCK_BYTES", 2**13)
    split = ds.chunk(frame=blocks[0], atom=blocks[1])
    model = ice.OnionClustering(10).fit(split)
    for name in LEARNED:
        np.testing.assert_array_equal(getattr(model, name), getattr(whole, name), err_msg=name)
    label = model.predict(split)["label"]
    assert label.data.numblocks[0] > 1 and label.data.numblocks[1] > 1
    np.testing.assert_array_equal(label, expected)


def test_window_is_one_value() -> None:
    _, ds = telegraph(*TWO)
    label = ice.OnionClustering(20).fit_predict(ds)["label"].values
    assert (label[600:] == -1).all()  # 603 frames
    windows = label[:600].reshape(30, 20, -1)
    assert (windows == windows[:, :1]).all()


def test_windows_with_nan_are_noise() -> None:
    _, ds = telegraph(*TWO, shape=(200, 60))
    values = ds["signal"].values
    expected = ice.OnionClustering(10).fit(ds.isel(frame=slice(190)))
    values[-3:] = np.nan  # as LENS
    model = ice.OnionClustering(10).fit(ds)
    assert model.n_windows_ == 19 * 60
    for name in LEARNED:
        np.testing.assert_array_equal(getattr(model, name), getattr(expected, name))
    assert (model.predict(ds)["label"].values[190:] == -1).all()
    values[55, 7] = np.nan
    model = ice.OnionClustering(10).fit(ds)
    assert model.n_windows_ == 19 * 60 - 1
    assert (model.predict(ds)["label"].values[50:60, 7] == -1).all()


def test_predicts_other_frames() -> None:
    _, ds = telegraph(*TWO)
    model = ice.OnionClustering(10).fit(ds)
    later = ds.isel(frame=slice(200, 300))
    np.testing.assert_array_equal(
        model.predict(later)["label"], model.predict(ds)["label"].values[200:300]
    )


def test_predict_is_lazy(nothing_computes: None) -> None:
    _, ds = telegraph(*TWO)
    with dask.config.set(scheduler="sync"):
        model = ice.OnionClustering(10).fit(ds)
    ds["signal"] = ds["signal"].copy(data=da.from_array(ds["signal"].values, chunks=(30, 60)))
    label = model.predict(ds)["label"]
    assert dask.is_dask_collection(label)
    assert label.dtype == np.int32
    assert set(label.coords) == {"time"}


def test_lens_in_a_store(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    atoms = [system("orthogonal") for _ in range(60)]
    for frame, snapshot in enumerate(atoms):
        # Quiet first, then restless.
        snapshot.positions += rng.normal(0, 0.02 if frame < 30 else 0.35, snapshot.positions.shape)
    trj = ice.from_ase(atoms, frame_interval=1.0)
    lens = ice.lens(trj, r_cut=3.2, delay=2)
    model = ice.OnionClustering(5, bins=60).fit(lens)
    label = model.predict(lens)
    assert label.attrs["parents"] == [model.record_.run_id, lens.attrs["run_id"]]
    ice.save(model, tmp_path / "s.zarr", label="onion")
    loaded = ice.load_model(tmp_path / "s.zarr", "onion")
    assert loaded.get_params() == model.get_params()
    for name in (*LEARNED, "n_states_", "n_windows_", "unclassified_"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name))
    saved = ice.save(loaded.predict(lens), tmp_path / "s.zarr")
    np.testing.assert_array_equal(saved["label"], label["label"])
    assert saved.attrs["run_id"] == label.attrs["run_id"]
    with pytest.raises(InputError, match="compute them with the same options"):
        model.predict(ice.lens(trj, r_cut=4.0, delay=2))
    assert (label["label"].values[-5:] == -1).all()


def test_no_state_in_a_store(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    ds = xr.Dataset({"signal": (("frame", "atom"), rng.choice([0.0, 1.0], (300, 4)))})
    model = ice.OnionClustering(100).fit(ds)
    assert (model.n_states_, model.unclassified_) == (0, 1.0)
    ice.save(model, tmp_path / "s.zarr")
    loaded = ice.load_model(tmp_path / "s.zarr", model.record_.run_id)
    assert loaded.bands_.shape == (0, 2)
    assert (loaded.predict(ds)["label"] == -1).all()


def test_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 60 * 100)
    _, ds = telegraph(*THREE)
    passes = []
    original = onion.reduce_blocks
    monkeypatch.setattr(onion, "reduce_blocks", lambda *a: (passes.append(a[-1]), original(*a))[1])
    windows = [2, 5, 20, 60]
    scan = ice.onion_scan(ds.chunk(frame=50), windows)
    together = len(passes)
    alone = []
    for window in windows:
        passes.clear()
        model = ice.OnionClustering(window).fit(ds)
        alone.append(len(passes))
        here = scan.sel(window=window)
        assert (here["n_states"], here["unclassified"]) == (model.n_states_, model.unclassified_)
    assert together == max(alone)
    assert (np.diff(scan["unclassified"]) > 0).all()
    np.testing.assert_array_equal(scan["window_time"], [1.0, 2.5, 10.0, 30.0])
    assert scan["window_time"].attrs["units"] == "picosecond"
    saved = ice.save(scan, tmp_path / "s.zarr", label="scan")
    xr.testing.assert_equal(saved.compute(), scan)
    assert saved.attrs["parameters"]["windows"] == windows


def test_workers_give_the_same(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 60 * 100)
    _, ds = telegraph(*THREE)
    split = ds.chunk(frame=100)
    there = ice.OnionClustering(10).fit(split)
    label = there.predict(split)["label"].values
    scan = ice.onion_scan(split, [5, 20])
    monkeypatch.setattr(compute, "active_client", lambda *_: None)
    with dask.config.set(scheduler="threads"):
        here = ice.OnionClustering(10).fit(split)
        for name in LEARNED:
            np.testing.assert_array_equal(getattr(here, name), getattr(there, name))
        np.testing.assert_array_equal(here.predict(split)["label"], label)
        xr.testing.assert_equal(ice.onion_scan(split, [5, 20]), scan)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"window": 0}, "window: expected at least 1 frame, found 0"),
        ({"window": 5.0}, "window: expected a whole number"),
        ({"window": 604}, "window 604 needs at least 604 frames with values, the trajectory has"),
        ({"window": 5, "bins": 3}, "bins: expected at least 10, found 3"),
        ({"window": 5, "n_sigma": 0}, "n_sigma: expected a number above 0, found 0"),
        ({"window": 5, "n_sigma": "2"}, "n_sigma: expected a number, found '2'"),
    ],
)
def test_bad_parameters(parameters: dict[str, Any], message: str) -> None:
    _, ds = telegraph(*TWO)
    with pytest.raises(InputError, match=message):
        ice.OnionClustering(**parameters).fit(ds)


def test_window_longer_than_what_has_values() -> None:
    _, ds = telegraph(*TWO, shape=(20, 60))
    ds["signal"].values[15:] = np.nan
    with pytest.raises(InputError, match="choose a shorter window"):
        ice.OnionClustering(20).fit(ds)
    ds["signal"].attrs["delay"] = 5
    with pytest.raises(InputError, match="at least 20 frames with values, the trajectory has 15"):
        ice.OnionClustering(20).fit(ds)


def test_bad_series() -> None:
    _, ds = telegraph(*TWO)
    with pytest.raises(InputError, match=r"choose one component, for example x\.isel\(feature=0\)"):
        ice.OnionClustering(5).fit(ds.expand_dims(feature=2, axis=2))
    with pytest.raises(InputError, match="even time steps"):
        ice.OnionClustering(5).fit(ds.isel(frame=[0, 1, 2, 3, 7, 8]))
    with pytest.raises(InputError, match="at least one atom"):
        ice.OnionClustering(5).fit(ds.isel(atom=slice(0, 0)))
    for scale in (1e200, 1e-200):
        with pytest.raises(InputError, match="scale them"):
            ice.OnionClustering(5).fit(ds * scale)


@pytest.mark.parametrize("windows", [5, "12", None])
def test_bad_windows(windows: Any) -> None:
    _, ds = telegraph(*TWO)
    with pytest.raises(InputError, match=r"expected numbers of frames such as \[5, 10\]"):
        ice.onion_scan(ds, windows)
    with pytest.raises(InputError, match=r"values that differ, found 0\.5 in all windows"):
        ice.OnionClustering(5).fit(xr.full_like(ds, 0.5))
    with pytest.raises(InputError, match="windows: expected at least one"):
        ice.onion_scan(ds, [])
    with pytest.raises(NotFittedError, match="call fit"):
        ice.OnionClustering(5).predict(ds)
