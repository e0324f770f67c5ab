"""From a function of a block of rows to a lazy Dataset of labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from icedask.core.features import (
    block_part,
    feature_blocks,
    feature_variable,
    input_record,
    row_coords,
)
from icedask.core.provenance import stamped
from icedask.core.variables import VARIABLES
from icedask.learn.base import Estimator


def labelled(
    estimator: Estimator,
    x: xr.Dataset,
    n_features: int,
    label_block: Callable[..., tuple[Any, ...]],
    names: Sequence[str],
    *arguments: Any,
) -> xr.Dataset:
    """Return what a fitted estimator says of every row of `x`; lazy.

    Parameters
    ----------
    estimator
        For the record, and to check the features.
    x
        One variable (frame, atom[, feature]).
    n_features
        Of the fit.
    label_block
        Function of a block (frame, atom, feature) and of `arguments`, which returns an array
        (frame, atom) for each name.
    names
        Of the variables, as they are specified.
    *arguments
        Passed on; what is large should be delayed, so that it is sent once.

    Raises
    ------
    InputError
        If the features are not those of the fit.
    """
    features = feature_blocks(x)
    estimator.check_features(x, n_features, features.shape[2])
    pairs = [part for argument in arguments for part in (argument, None)]
    all_of_them = da.blockwise(
        label_block,
        "fa",
        features,
        "fak",
        *pairs,
        concatenate=True,
        meta=np.empty((0, 0), object),
    )
    variables = {}
    for number, name in enumerate(names):
        spec = VARIABLES[name]
        variables[name] = (spec.dims, block_part(all_of_them, number, spec.dtype), spec.attrs)
    record = estimator.record_.child(
        "results", estimator._slug, estimator._version, {}, input_record(x)
    )
    return stamped(xr.Dataset(variables, row_coords(feature_variable(x))), record)
