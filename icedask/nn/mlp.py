"""Multilayer perceptrons: fitted with torch to a sample, applied in numpy to every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.types import FloatArray, IntArray
from icedask.tasks.progress import stage

Float32Array = npt.NDArray[np.float32]
Weights = Mapping[str, Float32Array]
# Function between the layers.
Activation = Literal["silu", "tanh"]

FIT_STEPS = 2000
_BATCH = 512
_LEARNING_RATE = 3e-3
_WEIGHT_DECAY = 1e-4
# Rows of a matrix product whose results stay in cache.
_CACHED_ROWS = 2048


def fit_mlp(
    rows: Float32Array,
    targets: Float32Array | IntArray,
    n_outputs: int,
    *,
    layers: Sequence[int],
    loss: Literal["squared", "classes"],
    seed: int,
    description: str,
) -> dict[str, Float32Array]:
    """Fit a network to a sample that fits into memory; returns its weights under the prefix "net".

    Rows (n, n_features) have a variance near 1. Targets are numbers (n, n_outputs), with the
    squared error as loss, or classes (n,), with the cross entropy. `layers` are widths of hidden
    layers.
    """
    import torch

    from icedask.nn.torch_utils import arrays_of, reproducible, stack

    with reproducible():
        torch.default_generator.manual_seed(seed)
        network = stack([rows.shape[1], *layers, n_outputs])
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, _LEARNING_RATE, total_steps=FIT_STEPS, pct_start=0.05
        )
        measure = torch.nn.MSELoss() if loss == "squared" else torch.nn.CrossEntropyLoss()
        inputs, outputs = torch.from_numpy(rows), torch.from_numpy(targets)
        with stage(description, FIT_STEPS) as advance:
            for _ in range(FIT_STEPS):
                batch = torch.randint(len(rows), (_BATCH,))
                optimizer.zero_grad()
                measure(network(inputs[batch]), outputs[batch]).backward()
                optimizer.step()
                schedule.step()
                advance(1)
        return arrays_of(network, "net_")


def weight_arrays(weights: Weights) -> dict[str, Any]:
    """Return weights as variables of a Dataset, each with dimensions of its own."""
    return {
        name: (tuple(f"{name}_{axis}" for axis in range(weight.ndim)), weight)
        for name, weight in weights.items()
    }


def weights_of(ds: xr.Dataset, *prefixes: str) -> dict[str, Float32Array]:
    """Return the weights of the networks `prefixes` from the variables of `weight_arrays`."""
    starts = tuple(f"{prefix}_" for prefix in prefixes)
    return {
        str(name): variable.values
        for name, variable in ds.data_vars.items()
        if str(name).startswith(starts)
    }


def layers_of(weights: Weights, prefix: str) -> list[tuple[Float32Array, Float32Array]]:
    """Return weight (n_out, n_in) and bias (n_out,) of each layer of the network `prefix`."""
    numbers = sorted(
        int(name.split("_")[-2])
        for name in weights
        if name.startswith(f"{prefix}_") and name.endswith("_weight")
    )
    return [
        (weights[f"{prefix}_{number}_weight"], weights[f"{prefix}_{number}_bias"])
        for number in numbers
    ]


def apply_stack(
    rows: Float32Array, weights: Weights, prefix: str, activation: Activation = "silu"
) -> Float32Array:
    """Return the output of the network `prefix`, (n, n_out), without torch."""
    layers = layers_of(weights, prefix)
    values = rows
    for number, (weight, bias) in enumerate(layers, 1):
        values = values @ weight.T
        values += bias
        if number < len(layers):
            activate(values, activation)
    return values


def activate(values: npt.NDArray[np.floating], activation: Activation) -> None:
    """Apply the activation to values, in place."""
    if activation == "tanh":
        np.tanh(values, out=values)
    else:
        # SiLU, x / (1 + exp(-x)); to the left of the bound it is zero.
        decay = np.exp(-np.maximum(values, -80.0, dtype=values.dtype))
        decay += 1
        values /= decay


def apply_rows(
    rows: npt.NDArray[np.floating],
    center: FloatArray,
    scale: FloatArray,
    weights: Weights,
    prefix: str,
    activation: Activation = "silu",
) -> Float32Array:
    """Return the output of a network for (row - center) * scale, (n, n_out); NaN for NaN rows."""
    parts = []
    for start in range(0, max(len(rows), 1), _CACHED_ROWS):
        part = ((rows[start : start + _CACHED_ROWS] - center) * scale).astype(np.float32)
        parts.append(apply_stack(part, weights, prefix, activation))
    return np.concatenate(parts)
