"""Neural classifier: ensembles of networks on rows of any size, calibrated, with abstention."""

from __future__ import annotations

import logging
from typing import Annotated, Any, ClassVar, NamedTuple, Self, cast

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed

from icedask.core.collection import Collection
from icedask.core.features import rechunked
from icedask.core.options import Option, Seed
from icedask.core.pooled_record import rows_record
from icedask.core.provenance import Record
from icedask.core.rows import Rows, rows_of
from icedask.core.targets import targets_of
from icedask.core.types import FloatArray, IntArray, LabelArray
from icedask.core.variables import CLASS, FEATURE
from icedask.errors import InputError
from icedask.learn.base import Estimator, HiddenLayers, warn_if_unsaved
from icedask.learn.calibration import Reliability, fitted_temperature, reliability
from icedask.learn.class_distance import ClassDistances, class_distances
from icedask.nn.ensemble import Ensemble, mean_probabilities
from icedask.nn.labelled_rows import (
    ClassSurvey,
    Labelled,
    class_sample,
    held_out_groups,
    labelled_rows,
    survey_classes,
)
from icedask.nn.mlp import Activation, Float32Array
from icedask.nn.row_stream import Read, RowBlocks, cut_finer
from icedask.tasks.progress import stage
from icedask.tasks.run import active_client

logger = logging.getLogger("icedask")

UNKNOWN = "unknown"
_NAME = "NeuralClassifier"
# Standard deviation of a constant feature, relative to its mean: rounding of single precision.
_FLAT = 1e-6
# Most held-out rows of the losses, and training rows of the distances.
_MOST_ROWS = 2**16
_CURVE_DIMS = ("epoch",)


class _HeldOut(NamedTuple):
    """Blocks to train with and held-out ones; unit of the held-out parts, and their numbers."""

    train: IntArray
    held: IntArray
    unit: str
    numbers: IntArray


class _Rule(NamedTuple):
    """Networks, and limits of their answers."""

    ensemble: Ensemble
    distances: ClassDistances
    limits: FloatArray
    min_probability: float


