"""Calibration of class probabilities: temperature, reliability, expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from icedask.core.types import FloatArray, IntArray
from icedask.nn.ensemble import mean_probabilities

N_BINS = 15
# Bounds of the logarithm of the temperature.
_LARGEST_LOG = 4.0
# Smallest probability of a true class: the logarithm stays finite.
_TINY = 1e-30


class Reliability(NamedTuple):
    """Sums of weights, confidences and hits of each bin of the confidence."""

    weight: FloatArray
    confidence: FloatArray
    hits: FloatArray

    def merged(self, other: Reliability) -> Reliability:
        """Return the sums of both."""
        return Reliability(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def error(self) -> float:
        """The expected calibration error; NaN without rows."""
        total = self.weight.sum()
        return float(np.abs(self.hits - self.confidence).sum() / total) if total > 0 else np.nan


def reliability(
    confidence: npt.NDArray[np.floating],
    right: npt.NDArray[np.bool_],
    weight: FloatArray | None = None,
) -> Reliability:
    """Sum the rows in each of 15 bins of equal width of the confidence, from 0 to 1."""
    weights = np.ones(len(confidence)) if weight is None else weight
    place = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    return Reliability(
        np.bincount(place, weights, N_BINS).astype(float),
        np.bincount(place, weights * confidence, N_BINS).astype(float),
        np.bincount(place, weights * right, N_BINS).astype(float),
    )


def fitted_temperature(
    logits: npt.NDArray[np.floating], classes: IntArray, weight: FloatArray
) -> float:
    """Return the temperature of the smallest negative log-likelihood, logits (network, n, class).

    Guo et al., doi:10.48550/arXiv.1706.04599. A temperature of 1 is kept where none is better.
    """

    def loss(log_temperature: float) -> float:
        return log_loss(mean_probabilities(logits, np.exp(log_temperature)), classes, weight)

    fit = minimize_scalar(loss, bounds=(-_LARGEST_LOG, _LARGEST_LOG), method="bounded")
    return float(np.exp(fit.x)) if fit.fun < loss(0.0) else 1.0


def log_loss(
    probabilities: FloatArray, classes: Sequence[int] | IntArray, weight: FloatArray
) -> float:
    """Return the weighted mean negative log-likelihood of the classes."""
    true = probabilities[np.arange(len(probabilities)), classes]
    return float(-(np.log(np.maximum(true, _TINY)) * weight).sum() / weight.sum())
