"""Rows with bad luck: most of them NaN, motifs without members, values that nobody knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import icedask as ice
from icedask.core.features import input_record
from icedask.core.provenance import stamped
from icedask.motifs.table import category_table, motif_table
from icedask.nn.row_stream import split_by_time


@pytest.mark.parametrize("seed", range(5))
def test_rows_to_learn_from_are_left_wherever_they_are(seed: int) -> None:
    # One stretch of time has rows, then two.
    counts = np.zeros(12, int)
    counts[6] = 40
    alone = split_by_time(counts, (12, 1), 0.5, seed)
    assert alone.train.tolist() == [6] and not len(alone.held)
    counts[9] = 40
    two = split_by_time(counts, (12, 1), 0.5, seed)
    assert len(two.train) == len(two.held) == 1


def test_a_motif_without_members_has_no_means() -> None:
    dims = ("frame", "atom")
    latent = xr.Dataset({"latent": ((*dims, "component"), np.arange(12.0).reshape(2, 3, 2))})
    record = input_record(latent)
    members = np.array([[0, 0, -1], [2, 0, -1]], np.int32)
    labels = stamped(xr.Dataset({"label": (dims, members)}), record)
    density = xr.Dataset({"density": (dims, np.array([[1.0, 3.0, 9.0], [np.nan, 2.0, 9.0]]))})
    known = {"flag_values": [0, 1], "flag_meanings": "ice liquid"}
    classes = np.array([[0, 0, 1], [1, 0, 1]], np.int32)
    reference = stamped(xr.Dataset({"label": (dims, classes, known)}), record)
    table = motif_table(
        labels,
        latent,
        {"density": density},
        reference,
        n_motifs=3,
        categories={"ice": ("ice",), "liquid": ("liquid",)},
        share=0.5,
    )
    assert table["members"].values.tolist() == [3, 0, 1]
    assert table["category"].values.tolist() == [0, 1, 2]
    assert table["medoid_frame"].values.tolist() == [0, -1, 1]
    # Of the numbers of frames, whose times nobody knows.
    np.testing.assert_array_equal(table["mean_time"], [1 / 3, np.nan, 1])
    assert table["mean_time"].attrs["units"] == "1"
    np.testing.assert_array_equal(table["density"], [2, np.nan, np.nan])
    assert np.isnan(table["composition"].values[1]).all()
    ranges = category_table(table)
    np.testing.assert_array_equal(ranges["n_motifs"], [1, 1, 1])
    np.testing.assert_array_equal(ranges["density_max"], [2, np.nan, np.nan])


def test_nothing_is_left_of_runs_that_were_killed(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(4, 30, 3))
    x = xr.Dataset({"features": (("frame", "atom", "feature"), rows)})
    half = tmp_path / "training[1].npz.123.new"
    half.write_bytes(b"half")
    ice.VAE(1, layers=(4,), epochs=1).fit(x, checkpoint=tmp_path / "training[1].npz")
    assert not list(tmp_path.iterdir())
