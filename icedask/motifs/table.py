"""What motifs are like: means of quantities over their members, composition, medoids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import dask
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
)
from icedask.core.provenance import record_of, stamped
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME, MOTIF
from icedask.errors import InputError
from icedask.tasks.reduce import reduce_blocks

CLASS = "reference_class"


class _Sums(NamedTuple):
    """Of the members of each motif.

    Attributes
    ----------
    members
        (n_motifs,) their number.
    values, squares
        (n_values, n_motifs) sums over those that are not NaN.
    known
        (n_values, n_motifs) how many are not.
    latent
        (n_motifs, n_components).
    classes
        (n_motifs, n_classes) counts.
    time
        (n_motifs,) sum over the times of the frames.
    """

    members: FloatArray
    values: FloatArray
    squares: FloatArray
    known: FloatArray
    latent: FloatArray
    classes: FloatArray
    time: FloatArray


class _Nearest(NamedTuple):
    """The member of each motif that is nearest to its mean."""

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
        Names of two categories, and the classes of the reference that speak for each.
    share : float
        A motif is of the category whose classes have this share of its members or more; where
        none has, it is transient.

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
    arrays = {name: feature_variable(one) for name, one in values.items()}
    for other in (latent["latent"], reference["label"], *arrays.values()):
        check_same_rows(labels["label"], other, "motif_table")
    names = reference["label"].attrs.get("flag_meanings", "").split()
    if not names:
        raise InputError("motif_table: expected a reference with flag_meanings, found none")
    if unknown := {one for some in categories.values() for one in some} - set(names):
        raise InputError(
            f"motif_table: categories: expected classes of the reference, {', '.join(names)}, "
            f"found {', '.join(sorted(unknown))}"
        )
    label = lazy_blocks(labels["label"])
    with dask.config.set({"array.rechunk.method": "tasks"}):
        rows = feature_blocks(latent).rechunk({0: label.chunks[0], 1: label.chunks[1]})
        others = [
            lazy_blocks(one).rechunk(label.chunks) for one in (reference["label"], *arrays.values())
        ]
    place = _places(label)
    timed = "time" in labels.coords and not np.isnan(labels["time"].values).any()
    time = labels["time"].values if timed else np.arange(labels.sizes[FRAME])
    n_atoms = labels.sizes[ATOM]
    add_up = partial(
        _sums, n_atoms=n_atoms, time=time.astype(float), n=n_motifs, n_classes=len(names)
    )
    sums = reduce_blocks([label, place, rows, *others], dask.delayed(add_up), _add, "motifs: means")
    # NaN without members.
    count = np.where(sums.members > 0, sums.members, np.nan)
    center = sums.latent / count[:, None]
    nearest = reduce_blocks(
        [label, place, rows], partial(_nearest, center=center), _best, "motifs: medoids"
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums.values / sums.known
        spread = np.sqrt(np.maximum(sums.squares / sums.known - mean**2, 0))
    frame, atom = np.where(nearest.place < 0, -1, np.divmod(nearest.place, n_atoms))
    composition = sums.classes / count[:, None]
    found = {
        "members": (MOTIF, sums.members.astype(np.int64), {"units": "1"}),
        "population": (MOTIF, sums.members / label.size, {"units": "1"}),
        "mean_time": (MOTIF, sums.time / count, {"units": "picosecond" if timed else "1"}),
        "medoid_frame": (MOTIF, frame, {"units": "1"}),
        "medoid_atom": (MOTIF, atom, {"units": "1"}),
        "composition": ((MOTIF, CLASS), composition, {"units": "1"}),
        "category": _category(composition, names, categories, share),
    }
    for number, (name, array) in enumerate(arrays.items()):
        attrs = {key: array.attrs[key] for key in ("units", "long_name") if key in array.attrs}
        found[name] = (MOTIF, mean[number], attrs)
        found[f"{name}_std"] = (MOTIF, spread[number], attrs)
    record = record_of(labels).child(
        "results",
        "motif_table",
        1,
        {"values": [*values], "categories": {**categories}, "share": share},
        input_record(latent),
        record_of(reference),
        *(input_record(one) for one in values.values()),
    )
    coords = {MOTIF: np.arange(n_motifs), CLASS: names}
    return stamped(xr.Dataset(found, coords), record)


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
    means = [name for name in map(str, table.data_vars) if f"{name}_std" in table]
    rows: dict[str, list[float]] = {}
    for number in range(len(names)):
        mine = table.isel({MOTIF: np.flatnonzero(table["category"].values == number)})
        found = {"n_motifs": mine.sizes[MOTIF], "population": float(mine["population"].sum())}
        for name in means:
            values = mine[name].values
            values = values[np.isfinite(values)]
            found[f"{name}_min"] = values.min() if len(values) else np.nan
            found[f"{name}_max"] = values.max() if len(values) else np.nan
        for name, value in found.items():
            rows.setdefault(name, []).append(value)
    attrs = {f"{name}_{end}": table[name].attrs for name in means for end in ("min", "max")}
    variables = {
        name: ("category", np.array(values), attrs.get(name, {"units": "1"}))
        for name, values in rows.items()
    }
    record = record_of(table).child("results", "motif_categories", 1, {})
    return stamped(xr.Dataset(variables, {"category": names}), record)


def _category(
    composition: FloatArray, names: list[str], categories: Mapping[str, Sequence[str]], share: float
) -> tuple[str, npt.NDArray[np.int32], dict[str, Any]]:
    """Return the category of each motif, the transient one between the others."""
    first, last = categories
    totals = [
        composition[:, [names.index(one) for one in classes]].sum(axis=1)
        for classes in categories.values()
    ]
    number = np.where(totals[0] >= share, 0, np.where(totals[1] >= share, 2, 1))
    flags = {"flag_values": [0, 1, 2], "flag_meanings": f"{first} transient {last}"}
    return MOTIF, number.astype(np.int32), flags


def _places(label: da.Array) -> da.Array:
    """Return the frame and the atom of each row as one number, frame by frame."""
    frame = da.arange(label.shape[0], chunks=label.chunks[0])[:, None]
    atom = da.arange(label.shape[1], chunks=label.chunks[1])[None, :]
    return frame * label.shape[1] + atom


def _sums(
    label: npt.NDArray[np.integer],
    place: npt.NDArray[np.int64],
    latent: npt.NDArray[np.floating],
    reference: npt.NDArray[np.integer],
    *values: npt.NDArray[np.floating],
    n_atoms: int,
    time: FloatArray,
    n: int,
    n_classes: int,
) -> _Sums:
    rows = label.ravel()
    mine = rows >= 0
    rows = rows[mine]

    def total(weights: npt.NDArray[np.floating] | None) -> FloatArray:
        return np.bincount(rows, weights, n).astype(float)

    columns = [one.ravel()[mine].astype(float) for one in values]
    there = [np.isfinite(one) for one in columns]
    filled = [np.where(known, one, 0.0) for known, one in zip(there, columns, strict=True)]
    coordinates = latent.reshape(-1, latent.shape[-1])[mine].astype(float)
    classes = np.zeros((n, n_classes))
    np.add.at(classes, (rows, reference.ravel()[mine]), 1.0)
    return _Sums(
        total(None),
        np.array([total(one) for one in filled]),
        np.array([total(one**2) for one in filled]),
        np.array([total(known.astype(float)) for known in there]),
        np.stack([total(one) for one in coordinates.T], axis=1),
        classes,
        total(time[place.ravel()[mine] // n_atoms]),
    )


def _add(parts: Sequence[_Sums]) -> _Sums:
    return _Sums(*(np.sum(some, axis=0) for some in zip(*parts, strict=True)))


def _nearest(
    label: npt.NDArray[np.integer],
    place: npt.NDArray[np.int64],
    latent: npt.NDArray[np.floating],
    center: FloatArray,
) -> _Nearest:
    n = len(center)
    found = _Nearest(np.full(n, np.inf), np.full(n, -1))
    rows = label.ravel()
    coordinates = latent.reshape(-1, latent.shape[-1])
    for motif in np.unique(rows[rows >= 0]).tolist():
        mine = np.flatnonzero(rows == motif)
        distance = ((coordinates[mine] - center[motif]) ** 2).sum(axis=1)
        best = int(np.argmin(distance))
        found.distance[motif] = distance[best]
        found.place[motif] = place.ravel()[mine[best]]
    return found


def _best(parts: Sequence[_Nearest]) -> _Nearest:
    distance = np.stack([part.distance for part in parts])
    place = np.stack([part.place for part in parts])
    best = np.argmin(distance, axis=0)
    motif = np.arange(distance.shape[1])
    return _Nearest(distance[best, motif], place[best, motif])
