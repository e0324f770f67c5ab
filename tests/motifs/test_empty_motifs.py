"""Motifs without members, and motifs without values to be numbered by."""

from __future__ import annotations

import numpy as np
import xarray as xr

from icedask.core.features import input_record
from icedask.core.provenance import stamped
from icedask.motifs.table import category_table, motif_table


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
    # In numbers of frames, as there are no times.
    np.testing.assert_array_equal(table["mean_time"], [1 / 3, np.nan, 1])
    assert table["mean_time"].attrs["units"] == "1"
    np.testing.assert_array_equal(table["density"], [2, np.nan, np.nan])
    assert np.isnan(table["composition"].values[1]).all()
    ranges = category_table(table)
    np.testing.assert_array_equal(ranges["n_motifs"], [1, 1, 1])
    np.testing.assert_array_equal(ranges["density_max"], [2, np.nan, np.nan])
