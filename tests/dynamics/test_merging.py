"""Merging of states: SciPy's tree, states without a correlation, and lazy labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from helpers.label_oracles import chain, dataset
from scipy.cluster.hierarchy import fcluster, linkage

import icedask as ice
from icedask.errors import InputError

# Two pairs of states that exchange atoms, rarely with the others.
PAIRS = np.array(
    [
        [0.60, 0.02, 0.36, 0.02],
        [0.02, 0.50, 0.02, 0.46],
        [0.40, 0.02, 0.56, 0.02],
        [0.02, 0.48, 0.02, 0.48],
    ]
)


def pairs(chunks: Any = (11, 13)) -> xr.Dataset:
    label = chain(PAIRS, 60, 40, np.random.default_rng(0))
    label[5:9, 3] = -1
    return dataset(label, chunks)


def test_equals_scipy() -> None:
    labels = pairs()
    transitions = ice.transitions(labels)
    merged = ice.merge_states(labels, transitions)
    tree = linkage(transitions["probability"].values, "average", metric="correlation")
    np.testing.assert_array_equal(merged["linkage"], tree)
    assert merged["leaf"].values.tolist() == [0, 1, 2, 3]
    assert merged["macro_state"].values.tolist() == [0, 1, 0, 1]
    old, new = labels["label"].values, merged["label"].values
    np.testing.assert_array_equal(new, np.where(old < 0, -1, np.array([0, 1, 0, 1])[old]))
    assert new.dtype == np.int32


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("cutoff", [0.3, 1.0, 1.2, 2.0])
def test_groups_equal_scipy(seed: int, cutoff: float) -> None:
    rng = np.random.default_rng(seed)
    label = chain(rng.dirichlet(np.full(7, 0.5), 7), 300, 10, rng)
    labels = dataset(label)
    transitions = ice.transitions(labels)
    macro = ice.merge_states(labels, transitions, cutoff=cutoff)["macro_state"].values
    rows = transitions["probability"].values
    leaves = np.flatnonzero(np.isfinite(rows).all(axis=1))
    expected = fcluster(linkage(rows[leaves], "average", "correlation"), cutoff, "distance")
    same = expected[:, None] == expected
    np.testing.assert_array_equal(macro[leaves][:, None] == macro[leaves], same)
    # In the order of the smallest members.
    first = [int(np.flatnonzero(macro == group)[0]) for group in range(macro.max() + 1)]
    assert first == sorted(first)


def test_merged_transitions_are_the_merged_flux() -> None:
    labels = pairs()
    transitions = ice.transitions(labels)
    merged = ice.merge_states(labels, transitions)
    macro = merged["macro_state"].values
    onto = (macro[:, None] == np.arange(macro.max() + 1)).astype(int)
    again = ice.transitions(merged)
    np.testing.assert_array_equal(again["flux"], onto.T @ transitions["flux"].values @ onto)
    assert again.attrs["n_excluded"] == transitions.attrs["n_excluded"]


def test_states_without_a_correlation() -> None:
    # 1 is constant, 2 is never left and never seen again, 3 does not occur.
    label = [[0, 1, 1, 1, 1, 4, 0], [0, 0, 1, 4, 3, 4, 4]]
    labels = dataset(label)
    transitions = ice.transitions(labels)
    assert np.isnan(transitions["probability"][3]).all()
    constant = transitions.copy()
    constant["probability"] = constant["probability"].copy()
    constant["probability"][1] = 0.2
    merged = ice.merge_states(labels, constant, cutoff=2.0)
    assert merged["leaf"].values.tolist() == [0, 4]
    assert merged["macro_state"].values.tolist() == [0, 1, 2, 3, 0]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (np.zeros((4, 2)), [0]),
        ([[0, 1]] * 4, [0, 1]),
        ([[0], [1], [0], [1]], [0, 1]),
        # Both rows are constant.
        ([[0, 0, 1, 1], [0, 1, 0, 1]], [0, 1]),
        # Both leave alike: one half each would be constant, these are not.
        ([[0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 1]], [0, 0]),
    ],
)
def test_few_states(label: Any, expected: list[int]) -> None:
    labels = dataset(label)
    merged = ice.merge_states(labels, ice.transitions(labels))
    assert merged["macro_state"].values.tolist() == expected


def test_lazy(nothing_computes: None) -> None:
    labels = pairs()
    with dask.config.set(scheduler="sync"):
        transitions = ice.transitions(labels)
    merged = ice.merge_states(labels, transitions)
    assert merged["label"].chunks == labels["label"].chunks


def test_names_of_merged_states() -> None:
    labels = pairs(None)
    labels["label"].attrs |= {"flag_values": [0, 1, 2, 3], "flag_meanings": "ice water snow rain"}
    merged = ice.merge_states(labels, ice.transitions(labels))
    assert merged["label"].attrs["flag_meanings"] == "ice+snow water+rain"
    assert merged["label"].attrs["flag_values"] == [0, 1]
    assert merged["state"].attrs["flag_meanings"] == "ice water snow rain"
    assert ice.transitions(merged)["from"].attrs["flag_meanings"] == "ice+snow water+rain"


def test_transitions_of_other_labels() -> None:
    labels, others = pairs(None), dataset(chain(PAIRS, 60, 40, np.random.default_rng(1)))
    with pytest.raises(InputError, match=r"expected the transitions of label-.*found those of"):
        ice.merge_states(labels, ice.transitions(others))
    unrecorded = ice.transitions(labels).drop_attrs()
    assert ice.merge_states(labels, unrecorded)["macro_state"].size == 4
    fewer = ice.merge_states(labels, unrecorded.isel({"from": [0, 1], "to": [0, 1]}))
    with pytest.raises(InputError, match=r"labels below 2, the number of states .* found 3"):
        fewer["label"].compute()
    labels["label"].attrs |= {"flag_values": [0, 1, 2, 3], "flag_meanings": "a b c d"}
    with pytest.raises(InputError, match="between the 4 states of the labels, found 2"):
        ice.merge_states(labels, unrecorded.isel({"from": [0, 1], "to": [0, 1]}))


@pytest.mark.parametrize(
    ("transitions", "cutoff", "message"),
    [
        (None, 1.0, "probability .from, to., found NoneType"),
        (xr.Dataset(), 1.0, "probability .from, to., found Dataset without"),
        (xr.Dataset({"probability": (("from", "to"), np.eye(2)[:1])}), 1.0, "of equal size"),
        (xr.Dataset({"probability": (("a", "b"), np.eye(2))}), 1.0, "of equal size"),
        (None, -0.1, "cutoff: expected at least 0, found -0.1"),
        (None, 2.5, "cutoff: expected at most 2, found 2.5"),
        (None, "1", "cutoff: expected a number, found '1'"),
        (None, np.nan, "cutoff: expected a finite number, found nan"),
        (None, True, "cutoff: expected a number, found True"),
    ],
)
def test_bad_input(transitions: Any, cutoff: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ice.merge_states(pairs(), transitions, cutoff=cutoff)


def test_saved_and_reopened(mw: xr.Dataset, tmp_path: Path) -> None:
    labels = ice.chill_plus(mw)
    transitions = ice.transitions(labels)
    merged = ice.merge_states(labels, transitions, cutoff=0.5)
    assert merged.attrs["parents"] == [labels.attrs["run_id"], transitions.attrs["run_id"]]
    store = tmp_path / "mw.zarr"
    saved = ice.save(merged, store, label="macro")
    xr.testing.assert_identical(
        saved.drop_attrs(deep=False).load(), merged.drop_attrs(deep=False).load()
    )
    assert saved.attrs["cutoff"] == 0.5
    stored = ice.save(labels, store), ice.save(transitions, store)
    again = ice.merge_states(*stored, cutoff=0.5)
    assert again.attrs["run_id"] == saved.attrs["run_id"]
    xr.testing.assert_equal(ice.transitions(saved), ice.transitions(merged))


def test_two_processes_give_the_same(client: Any) -> None:
    labels = pairs()
    merged = ice.merge_states(labels, ice.transitions(labels))["label"].compute()
    macro = np.array([0, 1, 0, 1])
    old = labels["label"].values
    np.testing.assert_array_equal(merged, np.where(old < 0, -1, macro[old]))
