"""Classes of the rows of features: of members of a collection, or of atoms."""

from __future__ import annotations

from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.collection import Collection
from icedask.core.features import (
    check_same_rows,
    feature_blocks,
    feature_variable,
    rechunked,
)
from icedask.core.labels import checked_labels
from icedask.core.pooled import member_labels
from icedask.core.pooled_record import pooled_record
from icedask.core.provenance import Record
from icedask.core.rows import flat_rows
from icedask.core.types import IntArray
from icedask.errors import InputError


class Targets(NamedTuple):
    """Class numbers as a lazy array (frame, atom) in the blocks of the rows, -1 for none; names.

    `record` is the record of the labels.
    """

    numbers: da.Array
    names: tuple[str, ...]
    record: Record


def targets_of(
    x: xr.Dataset | xr.DataArray | Collection,
    labels: str | xr.Dataset | xr.DataArray | Collection,
    caller: str,
) -> Targets:
    """Return the classes of the rows of `x`.

    Parameters
    ----------
    x
        Features.
    labels
        Of a collection: the name of one of its labels, or a collection of Datasets with label
        (frame, atom) of its members. Of a Dataset: such a Dataset.
    caller
        Name of the function, for messages.

    Raises
    ------
    InputError
        If the labels have no names, or are not of the same frames and atoms, or a member has none.
    """
    if isinstance(labels, str):
        if not isinstance(x, Collection):
            raise InputError(
                f"{caller}: expected labels (frame, atom) of the Dataset, found {labels!r}; the "
                "name of a label is for the members of a collection"
            )
        labels = member_labels(x, labels)
    if not isinstance(x, Collection):
        numbers, names, record = _targets_of_atoms(x, labels, caller)
        return Targets(numbers, names, record)
    if not isinstance(labels, Collection):
        raise InputError(
            f"{caller}: expected the name of a label of the members, or a collection of labels "
            f"(frame, atom), found {type(labels).__name__}"
        )
    missing = [name for name in x if name not in labels]
    if missing:
        raise InputError(f"{caller}: expected labels of each member, found none of {missing[0]}")
    parts = {name: _targets_of_atoms(member, labels[name], name) for name, member in x.items()}
    classes = list(dict.fromkeys(name for _, own, _ in parts.values() for name in own))
    blocks = []
    for numbers, own, _ in parts.values():
        places = np.array([*(classes.index(name) for name in own), -1], np.int32)
        # The last place, that of -1, stays -1.
        blocks.append(
            flat_rows(da.map_blocks(_renumbered, numbers, places=places, dtype=np.int32), np.int32)
        )
    record = pooled_record({name: record for name, (_, _, record) in parts.items()})
    return Targets(da.concatenate(blocks, axis=1), tuple(classes), record)


def _renumbered(numbers: IntArray, places: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    return places[numbers]


def _targets_of_atoms(
    x: xr.Dataset | xr.DataArray, labels: Any, caller: str
) -> tuple[da.Array, tuple[str, ...], Record]:
    checked = checked_labels(labels, caller)
    check_same_rows(feature_variable(x), checked.array, caller)
    names = checked.names
    if sorted(names) != list(range(len(names))) or not names:
        raise InputError(
            f"{caller}: expected labels with the names of their classes (flag_values from 0 and "
            f"flag_meanings), found {sorted(names) or 'none'}; set both attributes"
        )
    blocks = feature_blocks(x).chunks[:2]
    numbers = da.map_blocks(
        _known, rechunked(checked.blocks, blocks), n_names=len(names), dtype=np.int32
    )
    return numbers, tuple(names[number] for number in sorted(names)), checked.record


def _known(numbers: IntArray, n_names: int) -> npt.NDArray[np.int32]:
    """Return class numbers, -1 for those without a name."""
    known: npt.NDArray[np.int32] = np.where((numbers >= 0) & (numbers < n_names), numbers, -1)
    return known.astype(np.int32)
