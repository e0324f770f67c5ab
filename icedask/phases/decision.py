"""Decision rule: classes and their probabilities from scores and residuals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray

# Probability of a class where this part of the calibration's atoms is farther away.
_SURE, _RARE = 0.999, 1e-3


class Boundary(NamedTuple):
    """Limit between two classes; the odds of the outer one are a power of value / limit."""

    limit: float
    steepness: float

    def outside(self, values: npt.NDArray[np.float32]) -> FloatArray:
        """Return the probability of the class beyond the limit."""
        with np.errstate(divide="ignore", over="ignore"):
            return 1.0 / (1.0 + (self.limit / values.astype(np.float64)) ** self.steepness)


class Rule(NamedTuple):
    """Boundaries of scores, and of residuals, angstrom, if positions were denoised.

    Atoms beyond that of scores are liquid, number `n_phases`, beyond that of residuals, else
    unknown, the next number.
    """

    n_phases: int
    score: Boundary
    residual: Boundary | None


def separating_threshold(low: npt.NDArray[np.floating], high: npt.NDArray[np.floating]) -> float:
    """Return the threshold between two samples of positive numbers with fewest errors.

    Errors are counted as fractions of each sample; of a range of thresholds, the geometric mean.
    """
    low, high = np.sort(low), np.sort(high)
    edges = np.unique(np.concatenate([low, high]))
    wrong_low = 1.0 - np.searchsorted(low, edges, side="right") / len(low)
    wrong_high = np.searchsorted(high, edges, side="right") / len(high)
    best = int(np.argmin(wrong_low + wrong_high))
    # Between this number and the next nothing changes.
    return float(np.sqrt(edges[best] * edges[min(best + 1, len(edges) - 1)]))


def boundary(inside: Sequence[FloatArray], outside: Sequence[FloatArray]) -> Boundary:
    """Return the boundary between two samples, sure of the class of the inner one's rarest."""
    sample = np.concatenate(inside)
    limit = separating_threshold(sample, np.concatenate(outside))
    far = float(np.quantile(sample, 1 - _RARE))
    # A sample that reaches the limit is never sure of its class there.
    steepness = np.log(_SURE / (1 - _SURE)) / max(np.log(limit / far), 0.05)
    return Boundary(limit, float(steepness))


def label_block(
    score: npt.NDArray[np.float32],
    nearest: npt.NDArray[np.int32],
    residual: npt.NDArray[np.float32] | None = None,
    *,
    rule: Rule,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return the class of each atom and its probability."""
    outside = rule.score.outside(score)
    liquid = np.ones_like(outside)
    if residual is not None and rule.residual is not None:
        liquid = rule.residual.outside(residual)
    other = np.where(liquid >= 0.5, rule.n_phases, rule.n_phases + 1)
    label = np.where(outside <= 0.5, nearest, other).astype(np.int32)
    confidence = np.where(outside <= 0.5, 1.0 - outside, outside * np.maximum(liquid, 1.0 - liquid))
    return label, confidence.astype(np.float32)
