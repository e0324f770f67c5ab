"""Datasets of features: their one variable (frame, atom[, feature]), its blocks and its record."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.collection import Collection
from icedask.core.provenance import (
    Record,
    canonical,
    is_unchanged,
    record_of,
    value_identity,
)
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError

# Options that select rows or their storage, and leave the meaning of a feature unchanged.
NOT_OF_FEATURES = ("centers", "dtype", "precision")


def feature_variable(x: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Return the one variable of `x` with dimensions (frame, atom[, feature]).

    Raises InputError if there is none, or more than one.
    """
    if isinstance(x, Collection):
        raise InputError(
            "expected a Dataset, found a collection; pass its members one by one, as "
            "collection.map(function) does"
        )
    if not isinstance(x, xr.Dataset | xr.DataArray):
        raise InputError(
            f"expected a Dataset with dimensions (frame, atom, feature), found {type(x).__name__}"
        )
    candidates = [x] if isinstance(x, xr.DataArray) else list(x.data_vars.values())
    features = [
        array
        for array in candidates
        if array.dims[:2] == (FRAME, ATOM) and array.ndim <= 3 and array.dtype.kind == "f"
    ]
    if len(features) != 1:
        listed = ", ".join(
            f"{array.name} ({', '.join(map(str, array.dims))}) of {array.dtype}"
            for array in features or candidates
        )
        remedy = "choose one, for example ds[['soap']]" if features else _remedy(candidates)
        raise InputError(
            "expected one floating-point variable of dimensions (frame, atom) or (frame, atom, "
            f"feature), found {listed or 'none'}; {remedy}"
        )
    array = features[0]
    if isinstance(x, xr.Dataset) and array.name == "positions" and "cell" in x.variables:
        raise InputError(
            "expected features of atoms, found a trajectory, whose positions depend on the place "
            "and direction of the cell; describe its atoms first, for example with icedask.soap, "
            "or pass trj[['positions']] where the positions themselves are meant"
        )
    if array.dtype.itemsize not in (4, 8) or 0 in array.shape[2:]:
        raise InputError(
            f"expected features of float32 or float64, at least one, found {array.name} of "
            f"{array.dtype} with the shape {array.shape}"
        )
    return array


def _remedy(variables: Sequence[xr.DataArray]) -> str:
    """Return what to do with variables of which none holds features."""
    names = [str(array.name) for array in variables if array.dims[:2] == (FRAME, ATOM)]
    if names == ["label"]:
        return "labels are no features: pass what the labels were predicted from"
    if names and all(array.dtype.kind in "iub" for array in variables):
        return f"pass counts as numbers, {names[0]}.astype('float32')"
    return "pass what a descriptor or transform returned"


def rechunked(array: da.Array, chunks: Any) -> da.Array:
    """Return an array in other blocks, by tasks that fuse with what computes and uses them."""
    with dask.config.set({"array.rechunk.method": "tasks"}):
        return array.rechunk(chunks)


def lazy_blocks(array: xr.DataArray) -> da.Array:
    """Return the values as a lazy array of as many dimensions, in one block along feature."""
    data = array.data if array.chunks is not None else da.from_array(array.values)
    return data.rechunk({2: -1}) if data.ndim == 3 else data


def feature_blocks(x: xr.Dataset | xr.DataArray) -> da.Array:
    """Return the features as a lazy array (frame, atom, feature) in one block along feature."""
    data = lazy_blocks(feature_variable(x))
    return data[:, :, None] if data.ndim == 2 else data


def block_part(
    together: da.Array,
    number: int,
    dtype: npt.DTypeLike,
    index: str = "fa",
    axes: Mapping[str, int] | None = None,
) -> da.Array:
    """Return the lazy array whose blocks are element `number` of the tuples in `together`.

    `index` names its dimensions: f for frames, a for atoms, others of the lengths `axes`.
    """
    meta = np.empty((0,) * len(index), dtype)
    return da.blockwise(
        operator.getitem, index, together, "fa", number, None, new_axes=axes or {}, meta=meta
    )


def row_coords(array: xr.DataArray) -> dict[Any, xr.DataArray]:
    """Return the coordinates of frames and atoms."""
    return {name: coord for name, coord in array.coords.items() if set(coord.dims) <= {FRAME, ATOM}}


def input_record(x: xr.Dataset | xr.DataArray) -> Record:
    """Return the record of a function's input; other data is identified by its content."""
    return array_record(x, feature_variable(x))


