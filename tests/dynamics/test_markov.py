"""Chapman-Kolmogorov test of Markov chains, and of processes with memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.label_oracles import chain, counted_pairs, dataset, random_labels

import icedask as ice
from icedask.dynamics.lagged_counts import transitions_between
from icedask.dynamics.markov import prediction_noise
from icedask.errors import InputError

SLOW = np.array([[0.95, 0.04, 0.01], [0.03, 0.9, 0.07], [0.0, 0.1, 0.9]])


@pytest.mark.parametrize("seed", range(10))
def test_verdict_on_a_markov_chain(seed: int) -> None:
    label = chain(SLOW, 300, 100, np.random.default_rng(seed))
    test = ice.markov_test(dataset(label, (90, 40)))
    assert (test["row_error"] <= test["row_noise"]).all()
    assert test.attrs["verdict"].startswith("a Markov chain at a lag of 1 frame, within the noise")
    assert test["error"][0] == 0
    assert (test["error"] == test["row_error"].max("from")).all()


@pytest.mark.parametrize("lags", [(1, 2, 4, 8), (2, 4), (3,)])
def test_counts_of_each_lag(lags: tuple[int, ...]) -> None:
    label = random_labels(np.random.default_rng(0), 60, 12)
    test = ice.markov_test(dataset(label, (7, 5)), lags=lags)
    assert test["lag"].values.tolist() == list(lags)
    for lag in lags:
        flux = counted_pairs(label, lag, 4)[0]
        expected = flux / flux.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(test["probability"].sel(lag=lag), expected)
    first = test["probability"][0].values
    for lag in lags:
        power = np.linalg.matrix_power(first, lag // lags[0])
        np.testing.assert_allclose(test["predicted"].sel(lag=lag), power)
        distance = np.abs(test["probability"].sel(lag=lag).values - power).sum(axis=1) / 2
        np.testing.assert_allclose(test["error"].sel(lag=lag), distance.max(), atol=1e-15)


@pytest.mark.parametrize(
    ("n_frames", "n_atoms", "lags"),
    [(300, 100, (1, 2, 4, 8)), (60, 20, (1, 2, 4)), (20, 500, (1, 4, 8)), (100, 50, (3, 6, 12))],
)
def test_noise_is_the_spread_over_repeated_chains(
    n_frames: int, n_atoms: int, lags: tuple[int, ...]
) -> None:
    errors, noise = [], []
    for seed in range(60):
        label = chain(SLOW, n_frames, n_atoms, np.random.default_rng(seed))
        counts, _ = transitions_between(label, None, lags)
        probability = counts / counts.sum(axis=2, keepdims=True)
        steps = [lag // lags[0] for lag in lags]
        errors.append(
            probability - [np.linalg.matrix_power(probability[0], step) for step in steps]
        )
        noise.append(prediction_noise(counts, lags))
    spread, expected = np.std(errors, axis=0)[1:], np.mean(noise, axis=0)[1:]
    # Sixty chains know their spread to a tenth; overlapping intervals are taken as one.
    assert (spread < 1.3 * expected).all()
    assert (spread > 0.6 * expected).all()
    np.testing.assert_allclose(noise[0][0], 0, atol=1e-9)


def second_order(n_frames: int, n_atoms: int, seed: int) -> np.ndarray:
    """Two states; an atom that has just changed is likely to change back."""
    rng = np.random.default_rng(seed)
    label = np.zeros((n_frames, n_atoms), np.int32)
    for t in range(2, n_frames):
        just_came = label[t - 1] != label[t - 2]
        leaves = rng.random(n_atoms) < np.where(just_came, 0.4, 0.05)
        label[t] = np.where(leaves, 1 - label[t - 1], label[t - 1])
    return label


def test_verdict_on_a_process_with_memory() -> None:
    test = ice.markov_test(dataset(second_order(300, 100, 0)))
    assert test.attrs["verdict"].startswith("not a Markov chain at a lag of 1 frame")
    assert (test["row_error"][1:] > test["row_noise"][1:]).any()
    # The time scales have not converged: they grow with the lag.
    times = test["implied_time"].values[:, 0]
    assert (np.diff(times) > 0).all()


def test_noise_shrinks_with_the_counts() -> None:
    few, many = (
        ice.markov_test(dataset(chain(SLOW, 200, n_atoms, np.random.default_rng(0))), lags=(1, 4))
        for n_atoms in (10, 1000)
    )
    ratio = few["row_noise"][1] / many["row_noise"][1]
    np.testing.assert_allclose(ratio, 10, rtol=0.3)


def test_implied_times_of_a_chain() -> None:
    label = chain(SLOW, 2000, 200, np.random.default_rng(5))
    times = ice.markov_test(dataset(label, time=2.0 * np.arange(2000)))["implied_time"]
    values = np.sort(np.abs(np.linalg.eigvals(SLOW)))[::-1]
    expected = np.broadcast_to(-2.0 / np.log(values[1:]), (4, 2))
    np.testing.assert_allclose(times, expected, rtol=0.05)
    assert times.attrs["units"] == "picosecond"


def test_time_steps_that_are_too_long_are_named() -> None:
    probability = [[0.95, 0.05], [0.8, 0.2]]
    rng = np.random.default_rng(0)
    ds = dataset(chain(probability, 300, 50, rng))
    ds["label"].attrs |= {"flag_values": [0, 1], "flag_meanings": "slow fast"}
    verdict = ice.markov_test(ds).attrs["verdict"]
    assert verdict.startswith("too long a time step for state 1 (fast) (0.")
    assert "still there after 1 frame, so that changes are missed" in verdict
    assert "too long" not in ice.markov_test(dataset(chain(SLOW, 99, 9, rng))).attrs["verdict"]


def test_states_without_pairs() -> None:
    label = np.zeros((20, 3), np.int32)
    label[::2] = 1
    label[-1, 0] = 3
    test = ice.markov_test(dataset(label), lags=(1, 2))
    assert np.isnan(test["row_error"][:, 2:]).all()
    assert np.isfinite(test["error"]).all()
    assert "no data for state 2, state 3" in test.attrs["verdict"]


def test_a_single_state() -> None:
    test = ice.markov_test(dataset(np.zeros((12, 2))))
    assert test["implied_time"].shape == (4, 0)
    assert (test["error"] == 0).all()


@pytest.mark.parametrize(
    ("lags", "message"),
    [
        ((1, 2, 4, 8), "lag 8 needs at least 9 frames, the labels have 8"),
        ((), "whole numbers"),
        ("12", "whole numbers"),
        (2, "whole numbers"),
        ((2, 1), "ascending multiples of the first"),
        ((2, 3), "ascending multiples of the first"),
        ((1, 1), "ascending multiples of the first"),
        ((0, 1), "at least 1"),
        ((1.0, 2.0), "whole number"),
    ],
)
def test_bad_lags(lags: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ice.markov_test(dataset(np.zeros((8, 2))), lags=lags)


def test_lags_from_an_iterator() -> None:
    label = np.random.default_rng(0).integers(0, 2, (8, 2))
    listed, other = (ice.markov_test(dataset(label), lags=lags) for lags in ((1, 2), iter((1, 2))))
    np.testing.assert_array_equal(listed["error"], other["error"])


def test_verdict_names_a_place_once() -> None:
    rng = np.random.default_rng(0)
    # Ten frames in each state, then the other one.
    label = (np.arange(200)[:, None] + rng.integers(0, 20, 500)) // 10 % 2
    verdict = ice.markov_test(dataset(label)).attrs["verdict"]
    assert "not a Markov chain" in verdict
    places = [part.rsplit("(", 1)[1] for part in verdict.split(";") if "where noise" in part]
    assert len(places) == len(set(places))
