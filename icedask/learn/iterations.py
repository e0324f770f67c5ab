"""What estimators share that pass over their input many times."""

from __future__ import annotations

import logging

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.errors import InputError
from icedask.features import feature_variable
from icedask.learn.sampling import stratified_sample

logger = logging.getLogger("icedask")


def warn_if_computed_anew(x: xr.Dataset | xr.DataArray, caller: str) -> None:
    """Log a warning if each pass over `x` would compute it again."""
    if feature_variable(x).chunks is not None and x.attrs.get("status") != "complete":
        logger.warning(
            "%s passes over its input many times, and this one is computed anew each time unless "
            "it is read from a store: x = icedask.save(x, store) first",
            caller,
        )


def start_rows(
    features: da.Array, at_least: int, sample_size: int, seed: int, caller: str
) -> npt.NDArray[np.float64]:
    """Compute the sample that a fit begins with.

    Raises
    ------
    InputError
        If it has fewer than `at_least` distinct rows.
    """
    rows = stratified_sample(features, sample_size, seed).rows
    distinct = len(np.unique(rows, axis=0))
    if distinct < at_least:
        raise InputError(
            f"{caller}: expected at least {at_least} distinct rows without NaN, found {distinct}"
        )
    return rows


def given_rows(
    values: npt.ArrayLike, shape: tuple[int, ...], where: str
) -> npt.NDArray[np.float64]:
    """Return numbers that a user gave as a float64 array.

    Raises
    ------
    InputError
        If they are not finite or of another shape; the message begins with `where`.
    """
    rows = np.array(values, np.float64)
    if rows.shape != shape or not np.isfinite(rows).all():
        raise InputError(f"{where}: expected finite numbers of the shape {shape}, found {rows!r}")
    return rows
