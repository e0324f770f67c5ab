"""From scores and residuals to classes and how probable they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray

# A class is this probable where so few of the calibration's atoms are farther away.
_SURE, _RARE = 0.999, 1e-3


class Rule(NamedTuple):
    """How scores and residuals become classes: odds are powers of what they are to the limit.

    Attributes
    ----------
    n_phases
        How many there are: "liquid" has the number after theirs, "unknown" the next.
    threshold, steepness
        Of scores: the limit, and the power.
    residual, residual_steepness
        The same of residuals, angstrom; None where nothing was denoised.
    """

    n_phases: int
    threshold: float
    steepness: float
    residual: float | None
    residual_steepness: float


def steepness(sample: FloatArray, limit: float) -> float:
    """Return the power of (value / limit) that makes the sample's class sure where it is rare."""
    far = float(np.quantile(sample, 1 - _RARE))
    # A sample that reaches the limit is never sure of its class there.
    return float(np.log(_SURE / (1 - _SURE)) / max(np.log(limit / far), 0.05))


def _above(values: FloatArray, limit: float, steepness: float) -> FloatArray:
    """Return the probability to be of the class beyond the limit."""
    with np.errstate(divide="ignore", over="ignore"):
        return 1.0 / (1.0 + (limit / values) ** steepness)


def label_block(
    score: npt.NDArray[np.float32],
    nearest: npt.NDArray[np.int32],
    residual: npt.NDArray[np.float32] | None = None,
    *,
    rule: Rule,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return the class of each atom, and how probable it is."""
    outside = _above(score.astype(np.float64), rule.threshold, rule.steepness)
    liquid = np.ones_like(outside)
    if residual is not None and rule.residual is not None:
        liquid = _above(residual.astype(np.float64), rule.residual, rule.residual_steepness)
    other = np.where(liquid >= 0.5, rule.n_phases, rule.n_phases + 1)
    label = np.where(outside <= 0.5, nearest, other).astype(np.int32)
    confidence = np.where(outside <= 0.5, 1.0 - outside, outside * np.maximum(liquid, 1.0 - liquid))
    return label, confidence.astype(np.float32)
