"""Ensemble of classifiers: logits and calibrated probabilities of rows, without torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from icedask.core.types import FloatArray
from icedask.nn.mlp import Activation, Weights, apply_stack

# Rows of a matrix product whose results stay in cache.
_ROWS = 2048


class Ensemble(NamedTuple):
    """Networks on rows (row - center) * scale, and the temperature of their probabilities."""

    center: FloatArray
    scale: FloatArray
    weights: Weights
    activation: Activation
    n_networks: int
    temperature: float

    def scaled(self, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Return the inputs of the networks, (n, n_features)."""
        # What is too large for single precision is infinite.
        with np.errstate(over="ignore", invalid="ignore"):
            return ((rows - self.center) * self.scale).astype(np.float32)

    def logits(self, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Return the outputs of each network for rows of features, (network, n, class)."""
        parts = [self.logits_of_inputs(self.scaled(part)) for part in self.cut(rows)]
        return np.concatenate(parts, axis=1)

    def logits_of_inputs(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the outputs of each network for scaled rows, (network, n, class)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.stack(
                [
                    apply_stack(inputs, self.weights, f"network_{number}", self.activation)
                    for number in range(self.n_networks)
                ]
            )

    def probabilities(self, rows: npt.NDArray[np.floating]) -> FloatArray:
        """Return the mean calibrated probabilities of rows of features, (n, class)."""
        return mean_probabilities(self.logits(rows), self.temperature)

    @staticmethod
    def cut(rows: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
        """Yield parts whose intermediate results stay in cache; at least one."""
        for start in range(0, max(len(rows), 1), _ROWS):
            yield rows[start : start + _ROWS]


def mean_probabilities(logits: npt.NDArray[np.floating], temperature: float) -> FloatArray:
    """Return softmax(logits / temperature), mean over the networks; NaN for infinite logits."""
    with np.errstate(over="ignore", invalid="ignore"):
        values: FloatArray = softmax(logits.astype(float) / temperature, axis=-1).mean(axis=0)
    return values
