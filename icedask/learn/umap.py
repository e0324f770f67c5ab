"""UMAP fitted to a recorded sample, with a network that maps every row."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed
from scipy.spatial import cKDTree

from icedask.core.collection import Collection
from icedask.core.options import Option, Seed
from icedask.core.rows import Rows, rows_of
from icedask.core.types import FloatArray, IntArray
from icedask.core.variables import COMPONENT, FEATURE
from icedask.errors import InputError
from icedask.kernels.jit import jit
from icedask.learn.base import HiddenLayers, SampleSize, Transformer
from icedask.nn.mlp import Float32Array, apply_rows, fit_mlp
from icedask.tasks.progress import stage
from icedask.tasks.sampling import Sample, stratified_sample

# Candidates for the farthest rows, in sample sizes.
_POOL = 4
_TINY = 1e-30


Holdout = Annotated[
    float,
    Option("Fraction of the sample held out of the network; 0 for none.", at_least=0, below=1),
]


class UMAP(Transformer):
    """Uniform manifold approximation and projection; `fit` computes, `transform` is lazy.

    UMAP maps a sample: the same number of rows from every frame, and rows added by
    farthest-point sampling, so that rare environments are in it. A network is fitted to the map
    of the sample, and `transform` applies it to every row: a hundred times faster than UMAP's own
    transform, and reproducible.

    {parameters}

    Attributes
    ----------
    sample_ : (n_sample, n_features) array
        Rows of the sample.
    sample_member_, sample_frame_, sample_atom_ : (n_sample,) int64
        Member (by number, 0 for a Dataset), frame and atom of the rows of the sample.
    sample_farthest_ : (n_sample,) bool
        Whether a row was added by farthest-point sampling.
    embedding_ : (n_sample, n_components) array
        Coordinates of the sample by UMAP.
    weights_ : dict of str to array
        Weights of the network.
    agreement_ : dict
        Agreement of the network with UMAP on held-out rows: r2, the explained part of the
        variance of the coordinates, median_error in units of the map, n rows. None without them.

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
        "sample_member": ("row",),
        "sample_farthest": ("row",),
        "embedding": ("row", COMPONENT),
        "center": (FEATURE,),
        "scale": (FEATURE,),
        "map_center": (COMPONENT,),
        "map_scale": (),
    }
    _later: ClassVar = {"sample_member": "sample_atom"}
    _numbers = ("agreement",)
    _networks = ("net",)

    sample_: FloatArray
    sample_member_: IntArray
    sample_frame_: IntArray
    sample_atom_: IntArray
    sample_farthest_: npt.NDArray[np.bool_]
    embedding_: Float32Array
    weights_: dict[str, Float32Array]
    center_: FloatArray
    scale_: FloatArray
    map_center_: Float32Array
    map_scale_: Float32Array
    agreement_: dict[str, float] | None

    def __init__(
        self,
        n_components: Annotated[int, Option("Dimensions of the map.", at_least=1)] = 2,
        *,
        n_neighbors: Annotated[
            int, Option("Neighbours that define the local structure.", at_least=2)
        ] = 30,
        min_dist: Annotated[
            float, Option("Smallest distance in the map; 0 for clusters.", at_least=0, at_most=1)
        ] = 0.0,
        sample_size: SampleSize = 30_000,
        farthest: Annotated[
            float, Option("Fraction from farthest-point sampling.", at_least=0, at_most=0.9)
        ] = 0.1,
        layers: HiddenLayers = (128, 128),
        holdout: Holdout = 0.1,
        seed: Seed = 0,
    ) -> None:
        self.n_components = n_components
        self.n_neighbors = n_neighbors
        self.min_dist = min_dist
        self.sample_size = sample_size
        self.farthest = farthest
        self.layers = layers
        self.holdout = holdout
        self.seed = seed

    def fit(self, x: xr.Dataset | Collection) -> Self:
        """Map a sample of the rows of `x`.

        Parameters
        ----------
        x : xarray.Dataset or Collection
            One variable (frame, atom, feature), lazy or not; of a collection all members.

        Raises
        ------
        InputError
            If a parameter is out of bounds, or there are fewer rows without NaN than a map needs.
        """
        self.check_parameters()
        rows = rows_of(x)
        drawn, self.sample_farthest_ = self._draw(rows)
        if len(drawn.rows) < self.n_neighbors + 2:
            raise InputError(
                f"UMAP: expected at least {self.n_neighbors + 2} rows without NaN for n_neighbors "
                f"{self.n_neighbors}, found {len(drawn.rows)}"
            )
        self.sample_ = drawn.rows
        sampled = rows.places(drawn.frame, drawn.atom)
        self.sample_member_, self.sample_frame_, self.sample_atom_ = sampled
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
        self.weights_ = fit_mlp(
            scaled[kept],
            places[kept],
            self.n_components,
            layers=self.layers,
            loss="squared",
            seed=self.seed,
            description="UMAP: network",
        )
        self.agreement_ = self._agreement(held) if len(held) else None
        self.note_fit(x)
        return self

    def _draw(self, rows: Rows) -> tuple[Sample, npt.NDArray[np.bool_]]:
        """Return the sample, and whether each row was added by farthest-point sampling."""
        n_far = round(self.sample_size * self.farthest)
        size = self.sample_size if n_far == 0 else _POOL * self.sample_size
        pool = stratified_sample(rows, size, self.seed)
        if len(pool.rows) <= self.sample_size:
            return pool, np.zeros(len(pool.rows), bool)
        order = np.random.default_rng(self.seed).permutation(len(pool.rows))
        first = order[: self.sample_size - n_far]
        rest = order[self.sample_size - n_far :]
        scaled = pool.rows * scale_of(pool.rows)
        far = rest[farthest_rows(scaled[rest], scaled[first], n_far)]
        chosen = np.sort(np.concatenate([first, far]))
        return Sample(*(part[chosen] for part in pool)), np.isin(chosen, far)

    def _agreement(self, held: IntArray) -> dict[str, float]:
        wanted = self.embedding_[held].astype(float)
        error = _map_rows(self.sample_[held], self._model()) - wanted
        spread = ((wanted - wanted.mean(axis=0)) ** 2).sum()
        return {
            "r2": float(1 - (error**2).sum() / max(spread, _TINY)),
            "median_error": float(np.median(np.sqrt((error**2).sum(axis=1)))),
            "n": len(held),
        }

    def _model(self) -> tuple[Any, ...]:
        return self.center_, self.scale_, self.weights_, self.map_scale_, self.map_center_

    def transform(self, x: xr.Dataset) -> xr.Dataset:
        """Map every row of `x`; lazy.

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
        model = delayed(self._model(), pure=True)
        return self.map_rows(x, len(self.center_), _map_block, self.n_components, model)


def embed(
    rows: FloatArray, n_components: int, n_neighbors: int, min_dist: float, seed: int
) -> Float32Array:
    """Return the coordinates of rows in their map by UMAP, (n, n_components)."""
    from sklearn.neighbors import NearestNeighbors

    with stage("UMAP fit", 2) as advance:
        near = NearestNeighbors(n_neighbors=n_neighbors).fit(rows)
        distances, indices = near.kneighbors(rows)
        advance(1)
        with warnings.catch_warnings():
            # It warns that it cannot map other rows, which the network does.
            warnings.simplefilter("ignore")
            from umap import UMAP as Learner

            learner = Learner(
                n_components=n_components,
                n_neighbors=n_neighbors,
                min_dist=min_dist,
                random_state=seed,
                # One thread: reproducible.
                n_jobs=1,
                precomputed_knn=(indices, distances.astype(np.float32)),
            )
            places = learner.fit_transform(rows.astype(np.float32))
        advance(1)
    return np.asarray(places, np.float32)


def scale_of(rows: FloatArray) -> FloatArray:
    """Return one over the standard deviation of each feature; 0 for a constant one."""
    spread = rows.std(axis=0)
    return np.where(spread > 0, 1 / np.where(spread > 0, spread, 1.0), 0.0)


def split_rows(n: int, fraction: float, seed: int) -> tuple[IntArray, IntArray]:
    """Split n places at random; return a fraction of them, and the others."""
    order = np.random.default_rng(seed).permutation(n)
    n_held = min(round(n * fraction), n - 1)
    return np.sort(order[:n_held]), np.sort(order[n_held:])


def _map_rows(rows: npt.NDArray[np.floating], model: tuple[Any, ...]) -> Float32Array:
    center, scale, weights, map_scale, map_center = model
    return apply_rows(rows, center, scale, weights, "net") * map_scale + map_center


def _map_block(block: npt.NDArray[np.floating], model: tuple[Any, ...]) -> Float32Array:
    places = _map_rows(block.reshape(-1, block.shape[-1]), model)
    return places.astype(np.float32).reshape(*block.shape[:2], -1)


def farthest_rows(candidates: FloatArray, chosen: FloatArray, n: int) -> IntArray:
    """Choose `n` candidates by farthest-point sampling: each the farthest from all chosen before.

    Fewer if no others differ from those chosen. Gonzalez, doi:10.1016/0304-3975(85)90224-5
    """
    distance = cKDTree(chosen).query(candidates)[0] ** 2
    return _farthest(np.ascontiguousarray(candidates), distance, n)


@jit
def _farthest(rows: FloatArray, squared: FloatArray, n: int) -> IntArray:
    chosen = np.empty(n, np.int64)
    for number in range(n):
        best = 0
        for row in range(len(rows)):
            if squared[row] > squared[best]:
                best = row
        if not squared[best] > 0:
            return chosen[:number]
        chosen[number] = best
        for row in range(len(rows)):
            total = 0.0
            for k in range(rows.shape[1]):
                total += (rows[row, k] - rows[best, k]) ** 2
            if total < squared[row]:
                squared[row] = total
    return chosen
