"""Motifs of many trajectories: members of each motif in each, and where the medoids are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.collection import Collection
from icedask.core.features import lazy_blocks, rechunked
from icedask.core.pooled import pooled
from icedask.core.provenance import record_of, stamped
from icedask.core.rows import Rows, rows_of
from icedask.core.types import IntArray, LabelArray
from icedask.core.variables import MEMBER, MOTIF, REFERENCE_CLASS, summary_variables
from icedask.tasks.reduce import reduce_blocks


def member_table(
    labels: Collection, latent: Collection, reference: Collection, table: xr.Dataset
) -> xr.Dataset:
    """Count the members of motifs, and of known classes, in each trajectory; computes.

    Parameters
    ----------
    labels : Collection
        label (frame, atom) of the motifs; a negative one is no motif.
    latent : Collection
        latent (frame, atom, component), of the same rows.
    reference : Collection
        label (frame, atom) of known classes with flags, as of `chill_plus`.
    table : xarray.Dataset
        What `motif_table` returned for the rows of all.

    Returns
    -------
    xarray.Dataset
        By member: rows, their number; count (member, motif), rows in each motif; reference_count
        (member, reference_class). By motif: medoid_member, medoid_frame and medoid_atom, the number
        of the trajectory and the positions along its frame and atom of the medoid; -1 without
        members.
    """
    rows = rows_of(latent)
    names = reference[next(iter(reference))]["label"].attrs["flag_meanings"].split()
    counts = [
        _counts(rows, pooled(each), n)
        for each, n in ((labels, table.sizes[MOTIF]), (reference, len(names)))
    ]
    place = table["medoid_atom"].values
    places = rows.places(np.zeros_like(place), np.maximum(place, 0))
    member, frame, atom = (np.where(place < 0, -1, values) for values in places)
    variables: dict[Any, Any] = summary_variables(
        "member_table",
        rows=[part.n_frames * part.n_atoms for part in rows.parts],
        count=counts[0],
        reference_count=counts[1],
        medoid_member=member,
        medoid_frame=frame,
        medoid_atom=atom,
    )
    record = record_of(table).child("results", "member_table", 1, {}, record_of(pooled(labels)))
    coords = {
        MEMBER: list(labels),
        MOTIF: table[MOTIF].values,
        REFERENCE_CLASS: names,
    }
    return stamped(xr.Dataset(variables, coords), record)


def _counts(rows: Rows, labels: xr.Dataset, n_labels: int) -> IntArray:
    """Return the number of rows with each label in each member, (n_members, n_labels)."""
    label = rechunked(lazy_blocks(labels["label"]), dict(enumerate(rows.features.chunks[:2])))
    kernel = partial(_block_counts, n_members=len(rows.parts), n_labels=n_labels)
    return reduce_blocks([label, rows.part_blocks()], kernel, _sum, "motifs: members")


def _block_counts(
    label: LabelArray, part: npt.NDArray[np.floating], n_members: int, n_labels: int
) -> IntArray:
    known = label >= 0
    places = part[known].astype(np.int64) * n_labels + label[known]
    return np.bincount(places, minlength=n_members * n_labels).reshape(n_members, n_labels)


def _sum(parts: Sequence[IntArray]) -> IntArray:
    total: IntArray = np.sum(parts, axis=0)
    return total
