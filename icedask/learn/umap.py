"""UMAP fitted on a recorded sample, and a network that maps every row as it does."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import (
    feature_blocks,
    whole_number,
)
from icedask.core.provenance import stamped
from icedask.core.types import FloatArray
from icedask.core.variables import COMPONENT, FEATURE
from icedask.errors import InputError
from icedask.learn.base import Estimator
from icedask.learn.farthest import farthest_rows
from icedask.learn.iterations import check_network, check_options
from icedask.learn.latent import latent_of
from icedask.nn.mlp import apply_rows, weight_arrays, weights_of
from icedask.tasks.progress import stage
from icedask.tasks.sampling import Sample, stratified_sample

# Candidates for the farthest rows, in rows of the sample.
_POOL = 4
_TINY = 1e-30


class UMAP(Estimator):
    """Uniform manifold approximation and projection; `fit` computes, `transform` is lazy.

    The map is made of a sample: most of its rows with the same share from every frame, the others
    those that are farthest from all before, so that what is rare is in it. A network learns where
    the rows of the sample came to lie, and `transform` maps every row by it, those of the sample
    included: a hundred times faster than UMAP's own way, and the same each time.

    Parameters
    ----------
    n_components : int
        Dimensions of the map.
    n_neighbors : int
        Neighbours that define the local structure.
    min_dist : float
        How close points may lie in the map; 0 for clusters.
    sample_size : int
        Rows of the sample.
    farthest : float
        Part of the sample that is added by distance, 0 to 0.9.
    layers : sequence of int
        Widths of the network's hidden layers.
    holdout : float
        Part of the sample that the network does not see, to be compared with; 0 for none.
    seed : int
        Of the sample, the map and the network.

    Attributes
    ----------
    sample_ : (n_sample, n_features) array
        Rows of the sample.
    sample_frame_, sample_atom_ : (n_sample,) int64
        Where they stand.
    sample_farthest_ : (n_sample,) bool
        Whether a row was added by distance.
    embedding_ : (n_sample, n_components) array
        Their places by UMAP itself.
    weights_ : dict of str to array
        Of the network.
    agreement_ : dict
        Of the network with UMAP on the rows that it has not seen: r2, the part of the variance of
        the places that it explains, median_error in units of the map, n rows. None without them.

    Notes
    -----
    McInnes, Healy and Melville, doi:10.48550/arXiv.1802.03426, by umap-learn, with exact nearest
    neighbours and one thread: the same seed gives the same map.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> rows = np.random.default_rng(0).normal(size=(2, 100, 3))
    >>> rows[:, 50:] += 9
    >>> x = xr.Dataset({"latent": (("frame", "atom", "component"), rows)})
    >>> ice.UMAP(n_neighbors=10).fit_transform(x)["latent"].shape
    (2, 100, 2)
    """

    _slug = "umap"
    _version = 1
    _learned: ClassVar = {
        "sample": ("row", FEATURE),
        "sample_frame": ("row",),
        "sample_atom": ("row",),
        "sample_farthest": ("row",),
        "embedding": ("row", COMPONENT),
        "center": (FEATURE,),
        "scale": (FEATURE,),
        "map_center": (COMPONENT,),
        "map_scale": (),
    }
    _numbers = ("agreement",)

    sample_: FloatArray
    sample_frame_: npt.NDArray[np.int64]
    sample_atom_: npt.NDArray[np.int64]
    sample_farthest_: npt.NDArray[np.bool_]
    embedding_: npt.NDArray[np.float32]
    weights_: dict[str, npt.NDArray[np.float32]]
    center_: FloatArray
    scale_: FloatArray
    map_center_: npt.NDArray[np.float32]
    map_scale_: npt.NDArray[np.float32]
    agreement_: dict[str, float] | None

    def __init__(
        self,
        n_components: int = 2,
        *,
        n_neighbors: int = 30,
        min_dist: float = 0.0,
        sample_size: int = 30_000,
        farthest: float = 0.1,
        layers: Sequence[int] = (128, 128),
        holdout: float = 0.1,
        seed: int = 0,
    ) -> None:
        self.n_components = n_components
        self.n_neighbors = n_neighbors
        self.min_dist = min_dist
        self.sample_size = sample_size
        self.farthest = farthest
        self.layers = layers
        self.holdout = holdout
        self.seed = seed

    def _check_parameters(self) -> None:
        check_options(self, ("n_components", "sample_size"), ("min_dist", "farthest"))
        whole_number(self.n_neighbors, "UMAP: n_neighbors", at_least=2)
        if self.min_dist > 1:
            raise InputError(f"UMAP: min_dist: expected 0 to 1, found {self.min_dist!r}")
        if not 0 <= self.farthest <= 0.9:
            raise InputError(f"UMAP: farthest: expected 0 to 0.9, found {self.farthest!r}")
        check_network(self)

    def fit(self, x: xr.Dataset) -> Self:
        """Make the map of a sample of the rows of `x`.

        Parameters
        ----------
        x : xarray.Dataset
            One variable (frame, atom, feature), lazy or not.

        Raises
        ------
        InputError
            If a parameter is out of bounds, or there are not more rows without NaN than
            neighbours.
        """
        from icedask.nn.fit_mlp import distil

        self._check_parameters()
        drawn, self.sample_farthest_ = self._draw(feature_blocks(x))
        if len(drawn.rows) < self.n_neighbors + 2:
            raise InputError(
                f"UMAP: expected at least {self.n_neighbors + 2} rows without NaN for n_neighbors "
                f"{self.n_neighbors}, found {len(drawn.rows)}"
            )
        self.sample_, self.sample_frame_, self.sample_atom_ = drawn
        self.embedding_ = embed(
            drawn.rows, self.n_components, self.n_neighbors, self.min_dist, self.seed
        )
        self.center_ = drawn.rows.mean(axis=0)
        self.scale_ = scale_of(drawn.rows)
        self.map_center_ = self.embedding_.mean(axis=0)
        self.map_scale_ = np.array(max(float(self.embedding_.std()), _TINY), np.float32)
        held, kept = split_rows(len(drawn.rows), self.holdout, self.seed)
        scaled = ((drawn.rows - self.center_) * self.scale_).astype(np.float32)
        places = (self.embedding_ - self.map_center_) / self.map_scale_
        self.weights_ = distil(
            scaled[kept],
            places[kept],
            self.n_components,
            layers=self.layers,
            loss="squared",
            seed=self.seed,
            description="UMAP: network",
        )
        self.agreement_ = self._agreement(held) if len(held) else None
        self.record_ = self.fitted_record(x)
        return self

    def _draw(self, features: da.Array) -> tuple[Sample, npt.NDArray[np.bool_]]:
        """Return the sample, and which of its rows were added by distance."""
        n_far = round(self.sample_size * self.farthest)
        size = self.sample_size if n_far == 0 else _POOL * self.sample_size
        pool = stratified_sample(features, size, self.seed)
        if len(pool.rows) <= self.sample_size:
            return pool, np.zeros(len(pool.rows), bool)
        order = np.random.default_rng(self.seed).permutation(len(pool.rows))
        first = order[: self.sample_size - n_far]
        rest = order[self.sample_size - n_far :]
        scaled = pool.rows * scale_of(pool.rows)
        far = rest[farthest_rows(scaled[rest], scaled[first], n_far)]
        chosen = np.sort(np.concatenate([first, far]))
        return Sample(*(part[chosen] for part in pool)), np.isin(chosen, far)

    def _agreement(self, held: npt.NDArray[np.int64]) -> dict[str, float]:
        wanted = self.embedding_[held].astype(float)
        error = self._map_rows(self.sample_[held]) - wanted
        spread = ((wanted - wanted.mean(axis=0)) ** 2).sum()
        return {
            "r2": float(1 - (error**2).sum() / max(spread, _TINY)),
            "median_error": float(np.median(np.sqrt((error**2).sum(axis=1)))),
            "n": len(held),
        }

    def _map_rows(self, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        places = apply_rows(rows, self.center_, self.scale_, self.weights_, "net")
        return places * self.map_scale_ + self.map_center_

    def transform(self, x: xr.Dataset) -> xr.Dataset:
        """Take every row of `x` to its place in the map; lazy.

        Returns
        -------
        xarray.Dataset
            latent (frame, atom, component), float32; NaN for rows with NaN.

        Raises
        ------
        InputError
            If the features are not those of the fit.
        """
        self.check_fitted()
        model = self.center_, self.scale_, self.weights_, self.map_scale_, self.map_center_
        return latent_of(self, x, len(self.center_), self.n_components, _map_block, model)

    def fit_transform(self, x: xr.Dataset) -> xr.Dataset:
        """Fit on `x`, then map it; the latter is lazy."""
        return self.fit(x).transform(x)

    def to_dataset(self) -> xr.Dataset:
        """Return the learned attributes as a Dataset, to be saved."""
        return stamped(super().to_dataset().assign(weight_arrays(self.weights_)), self.record_)

    @classmethod
    def from_dataset(cls, ds: xr.Dataset) -> Self:
        """Return the fitted estimator that a Dataset was made from."""
        estimator = super().from_dataset(ds)
        estimator.weights_ = weights_of(ds, "net")
        return estimator


def embed(
    rows: FloatArray, n_components: int, n_neighbors: int, min_dist: float, seed: int
) -> npt.NDArray[np.float32]:
    """Return the places of rows in a map of them by UMAP itself, (n, n_components)."""
    # Imports compile for seconds.
    from sklearn.neighbors import NearestNeighbors

    with stage("UMAP fit", 2) as advance:
        near = NearestNeighbors(n_neighbors=n_neighbors).fit(rows)
        distances, indices = near.kneighbors(rows)
        advance(1)
        with warnings.catch_warnings():
            # That it cannot map other rows, which the network does.
            warnings.simplefilter("ignore")
            from umap import UMAP as Learner

            learner = Learner(
                n_components=n_components,
                n_neighbors=n_neighbors,
                min_dist=min_dist,
                random_state=seed,
                # One thread, as the seed asks for.
                n_jobs=1,
                precomputed_knn=(indices, distances.astype(np.float32)),
            )
            places = learner.fit_transform(rows.astype(np.float32))
        advance(1)
    return np.asarray(places, np.float32)


def scale_of(rows: FloatArray) -> FloatArray:
    """Return one over the standard deviation of each feature; 0 of one that does not vary."""
    spread = rows.std(axis=0)
    return np.where(spread > 0, 1 / np.where(spread > 0, spread, 1.0), 0.0)


def split_rows(
    n: int, fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the places of a random part of n rows, and those of the others."""
    order = np.random.default_rng(seed).permutation(n)
    n_held = min(round(n * fraction), n - 1)
    return np.sort(order[:n_held]), np.sort(order[n_held:])


def _map_block(block: npt.NDArray[np.floating], model: tuple[Any, ...]) -> npt.NDArray[np.float32]:
    center, scale, weights, map_scale, map_center = model
    rows = block.reshape(-1, block.shape[-1])
    places = apply_rows(rows, center, scale, weights, "net") * map_scale + map_center
    return places.astype(np.float32).reshape(*block.shape[:2], -1)