def array_record(x: xr.Dataset | xr.DataArray, array: xr.DataArray) -> Record:
    """Return the record of an input that is used for one variable, `array`."""
    known = x if isinstance(x, xr.Dataset) and "function" in x.attrs else None
    if known is not None and is_unchanged(known):
        return record_of(known)
    content = value_identity(array)
    name = str(array.name or "data")
    if known is not None:
        # Changed by other means since: of the same trajectory, but not the recorded result.
        return record_of(known).child("external", name, 1, {"content": content})
    return Record("external", name, 1, {"content": content})


def variables_record(x: xr.Dataset, names: Sequence[str]) -> Record:
    """Return the record of an input that is used for some variables together.

    Variables that were changed since they were computed, by leaving out frames for example, are
    identified by their content.
    """
    used = x[list(names)]
    if is_unchanged(used):
        return record_of(used)
    values = {name: value_identity(used[name]) for name in names}
    return record_of(used).child("external", names[0], 1, {"content": values})


def check_same_rows(first: xr.DataArray, second: xr.DataArray, caller: str) -> None:
    """Raise InputError unless both have the same frames and atoms."""
    for dim in (FRAME, ATOM):
        if first.sizes[dim] != second.sizes[dim]:
            raise InputError(
                f"{caller}: expected the same {dim}s in both, found {first.sizes[dim]} and "
                f"{second.sizes[dim]}; compute both of one trajectory, with the same centers"
            )
    for name, dim in (("step", FRAME), ("time", FRAME), ("atom", ATOM)):
        if name not in first.coords or name not in second.coords:
            continue
        here, there = first[name].values, second[name].values
        same = (here == there) | ((here != here) & (there != there))
        if not same.all():
            place = int(np.argmin(same))
            raise InputError(
                f"{caller}: expected the same {dim}s in both, found {name} {here[place]} and "
                f"{there[place]} at {dim} {place}; compute both of one trajectory, with the same "
                "centers"
            )


def check_same_trajectory(first: Record, second: Record, caller: str) -> None:
    """Raise InputError if the records name different positions."""
    # Data from other programs has no record of its positions.
    known = first.positions and second.positions
    if known and first.positions != second.positions:
        raise InputError(
            f"{caller}: expected both of one trajectory, found other positions behind "
            f"{first.run_id} than behind {second.run_id}; compute both of the same Dataset, with "
            "centers and species for some of its atoms"
        )


def check_same_meaning(model: Record, features: Record, caller: str) -> None:
    """Raise InputError if features were computed by other functions or options than in the fit."""
    expected = _meaning(model.lineage[model.parents[0]], model.lineage)
    other = _meaning(features.identity, features.lineage)
    if '"external/' in canonical([expected, other]):
        return
    if canonical(expected) != canonical(other):
        raise InputError(
            f"{caller}: expected the features of the fit, found others: "
            f"{'; '.join(_differences(expected, other))}; compute them with the same options"
        )


def _meaning(identity: Mapping[str, Any], lineage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the function, options and sources that define a feature.

    Sources are compared by their options, but a model must be the same model.
    """
    parameters = {k: v for k, v in identity["parameters"].items() if k not in NOT_OF_FEATURES}
    parents = [(run_id, lineage[run_id]) for run_id in identity["parents"]]
    if parents and parents[0][1]["function"].startswith("models/"):
        sources: list[Any] = [parents[0][0]]
    else:
        sources = [_meaning(parent, lineage) for _, parent in parents]
    return {"function": identity["function"], "parameters": parameters, "sources": sources}


def _differences(expected: Any, other: Any, where: str = "features") -> list[str]:
    """Return the differences of two meanings in words."""
    if canonical(expected) == canonical(other):
        return []
    pairs: list[tuple[Any, Any, str]] = []
    if isinstance(expected, dict) and isinstance(other, dict):
        if expected.get("function") == other.get("function"):
            where = str(expected.get("function", where))
            keys = [key for key in expected if key in other]
            pairs = [(expected[key], other[key], f"{where} {key}") for key in keys]
    elif isinstance(expected, list) and isinstance(other, list) and len(expected) == len(other):
        pairs = [(a, b, where) for a, b in zip(expected, other, strict=True)]
    inner = [text for a, b, name in pairs for text in _differences(a, b, name)]
    return inner or [f"{where}: {_brief(expected)} in the fit, {_brief(other)} here"]


def _brief(value: Any) -> str:
    """Return a value, or the name of the function of a meaning."""
    if isinstance(value, dict) and "function" in value:
        return str(value["function"])
    return canonical(value)


def whole_number(value: Any, where: str, *, at_least: int) -> int:
    """Return `value` as an int, in the check of an `Option`; raise InputError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(f"{where}: expected a whole number, found {value!r}")
    if value < at_least:
        raise InputError(f"{where}: expected at least {at_least}, found {value}")
    return int(value)