class NeuralClassifier(Estimator):
    """Classifier of atoms by neural networks that may abstain; `fit` computes, `predict` is lazy.

    Multilayer perceptrons map a row of features to the probabilities of the classes, softmax(f(x) /
    T): Adam minimises the cross entropy on training rows. Whole groups of rows are held out, of
    each class that has more than one: trajectories, or stretches of time within a single one. Their
    loss stops the training, and they fix the temperature T and the limits of the rule by which rows
    are `unknown`. With several networks, which differ in their starting weights, the probability is
    the mean of theirs.

    A row is `unknown` if the largest probability is below `min_probability`, or if it is unlike the
    training rows of its class: its squared Mahalanobis distance from their mean, with shrunk
    covariance, in the first principal components of the scaled features (99 % of the variance, at
    most 30), is above the quantile `distance_quantile` of the held-out rows of that class; of
    training rows where none are held out.

    {parameters}

    Attributes
    ----------
    classes_ : tuple of str
        Names of the labels: the classes with training rows, then "unknown".
    weights_ : dict of str to array
        network_0_0_weight (n_out, n_in), network_0_0_bias (n_out,), ..., float32.
    center_, scale_ : (n_features,) arrays
        Mean and inverse standard deviation of the training rows; 0 for constant features.
    temperature_ : float
        Divisor of the logits.
    distance_limits_ : (n_classes,) array
        Squared distances beyond which a row is unknown.
    distance_center_, distance_axes_, class_means_, class_roots_ : arrays
        Principal components, and the Gaussian of each class in their space.
    curves_ : dict of str to (n_epochs,) array
        Means over the networks: loss, accuracy, held_loss, held_accuracy of each epoch.
    best_epochs_ : (n_networks,) array
        Numbers of the epochs of the weights, from 0.
    held_out_unit_, held_out_ : str, array
        Unit that was held out, and its numbers: "group" (of trajectories), "frame" (stretches of
        time), "atom" (a single frame), or "nothing".
    confusion_ : (n_classes, n_classes + 1) array
        Held-out rows by class and label.
    accuracy_, recall_ : float, (n_classes,) array
        Of held-out rows; unknown is wrong. None and NaN without any.
    calibration_error_, calibration_error_uncalibrated_ : float
        Expected calibration error of held-out rows with and without the temperature.
    n_samples_, n_parameters_ : int
        Rows with a class and without NaN; weights of all networks.

    Notes
    -----
    Temperature: Guo et al., doi:10.48550/arXiv.1706.04599; ensembles: Lakshminarayanan et al.,
    doi:10.48550/arXiv.1612.01474; distances: Lee et al., doi:10.48550/arXiv.1807.03888.

    The same seed and blocks give the same bits on one machine. Rows of classes without a name, and
    rows with NaN, are left out of the fit. Members of a collection count by its weights, see
    `Collection.balanced`; counts and limits are of rows.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> which = np.random.default_rng(0).integers(0, 2, (20, 50)).astype(np.int32)
    >>> rows = np.random.default_rng(1).normal(size=(20, 50, 3)) + 6 * which[:, :, None]
    >>> x = xr.Dataset({"features": (("frame", "atom", "feature"), rows)})
    >>> flags = {"flag_values": [0, 1], "flag_meanings": "liquid ice"}
    >>> labels = xr.Dataset({"label": (("frame", "atom"), which, flags)})
    >>> classifier = ice.NeuralClassifier(layers=(8,), epochs=15, learning_rate=0.01)
    >>> classifier.fit(x, labels).classes_
    ('liquid', 'ice', 'unknown')
    >>> bool(classifier.accuracy_ > 0.9)
    True
    """

    _slug = "neural_classifier"
    _version = 1
    _learned: ClassVar = {
        "center": (FEATURE,),
        "scale": (FEATURE,),
        "distance_limits": (CLASS,),
        "distance_center": (FEATURE,),
        "distance_axes": ("axis", FEATURE),
        "class_means": (CLASS, "axis"),
        "class_roots": (CLASS, "axis", "root"),
        "best_epochs": ("network",),
        "held_out": ("held_number",),
        "confusion": (CLASS, "predicted_class"),
        "recall": (CLASS,),
    }
    _numbers = (
        *("classes", "temperature", "held_out_unit", "accuracy", "n_samples", "n_parameters"),
        *("calibration_error", "calibration_error_uncalibrated"),
    )
    _networks = ("network",)

    classes_: tuple[str, ...]
    weights_: dict[str, Float32Array]
    center_: FloatArray
    scale_: FloatArray
    temperature_: float
    distance_limits_: FloatArray
    distance_center_: FloatArray
    distance_axes_: FloatArray
    class_means_: FloatArray
    class_roots_: FloatArray
    curves_: dict[str, FloatArray]
    best_epochs_: IntArray
    held_out_unit_: str
    held_out_: IntArray
    confusion_: IntArray
    accuracy_: float | None
    recall_: FloatArray
    calibration_error_: float | None
    calibration_error_uncalibrated_: float | None
    n_samples_: int
    n_parameters_: int

    def __init__(
        self,
        *,
        layers: HiddenLayers = (100, 100),
        activation: Annotated[
            str, Option("Function between the layers.", choices=("tanh", "silu"))
        ] = "tanh",
        learning_rate: Annotated[
            float, Option("Rate of Adam; it falls to a twentieth along a cosine.", above=0)
        ] = 1e-3,
        batch_size: Annotated[int, Option("Rows of a batch.", at_least=1)] = 256,
        epochs: Annotated[int, Option("Largest number of epochs.", at_least=1)] = 50,
        epoch_rows: Annotated[
            int, Option("Approximate number of rows of an epoch, held in memory.", at_least=1)
        ] = 2**18,
        patience: Annotated[
            int, Option("Epochs without held-out progress that end the training.", at_least=1)
        ] = 5,
        holdout: Annotated[
            float,
            Option(
                "Fraction of the groups of each class held out; 0 for none.", at_least=0, below=1
            ),
        ] = 0.2,
        class_weights: Annotated[
            str | None,
            Option(
                "Weights of the classes: all classes count the same; by default all rows do.",
                choices=("balanced",),
            ),
        ] = None,
        n_networks: Annotated[
            int, Option("Number of networks, from consecutive seeds.", at_least=1)
        ] = 1,
        min_probability: Annotated[
            float,
            Option("Smallest probability of a class; rows below are unknown.", at_least=0, below=1),
        ] = 0.5,
        distance_quantile: Annotated[
            float,
            Option(
                "Quantile of the distances of a class; rows beyond are unknown. No limit for 1.",
                above=0,
                at_most=1,
            ),
        ] = 0.99,
        seed: Seed = 0,
    ) -> None:
        self.layers = layers
        self.activation = activation
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.epoch_rows = epoch_rows
        self.patience = patience
        self.holdout = holdout
        self.class_weights = class_weights
        self.n_networks = n_networks
        self.min_probability = min_probability
        self.distance_quantile = distance_quantile
        self.seed = seed

    def fitted_record(
        self, x: xr.Dataset | xr.DataArray | Collection, labels: Any = None
    ) -> Record:
        """Return the record of a fit on `x` and `labels`, without fitting."""
        named, others = labels_identity(x, labels, _NAME)
        parameters = {**self.get_params(), **named}
        return rows_record(x).child("models", self._slug, self._version, parameters, *others)

    def fit(self, x: xr.Dataset | Collection, labels: Any) -> Self:
        """Train on the rows of `x` and their classes.

        Parameters
        ----------
        x : xarray.Dataset or Collection
            One variable (frame, atom, feature), best read from a store: each epoch computes it
            unless it is small; of a collection all members.
        labels : xarray.Dataset, Collection or str
            label (frame, atom), int32, with flag_values from 0 and flag_meanings; -1 for rows to
            leave out. Of a collection such labels of each member, or the name of a label of the
            members that is the class of all their atoms.

        Raises
        ------
        InputError
            If a parameter is out of bounds, labels are not of the rows of `x` or have no names, or
            there are fewer than two classes with rows.
        ComputeError
            If the training diverges.
        """
        from icedask.nn.classifier_training import train

        self.check_parameters()
        warn_if_unsaved(x, _NAME)
        rows = rows_of(x)
        targets = targets_of(x, labels, _NAME)
        features = cut_finer(rows.features, self.epoch_rows)
        rows = rows._replace(features=features)
        numbers = rechunked(targets.numbers, features.chunks[:2])
        survey, names, kept = _surveyed(rows, numbers, targets.names)
        labelled = labelled_rows(features, numbers, rows.weight_blocks(), kept.tolist())
        split = self._split(survey.counts, features, rows.groups, names)
        self.center_, self.scale_ = _scales(survey, split.train)
        self.classes_ = (*names, UNKNOWN)
        blocks = RowBlocks(
            labelled, np.append(self.center_, [0.0, 0.0]), np.append(self.scale_, [1.0, 1.0])
        )
        read = blocks.reader(active_client(1))
        counts = survey.counts
        held = None
        if len(split.held):
            held = class_sample(read, split.held, counts, _MOST_ROWS)
        options = self._training_options(survey.class_totals(split.train))
        with stage(f"{_NAME} fit", self.epochs) as advance:
            trained = train(read, split.train, counts[split.train], held, options, advance)
        self.weights_, self.curves_ = trained.weights, trained.curves
        self.best_epochs_ = trained.best
        self.n_parameters_ = int(sum(weight.size for weight in self.weights_.values()))
        self.n_samples_ = int(counts.sum())
        self.held_out_unit_, self.held_out_ = split.unit, split.numbers
        self._calibrate(held, np.array(options.class_weights))
        self._limit(class_sample(read, split.train, counts, _MOST_ROWS), held)
        self._score(read, split.held)
        self.note_fit(x, labels)
        return self

    def _training_options(self, totals: FloatArray) -> Any:
        from icedask.nn.classifier_training import TrainingOptions

        values = self.check_parameters()
        for name in ("holdout", "min_probability", "distance_quantile"):
            del values[name]
        balanced = values.pop("class_weights") == "balanced"
        weights = totals.sum() / (len(totals) * totals) if balanced else np.ones(len(totals))
        return TrainingOptions(**values, class_weights=tuple(weights.tolist()))

    def _split(
        self,
        counts: IntArray,
        features: da.Array,
        groups: IntArray | None,
        names: tuple[str, ...],
    ) -> _HeldOut:
        """Hold out a fraction of the groups of each class; of stretches of time without groups."""
        numblocks = features.numblocks[:2]
        along = 0 if numblocks[0] > 1 else 1
        unit = "group" if groups is not None else ("frame", "atom")[along]
        parts = np.indices(numblocks)[along].ravel() if groups is None else groups
        chosen = held_out_groups(counts, parts, self.holdout, self.seed)
        held = np.isin(parts, chosen)
        filled = counts.any(axis=1)
        blocks = np.flatnonzero(~held & filled), np.flatnonzero(held & filled)
        if self.holdout > 0:
            lacking = counts[held].sum(axis=0) == 0
            if lacking.any():
                logger.warning(
                    "%s: no rows of %s are held out: they are in a single %s",
                    *(_NAME, ", ".join(np.array(names)[lacking]), unit),
                )
        if not len(chosen):
            return _HeldOut(*blocks, "nothing", chosen)
        if groups is None:
            edges = np.cumsum([0, *features.chunks[along]])
            chosen = np.concatenate([np.arange(*edges[[part, part + 1]]) for part in chosen])
        return _HeldOut(*blocks, unit, chosen)

    def _calibrate(self, held: Labelled | None, class_weights: FloatArray) -> None:
        """Fit the temperature to held-out rows."""
        self.temperature_ = 1.0
        self.calibration_error_ = self.calibration_error_uncalibrated_ = None
        if held is None:
            return
        logits = self._ensemble().logits_of_inputs(held.rows)
        weight = held.share * class_weights[held.classes]
        self.temperature_ = fitted_temperature(logits, held.classes, weight)
        before, after = (
            _reliability_of(mean_probabilities(logits, temperature), held.classes, weight).error
            for temperature in (1.0, self.temperature_)
        )
        self.calibration_error_, self.calibration_error_uncalibrated_ = after, before

    def _limit(self, training: Labelled, held: Labelled | None) -> None:
        """Fit the Gaussians of the classes, and the largest distances from them."""
        n_classes = len(self.classes_) - 1
        distances = class_distances(training.rows, training.classes, n_classes)
        self.distance_center_, self.distance_axes_, self.class_means_, self.class_roots_ = distances
        self.distance_limits_ = np.full(n_classes, np.inf)
        if self.distance_quantile == 1:
            return
        own = [distances.squared(part.rows, part.classes) for part in (training, held) if part]
        for number in range(n_classes):
            values = own[0][training.classes == number]
            if held is not None and (held.classes == number).any():
                values = own[1][held.classes == number]
            self.distance_limits_[number] = np.quantile(values, self.distance_quantile)

    def _score(self, read: Read, held: IntArray) -> None:
        """Count the labels of all held-out rows."""
        n_classes = len(self.classes_) - 1
        self.confusion_ = np.zeros((n_classes, n_classes + 1), np.int64)
        rule = self._rule()
        with stage(f"{_NAME} held-out rows", len(held)) as advance:
            for number in held.tolist():
                rows = read(number)
                label, _ = _decided(np.ascontiguousarray(rows[:, :-2]), rule)
                np.add.at(self.confusion_, (rows[:, -2].astype(int), label), 1)
                advance(1)
        totals = self.confusion_.sum(axis=1)
        hits = np.diagonal(self.confusion_)
        self.recall_ = np.divide(hits, totals, out=np.full(n_classes, np.nan), where=totals > 0)
        self.accuracy_ = float(hits.sum() / totals.sum()) if totals.sum() else None

    def _ensemble(self) -> Ensemble:
        return Ensemble(
            self.center_,
            self.scale_,
            self.weights_,
            cast(Activation, self.activation),
            self.n_networks,
            self.temperature_,
        )

    def _rule(self) -> _Rule:
        distances = ClassDistances(
            self.distance_center_, self.distance_axes_, self.class_means_, self.class_roots_
        )
        return _Rule(self._ensemble(), distances, self.distance_limits_, self.min_probability)

    def ensemble(self) -> Ensemble:
        """Return the networks with their scales and temperature, to be sent to workers."""
        self.check_fitted()
        return self._ensemble()

    def predict(self, x: Any, *, abstain: bool = True) -> xr.Dataset:
        """Label every row of `x`; lazy, and without torch.

        Parameters
        ----------
        x : xarray.Dataset or Collection
            The features of the fit.
        abstain : bool
            Label rows as unknown by the rule; without it each row has the likeliest class.

        Returns
        -------
        xarray.Dataset
            label (frame, atom), int32, by the names in `classes_`, -1 for rows with NaN;
            probability (frame, atom), float32, the largest of a class, also of unknown rows, 0 for
            rows with NaN.

        Raises
        ------
        InputError
            If the features are not those of the fit.
        """
        self.check_fitted()
        rule = self._rule()
        if not abstain:
            rule = rule._replace(limits=np.full_like(rule.limits, np.inf), min_probability=0.0)
        return self.label_rows(
            *(x, len(self.center_), _label_block, ("label", "probability")),
            delayed(rule, pure=True),
            classes=self.classes_,
            parameters=None if abstain else {"abstain": False},
        )

    def predict_proba(self, x: Any) -> Any:
        """Compute the probability of each class for every row of `x`; lazy, and without torch.

        Returns
        -------
        xarray.Dataset
            class_probability (frame, atom, class), float32; NaN for rows with NaN. Coordinate class
            has the names.

        Raises
        ------
        InputError
            If the features are not those of the fit.
        """
        if isinstance(x, Collection):
            return x.map(self.predict_proba)
        self.check_fitted()
        names = self.classes_[:-1]
        array = self._apply(
            *(x, len(self.center_), _probability_block),
            *([delayed(self._ensemble(), pure=True)], "fac", np.empty((0, 0, 0), np.float32)),
            c=len(names),
        )
        coords = {CLASS: np.array(names)}
        return self.result(x, {"class_probability": array}, coords, "class_probabilities")

    def learned_arrays(self) -> dict[str, tuple[tuple[str, ...], npt.NDArray[Any]]]:
        """Return the learned arrays with their dimensions, by the name of their variable."""
        return super().learned_arrays() | {
            f"curve_{name}": (_CURVE_DIMS, curve) for name, curve in self.curves_.items()
        }

    @classmethod
    def from_dataset(cls, ds: xr.Dataset) -> Self:
        """Return the fitted estimator that a Dataset was made from."""
        estimator = super().from_dataset(ds)
        estimator.classes_ = tuple(estimator.classes_)
        estimator.curves_ = {
            str(name).removeprefix("curve_"): curve.values
            for name, curve in ds.data_vars.items()
            if curve.dims == _CURVE_DIMS
        }
        return estimator


