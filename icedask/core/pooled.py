"""All members of a collection as one Dataset, and labels of members as labels of their atoms."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from icedask.core.collection import Collection
from icedask.core.features import (
    array_record,
    feature_variable,
    lazy_blocks,
    row_coords,
    variables_record,
)
from icedask.core.pooled_record import pooled_record
from icedask.core.provenance import Record, stamped, value_identity
from icedask.core.rows import flat_rows
from icedask.core.variables import ATOM, FRAME, VARIABLES
from icedask.errors import InputError


def pooled(x: Collection) -> xr.Dataset:
    """Return all members as one Dataset of a single frame; lazy.

    Its atoms are the rows of the members one after another, frame by frame: for summaries that
    take no account of time. Variables without frame or atom are left out.

    Raises InputError if the members have other variables, or other features, than the first.
    """
    members = list(x.values())
    names = _variables(members[0])
    variables: dict[str, Any] = {}
    for name in names:
        arrays = []
        for member_name, member in x.items():
            if name not in _variables(member):
                raise InputError(
                    f"{member_name}: expected the variables {', '.join(names)} as the first member "
                    f"has, found {', '.join(_variables(member)) or 'none'}"
                )
            arrays.append(lazy_blocks(member[name]))
        widths = {array.shape[2:] for array in arrays}
        if len(widths) > 1:
            raise InputError(f"{name}: expected members of the same features, found {widths}")
        dtype = np.result_type(*(array.dtype for array in arrays))
        rows = da.concatenate([flat_rows(array, dtype) for array in arrays], axis=1)
        variables[name] = (members[0][name].dims, rows, members[0][name].attrs)
    coords = {
        str(name): coord
        for name, coord in members[0].coords.items()
        if not {FRAME, ATOM} & set(coord.dims)
    }
    record = pooled_record({name: _record(member, names) for name, member in x.items()})
    return stamped(xr.Dataset(variables, coords), record)


def _variables(member: xr.Dataset) -> list[str]:
    return [str(name) for name, each in member.data_vars.items() if each.dims[:2] == (FRAME, ATOM)]


def _record(member: xr.Dataset, names: list[str]) -> Record:
    if "function" in member.attrs:
        return variables_record(member, names)
    if len(names) == 1:
        return array_record(member, member[names[0]])
    values = {name: value_identity(member[name]) for name in names}
    return Record("external", names[0], 1, {"content": values})


def member_labels(x: Collection, label: str, classes: tuple[str, ...] = ()) -> Collection:
    """Return a label of the members as the label of each of their atoms; lazy.

    Parameters
    ----------
    x : Collection
        Features, labels or other variables (frame, atom).
    label : str
        Name of the label.
    classes : tuple of str, optional
        Names of the classes, in order; by default the values of the label, in the order of the
        members.

    Returns
    -------
    Collection
        label (frame, atom), int32, with flag_values and flag_meanings.

    Raises
    ------
    InputError
        If there is no such label, or a member has none, or one that is not among the classes.
    """
    column = x.label(label)
    missing = ", ".join(map(str, column.index[column.isna()]))
    if missing:
        raise InputError(
            f"expected a {label} of each member, found none of {missing}; leave these members out "
            "with where"
        )
    values = {name: str(column[name]).replace(" ", "_") for name in x}
    names = classes or tuple(dict.fromkeys(values.values()))
    labels = {}
    for name, member in x.items():
        if values[name] not in names:
            raise InputError(
                f"{name}: expected a {label} of {', '.join(names)}, found {values[name]!r}"
            )
        array = _first_variable(member)
        number = names.index(values[name])
        chunks = lazy_blocks(array).chunks[:2]
        numbers = da.full(array.shape[:2], number, dtype=np.int32, chunks=chunks)
        flags = {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}
        variable = VARIABLES["label"].of(numbers, **flags)
        record = Record(
            "external",
            "member_label",
            1,
            {"content": {label: values[name]}},
            trajectory=member.attrs.get("trajectory", ""),
            positions=member.attrs.get("positions", ""),
        )
        labels[name] = stamped(xr.Dataset({"label": variable}, row_coords(array)), record)
    return x.with_members(labels)


def _first_variable(member: xr.Dataset) -> xr.DataArray:
    names = _variables(member)
    return member[names[0]] if names else feature_variable(member)
