"""HDBSCAN fitted on a sample, with labels for everything by prediction in parallel."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed

from icedask.core.features import feature_blocks
from icedask.core.provenance import stamped
from icedask.errors import InputError
from icedask.learn.base import Estimator
from icedask.learn.density_tree import DensityTree
from icedask.learn.labels import labelled
from icedask.tasks.progress import stage
from icedask.tasks.sampling import stratified_sample

_TREE_DIMS = {
    "points": ("point", "feature"),
    "core": ("point",),
    "point_cluster": ("point",),
    "point_lambda": ("point",),
    "parent": ("branch",),
    "birth": ("branch",),
    "label": ("branch",),
    "peak": ("branch",),
    "selected_peak": ("cluster",),
    "merge": ("branch", "cluster"),
    "exemplars": ("exemplar",),
    "exemplar_label": ("exemplar",),
    "min_samples": (),
}


class HDBSCAN(Estimator):
    """Density-based clusters of any shape, and noise; `fit` computes, `predict` is lazy.

    The clustering itself runs on a sample in which every frame has the same share. All rows,
    those of the sample included, are then labelled in parallel by prediction. The fit is repeated
    with a held-out part added, and its labels there are compared with the predicted ones.

    Parameters
    ----------
    min_cluster_size : int
        Smallest cluster, in rows of the sample.
    min_samples : int, optional
        Neighbours that define the density; min_cluster_size by default.
    cluster_selection_method : {"eom", "leaf"}
        Most persistent clusters, or the finest.
    sample_size : int
        Rows to fit on.
    holdout : float
        Held-out rows for the comparison, as a fraction of sample_size; 0 for none.
    assign_noise : bool
        Give noise to the cluster of largest soft membership; its probability stays 0.
    seed : int
        Of the sample.

    Attributes
    ----------
    n_clusters_ : int
    labels_ : (n_sample,) int32
        Labels of the fit for the sample, -1 for noise.
    sample_frame_, sample_atom_ : (n_sample,) arrays
        Where the rows of the sample stand.
    tree_ : DensityTree
        What prediction needs.
    agreement_ : dict
        Of predicted with fitted labels on the held-out rows: adjusted_rand, the number of rows n,
        and the fraction of noise in both. None without holdout.

    Notes
    -----
    McInnes and Healy, doi:10.1109/ICDMW.2017.12; predictions equal those of
    `hdbscan.approximate_predict`.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> rng = np.random.default_rng(0)
    >>> blobs = rng.normal(0, 0.1, (2, 200, 2)) + np.arange(2)[:, None, None]
    >>> x = xr.Dataset({"latent": (("frame", "atom", "component"), blobs)})
    >>> ice.HDBSCAN(20).fit(x).n_clusters_
    2
    """

    _slug = "hdbscan"
    _version = 1
    _learned: ClassVar = {
        "labels": ("point",),
        "sample_frame": ("point",),
        "sample_atom": ("point",),
    }
    _numbers = ("n_clusters", "agreement")

    n_clusters_: int
    labels_: npt.NDArray[np.int32]
    sample_frame_: npt.NDArray[np.int64]
    sample_atom_: npt.NDArray[np.int64]
    tree_: DensityTree
    agreement_: dict[str, float] | None

    def __init__(
        self,
        min_cluster_size: int,
        *,
        min_samples: int | None = None,
        cluster_selection_method: str = "eom",
        sample_size: int = 50_000,
        holdout: float = 0.2,
        assign_noise: bool = False,
        seed: int = 0,
    ) -> None:
        self.min_cluster_size = min_cluster_size
        self.min_samples = min_samples
        self.cluster_selection_method = cluster_selection_method
        self.sample_size = sample_size
        self.holdout = holdout
        self.assign_noise = assign_noise
        self.seed = seed

    def _check_parameters(self) -> None:
        for name in ("min_cluster_size", "min_samples", "sample_size", "seed"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer | None):
                raise InputError(f"HDBSCAN: {name}: expected a whole number, found {value!r}")
        if self.min_cluster_size < 2:
            raise InputError(
                f"HDBSCAN: min_cluster_size: expected at least 2, found {self.min_cluster_size}"
            )
        if self.min_samples is not None and self.min_samples < 1:
            raise InputError(f"HDBSCAN: min_samples: expected at least 1, found {self.min_samples}")
        if self.cluster_selection_method not in ("eom", "leaf"):
            raise InputError(
                "HDBSCAN: cluster_selection_method: expected eom or leaf, found "
                f"{self.cluster_selection_method!r}"
            )
        if not 0 <= self.holdout < 1:
            raise InputError(f"HDBSCAN: holdout: expected 0 to 1, found {self.holdout}")

    def _clusterer(self, points: npt.NDArray[np.float64]) -> Any:
        import hdbscan

        return hdbscan.HDBSCAN(
            min_cluster_size=self.min_cluster_size,
            min_samples=self.min_samples,
            cluster_selection_method=self.cluster_selection_method,
            # hdbscan's own heuristic takes a slow tree above 60 features; ours are few.
            core_dist_n_jobs=1,
        ).fit(points)

    def fit(self, x: xr.Dataset) -> Self:
        """Cluster a sample of the rows of `x`.

        Parameters
        ----------
        x : xarray.Dataset
            One variable (frame, atom, feature), lazy or not.

        Raises
        ------
        InputError
            If a parameter is out of bounds, or there are fewer rows than a cluster needs.
        """
        self._check_parameters()
        features = feature_blocks(x)
        drawn = stratified_sample(features, round(self.sample_size * (1 + self.holdout)), self.seed)
        n_held = round(len(drawn.rows) * self.holdout / (1 + self.holdout))
        order = np.random.default_rng(self.seed).permutation(len(drawn.rows))
        held, kept = order[:n_held], np.sort(order[n_held:])
        min_samples = self.min_samples or self.min_cluster_size
        needed = max(self.min_cluster_size, min_samples) + 1
        if len(kept) < needed:
            raise InputError(
                f"HDBSCAN: min_cluster_size {self.min_cluster_size} and min_samples {min_samples} "
                f"need at least {needed} rows without NaN, found {len(kept)} in the sample"
            )
        points = drawn.rows[kept]
        with stage("HDBSCAN fit", 1) as advance:
            clusterer = self._clusterer(points)
            advance(1)
        self.labels_ = clusterer.labels_.astype(np.int32)
        self.n_clusters_ = int(self.labels_.max()) + 1
        self.sample_frame_, self.sample_atom_ = drawn.frame[kept], drawn.atom[kept]
        self.tree_ = DensityTree.of(clusterer, points, min_samples)
        self.agreement_ = self._agreement(points, drawn.rows[held]) if n_held else None
        self.record_ = self.fitted_record(x)
        return self

    def _agreement(
        self, points: npt.NDArray[np.float64], held: npt.NDArray[np.float64]
    ) -> dict[str, float]:
        from sklearn.metrics import adjusted_rand_score

        joint = self._clusterer(np.concatenate([points, held])).labels_[len(points) :]
        predicted, _ = self.tree_.predict(held, assign_noise=False)
        return {
            "adjusted_rand": float(adjusted_rand_score(joint, predicted)),
            "n": len(held),
            "noise_fitted": float(np.mean(joint < 0)),
            "noise_predicted": float(np.mean(predicted < 0)),
        }

    def predict(self, x: xr.Dataset) -> xr.Dataset:
        """Label every row of `x`; lazy.

        Returns
        -------
        xarray.Dataset
            label (frame, atom), int32, -1 for noise and for rows with NaN; probability (frame,
            atom), float32, the strength of membership.

        Raises
        ------
        InputError
            If the number of features is not that of the fit.
        """
        self.check_fitted()
        # One object for all tasks: it holds the whole sample.
        tree = delayed(self.tree_)
        label_block = partial(_predict_block, assign_noise=self.assign_noise)
        return labelled(
            self, x, self.tree_.points.shape[1], label_block, ("label", "probability"), tree
        )

    def fit_predict(self, x: xr.Dataset) -> xr.Dataset:
        """Fit on `x`, then label it; the labels are lazy."""
        return self.fit(x).predict(x)

    def to_dataset(self) -> xr.Dataset:
        """Return the learned attributes as a Dataset, to be saved."""
        ds = (
            super()
            .to_dataset()
            .assign(
                {
                    f"tree_{name}": (_TREE_DIMS[name], values)
                    for name, values in self.tree_.arrays().items()
                }
            )
        )
        return stamped(ds, self.record_)

    @classmethod
    def from_dataset(cls, ds: xr.Dataset) -> Self:
        """Return the fitted estimator that a Dataset was made from."""
        estimator = super().from_dataset(ds)
        estimator.tree_ = DensityTree(**{name: ds[f"tree_{name}"].values for name in _TREE_DIMS})
        return estimator


def _predict_block(
    block: npt.NDArray[np.floating], tree: DensityTree, assign_noise: bool
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    labels, strength = tree.predict(block.reshape(-1, block.shape[-1]), assign_noise=assign_noise)
    return labels.reshape(block.shape[:2]), strength.reshape(block.shape[:2])
