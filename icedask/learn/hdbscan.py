"""HDBSCAN fitted to a sample, with labels of all rows by parallel prediction."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed

from icedask.core.collection import Collection
from icedask.core.options import Option, Seed
from icedask.core.rows import rows_of
from icedask.core.types import FloatArray, IntArray, LabelArray
from icedask.errors import InputError
from icedask.learn.base import Clusterer, SampleSize
from icedask.learn.density_tree import DensityTree
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


# Options that HDBSCAN shares with `Motifs`.
MinSamples = Annotated[
    int | None,
    Option("Neighbours that define the density; the smallest cluster by default.", at_least=1),
]
SelectionMethod = Annotated[
    str, Option("Clusters of largest persistence, or the finest ones.", choices=("eom", "leaf"))
]
AssignNoise = Annotated[
    bool, Option("Assignment of noise to the cluster of largest soft membership.")
]


class HDBSCAN(Clusterer):
    """Density-based clusters of any shape, and noise; `fit` computes, `predict` is lazy.

    The clusters are those of a sample with the same number of rows from every frame; all rows are
    labelled in parallel by prediction; noise that `assign_noise` adds to a cluster keeps a
    probability of 0. The fit is repeated with held-out rows added, and its labels for these are
    compared with the predicted ones.

    {parameters}

    Attributes
    ----------
    n_clusters_ : int
    labels_ : (n_sample,) int32
        Labels of the fit for the sample, -1 for noise.
    sample_member_, sample_frame_, sample_atom_ : (n_sample,) arrays
        Member (by number, 0 for a Dataset), frame and atom of the rows of the sample.
    tree_ : DensityTree
        Condensed tree, for prediction.
    agreement_ : dict
        Agreement of predicted and fitted labels of the held-out rows: adjusted_rand, the number
        of rows n, and the fractions of noise. None without holdout.

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
        "sample_member": ("point",),
    }
    _later: ClassVar = {"sample_member": "sample_atom"}
    _numbers = ("n_clusters", "agreement")

    n_clusters_: int
    labels_: LabelArray
    sample_member_: IntArray
    sample_frame_: IntArray
    sample_atom_: IntArray
    tree_: DensityTree
    agreement_: dict[str, float] | None

    def __init__(
        self,
        min_cluster_size: Annotated[
            int, Option("Smallest cluster, in rows of the sample.", at_least=2)
        ],
        *,
        min_samples: MinSamples = None,
        cluster_selection_method: SelectionMethod = "eom",
        sample_size: SampleSize = 50_000,
        holdout: Annotated[
            float,
            Option("Held-out rows, as a fraction of sample_size; 0 for none.", at_least=0, below=1),
        ] = 0.2,
        assign_noise: AssignNoise = False,
        seed: Seed = 0,
    ) -> None:
        self.min_cluster_size = min_cluster_size
        self.min_samples = min_samples
        self.cluster_selection_method = cluster_selection_method
        self.sample_size = sample_size
        self.holdout = holdout
        self.assign_noise = assign_noise
        self.seed = seed

    def _fit_points(self, points: FloatArray) -> Any:
        return fit_hdbscan(
            points, self.min_cluster_size, self.min_samples, self.cluster_selection_method
        )

    def fit(self, x: xr.Dataset | Collection) -> Self:
        """Cluster a sample of the rows of `x`.

        Parameters
        ----------
        x : xarray.Dataset or Collection
            One variable (frame, atom, feature), lazy or not; of a collection all members.

        Raises
        ------
        InputError
            If a parameter is out of bounds, or there are fewer rows than a cluster needs.
        """
        self.check_parameters()
        rows = rows_of(x)
        drawn = stratified_sample(rows, round(self.sample_size * (1 + self.holdout)), self.seed)
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
        clusterer = self._fit_points(points)
        self.labels_ = clusterer.labels_.astype(np.int32)
        self.n_clusters_ = int(self.labels_.max()) + 1
        places = rows.places(drawn.frame[kept], drawn.atom[kept])
        self.sample_member_, self.sample_frame_, self.sample_atom_ = places
        self.tree_ = DensityTree.of(clusterer, points, min_samples)
        self.agreement_ = self._agreement(points, drawn.rows[held]) if n_held else None
        self.note_fit(x)
        return self

    def _agreement(self, points: FloatArray, held: FloatArray) -> dict[str, float]:
        from sklearn.metrics import adjusted_rand_score

        joint = self._fit_points(np.concatenate([points, held])).labels_[len(points) :]
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
        kernel = partial(_predict_block, assign_noise=self.assign_noise)
        n_features = self.tree_.points.shape[1]
        return self.label_rows(x, n_features, kernel, ("label", "probability"), tree)

    def learned_arrays(self) -> dict[str, tuple[tuple[str, ...], npt.NDArray[Any]]]:
        """Return the learned arrays with their dimensions, by the name of their variable."""
        tree = self.tree_.arrays()
        return super().learned_arrays() | {
            f"tree_{name}": (dims, tree[name]) for name, dims in _TREE_DIMS.items()
        }

    @classmethod
    def from_dataset(cls, ds: xr.Dataset) -> Self:
        """Return the fitted estimator that a Dataset was made from."""
        estimator = super().from_dataset(ds)
        estimator.tree_ = DensityTree(**{name: ds[f"tree_{name}"].values for name in _TREE_DIMS})
        return estimator


def fit_hdbscan(
    points: FloatArray, min_cluster_size: int, min_samples: int | None, method: str
) -> Any:
    """Fit HDBSCAN to points that fit into memory; returns the fitted `hdbscan.HDBSCAN`."""
    import hdbscan

    with stage("HDBSCAN fit", 1) as advance:
        clusterer = hdbscan.HDBSCAN(
            min_cluster_size=min_cluster_size,
            min_samples=min_samples,
            cluster_selection_method=method,
            # hdbscan's own heuristic takes a slow tree above 60 features; ours are few.
            core_dist_n_jobs=1,
        ).fit(points)
        advance(1)
    return clusterer


def _predict_block(
    block: npt.NDArray[np.floating], tree: DensityTree, assign_noise: bool
) -> tuple[LabelArray, npt.NDArray[np.float32]]:
    labels, strength = tree.predict(block.reshape(-1, block.shape[-1]), assign_noise=assign_noise)
    return labels.reshape(block.shape[:2]), strength.reshape(block.shape[:2])