def labels_identity(
    x: xr.Dataset | xr.DataArray | Collection, labels: Any, caller: str
) -> tuple[dict[str, Any], list[Record]]:
    """Return the parameters and the records that stand for labels in the record of a result."""
    if labels is None:
        return {}, []
    targets = targets_of(x, labels, caller)
    return {"classes": list(targets.names)}, [targets.record]


def _surveyed(
    rows: Rows, numbers: da.Array, names: tuple[str, ...]
) -> tuple[ClassSurvey, tuple[str, ...], IntArray]:
    """Return the survey of the classes with rows, their names, and new numbers of all classes."""
    if UNKNOWN in names:
        raise InputError(
            f"{_NAME}: expected classes with other names than {UNKNOWN}, which is that of rows "
            "without an answer; rename it, or label such rows -1"
        )
    labelled = labelled_rows(rows.features, numbers, rows.weight_blocks(), range(len(names)))
    survey = survey_classes(labelled, len(names), f"{_NAME}: scale")
    there = survey.counts.sum(axis=0) > 0
    present = tuple(name.replace(" ", "_") for name, has in zip(names, there, strict=True) if has)
    if len(present) < 2:
        raise InputError(
            f"{_NAME}: expected rows of at least two classes, found {', '.join(present) or 'none'} "
            f"among {int(survey.counts.sum())} rows with a class and without NaN"
        )
    if not np.isfinite(survey.scatter).all():
        raise InputError(
            f"{_NAME}: expected features whose squares add up to a number, found some that are too "
            "large; scale them, or leave such rows out as NaN"
        )
    if not there.all():
        absent = [name for name, has in zip(names, there, strict=True) if not has]
        logger.warning("%s: no rows of %s: no such classes", _NAME, ", ".join(absent))
    kept = np.where(there, np.cumsum(there) - 1, -1)
    return survey._replace(counts=survey.counts[:, there]), present, kept


