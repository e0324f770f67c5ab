"""K-means over data of any size: Lloyd's iterations with sums over blocks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.spatial.distance import cdist

from icedask.core.collection import Collection
from icedask.core.options import Option, Seed
from icedask.core.rows import Rows, rows_of
from icedask.core.types import FloatArray, IntArray
from icedask.learn.base import (
    Clusterer,
    SampleSize,
    starting_sample,
    starting_values,
    warn_if_unsaved,
)
from icedask.tasks.moments import block_weight, finite_rows, moments
from icedask.tasks.progress import stage
from icedask.tasks.reduce import reduce_blocks

_ROWS = 8192


class _Sums(NamedTuple):
    """Sums over the rows nearest to each centre, relative to it, with squared distances.

    And the rows farthest from their centres, where empty clusters restart.
    """

    shift: FloatArray
    n: FloatArray
    n_rows: int
    inertia: float
    far: FloatArray
    far_distance: FloatArray
    far_label: IntArray


class KMeans(Clusterer):
    """Clusters about the nearest of k centres; `fit` computes, `predict` is lazy.

    Lloyd's iterations over all rows, exact for any blocks: each pass sums over the blocks. They
    start from the best of `n_init` fits to a sample with the same number of rows from every
    frame, with its centres in ascending order of their first feature, or from `init`. They end
    when the squared shift of all centres is below `tol` times the mean variance of a feature. Rows
    with NaN are left out and labelled -1.

    {parameters}

    Attributes
    ----------
    cluster_centers_ : (n_clusters, n_features) array
    inertia_ : float
        Sum of squared distances of the rows to their centres.
    n_iter_ : int
    n_samples_ : int
        Rows without NaN.

    Notes
    -----
    Equals scikit-learn's KMeans (algorithm="lloyd") from the same centres. Lloyd,
    doi:10.1109/TIT.1982.1056489.

    Each iteration is a pass over the input, which is computed each time unless it is read from a
    store: save it first.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> rows = np.array([0.0, 0.1, 4.0, 4.1]).reshape(1, 4, 1)
    >>> x = xr.Dataset({"latent": (("frame", "atom", "component"), rows)})
    >>> ice.KMeans(2).fit_predict(x)["label"].values
    array([[0, 0, 1, 1]], dtype=int32)
    """

    _slug = "kmeans"
    _version = 1
    _learned: ClassVar = {"cluster_centers": ("cluster", "feature")}
    _numbers = ("inertia", "n_iter", "n_samples")

    cluster_centers_: FloatArray
    inertia_: float
    n_iter_: int
    n_samples_: int

    def __init__(
        self,
        n_clusters: Annotated[int, Option("Number of clusters.", at_least=1)],
        *,
        init: Annotated[Any, Option("Array (n_clusters, n_features) of first centres.")] = None,
        n_init: Annotated[int, Option("Fits to the sample by k-means++.", at_least=1)] = 10,
        max_iter: Annotated[int, Option("Largest number of passes.", at_least=1)] = 300,
        tol: Annotated[
            float,
            Option("Squared shift of all centres at convergence, in variances.", at_least=0),
        ] = 1e-4,
        sample_size: SampleSize = 50_000,
        seed: Seed = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.sample_size = sample_size
        self.seed = seed

    def fit(self, x: xr.Dataset | Collection) -> Self:
        """Find the centres of all rows of `x`.

        Parameters
        ----------
        x : xarray.Dataset or Collection
            One variable (frame, atom[, feature]), lazy or not; of a collection all members.

        Raises
        ------
        InputError
            If a parameter is out of bounds, or there are fewer distinct rows than clusters.
        """
        self.check_parameters()
        rows = rows_of(x)
        warn_if_unsaved(x, "KMeans")
        total = moments(rows.features, "KMeans: variance", rows.weight_blocks())
        tolerance = self.tol * float(np.mean(np.diag(total.scatter))) / total.n
        centers, self.n_iter_ = self._iterate(rows, self._start(rows), tolerance)
        last = _sums(rows, centers)
        self.cluster_centers_ = centers
        self.inertia_ = last.inertia
        self.n_samples_ = last.n_rows
        self.note_fit(x)
        return self

    def _iterate(self, rows: Rows, centers: FloatArray, tolerance: float) -> tuple[FloatArray, int]:
        number = 0
        with stage("KMeans", self.max_iter) as advance:
            while number < self.max_iter:
                number += 1
                before, centers = centers, _moved(centers, _sums(rows, centers))
                advance(1)
                if float(((centers - before) ** 2).sum()) <= tolerance:
                    break
            advance(self.max_iter - number)
        return centers, number

    def _start(self, rows: Rows) -> FloatArray:
        if self.init is not None:
            shape = self.n_clusters, rows.features.shape[2]
            return starting_values(self.init, shape, "KMeans: init")
        from sklearn.cluster import KMeans as OnSample

        sample = starting_sample(rows, self.n_clusters, self.sample_size, self.seed, "KMeans")
        on_sample = OnSample(
            self.n_clusters, n_init=self.n_init, tol=self.tol, random_state=self.seed
        ).fit(sample)
        centers = on_sample.cluster_centers_
        return centers[np.lexsort(centers.T[::-1])]

    def predict(self, x: xr.Dataset) -> xr.Dataset:
        """Label every row of `x` by its nearest centre; lazy.

        Returns
        -------
        xarray.Dataset
            label (frame, atom), int32, -1 for rows with NaN.

        Raises
        ------
        InputError
            If the features are not those of the fit.
        """
        self.check_fitted()
        centers = self.cluster_centers_
        return self.label_rows(x, centers.shape[1], _nearest, ("label",), centers)


def _sums(rows: Rows, centers: FloatArray) -> _Sums:
    return reduce_blocks(rows.weighted(), partial(_block_sums, centers=centers), _merged, None)


def _block_sums(
    block: npt.NDArray[np.floating], weight: FloatArray | None = None, *, centers: FloatArray
) -> _Sums:
    rows = finite_rows(block)
    starts = range(0, max(len(rows), 1), _ROWS)
    sums = _merged([_row_sums(rows[i : i + _ROWS].astype(np.float64), centers) for i in starts])
    factor = block_weight(weight)
    return sums._replace(
        shift=sums.shift * factor, n=sums.n * factor, inertia=sums.inertia * factor
    )


def _row_sums(rows: FloatArray, centers: FloatArray) -> _Sums:
    k = len(centers)
    distance = cdist(rows, centers, "sqeuclidean")
    label = distance.argmin(axis=1)
    own = distance[np.arange(len(rows)), label]
    onehot = np.zeros((len(rows), k))
    onehot[np.arange(len(rows)), label] = 1.0
    n = np.bincount(label, minlength=k).astype(np.float64)
    shift = onehot.T @ rows - n[:, None] * centers
    # The largest k, in the order of the rows where they are equal.
    far = np.argsort(-own, kind="stable")[:k]
    inertia = float(own.sum())
    return _Sums(shift, n, len(rows), inertia, rows[far], own[far], label[far])


def _merged(parts: Sequence[_Sums]) -> _Sums:
    k = len(parts[0].n)
    distance = np.concatenate([part.far_distance for part in parts])
    far = np.argsort(-distance, kind="stable")[:k]
    return _Sums(
        np.sum([part.shift for part in parts], axis=0),
        np.sum([part.n for part in parts], axis=0),
        sum(part.n_rows for part in parts),
        float(sum(part.inertia for part in parts)),
        np.concatenate([part.far for part in parts])[far],
        distance[far],
        np.concatenate([part.far_label for part in parts])[far],
    )


def _moved(centers: FloatArray, sums: _Sums) -> FloatArray:
    """Return the means of the clusters; an empty one takes the row farthest from its centre."""
    totals = sums.shift + sums.n[:, None] * centers
    n = sums.n.copy()
    for place, empty in enumerate(np.flatnonzero(sums.n == 0)):
        totals[sums.far_label[place]] -= sums.far[place]
        n[sums.far_label[place]] -= 1
        totals[empty], n[empty] = sums.far[place], 1
    return np.where(n[:, None] > 0, totals / np.maximum(n, 1)[:, None], centers)


def _nearest(
    block: npt.NDArray[np.floating], centers: FloatArray
) -> tuple[npt.NDArray[np.int32], ...]:
    rows = block.reshape(-1, block.shape[-1])
    label = np.full(len(rows), -1, np.int32)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS].astype(np.float64)
        finite = np.isfinite(part).all(axis=1)
        label[start : start + _ROWS][finite] = cdist(part[finite], centers, "sqeuclidean").argmin(1)
    return (label.reshape(block.shape[:2]),)
