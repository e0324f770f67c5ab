"""Entries into and exits from dynamic states by structural state, against a loop."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from helpers.label_oracles import dataset, random_chunks, random_labels

import icedask as ice
from icedask.errors import InputError


@pytest.mark.parametrize("seed", range(10))
def test_any_blocks_equal_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dynamic, structural = random_labels(rng, 19, 7), random_labels(rng, 19, 7)
    before, after, during = (np.zeros((4, 4), np.int64) for _ in range(3))
    for atom in range(7):
        for t in range(19):
            d, s = dynamic[t, atom], structural[t, atom]
            if d >= 0 and s >= 0:
                during[d, s] += 1
            if t == 18 or d < 0:
                continue
            d_next, s_next = dynamic[t + 1, atom], structural[t + 1, atom]
            if d_next >= 0 and d_next != d:
                if s >= 0:
                    before[d_next, s] += 1
                if s_next >= 0:
                    after[d, s_next] += 1

    def cut(label: np.ndarray) -> xr.Dataset:
        return dataset(label, (random_chunks(rng, 19), random_chunks(rng, 7)))

    counts = ice.entry_exit_counts(cut(dynamic), cut(structural))
    np.testing.assert_array_equal(counts["before"], before)
    np.testing.assert_array_equal(counts["after"], after)
    np.testing.assert_array_equal(counts["during"], during)


def test_other_rows() -> None:
    ds = dataset(np.zeros((4, 2)), step=np.arange(4))
    with pytest.raises(InputError, match="expected the same atoms in both, found 2 and 1"):
        ice.entry_exit_counts(ds, ds.isel(atom=[0]))
    with pytest.raises(InputError, match="found step 0 and 5 at frame 0"):
        ice.entry_exit_counts(ds, ds.assign_coords(step=ds["step"] + 5))
