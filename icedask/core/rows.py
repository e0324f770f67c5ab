"""Rows of features and their targets: blocks of a Dataset, with the group of each block."""

from __future__ import annotations

from typing import Any, NamedTuple

import dask.array as da
import numpy as np

from icedask.core.features import check_same_rows, feature_blocks, feature_variable, rechunked
from icedask.core.labels import checked_labels
from icedask.core.types import IntArray
from icedask.errors import InputError


class Rows(NamedTuple):
    """Features as a lazy array (frame, atom, feature) in one block along feature.

    `groups` has the number of the group of each block, in the order of the blocks: rows of one
    group are not independent of each other, and stay together when some are held out. None where
    that is not known, as for one trajectory.
    """

    features: da.Array
    groups: IntArray | None


class Targets(NamedTuple):
    """Class numbers as a lazy array (frame, atom) in the blocks of the rows, -1 for none; names."""

    numbers: da.Array
    names: tuple[str, ...]


def rows_of(x: Any) -> Rows:
    """Return the rows of features of `x`, for estimators."""
    return Rows(feature_blocks(x), None)


def targets_of(x: Any, labels: Any, caller: str) -> Targets:
    """Return the classes of the rows of `x`: `labels` is a Dataset with label (frame, atom).

    Raises InputError if the labels have no names, or are not of the same frames and atoms.
    """
    checked = checked_labels(labels, caller)
    check_same_rows(feature_variable(x), checked.array, caller)
    names = checked.names
    if sorted(names) != list(range(len(names))) or not names:
        raise InputError(
            f"{caller}: expected labels with the names of their classes (flag_values from 0 and "
            f"flag_meanings), found {sorted(names) or 'none'}; set both attributes"
        )
    blocks = feature_blocks(x).chunks[:2]
    numbers = rechunked(checked.blocks, blocks).astype(np.int32)
    return Targets(numbers, tuple(names[number] for number in sorted(names)))
