"""Means by label: equal to a loop over the labels, in any blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from icedask.dynamics.group_means import block_groups, group_means, indicators, merged_groups

SHAPE = (9, 40)
N_GROUPS = 5


def arrays() -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Labels, one of them without members and some negative; a value with NaN; three features."""
    rng = np.random.default_rng(0)
    label = rng.choice([-1, 0, 1, 2, 4], SHAPE).astype(np.int32)
    # The mean is far larger than the deviation: squares alone would lose it.
    value = 1e6 + rng.normal(size=SHAPE)
    value[rng.random(SHAPE) < 0.2] = np.nan
    value[label == 2] = np.nan
    rows, dims = rng.normal(size=(*SHAPE, 3)).astype(np.float32), ("frame", "atom")
    return (
        xr.DataArray(label, dims=dims),
        xr.DataArray(value, dims=dims),
        xr.DataArray(rows, dims=(*dims, "feature")),
    )


@pytest.mark.parametrize("chunks", [None, {"frame": 1}, {"frame": 4, "atom": 17}])
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom")
def test_equals_a_loop(chunks: Any) -> None:
    label, value, rows = arrays()
    lazy = [array if chunks is None else array.chunk(chunks) for array in (label, value, rows)]
    groups = group_means(*lazy, n_groups=N_GROUPS, description="means")
    columns = np.concatenate([value.values[..., None], rows.values], axis=2).astype(float)
    for number in range(N_GROUPS):
        members = columns[label.values == number]
        assert groups.members[number] == len(members)
        np.testing.assert_array_equal(groups.known[number], np.isfinite(members).sum(axis=0))
        np.testing.assert_allclose(groups.means[number], np.nanmean(members, axis=0), rtol=1e-12)
        np.testing.assert_allclose(groups.deviations[number], np.nanstd(members, axis=0), rtol=1e-6)


def test_values_are_rechunked_to_the_blocks_of_labels() -> None:
    label, value, rows = arrays()
    whole = group_means(label, value, rows, n_groups=N_GROUPS, description="means")
    split = group_means(
        label.chunk(frame=2),
        value.chunk(atom=13),
        rows.chunk(frame=5, feature=1),
        n_groups=N_GROUPS,
        description="means",
    )
    for array, other in zip(whole, split, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-7)


def test_merged_in_any_order() -> None:
    label, value, _ = (array.values for array in arrays())
    parts = [block_groups(label[[t]], value[[t]], n_groups=N_GROUPS) for t in range(SHAPE[0])]
    whole = block_groups(label, value, n_groups=N_GROUPS)
    nested = merged_groups([merged_groups(parts[5:]), *parts[2:5], merged_groups(parts[:2])])
    for array, other in zip(whole, nested, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-7)


def test_counts_alone() -> None:
    label, *_ = arrays()
    groups = group_means(label.chunk(frame=2), n_groups=N_GROUPS, description="counts")
    known = label.values[label.values >= 0]
    np.testing.assert_array_equal(groups.members, np.bincount(known, minlength=N_GROUPS))
    assert groups.means.shape == (N_GROUPS, 0)


def test_means_of_indicators_are_shares() -> None:
    label, *_ = arrays()
    classes = (label + 7) % 3
    lazy = indicators(classes.chunk(frame=4), 3)
    shares = group_means(label, lazy, n_groups=N_GROUPS, description="shares").means
    for number in (0, 1, 2, 4):
        counts = np.bincount(classes.values[label.values == number], minlength=3)
        np.testing.assert_allclose(shares[number], counts / counts.sum())
    assert np.isnan(shares[3]).all()
