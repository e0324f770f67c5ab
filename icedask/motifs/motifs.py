"""Motifs: clusters of a map, and a network that labels every row by them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

import dask
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.collection import Collection
from icedask.core.features import check_same_rows, feature_variable
from icedask.core.options import Option, Seed
from icedask.core.pooled_record import rows_record
from icedask.core.provenance import Record, stamped
from icedask.core.rows import Places, rows_of
from icedask.core.types import FloatArray, LabelArray
from icedask.core.variables import FEATURE
from icedask.errors import InputError
from icedask.learn.base import Estimator, HiddenLayers
from icedask.learn.density_tree import DensityTree
from icedask.learn.hdbscan import AssignNoise, MinSamples, SelectionMethod, fit_hdbscan
from icedask.learn.umap import UMAP, Holdout, split_rows
from icedask.nn.mlp import apply_rows, fit_mlp, weight_arrays, weights_of
from icedask.tasks.sampling import rows_at


class Motifs(Estimator):
    """Clusters of the map of a fitted `UMAP`; `fit` computes, `predict` is lazy.

    HDBSCAN finds the clusters in the map of the sample. A network is fitted to the labels of the
    sample, noise among them, as a function of its rows, not of the map; it labels every row, or
    abstains where no motif is probable enough.

    {parameters}

    Attributes
    ----------
    n_motifs_ : int
    labels_ : (n_sample,) int32
        Labels of the sample of the map by HDBSCAN; -1 for noise.
    weights_ : dict of str to array
        Weights of the network.
    agreement_ : dict
        Agreement of the network with HDBSCAN on held-out rows: accuracy where neither is -1,
        adjusted_rand of all, abstained and noise, the parts that the network and HDBSCAN label
        -1, n rows. None without held-out rows.

    Notes
    -----
    HDBSCAN: McInnes and Healy, doi:10.1109/ICDMW.2017.12.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> rows = np.random.default_rng(0).normal(size=(2, 200, 3))
    >>> rows[:, 100:] += 9
    >>> x = xr.Dataset({"latent": (("frame", "atom", "component"), rows)})
    >>> umap = ice.UMAP(n_neighbors=10).fit(x)
    >>> motifs = ice.Motifs(30).fit(x, umap)
    >>> motifs.n_motifs_, motifs.predict(x)["label"].shape
    (2, (2, 200))
    """

    _slug = "motifs"
    _version = 1
    _learned: ClassVar = {"labels": ("row",), "center": (FEATURE,), "scale": (FEATURE,)}
    _numbers = ("n_motifs", "agreement")

    n_motifs_: int
    labels_: LabelArray
    center_: FloatArray
    scale_: FloatArray
    weights_: dict[str, npt.NDArray[np.float32]]
    agreement_: dict[str, float] | None

    def __init__(
        self,
        min_cluster_size: Annotated[
            int | float,
            Option("Smallest cluster: a fraction of the sample below 1, or rows.", at_least=0),
        ] = 0.005,
        *,
        min_samples: MinSamples = None,
        cluster_selection_method: SelectionMethod = "eom",
        assign_noise: AssignNoise = False,
        min_probability: Annotated[
            float,
            Option("Smallest probability of a motif; rows below are -1.", at_least=0, below=1),
        ] = 0.6,
        layers: HiddenLayers = (128, 128),
        holdout: Holdout = 0.2,
        seed: Seed = 0,
    ) -> None:
        self.min_cluster_size = min_cluster_size
        self.min_samples = min_samples
        self.cluster_selection_method = cluster_selection_method
        self.assign_noise = assign_noise
        self.min_probability = min_probability
        self.layers = layers
        self.holdout = holdout
        self.seed = seed

    def _smallest(self, n: int) -> int:
        """Return the size of the smallest cluster in rows."""
        self.check_parameters()
        size = self.min_cluster_size
        rows = round(size * n) if size < 1 else size
        if not 2 <= rows < n:
            raise InputError(
                f"Motifs: min_cluster_size: expected 2 rows to less than the {n} of the sample, or "
                f"such a part of it, found {size!r}"
            )
        return int(rows)

    def fitted_record(
        self,
        x: xr.Dataset | xr.DataArray | Collection,
        umap: UMAP | None = None,
        by: xr.Dataset | Collection | None = None,
    ) -> Record:
        """Return the record of a fit, without fitting."""
        others = [] if umap is None else [umap.record_]
        others += [] if by is None else [rows_record(by)]
        parent = rows_record(x)
        return parent.child("models", self._slug, self._version, self.get_params(), *others)

    def fit(
        self, x: xr.Dataset | Collection, umap: UMAP, by: xr.Dataset | Collection | None = None
    ) -> Self:
        """Find the clusters of a map, and fit the network to them.

        Parameters
        ----------
        x : xarray.Dataset or Collection
            Rows that the map was fitted on.
        umap : UMAP
            Fitted.
        by : xarray.Dataset or Collection, optional
            One variable (frame, atom) whose median numbers the motifs, the smallest first; the
            order of HDBSCAN by default.

        Raises
        ------
        InputError
            If a parameter is out of bounds, the map was fitted on another Dataset, `by` has other
            rows, or there are no clusters.
        """
        umap.check_fitted()
        if umap.record_.parents[0] != rows_record(x).run_id:
            raise InputError(
                "Motifs: expected the Dataset that the map was fitted on, found another; fit UMAP "
                "on this one, or pass the other"
            )
        size = self._smallest(len(umap.sample_))
        if by is not None:
            _check_same_rows(x, by)
        options = (size, self.min_samples, self.cluster_selection_method)
        labels = clusters(umap.embedding_, *options, assign_noise=self.assign_noise)
        self.labels_ = labels if by is None else ordered(labels, self._values(by, umap))
        self.n_motifs_ = int(self.labels_.max()) + 1
        if self.n_motifs_ == 0:
            raise InputError(
                f"Motifs: expected clusters of {size} rows or more in the map, found none; choose "
                "a smaller min_cluster_size"
            )
        self.center_, self.scale_ = umap.center_, umap.scale_
        self.weights_, self.agreement_ = self._fit_network(umap.sample_)
        self.note_fit(x, umap, by)
        return self

    def _values(self, by: xr.Dataset | Collection, umap: UMAP) -> FloatArray:
        """Return the values of the rows of the sample."""
        rows = rows_of(by)
        data = rows.features
        if data.shape[2] != 1:
            raise InputError(
                f"Motifs: by: expected a variable (frame, atom), found {data.shape[2]} features"
            )
        places = Places(umap.sample_member_, umap.sample_frame_, umap.sample_atom_)
        return rows_at(data, rows.at(places))[:, 0]

    def _fit_network(
        self, rows: FloatArray
    ) -> tuple[dict[str, npt.NDArray[np.float32]], dict[str, float] | None]:
        held, kept = split_rows(len(rows), self.holdout, self.seed)
        scaled = ((rows - self.center_) * self.scale_).astype(np.float32)
        # The last class is noise.
        classes = np.where(self.labels_ < 0, self.n_motifs_, self.labels_).astype(np.int64)
        weights = fit_mlp(
            scaled[kept],
            classes[kept],
            self.n_motifs_ + 1,
            layers=self.layers,
            loss="classes",
            seed=self.seed,
            description="motifs: network",
        )
        if not len(held):
            return weights, None
        model = self.center_, self.scale_, weights
        predicted, _ = _label_rows(rows[held], model, self.min_probability)
        return weights, _agreement(self.labels_[held], predicted)

    def predict(self, x: xr.Dataset) -> xr.Dataset:
        """Label every row of `x`; lazy.

        Returns
        -------
        xarray.Dataset
            label (frame, atom), int32, -1 for noise, where the network abstains and for rows with
            NaN; probability (frame, atom), float32, of the likeliest motif.

        Raises
        ------
        InputError
            If the features are not those of the fit.
        """
        self.check_fitted()
        model = dask.delayed((self.center_, self.scale_, self.weights_), pure=True)
        named = ("label", "probability")
        arguments = (x, len(self.center_), _label_block, named, model, self.min_probability)
        classes = [f"motif_{number}" for number in range(self.n_motifs_)]
        return self.label_rows(*arguments, classes=classes)

    def to_dataset(self) -> xr.Dataset:
        """Return the learned attributes as a Dataset, to be saved."""
        return stamped(super().to_dataset().assign(weight_arrays(self.weights_)), self.record_)

    @classmethod
    def from_dataset(cls, ds: xr.Dataset) -> Self:
        """Return the fitted estimator of a Dataset that `to_dataset` returned."""
        estimator = super().from_dataset(ds)
        estimator.weights_ = weights_of(ds, "net")
        return estimator


def _check_same_rows(x: xr.Dataset | Collection, by: xr.Dataset | Collection) -> None:
    """Raise InputError unless both have the same rows, or members with the same rows."""
    if isinstance(x, Collection) and isinstance(by, Collection):
        if list(x) != list(by):
            raise InputError("Motifs: by: expected the members of the features, found others")
        for name, member in x.items():
            check_same_rows(feature_variable(member), feature_variable(by[name]), f"{name}: by")
    elif isinstance(x, Collection) or isinstance(by, Collection):
        raise InputError("Motifs: by: expected a collection where the features are one, or neither")
    else:
        check_same_rows(feature_variable(x), feature_variable(by), "Motifs: by")


def clusters(
    places: npt.NDArray[np.float32],
    size: int,
    min_samples: int | None,
    method: str,
    *,
    assign_noise: bool = False,
) -> npt.NDArray[np.int32]:
    """Return the clusters of HDBSCAN among places in a map; -1 is noise."""
    points = places.astype(float)
    fitted = fit_hdbscan(points, size, min_samples, method)
    labels = fitted.labels_.astype(np.int32)
    if assign_noise and labels.max() >= 0:
        tree = DensityTree.of(fitted, points, min_samples or size)
        labels = np.where(labels < 0, tree.predict(points, assign_noise=True)[0], labels)
    return labels


def ordered(labels: LabelArray, values: FloatArray) -> LabelArray:
    """Number clusters by the medians of their values; clusters without values are the last."""
    known = np.isfinite(values)
    parts = [values[known & (labels == number)] for number in range(labels.max() + 1)]
    medians = [float(np.median(part)) if len(part) else np.nan for part in parts]
    # The last entry is that of noise, -1.
    numbers = np.full(len(medians) + 1, -1, np.int32)
    numbers[np.argsort(medians, kind="stable")] = np.arange(len(medians))
    return numbers[labels]


def _label_block(
    block: npt.NDArray[np.floating], model: tuple[Any, ...], min_probability: float
) -> tuple[LabelArray, npt.NDArray[np.float32]]:
    rows = block.reshape(-1, block.shape[-1])
    label, probability = _label_rows(rows, model, min_probability)
    return label.reshape(block.shape[:2]), probability.reshape(block.shape[:2])


def _label_rows(
    rows: npt.NDArray[np.floating], model: tuple[Any, ...], min_probability: float
) -> tuple[LabelArray, npt.NDArray[np.float32]]:
    """Return the label and the probability of each row; NaN rows get -1 and 0."""
    center, scale, weights = model
    scores = apply_rows(rows, center, scale, weights, "net")
    known = np.isfinite(scores).all(axis=1)
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    motifs = scores[:, :-1]
    label = motifs.argmax(axis=1).astype(np.int32)
    probability = motifs[np.arange(len(rows)), label]
    unsure = ~known | (probability < min_probability)
    return np.where(unsure, np.int32(-1), label), np.where(known, probability, np.float32(0))


def _agreement(fitted: LabelArray, predicted: LabelArray) -> dict[str, float]:
    from sklearn.metrics import adjusted_rand_score

    both = (fitted >= 0) & (predicted >= 0)
    return {
        "accuracy": float(np.mean(fitted[both] == predicted[both])) if both.any() else np.nan,
        "adjusted_rand": float(adjusted_rand_score(fitted, predicted)),
        "abstained": float(np.mean(predicted < 0)),
        "noise": float(np.mean(fitted < 0)),
        "n": len(predicted),
    }
