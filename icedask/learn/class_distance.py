"""Mahalanobis distances of rows from the classes of a classifier, in few principal components."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.covariance import ledoit_wolf

from icedask.core.types import FloatArray, IntArray

# Share of the variance that the principal components explain, and their largest number.
_VARIANCE, _MOST_AXES = 0.99, 30
# Smallest variance of a class along an axis, relative to that of all rows.
_FLOOR = 1e-6


class ClassDistances(NamedTuple):
    """A Gaussian for each class in the space of the first principal components of scaled rows.

    center (n_features,), axes (n_axes, n_features), of unit variance over all rows; means (class,
    n_axes); roots (class, n_axes, n_axes), R with R R^T the inverse of the covariance.
    """

    center: FloatArray
    axes: FloatArray
    means: FloatArray
    roots: FloatArray

    def squared(self, inputs: npt.NDArray[np.floating], classes: IntArray) -> FloatArray:
        """Return the squared Mahalanobis distance of each scaled row from a class."""
        with np.errstate(over="ignore", invalid="ignore"):
            places = (inputs.astype(float) - self.center) @ self.axes.T
            result = np.empty(len(inputs))
            for number in np.unique(classes):
                own = classes == number
                shifts = (places[own] - self.means[number]) @ self.roots[number]
                result[own] = (shifts**2).sum(axis=1)
        return result


def class_distances(
    inputs: npt.NDArray[np.floating], classes: IntArray, n_classes: int
) -> ClassDistances:
    """Fit the Gaussians of all classes to scaled rows.

    Covariances are those of Ledoit and Wolf, doi:10.1016/S0047-259X(03)00096-4, shrunk as few rows
    of many correlated features need it.
    """
    rows = inputs.astype(float)
    center = rows.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(rows.T).reshape(len(center), -1))
    values, vectors = values[::-1], vectors[:, ::-1].T
    enough = int(np.searchsorted(np.cumsum(values) / values.sum(), _VARIANCE)) + 1
    n_axes = min(enough, _MOST_AXES)
    axes = vectors[:n_axes] / np.sqrt(values[:n_axes, None])
    places = (rows - center) @ axes.T
    means, roots = np.empty((n_classes, n_axes)), np.empty((n_classes, n_axes, n_axes))
    for number in range(n_classes):
        own = places[classes == number]
        means[number] = own.mean(axis=0)
        covariance = ledoit_wolf(own)[0] + _FLOOR * np.eye(n_axes)
        widths, directions = np.linalg.eigh(covariance)
        roots[number] = directions / np.sqrt(widths)
    return ClassDistances(center, axes, means, roots)
