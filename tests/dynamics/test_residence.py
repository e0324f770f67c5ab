"""Residence times against loops, and of chains with known times."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.label_oracles import (
    chain,
    counted_pairs,
    counted_visits,
    dataset,
    random_chunks,
    random_labels,
)

import icedask as ice
from icedask.tasks import graphs


@pytest.mark.parametrize("seed", range(30))
def test_any_blocks_equal_a_loop(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(graphs, "WAVE_TASKS", int(rng.choice([1, 7, 4096])))
    n_frames, n_atoms = int(rng.integers(1, 40)), int(rng.integers(1, 9))
    label = random_labels(rng, n_frames, n_atoms)
    ds = dataset(label, (random_chunks(rng, n_frames), random_chunks(rng, n_atoms)))
    residence = ice.residence_times(ds)
    complete, cut = counted_visits(label)
    durations = residence["duration"].values
    assert durations.tolist() == sorted({frames for _, frames in (*complete, *cut)})
    for state in residence["state"].values:
        for place, frames in enumerate(durations):
            assert residence["visits"].values[state, place] == complete[state, frames]
            assert residence["censored"].values[state, place] == cut[state, frames]
    np.testing.assert_array_equal(
        residence["n_visits"], (residence["visits"] + residence["censored"]).sum("duration")
    )
    frames_in = ((residence["visits"] + residence["censored"]) * residence["duration"]).sum(
        "duration"
    )
    np.testing.assert_array_equal(frames_in, [(label == k).sum() for k in range(label.max() + 1)])
    flux = counted_pairs(label, 1, label.max() + 1)[0]
    exits = flux.sum(axis=1) - flux.diagonal()
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(exits > 0, flux.sum(axis=1) / exits, np.inf)
    expected[residence["n_visits"] == 0] = np.nan
    np.testing.assert_allclose(residence["residence_time"], expected)


def test_short_trajectories_of_a_chain_with_known_times() -> None:
    # Much shorter than the visits: means over complete visits would be far off.
    label = chain([[0.98, 0.02], [0.05, 0.95]], 12, 40_000, np.random.default_rng(1))
    times = ice.residence_times(dataset(label, time=0.5 * np.arange(12)))["residence_time"]
    np.testing.assert_allclose(times, [0.5 / 0.02, 0.5 / 0.05], rtol=0.03)
    assert times.attrs["units"] == "picosecond"


def test_agrees_with_the_probability_of_staying() -> None:
    label = random_labels(np.random.default_rng(2), 200, 20)
    stays = np.diagonal(ice.transitions(dataset(label))["probability"])
    times = ice.residence_times(dataset(label))["residence_time"]
    np.testing.assert_allclose(times, 1 / (1 - stays))
    assert times.attrs["units"] == "frame"


def test_never_left_and_never_visited() -> None:
    residence = ice.residence_times(dataset([[0, 2], [0, -1], [0, 3]]))
    np.testing.assert_array_equal(residence["residence_time"], [np.inf, np.nan, np.inf, np.inf])
    assert residence["n_visits"].values.tolist() == [1, 0, 1, 1]
    assert int(residence["visits"].sum()) == 0


def test_blocks_without_frames() -> None:
    label = random_labels(np.random.default_rng(4), 9, 3)
    empty = dataset(label, ((0, 4, 0, 5, 0), (3, 0)))
    assert ice.residence_times(empty).equals(ice.residence_times(dataset(label)))
    assert ice.transitions(empty, lag=2).equals(ice.transitions(dataset(label), lag=2))
    assert ice.populations(empty).equals(ice.populations(dataset(label)))
