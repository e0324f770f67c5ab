"""Where atoms are compared with references: distances between vectors of features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.tasks.moments import CACHED_ROWS

Features = npt.NDArray[np.floating]

# Features that hardly differ between references are not blown up: part of the widest deviation.
_FLOOR = 1e-3
# Of the covariance, towards equal variance along all axes.
_SHRINKAGE = 0.9
# What is usual in a phase: nearly all of its atoms are as near to the reference.
_USUAL = 0.99
# Of features in single precision.
_ROUNDING = 1e-5
# Decimals within which references are the same point.
_SAME = 6


class Space(NamedTuple):
    """References as points, and how features become points.

    Attributes
    ----------
    mean, matrix
        Features become (features - mean) @ matrix.
    unit
        Whether features are divided by their norm before that.
    cosine
        Whether the distance is one minus the cosine of the angle, else it is Euclidean.
    references : (n_references, n_components)
    phase : (n_references,) int
        Of each reference.
    scale : (n_phases,)
        What distances from references of a phase are divided by.
    """

    mean: FloatArray
    matrix: FloatArray
    unit: bool
    cosine: bool
    references: FloatArray
    phase: npt.NDArray[np.int64]
    scale: FloatArray

    def compare(self, features: Features) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Return the distance from the nearest reference, and its phase, of each row."""
        score, phase = np.empty(len(features)), np.empty(len(features), np.int64)
        for start in range(0, len(features), CACHED_ROWS):
            some = slice(start, start + CACHED_ROWS)
            distances = self._distances(self.points(features[some]))
            nearest = np.argmin(distances, axis=1)
            phase[some] = self.phase[nearest]
            score[some] = np.take_along_axis(distances, nearest[:, None], 1)[:, 0]
        return score / self.scale[phase], phase

    def points(self, features: Features) -> FloatArray:
        """Return rows of features as points."""
        rows = features.astype(np.float64)
        points = ((_unit(rows) if self.unit else rows) - self.mean) @ self.matrix
        return _unit(points) if self.cosine else points

    def _distances(self, points: FloatArray) -> FloatArray:
        products = points @ self.references.T
        if self.cosine:
            return np.maximum(1.0 - products, 0.0)
        squares = (points**2).sum(1)[:, None] + (self.references**2).sum(1) - 2.0 * products
        return np.sqrt(np.maximum(squares, 0.0))


def principal_space(references: Sequence[Features], n_components: int, cosine: bool) -> Space:
    """Return the published space: principal components of standardised features.

    Parameters
    ----------
    references
        Features of the atoms of each phase.
    n_components
        At most; no more than the references span.
    cosine
        Compare angles, not distances.

    Raises
    ------
    InputError
        If all references are the same: there is nothing to standardise by.
    """
    rows, phase = _stacked(references)
    if _alike(rows):
        raise InputError(
            "PhaseClassifier: expected references with different surroundings, found those of one "
            "atom; take the metric 'mahalanobis', or add a phase"
        )
    mean, scales = rows.mean(0), _scales(rows)
    _, strengths, axes = np.linalg.svd((rows - mean) * scales, full_matrices=False)
    keep = min(n_components, max(1, int((strengths > 1e-6 * strengths[0]).sum())))
    space = Space(
        mean, scales[:, None] * axes[:keep].T, False, cosine, rows, phase, np.ones(len(references))
    )
    return _with_references(space, rows, phase)


def whitened_space(references: Sequence[Features], hot: Sequence[Features]) -> Space:
    """Return a space in which what is left of thermal noise is as wide along every axis.

    Parameters
    ----------
    references
        Features of the atoms of each phase.
    hot
        Features of the same phases with noise: what the noise changes counts less.
    """
    rows, phase = _stacked(references)
    rows = _unit(rows)
    mean, scales = rows.mean(0), _scales(rows)
    plain = Space(mean, np.diag(scales), True, False, rows, phase, np.ones(len(references)))
    covariance = np.mean(
        [_spread(plain, rows[phase == number], one) for number, one in enumerate(hot)], axis=0
    )
    values, vectors = np.linalg.eigh(covariance)
    width = (1 - _SHRINKAGE) * np.maximum(values, 0.0) + _SHRINKAGE * values.mean()
    white = plain._replace(matrix=scales[:, None] * vectors / np.sqrt(width))
    white = _with_references(white, rows, phase)
    usual = [np.quantile(white.compare(one)[0], _USUAL) for one in hot]
    return white._replace(scale=np.array(usual))


def _spread(space: Space, own: Features, hot: Features) -> FloatArray:
    """Return the mean square of what separates atoms from the nearest of their references."""
    points, targets = space.points(hot), space.points(own)
    nearest = np.argmin(
        (targets**2).sum(1) - 2.0 * points @ targets.T,
        axis=1,
    )
    difference = points - targets[nearest]
    return np.asarray(difference.T @ difference / len(points))


def _stacked(references: Sequence[Features]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    phase = np.repeat(np.arange(len(references)), [len(one) for one in references])
    return np.concatenate(references).astype(np.float64), phase


def _scales(rows: FloatArray) -> FloatArray:
    deviation = rows.std(0)
    if _alike(rows):
        return np.ones(len(deviation))
    return 1.0 / np.maximum(deviation, _FLOOR * float(deviation.max()))


def _alike(rows: FloatArray) -> bool:
    """Say whether rows differ by rounding errors alone."""
    return bool(rows.std(0).max() < _ROUNDING * np.abs(rows).max())


def _with_references(space: Space, rows: FloatArray, phase: npt.NDArray[np.int64]) -> Space:
    """Return the space with the references as its points, each of them once."""
    points = space.points(rows)
    keys = np.column_stack([phase, np.round(points, _SAME)])
    _, first = np.unique(keys, axis=0, return_index=True)
    first.sort()
    return space._replace(references=points[first], phase=phase[first])


def _unit(rows: FloatArray) -> FloatArray:
    # An atom without neighbours within reach still sees itself; a zero vector stays one.
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norm > 0, norm, 1.0)
