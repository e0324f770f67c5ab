"""Metric of the comparison with references: distances between vectors of features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.options import Option
from icedask.core.types import FloatArray, IntArray, LabelArray
from icedask.errors import InputError
from icedask.tasks.moments import CACHED_ROWS

Features = npt.NDArray[np.floating]
Metric = Annotated[
    str,
    Option(
        "Distance between SOAP vectors: mahalanobis, of unit vectors by the covariance that noise "
        "leaves after denoising, in units of the usual distance in the phase; euclidean or "
        "cosine, as published, between principal components of standardised vectors.",
        choices=("mahalanobis", "euclidean", "cosine"),
    ),
]

# Smallest deviation of a feature that counts in full, as a part of the largest.
_FLOOR = 1e-3
# Shrinkage of the covariance towards equal variance along all axes.
_SHRINKAGE = 0.9
# Quantile of the distances in a phase that is the unit of its scores.
_USUAL = 0.99
# Relative rounding error of features in single precision.
_ROUNDING = 1e-5
# Decimals within which references are the same point.
_SAME = 6


class Space(NamedTuple):
    """Points of the references, and the map from features to points."""

    # Points are (features - mean) @ matrix.
    mean: FloatArray
    matrix: FloatArray
    unit: bool  # Whether features are divided by their norm before that
    cosine: bool  # Whether the distance is one minus the cosine of the angle, else Euclidean
    # Points (n_references, n_components), and the phase of each.
    references: FloatArray
    phase: IntArray
    scale: FloatArray  # (n_phases,): unit of the distances from references of each phase

    def compare(self, features: Features) -> tuple[FloatArray, IntArray]:
        """Return the distance from the nearest reference, and its phase, of each row."""
        score, phase = np.empty(len(features)), np.empty(len(features), np.int64)
        for start in range(0, len(features), CACHED_ROWS):
            part = slice(start, start + CACHED_ROWS)
            distances = self._distances(self.points(features[part]))
            nearest = np.argmin(distances, axis=1)
            phase[part] = self.phase[nearest]
            score[part] = np.take_along_axis(distances, nearest[:, None], 1)[:, 0]
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
    """Return the published space: principal components of the standardised references.

    There are at most `n_components`, and no more than the references span. Raises InputError if all
    references are the same: there is nothing to standardise by.
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
    """Return a space in which the residual noise of the phases has equal variance along all axes.

    `references` are features of the ideal crystals, `hot` of the same phases with noise.
    """
    rows, phase = _stacked(references)
    rows = _unit(rows)
    mean, scales = rows.mean(0), _scales(rows)
    plain = Space(mean, np.diag(scales), True, False, rows, phase, np.ones(len(references)))
    covariance = np.mean(
        [_spread(plain, rows[phase == number], features) for number, features in enumerate(hot)],
        axis=0,
    )
    values, vectors = np.linalg.eigh(covariance)
    width = (1 - _SHRINKAGE) * np.maximum(values, 0.0) + _SHRINKAGE * values.mean()
    white = plain._replace(matrix=scales[:, None] * vectors / np.sqrt(width))
    white = _with_references(white, rows, phase)
    usual = [np.quantile(white.compare(features)[0], _USUAL) for features in hot]
    return white._replace(scale=np.array(usual))


def _spread(space: Space, own: Features, hot: Features) -> FloatArray:
    """Return the mean outer product of differences from the nearest own reference."""
    points, targets = space.points(hot), space.points(own)
    nearest = np.argmin((targets**2).sum(1) - 2.0 * points @ targets.T, axis=1)
    difference = points - targets[nearest]
    return np.asarray(difference.T @ difference / len(points))


def _stacked(references: Sequence[Features]) -> tuple[FloatArray, IntArray]:
    phase = np.repeat(np.arange(len(references)), [len(features) for features in references])
    return np.concatenate(references).astype(np.float64), phase


def _scales(rows: FloatArray) -> FloatArray:
    deviation = rows.std(0)
    if _alike(rows):
        return np.ones(len(deviation))
    return 1.0 / np.maximum(deviation, _FLOOR * float(deviation.max()))


def _alike(rows: FloatArray) -> bool:
    """Return whether rows differ by rounding errors alone."""
    return bool(rows.std(0).max() < _ROUNDING * np.abs(rows).max())


def _with_references(space: Space, rows: FloatArray, phase: IntArray) -> Space:
    """Return the space with the distinct points of the references."""
    points = space.points(rows)
    keys = np.column_stack([phase, np.round(points, _SAME)])
    _, first = np.unique(keys, axis=0, return_index=True)
    first.sort()
    return space._replace(references=points[first], phase=phase[first])


def _unit(rows: FloatArray) -> FloatArray:
    # An atom without neighbours within reach still sees itself; a zero vector stays one.
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norm > 0, norm, 1.0)


def compare_block(features: Features, space: Space) -> tuple[npt.NDArray[np.float32], LabelArray]:
    """Return the distance from the nearest reference, and its phase, of each row of a block."""
    score, nearest = space.compare(features.reshape(-1, features.shape[-1]))
    shape = features.shape[:-1]
    return score.astype(np.float32).reshape(shape), nearest.astype(np.int32).reshape(shape)


def project_block(features: Features, plane: Space) -> npt.NDArray[np.float32]:
    """Return the point of each row of a block."""
    points = plane.points(features.reshape(-1, features.shape[-1]))
    return points.astype(np.float32).reshape(*features.shape[:-1], -1)
