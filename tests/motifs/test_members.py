"""Motifs of many trajectories: counts by member, and the places of medoids, beside numpy."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import icedask as ice
from icedask.core.pooled import pooled
from icedask.core.variables import VARIABLES
from icedask.motifs.members import member_table
from icedask.motifs.table import motif_table

SIZES = {"a": (3, 40), "b": (1, 7), "c": (2, 25)}
N_MOTIFS = 3


@pytest.fixture
def rows() -> dict[str, ice.Collection]:
    """Labels, latent coordinates, known classes and a value of three members."""
    rng = np.random.default_rng(0)
    parts: dict[str, dict[str, xr.Dataset]] = {
        name: {} for name in ("labels", "latent", "known", "value")
    }
    for name, shape in SIZES.items():
        label = rng.integers(-1, N_MOTIFS, shape).astype(np.int32)
        # No member of the last motif in b.
        label[label == N_MOTIFS - 1] = 0 if name == "b" else N_MOTIFS - 1
        classes = VARIABLES["label"].of(rng.integers(0, 2, shape).astype(np.int32))
        known = xr.Dataset({"label": classes})
        known["label"].attrs |= {"flag_values": [0, 1], "flag_meanings": "ice liquid"}
        latent = rng.normal(size=(*shape, 2)) + label[:, :, None]
        parts["labels"][name] = xr.Dataset({"label": VARIABLES["label"].of(label)})
        parts["latent"][name] = xr.Dataset({"latent": VARIABLES["latent"].of(latent)})
        parts["known"][name] = known
        parts["value"][name] = xr.Dataset({"order": (("frame", "atom"), rng.normal(size=shape))})
    chunks = {"frame": 1, "atom": 15}
    return {
        kind: ice.Collection({name: ds.chunk(chunks) for name, ds in members.items()})
        for kind, members in parts.items()
    }


def test_counts_and_medoids(rows: dict[str, ice.Collection]) -> None:
    table = motif_table(
        pooled(rows["labels"]),
        pooled(rows["latent"]),
        {"order": pooled(rows["value"])},
        pooled(rows["known"]),
        n_motifs=N_MOTIFS,
        categories={"ice": ("ice",), "liquid": ("liquid",)},
        share=0.5,
    )
    members = member_table(rows["labels"], rows["latent"], rows["known"], table)
    assert members["rows"].values.tolist() == [n * m for n, m in SIZES.values()]
    for number, name in enumerate(SIZES):
        label = rows["labels"][name]["label"].values
        known = rows["known"][name]["label"].values
        counts = [(label == motif).sum() for motif in range(N_MOTIFS)]
        assert members["count"].values[number].tolist() == counts
        assert (
            members["reference_count"].values[number].tolist()
            == np.bincount(known.ravel(), minlength=2).tolist()
        )
    assert members["count"].sel(member="b").values[-1] == 0
    np.testing.assert_array_equal(members["count"].sum("member"), table["members"])
    latent = np.concatenate(
        [each["latent"].values.reshape(-1, 2) for each in rows["latent"].values()]
    )
    label = np.concatenate([each["label"].values.ravel() for each in rows["labels"].values()])
    for motif in range(N_MOTIFS):
        mine = latent[label == motif]
        distance = np.linalg.norm(latent - mine.mean(axis=0), axis=1)
        distance[label != motif] = np.inf
        name = list(SIZES)[int(members["medoid_member"][motif])]
        frame, atom = int(members["medoid_frame"][motif]), int(members["medoid_atom"][motif])
        np.testing.assert_array_equal(
            rows["latent"][name]["latent"].values[frame, atom], latent[distance.argmin()]
        )
