"""From a function of a block of rows to a lazy Dataset of latent coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr

from icedask.core.features import feature_blocks, feature_variable, input_record, row_coords
from icedask.core.provenance import stamped
from icedask.core.variables import ATOM, COMPONENT, FRAME, VARIABLES
from icedask.learn.base import Estimator


def latent_of(
    estimator: Estimator,
    x: xr.Dataset,
    n_features: int,
    n_components: int,
    map_block: Callable[[Any, Any], Any],
    model: Any,
) -> xr.Dataset:
    """Return the latent coordinates that a fitted estimator gives every row of `x`; lazy.

    Parameters
    ----------
    estimator
        For the record, and to check the features.
    x
        One variable (frame, atom[, feature]).
    n_features, n_components
        Of the fit, and of the result.
    map_block
        Function of a block (frame, atom, feature) and of the model, which returns (frame, atom,
        component), float32.
    model
        Arrays, sent to each worker once.

    Raises
    ------
    InputError
        If the features are not those of the fit.
    """
    features = feature_blocks(x)
    estimator.check_features(x, n_features, features.shape[2])
    latent = da.blockwise(
        map_block,
        "fac",
        features,
        "fak",
        dask.delayed(model, pure=True),
        None,
        new_axes={"c": n_components},
        concatenate=True,
        meta=np.empty((0, 0, 0), np.float32),
    )
    record = estimator.record_.child(
        "results", estimator._slug, estimator._version, {}, input_record(x)
    )
    ds = xr.Dataset(
        {"latent": ((FRAME, ATOM, COMPONENT), latent, VARIABLES["latent"].attrs)},
        {**row_coords(feature_variable(x)), COMPONENT: np.arange(n_components)},
    )
    return stamped(ds, record)