def _scales(survey: ClassSurvey, train: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and inverse standard deviation of the features; 0 for constant ones."""
    mean, variance = survey.of_blocks(train)
    deviation = np.sqrt(variance)
    varies = deviation > _FLAT * np.abs(mean)
    if not varies.any():
        raise InputError(f"{_NAME}: expected features that vary, found all training rows the same")
    return mean, np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)


def _reliability_of(
    probabilities: FloatArray, classes: IntArray, weight: FloatArray
) -> Reliability:
    right = probabilities.argmax(axis=1) == classes
    return reliability(probabilities.max(axis=1), right, weight)


def _decided(inputs: Float32Array, rule: _Rule) -> tuple[LabelArray, npt.NDArray[np.float32]]:
    """Return the label and the largest probability of each scaled row."""
    ensemble = rule.ensemble
    logits = ensemble.logits_of_inputs(inputs)
    probabilities = mean_probabilities(logits, ensemble.temperature)
    label = probabilities.argmax(axis=1)
    probability = probabilities.max(axis=1)
    distance = rule.distances.squared(inputs, label)
    # What is no number is not sure.
    sure = (probability >= rule.min_probability) & (distance <= rule.limits[label])
    label = np.where(sure, label, len(rule.limits)).astype(np.int32)
    return label, np.nan_to_num(probability).astype(np.float32)


def _label_block(
    block: npt.NDArray[np.floating], rule: _Rule
) -> tuple[LabelArray, npt.NDArray[np.float32]]:
    rows = block.reshape(-1, block.shape[-1])
    label, probability = np.full(len(rows), -1, np.int32), np.zeros(len(rows), np.float32)
    finite = np.flatnonzero(np.isfinite(rows).all(axis=1))
    for part in rule.ensemble.cut(finite):
        label[part], probability[part] = _decided(rule.ensemble.scaled(rows[part]), rule)
    return label.reshape(block.shape[:2]), probability.reshape(block.shape[:2])


def _probability_block(block: npt.NDArray[np.floating], ensemble: Ensemble) -> Float32Array:
    rows = block.reshape(-1, block.shape[-1])
    probabilities = ensemble.probabilities(rows).astype(np.float32)
    probabilities[~np.isfinite(rows).all(axis=1)] = np.nan
    return probabilities.reshape(*block.shape[:2], -1)
