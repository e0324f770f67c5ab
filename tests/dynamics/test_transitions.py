"""Transitions and populations against loops, in any blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from helpers.label_oracles import chain, counted_pairs, dataset, random_chunks, random_labels

import icedask as ice
from icedask.errors import InputError
from icedask.tasks import graphs

TWO_STATES = np.array([[0.9, 0.1], [0.25, 0.75]])


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("lag", [1, 2, 3, 5])
def test_any_blocks_equal_a_loop(seed: int, lag: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng([seed, lag])
    monkeypatch.setattr(graphs, "WAVE_TASKS", int(rng.choice([1, 7, 4096])))
    n_frames, n_atoms = int(rng.integers(lag + 1, 30)), int(rng.integers(1, 9))
    label = random_labels(rng, n_frames, n_atoms)
    ds = dataset(label, (random_chunks(rng, n_frames), random_chunks(rng, n_atoms)))
    transitions = ice.transitions(ds, lag=lag)
    n_states = max(label.max() + 1, 0)
    flux, excluded = counted_pairs(label, lag, n_states)
    np.testing.assert_array_equal(transitions["flux"], flux)
    assert transitions.attrs["n_excluded"] == excluded
    assert int(transitions["flux"].sum()) + excluded == n_atoms * (n_frames - lag)
    sums = transitions["probability"].values.sum(axis=1)
    np.testing.assert_allclose(sums[flux.sum(axis=1) > 0], 1)
    assert np.isnan(sums[flux.sum(axis=1) == 0]).all()


def test_shares_of_entries() -> None:
    transitions = ice.transitions(dataset([[0, 1, 3], [0, 2, 3], [2, 2, 0], [0, 0, 0]]))
    expected = np.full((4, 4), np.nan)
    expected[:, 0] = [0, 0, 2 / 3, 1 / 3]
    expected[:, 2] = [1 / 2, 1 / 2, 0, 0]
    np.testing.assert_allclose(transitions["entered_from"], expected)
    assert transitions["flux"].dims == ("from", "to")
    assert transitions["from"].dtype == transitions["to"].dtype == np.int32


def test_a_chain_with_known_probabilities() -> None:
    label = chain(TWO_STATES, 4000, 50, np.random.default_rng(0))
    transitions = ice.transitions(dataset(label, (700, 20)))
    np.testing.assert_allclose(transitions["probability"], TWO_STATES, atol=0.005)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (np.arange(4) * 0.5, 1.0),
        ([0.0, 1.0, 2.5, 3.0], None),
        ([np.nan] * 4, None),
        ([0.0, 1.0, np.nan, 3.0], None),
        (None, None),
    ],
)
def test_lag_time_only_where_times_are_even(time: Any, expected: float | None) -> None:
    label = [[0], [1], [0], [1]]
    ds = dataset(label) if time is None else dataset(label, time=time)
    transitions = ice.transitions(ds, lag=2)
    assert transitions.attrs.get("lag_time") == expected
    assert transitions["flux"].values.tolist() == [[1, 0], [0, 1]]


def test_states_that_have_a_name_but_no_atoms() -> None:
    ds = dataset([[0], [1]])
    ds["label"].attrs |= {"flag_values": [0, 1, 2], "flag_meanings": "ice water air"}
    transitions = ice.transitions(ds)
    assert transitions["flux"].shape == (3, 3)
    assert transitions["from"].attrs["flag_meanings"] == "ice water air"
    assert ice.populations(ds)["population"].shape == (2, 3)
    assert ice.residence_times(ds)["n_visits"].values.tolist() == [1, 1, 0]


def test_nothing_labelled() -> None:
    ds = dataset(-np.ones((5, 3)))
    transitions = ice.transitions(ds)
    assert transitions["flux"].shape == (0, 0)
    assert transitions.attrs["n_excluded"] == 12
    assert ice.residence_times(ds)["visits"].shape == (0, 0)
    with pytest.raises(InputError, match="at least one state, found none"):
        ice.markov_test(ds, lags=(1, 2))
    merged = ice.merge_states(ds, transitions)
    np.testing.assert_array_equal(merged["label"], ds["label"])
    assert ice.populations(ds)["population"].shape == (5, 0)


@pytest.mark.parametrize(
    ("ds", "lag", "message"),
    [
        (dataset([[0]]), 1, "lag 1 needs at least 2 frames, the labels have 1"),
        (dataset([[0]] * 3), 3, "lag 3 needs at least 4 frames"),
        (dataset([[0]] * 3), 0, "at least 1 frame, found 0"),
        (dataset([[0]] * 3), 1.5, "a whole number"),
        (dataset(np.zeros((3, 0))), 1, "at least one frame and atom"),
        (dataset([[0]] * 3).astype("int64"), 1, "dtype int32, found int64"),
        (dataset([[0]] * 3).rename(label="cluster"), 1, "label .frame, atom., found cluster"),
        (dataset([[0]] * 3).transpose(), 1, "dimensions"),
        (dataset([[0], [5000]]), 1, "states below 1024, found 5000"),
        ([1, 2], 1, "found list"),
    ],
)
def test_bad_input(ds: Any, lag: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ice.transitions(ds, lag=lag)


def test_too_many_names() -> None:
    ds = dataset([[0], [1]])
    ds["label"].attrs["flag_values"] = [0, 10**6]
    with pytest.raises(InputError, match="states below 1024, found 1000000"):
        ice.transitions(ds)


def test_an_array_alone_is_enough() -> None:
    ds = dataset([[0], [1]])
    xr.testing.assert_equal(ice.transitions(ds["label"]), ice.transitions(ds))


@pytest.mark.parametrize("seed", range(5))
def test_populations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = random_labels(rng, 17, 6)
    label[4] = -1
    time = np.arange(17.0)
    ds = dataset(label, (random_chunks(rng, 17), random_chunks(rng, 6)), time=time)
    ds = ds.assign_coords(element=("atom", ["O"] * 6))
    population = ice.populations(ds)["population"]
    counts = np.array([[(row == state).sum() for state in range(4)] for row in label])
    expected = np.full(counts.shape, np.nan)
    expected[counts.sum(axis=1) > 0] = (counts / np.maximum(counts.sum(axis=1), 1)[:, None])[
        counts.sum(axis=1) > 0
    ]
    np.testing.assert_allclose(population, expected)
    assert np.isnan(population[4]).all()
    np.testing.assert_array_equal(population["time"], time)
    assert set(population.coords) == {"time", "state"}


def test_saved_and_reopened(mw: xr.Dataset, tmp_path: Path) -> None:
    labels = ice.chill_plus(mw)
    coordination = ice.coordination(mw, r_cut=3.5)["coordination"].clip(max=7)
    structural = coordination.to_dataset(name="label")
    structural["label"].attrs = {}
    for result in (
        ice.transitions(labels, lag=2),
        ice.populations(labels),
        ice.residence_times(labels),
        ice.markov_test(labels),
        ice.entry_exit_counts(labels, structural),
    ):
        saved = ice.save(result, tmp_path / "mw.zarr")
        xr.testing.assert_identical(
            saved.drop_attrs(deep=False).load(), result.drop_attrs(deep=False)
        )
        assert saved.attrs["run_id"] == result.attrs["run_id"]
        assert saved.attrs["parents"][0] == labels.attrs["run_id"]
    again = ice.transitions(ice.save(labels, tmp_path / "mw.zarr"), lag=2)
    assert again.attrs["run_id"] == ice.transitions(labels, lag=2).attrs["run_id"]
    assert again.attrs["run_id"] != ice.transitions(labels).attrs["run_id"]


def test_two_processes_count_the_same(client: Any) -> None:
    rng = np.random.default_rng(3)
    label = random_labels(rng, 60, 30)
    here, there = dataset(label), dataset(label, (7, 11))
    for function in (
        lambda ds: ice.transitions(ds, lag=3),
        ice.residence_times,
        ice.populations,
        ice.markov_test,
        lambda ds: ice.entry_exit_counts(ds, here),
    ):
        xr.testing.assert_equal(function(there), function(here))
