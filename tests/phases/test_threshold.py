"""Thresholds of scores: planted modes, with and without a minimum between them, any blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import icedask as ice
from icedask.core.provenance import Record, stamped
from icedask.errors import InputError, StoreError
from icedask.phases.threshold import minimum_between_modes


def compared(score: np.ndarray, nearest: np.ndarray | None = None) -> xr.Dataset:
    """Return scores as a classifier of two phases would."""
    nearest = np.zeros(score.shape, np.int32) if nearest is None else nearest
    flags = {"flag_values": [0, 1], "flag_meanings": "Ih Ic"}
    dims = ("frame", "atom")
    ds = xr.Dataset(
        {
            "score": (dims, score.astype(np.float32)),
            "nearest": (dims, nearest.astype(np.int32), flags),
        }
    )
    return stamped(ds, Record("results", "phase_scores", 1, {}))


def two_modes(
    low: float, high: float, shares: tuple[int, int] = (6000, 4000), width: float = 0.35
) -> np.ndarray:
    rng = np.random.default_rng(0)
    parts = [
        center * np.exp(width * rng.normal(size=n))
        for center, n in zip((low, high), shares, strict=True)
    ]
    return rng.permutation(np.concatenate(parts)).reshape(10, -1)


@pytest.mark.parametrize(("low", "high"), [(0.3, 3.0), (0.5, 6.0), (1e-3, 4.0), (0.4, 1e4)])
def test_two_modes(low: float, high: float) -> None:
    histogram = ice.score_threshold(compared(two_modes(low, high)), near=1.2)
    threshold = float(histogram["threshold"])
    assert 0.4 < threshold < 3.6
    scores = two_modes(low, high)
    assert np.mean(scores < threshold) == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize(
    "score",
    [
        two_modes(0.3, 0.3),
        two_modes(1.2, 1.2),
        two_modes(8.0, 8.0),
        # Hardly a minimum.
        two_modes(0.8, 1.6, width=0.5),
        # Less than one in a thousand beyond.
        two_modes(0.3, 5.0, shares=(9995, 5)),
        np.zeros((2, 3)),
        np.full((2, 3), 1e30),
    ],
)
def test_no_minimum(score: np.ndarray) -> None:
    histogram = ice.score_threshold(compared(score), near=1.2)
    assert np.isnan(histogram["threshold"])
    assert histogram["count"].sum() == score.size


def test_minimum_far_from_the_expected_place_is_ignored() -> None:
    scores = compared(two_modes(0.01, 0.1))
    assert 0.02 < ice.score_threshold(scores, near=0.03)["threshold"] < 0.05
    for near in (1e-4, 30.0, 1e-12, 1e12):
        assert np.isnan(ice.score_threshold(scores, near=near)["threshold"])


def test_flat_minimum_is_cut_in_the_middle() -> None:
    threshold = float(
        ice.score_threshold(compared(two_modes(0.1, 20.0, width=0.1)), near=1.4)["threshold"]
    )
    assert threshold == pytest.approx(np.sqrt(0.1 * 20.0), rel=0.35)


def test_counts() -> None:
    score = two_modes(0.3, 3.0)
    nearest = np.random.default_rng(1).integers(0, 2, score.shape)
    histogram = ice.score_threshold(compared(score, nearest), near=1.0)
    assert histogram["phase"].values.tolist() == ["Ih", "Ic"]
    np.testing.assert_array_equal(histogram["score_low"][1:], histogram["score_high"][:-1])
    edges = [*histogram["score_low"].values, histogram["score_high"].values[-1]]
    for phase in (0, 1):
        expected, _ = np.histogram(score[nearest == phase].astype(np.float32), edges)
        np.testing.assert_array_equal(histogram["count"][phase], expected)
    assert histogram["count"].dtype == np.int64
    beyond = ice.score_threshold(compared(np.array([[0.0, 1e-30, 1e9]])), near=1.0)["count"][0]
    assert beyond.values[[0, -1]].tolist() == [2, 1]


@pytest.mark.parametrize("chunks", [{"frame": 3, "atom": 170}, {"frame": 1}, {"atom": 1}])
def test_blocks_change_nothing(chunks: dict[str, int]) -> None:
    score = two_modes(0.3, 3.0)[:, :300]
    nearest = np.random.default_rng(1).integers(0, 2, score.shape)
    whole = compared(score, nearest)
    expected = ice.score_threshold(whole, near=1.0)
    split = whole.chunk(chunks)
    # Blocks of one need not be those of the other.
    split["nearest"] = split["nearest"].chunk({"frame": 4, "atom": 100})
    histogram = ice.score_threshold(split, near=1.0)
    for name in ("count", "threshold"):
        np.testing.assert_array_equal(histogram[name], expected[name])


def test_scores_of_a_classifier(
    classifier: ice.PhaseClassifier, shipped: ice.Denoiser, tmp_path: Path
) -> None:
    atoms = ice.Phases.named("VI").structures["VI"] * (2, 2, 2)
    atoms.rattle(0.1, seed=3)
    scores = classifier.compare(shipped.denoise(ice.from_ase([atoms, atoms])))
    histogram = ice.score_threshold(scores, near=classifier.threshold_)
    assert histogram["count"].sel(phase="VI").sum() == 160
    assert np.isnan(histogram["threshold"])
    again = ice.save(histogram, tmp_path / "s.zarr")
    np.testing.assert_array_equal(again["count"], histogram["count"])
    ids = {
        ds.attrs["run_id"]
        for ds in (
            histogram,
            ice.score_threshold(scores, near=1.0),
            ice.score_threshold(scores.isel(frame=[0]), near=classifier.threshold_),
        )
    }
    assert len(ids) == 3
    assert ice.score_threshold(scores, near=1.0).attrs["parents"] == [scores.attrs["run_id"]]


def test_bad_input() -> None:
    scores = compared(two_modes(0.3, 3.0))
    for near in (0, -1.0, np.nan, np.inf, True, "1", None):
        with pytest.raises(InputError, match=r"near: expected a( finite)? number"):
            ice.score_threshold(scores, near=near)  # type: ignore[arg-type]
    bad: list[Any] = [
        (scores.drop_vars("score"), "found nearest"),
        (scores.drop_vars("nearest"), "found score"),
        (scores[[]], "found no variable"),
        (scores["score"], "found DataArray"),
    ]
    for ds, message in bad:
        with pytest.raises(InputError, match=f"expected what PhaseClassifier.compare .*{message}"):
            ice.score_threshold(ds, near=1.0)
    with pytest.raises(InputError, match=r"expected what PhaseClassifier\.compare"):
        ice.score_threshold(scores.drop_attrs(), near=1.0)
    bare = scores.copy()
    bare.attrs = {}
    with pytest.raises(StoreError, match="says how it was computed"):
        ice.score_threshold(bare, near=1.0)


def test_minimum_between_modes_of_counts() -> None:
    edges = np.logspace(-2, 2, 161)
    counts = np.zeros(160, np.int64)
    assert np.isnan(minimum_between_modes(counts, edges, 1.0))
    counts[50], counts[110] = 1000, 10
    assert 10**-0.6 < minimum_between_modes(counts, edges, 1.0) < 10**0.6
    # The smaller side holds too few.
    counts[110] = 1
    assert np.isnan(minimum_between_modes(counts, edges, 1.0))
