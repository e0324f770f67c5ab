"""What estimators share that pass over their input many times."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import feature_variable, whole_number
from icedask.errors import InputError
from icedask.tasks.sampling import stratified_sample

logger = logging.getLogger("icedask")

# What scikit-learn takes.
MAX_SEED = 2**32 - 1
# The squares of what is larger, summed up, leave the range of floating-point numbers.
_LARGEST = 1e150


def check_options(estimator: Any, whole: Sequence[str], others: Sequence[str]) -> None:
    """Raise InputError unless options are what they should be, and the seed is one.

    Parameters
    ----------
    estimator
        With the options as attributes.
    whole
        Options that are whole numbers from 1 on.
    others
        Options that are finite numbers from 0 on.
    """
    caller = type(estimator).__name__
    for name in whole:
        whole_number(getattr(estimator, name), f"{caller}: {name}", at_least=1)
    if whole_number(estimator.seed, f"{caller}: seed", at_least=0) > MAX_SEED:
        raise InputError(f"{caller}: seed: expected at most {MAX_SEED}, found {estimator.seed}")
    for name in others:
        value = getattr(estimator, name)
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:
            raise InputError(
                f"{caller}: {name}: expected a finite number, 0 or more, found {value!r}"
            )


def check_network(estimator: Any) -> None:
    """Raise InputError unless `layers` are widths, and `holdout` is a part below 1."""
    caller = type(estimator).__name__
    layers = estimator.layers
    if not isinstance(layers, list | tuple):
        raise InputError(f"{caller}: layers: expected widths such as (64, 32), found {layers!r}")
    for width in layers:
        whole_number(width, f"{caller}: layers", at_least=1)
    check_part(estimator, "holdout")


def check_part(estimator: Any, name: str) -> None:
    """Raise InputError unless an option is a number from 0 to below 1."""
    value = getattr(estimator, name)
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:
        raise InputError(
            f"{type(estimator).__name__}: {name}: expected 0 or more, and less than 1, found "
            f"{value!r}"
        )


def check_size(rows: npt.NDArray[np.floating], caller: str) -> None:
    """Raise InputError if rows hold numbers that have no square."""
    largest = float(np.abs(rows).max(initial=0.0))
    if largest > _LARGEST:
        raise InputError(
            f"{caller}: expected features of at most {_LARGEST:g} in size, found {largest:g}; "
            "scale them, or leave such rows out as NaN"
        )


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
        If it has fewer than `at_least` distinct rows, or numbers that have no square.
    """
    rows = stratified_sample(features, sample_size, seed).rows
    check_size(rows, caller)
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
    try:
        rows = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where}: expected finite numbers of the shape {shape}, found {values!r}"
        ) from error
    if rows.shape != shape or not np.isfinite(rows).all():
        raise InputError(f"{where}: expected finite numbers of the shape {shape}, found {rows!r}")
    check_size(rows, where)
    return rows
