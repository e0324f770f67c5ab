"""Tables of motifs: means of quantities over their members, composition, medoids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import (
    check_same_rows,
    feature_blocks,
    feature_variable,
    input_record,
    lazy_blocks,
    rechunked,
)
from icedask.core.provenance import record_of, stamped
from icedask.core.types import FloatArray, IntArray
from icedask.core.variables import CATEGORY, FRAME, MOTIF, REFERENCE_CLASS, summary_variables
from icedask.dynamics.group_means import group_means, indicators
from icedask.errors import InputError
from icedask.tasks.reduce import reduce_blocks


class _Nearest(NamedTuple):
    """Member of each motif nearest to its mean."""

    distance: FloatArray
    place: npt.NDArray[np.int64]


def motif_table(
    labels: xr.Dataset,
    latent: xr.Dataset,
    values: Mapping[str, xr.Dataset],
    reference: xr.Dataset,
    *,
    n_motifs: int,
    categories: Mapping[str, Sequence[str]],
    share: float,
) -> xr.Dataset:
    """Describe motifs by their members; computes, in two passes.

    Parameters
    ----------
    labels : xarray.Dataset
        label (frame, atom), 0 to n_motifs - 1; a negative one is no motif.
    latent : xarray.Dataset
        latent (frame, atom, component), of the same rows.
    values : mapping of str to Dataset
        By name: one variable (frame, atom) each, of the same rows.
    reference : xarray.Dataset
        label (frame, atom) of known classes with flags, as of `chill_plus`.
    n_motifs : int
        Number of motifs.
    categories : mapping of str to sequence of str
        Names of two categories, and the classes of the reference that count for each.
    share : float
        Smallest share of its members in the classes of a category; a motif with none is
        transient.

    Returns
    -------
    xarray.Dataset
        By motif: members, their number; population, their share of all rows; mean_time, the mean
        of their frames' times, picosecond (of their numbers where times are not known); of each
        value its mean and, under its name with _std, its standard deviation, in its units;
        composition (motif, reference_class), shares of the classes; category, with flags;
        medoid_frame and medoid_atom, positions along frame and atom of the member that is nearest
        to the mean of the latent coordinates of all members. Without members these are -1, the
        means and the composition NaN, and the category is transient.

    Raises
    ------
    InputError
        If the rows are not the same, or the reference has no flags or not those of `categories`.
    """
    arrays = {name: feature_variable(dataset) for name, dataset in values.items()}
    for other in (latent["latent"], reference["label"], *arrays.values()):
        check_same_rows(labels["label"], other, "motif_table")
    names = reference["label"].attrs.get("flag_meanings", "").split()
    if not names:
        raise InputError("motif_table: expected a reference with flag_meanings, found none")
    if unknown := {phase for phases in categories.values() for phase in phases} - set(names):
        raise InputError(
            f"motif_table: categories: expected classes of the reference, {', '.join(names)}, "
            f"found {', '.join(sorted(unknown))}"
        )
    label = lazy_blocks(labels["label"])
    coordinates = feature_blocks(latent)
    time, units = _times(labels)
    groups = group_means(
        labels["label"],
        *arrays.values(),
        da.broadcast_to(da.from_array(time, (label.chunks[0],))[:, None], label.shape),
        indicators(reference["label"], len(names)),
        coordinates,
        n_groups=n_motifs,
        description="motifs: means",
    )
    mean_time = groups.means[:, len(arrays)]
    composition, center = np.split(groups.means[:, len(arrays) + 1 :], [len(names)], axis=1)
    frame, atom = _medoids(label, coordinates, center)
    variables: dict[Any, Any] = summary_variables(
        "motif_table",
        units,
        members=groups.members,
        population=groups.members / label.size,
        mean_time=mean_time,
        medoid_frame=frame,
        medoid_atom=atom,
        composition=composition,
        category=_category(composition, names, categories, share),
    )
    first, last = categories
    flags = {"flag_values": [0, 1, 2], "flag_meanings": f"{first} transient {last}"}
    variables["category"].attrs |= flags
    for number, (name, array) in enumerate(arrays.items()):
        attrs = {key: array.attrs[key] for key in ("units", "long_name") if key in array.attrs}
        variables[name] = (MOTIF, groups.means[:, number], attrs)
        variables[f"{name}_std"] = (MOTIF, groups.deviations[:, number], attrs)
    record = record_of(labels).child(
        "results",
        "motif_table",
        1,
        {"values": [*values], "categories": {**categories}, "share": share},
        input_record(latent),
        record_of(reference),
        *(input_record(dataset) for dataset in values.values()),
    )
    coords = {MOTIF: np.arange(n_motifs), REFERENCE_CLASS: names}
    return stamped(xr.Dataset(variables, coords), record)


def category_table(table: xr.Dataset) -> xr.Dataset:
    """Summarise motifs by category: the ranges of their means.

    Parameters
    ----------
    table : xarray.Dataset
        What `motif_table` returned.

    Returns
    -------
    xarray.Dataset
        By category: n_motifs; population; and of each mean of the table its smallest and largest,
        with _min and _max, NaN where there is no motif with members.
    """
    names = table["category"].attrs["flag_meanings"].split()
    number = table["category"].values
    variables: dict[Any, Any] = summary_variables(
        "category_table",
        n_motifs=np.bincount(number, minlength=len(names)),
        population=np.bincount(number, table["population"].values, len(names)),
    )
    for name in [name for name in map(str, table.data_vars) if f"{name}_std" in table]:
        values = table[name].values
        members = [
            values[(number == category) & np.isfinite(values)] for category in range(len(names))
        ]
        for end, extreme in (("min", np.min), ("max", np.max)):
            ends = [extreme(part) if len(part) else np.nan for part in members]
            variables[f"{name}_{end}"] = (CATEGORY, np.array(ends), table[name].attrs)
    record = record_of(table).child("results", "motif_categories", 1, {})
    return stamped(xr.Dataset(variables, {CATEGORY: names}), record)


def _times(labels: xr.Dataset) -> tuple[FloatArray, str]:
    """Return the times of the frames and their units; their numbers where times are not known."""
    if "time" in labels.coords and not np.isnan(labels["time"].values).any():
        return labels["time"].values.astype(float), "picosecond"
    return np.arange(labels.sizes[FRAME], dtype=float), "1"


def _category(
    composition: FloatArray, names: list[str], categories: Mapping[str, Sequence[str]], share: float
) -> npt.NDArray[np.intp]:
    """Return the number of the category of each motif, the transient one between the others."""
    totals = [
        composition[:, [names.index(name) for name in classes]].sum(axis=1)
        for classes in categories.values()
    ]
    return np.where(totals[0] >= share, 0, np.where(totals[1] >= share, 2, 1))


def _medoids(
    label: da.Array, coordinates: da.Array, center: FloatArray
) -> tuple[IntArray, IntArray]:
    """Return the frame and the atom of the member nearest to each mean; -1 without members."""
    frames = da.arange(label.shape[0], chunks=label.chunks[0])[:, None]
    atoms = da.arange(label.shape[1], chunks=label.chunks[1])[None, :]
    rows = rechunked(coordinates, dict(enumerate(label.chunks)))
    nearest = reduce_blocks(
        [label, frames * label.shape[1] + atoms, rows],
        partial(_nearest, center=center),
        _best,
        "motifs: medoids",
    )
    frame, atom = np.where(nearest.place < 0, -1, np.divmod(nearest.place, label.shape[1]))
    return frame, atom


def _nearest(
    label: npt.NDArray[np.integer],
    place: npt.NDArray[np.int64],
    latent: npt.NDArray[np.floating],
    center: FloatArray,
) -> _Nearest:
    n = len(center)
    nearest = _Nearest(np.full(n, np.inf), np.full(n, -1))
    rows = label.ravel()
    coordinates = latent.reshape(-1, latent.shape[-1])
    for motif in np.unique(rows[rows >= 0]).tolist():
        mine = np.flatnonzero(rows == motif)
        distance = ((coordinates[mine] - center[motif]) ** 2).sum(axis=1)
        best = int(np.argmin(distance))
        nearest.distance[motif] = distance[best]
        nearest.place[motif] = place.ravel()[mine[best]]
    return nearest


def _best(parts: Sequence[_Nearest]) -> _Nearest:
    distance = np.stack([part.distance for part in parts])
    place = np.stack([part.place for part in parts])
    best = np.argmin(distance, axis=0)
    motif = np.arange(distance.shape[1])
    return _Nearest(distance[best, motif], place[best, motif])
