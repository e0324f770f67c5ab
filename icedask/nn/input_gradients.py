"""Integrated gradients of networks with respect to their inputs, by backpropagation in numpy."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from icedask.core.types import FloatArray, IntArray
from icedask.nn.ensemble import Ensemble
from icedask.nn.mlp import Activation, layers_of

Output = Literal["logit", "probability"]
# Memory of the intermediate results of one batch of rows.
_BATCH_BYTES = 2**25

_Layers = list[tuple[FloatArray, FloatArray]]


class Attributions(NamedTuple):
    """Attributions (n, target, feature), and their sum less F(x) - F(x'), (n, target)."""

    values: FloatArray
    error: FloatArray


class _Path(NamedTuple):
    """Places on the paths, from the baseline, 0, to the row, 1, and their weights."""

    places: FloatArray
    weights: FloatArray


def integrate(
    ensemble: Ensemble,
    rows: npt.NDArray[np.floating],
    baseline: FloatArray,
    targets: IntArray,
    steps: int,
    output: Output,
) -> Attributions:
    """Return the integrated gradients of some classes, by Gauss-Legendre quadrature.

    `rows` and `baseline` are features without NaN, `targets` (n, n_targets) the numbers of classes
    of each row. Batches of rows bound the memory.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    # The ends of the path, of no weight, give F(x') and F(x).
    path = _Path(
        np.concatenate([[0.0], (nodes + 1) / 2, [1.0]]),
        np.concatenate([[0.0], weights / 2, [0.0]]),
    )
    networks: list[_Layers] = [
        [
            (weight.astype(float), bias.astype(float))
            for weight, bias in layers_of(ensemble.weights, f"network_{number}")
        ]
        for number in range(ensemble.n_networks)
    ]
    start = (baseline - ensemble.center) * ensemble.scale
    widest = max(len(bias) for _, bias in networks[0])
    per_row = 8 * len(path.places) * widest * (len(networks[0]) + targets.shape[1] + 2)
    size = max(1, _BATCH_BYTES // per_row)
    values = np.empty((*targets.shape, len(start)))
    error = np.empty(targets.shape)
    for first in range(0, len(rows), size):
        part = slice(first, first + size)
        shift = (rows[part] - ensemble.center) * ensemble.scale - start
        parts = [
            _integrate_network(layers, ensemble, start, shift, targets[part], path, output)
            for layers in networks
        ]
        gradient, rise = (np.mean(each, axis=0) for each in zip(*parts, strict=True))
        values[part] = gradient * shift[:, None, :]
        error[part] = values[part].sum(axis=2) - rise
    return Attributions(values, error)


def _integrate_network(
    layers: _Layers,
    ensemble: Ensemble,
    start: FloatArray,
    shift: FloatArray,
    targets: IntArray,
    path: _Path,
    output: Output,
) -> tuple[FloatArray, FloatArray]:
    """Return the mean gradient along the path, (n, target, feature), and F(x) - F(x')."""
    weight, bias = layers[0]
    # The first layer is linear along the path.
    values = (start @ weight.T + bias) + path.places[:, None] * (shift @ weight.T)[:, None, :]
    slopes = []
    for weight, bias in layers[1:]:
        hidden, slope = _activated(values, ensemble.activation)
        slopes.append(slope)
        values = _product(hidden, weight.T) + bias
    upstream, outputs = _output_gradient(values, targets, output, ensemble.temperature)
    for (weight, _), slope in zip(reversed(layers[1:]), reversed(slopes), strict=True):
        upstream = _product(upstream, weight)
        upstream *= slope[:, :, None, :]
    mean = np.einsum("p,nptk->ntk", path.weights, upstream)
    return mean @ layers[0][0], outputs[:, -1] - outputs[:, 0]


def _product(values: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return values @ matrix by one product of matrices, faster than one for each of a stack."""
    flat = values.reshape(-1, values.shape[-1]) @ matrix
    return flat.reshape(*values.shape[:-1], -1)


def _activated(values: FloatArray, activation: Activation) -> tuple[FloatArray, FloatArray]:
    """Return the activation and its derivative."""
    if activation == "tanh":
        result = np.tanh(values)
        return result, 1 - result**2
    gate = expit(values)
    return values * gate, gate * (1 + values * (1 - gate))


def _output_gradient(
    logits: FloatArray, targets: IntArray, output: Output, temperature: float
) -> tuple[FloatArray, FloatArray]:
    """Return dF/dlogits, (n, place, target, class), and F, (n, place, target)."""
    chosen = np.eye(logits.shape[2])[targets][:, None]
    if output == "logit":
        upstream = np.broadcast_to(chosen, (*logits.shape[:2], *chosen.shape[2:]))
        return upstream, np.take_along_axis(logits, targets[:, None], axis=2)
    probability = softmax(logits / temperature, axis=2)[:, :, None, :]
    own = (probability * chosen).sum(axis=3)
    return own[..., None] * (chosen - probability) / temperature, own
