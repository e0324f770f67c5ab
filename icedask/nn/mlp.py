"""Layers of a network in numpy, and as variables of a Dataset: torch is for learning alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

Weights = Mapping[str, npt.NDArray[np.float32]]

# Rows of a matrix product whose results stay in cache.
_ROWS = 2048


def weight_arrays(weights: Weights) -> dict[str, Any]:
    """Return weights as variables of a Dataset, each with dimensions of its own."""
    return {
        name: (tuple(f"{name}_{axis}" for axis in range(one.ndim)), one)
        for name, one in weights.items()
    }


def weights_of(ds: xr.Dataset, *prefixes: str) -> dict[str, npt.NDArray[np.float32]]:
    """Return the weights that `weight_arrays` made variables of, by the prefixes of their names."""
    wanted = tuple(f"{prefix}_" for prefix in prefixes)
    return {
        str(name): one.values for name, one in ds.data_vars.items() if str(name).startswith(wanted)
    }


def apply_stack(
    rows: npt.NDArray[np.float32], weights: Weights, prefix: str
) -> npt.NDArray[np.float32]:
    """Return what the layers called `prefix` make of rows, (n, n_out); no torch is needed."""
    numbers = sorted(
        int(name.split("_")[-2])
        for name in weights
        if name.startswith(f"{prefix}_") and name.endswith("_weight")
    )
    values = rows
    for number in numbers:
        values = values @ weights[f"{prefix}_{number}_weight"].T
        values += weights[f"{prefix}_{number}_bias"]
        if number != numbers[-1]:
            # SiLU, x / (1 + exp(-x)); to the left of the bound it is zero.
            decay = np.exp(-np.maximum(values, -80.0, dtype=np.float32))
            decay += 1
            values /= decay
    return values


def apply_rows(
    rows: npt.NDArray[np.floating],
    center: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
    weights: Weights,
    prefix: str,
) -> npt.NDArray[np.float32]:
    """Return what the layers make of (row - center) * scale, (n, n_out); NaN rows give NaN."""
    parts = []
    for start in range(0, max(len(rows), 1), _ROWS):
        some = ((rows[start : start + _ROWS] - center) * scale).astype(np.float32)
        parts.append(apply_stack(some, weights, prefix))
    return np.concatenate(parts)
