"""Benchmark of classifiers of one representation: splits by trajectory, fits, scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.collection import Collection
from icedask.core.features import lazy_blocks
from icedask.core.pooled import member_labels
from icedask.core.rows import rows_of
from icedask.core.targets import targets_of
from icedask.core.types import FloatArray, IntArray
from icedask.learn import base, classification_scores, neural_classifier
from icedask.phases import classifier as phase_classifier
from icedask.phases import denoiser as phase_denoiser
from icedask.store.runs import has_run
from icedask.store.save import save
from icedask.tasks.sampling import stratified_sample

# Rows by which single components are judged.
_SAMPLE = 20_000


class Split(NamedTuple):
    """Names of training and test members."""

    train: list[str]
    test: list[str]


class Scores(NamedTuple):
    """Scores of one classifier on test members, with and without abstention."""

    model: neural_classifier.NeuralClassifier
    # Without abstention, as published numbers are.
    forced: xr.Dataset
    # With the class unknown, and calibration.
    answered: xr.Dataset


class Benchmark(NamedTuple):
    """Scores of one representation on each split."""

    title: str
    n_components: int
    scores: list[Scores]

    @property
    def accuracy(self) -> FloatArray:
        """Accuracy without abstention on each split."""
        return np.array([float(each.forced["accuracy"]) for each in self.scores])

    @property
    def recall(self) -> FloatArray:
        """Recall of each class without abstention, the mean over the splits."""
        return np.mean([each.forced["recall"].values for each in self.scores], axis=0)

    @property
    def confusion(self) -> IntArray:
        """Test rows by true and predicted class, summed over the splits."""
        total: IntArray = np.sum([each.forced["count"].values for each in self.scores], axis=0)
        return total

    @property
    def calibration_error(self) -> float:
        """Expected calibration error on test members, the mean over the splits."""
        return float(np.mean([float(each.answered["calibration_error"]) for each in self.scores]))


def make_splits(known: Collection, label: str, test: float, n: int, seed: int) -> list[Split]:
    """Split the members several times, with other seeds."""
    parts = [known.split(test, stratify=label, seed=seed + number) for number in range(n)]
    return [Split(list(train), list(other)) for train, other in parts]


def benchmark(
    title: str,
    features: Collection,
    splits: Sequence[Split],
    label: str,
    classes: tuple[str, ...],
    store: Path | None,
    seed: int,
    **options: Any,
) -> Benchmark:
    """Fit a classifier to the training members of each split, and score it on the others."""
    scores = []
    for number, split in enumerate(splits):
        model = fitted(features.subset(split.train), label, store, seed + number, **options)
        scores.append(score(model, features.subset(split.test), label, classes))
    return Benchmark(title, rows_of(features).features.shape[2], scores)


def fitted(
    features: Collection, labels: Any, store: Path | None, seed: int, **options: Any
) -> neural_classifier.NeuralClassifier:
    """Return the classifier of features and labels, from the store if it is there."""
    model = neural_classifier.NeuralClassifier(class_weights="balanced", seed=seed, **options)
    if store is None:
        return model.fit(features, labels)
    run_id = model.fitted_record(features, labels).run_id
    if has_run(store, run_id):
        loaded: neural_classifier.NeuralClassifier = base.load_model(store, run_id)
        return loaded
    save(model.fit(features, labels), store)
    return model


def score(
    model: neural_classifier.NeuralClassifier,
    test: Collection,
    label: str,
    classes: tuple[str, ...],
) -> Scores:
    """Score a classifier on test members, with and without abstention."""
    truth = member_labels(test, label, classes)
    forced, answered = (
        classification_scores.classification_scores(model.predict(test, abstain=abstain), truth)
        for abstain in (False, True)
    )
    return Scores(model, forced, answered)


def flagged(model: neural_classifier.NeuralClassifier, members: Collection) -> dict[str, float]:
    """Compute the share of the rows of each member that are flagged as unknown."""
    unknown = model.classes_.index(neural_classifier.UNKNOWN)
    shares: dict[str, float] = {}
    for name, labels in model.predict(members).items():
        label = labels["label"].values
        shares[str(name)] = float((label[label >= 0] == unknown).mean())
    return shares


def shuffled_labels(members: Collection, label: str, seed: int) -> Collection:
    """Return labels of the atoms drawn at random from all of them; lazy."""
    truth = member_labels(members, label)
    sizes = {name: each["label"].size for name, each in truth.items()}
    numbers = np.repeat(
        [int(each["label"].values.flat[0]) for each in truth.values()], list(sizes.values())
    )
    drawn = np.random.default_rng(seed).permutation(numbers).astype(np.int32)
    parts = np.split(drawn, np.cumsum(list(sizes.values()))[:-1])
    shuffled = {}
    for part, (name, each) in zip(parts, truth.items(), strict=True):
        array = each["label"]
        values = da.from_array(part.reshape(array.shape), chunks=lazy_blocks(array).chunks)
        shuffled[name] = each.assign(label=(array.dims, values, array.attrs))
    return truth.with_members(shuffled)


def denoised_shares(members: Collection) -> tuple[list[str], dict[str, FloatArray]]:
    """Compute the shares of the classes of the shipped denoiser of ices in each member.

    Returns the names of its classes, and the share of each by member; computes.
    """
    denoiser = phase_denoiser.Denoiser.shipped("ices")
    classifier = phase_classifier.PhaseClassifier().fit(denoiser.phases_, denoiser)
    denoised: Any = members.map(denoiser.denoise)
    labels: Any = classifier.label(classifier.compare(denoised))
    names = list(classifier.classes_)
    shares = {}
    for name, each in labels.items():
        counts = np.bincount(np.maximum(each["label"].values.ravel(), 0), minlength=len(names))
        shares[name] = counts / counts.sum()
    return names, shares


def single_components(
    features: Collection, label: str, classes: tuple[str, ...], seed: int
) -> FloatArray:
    """Compute how well each component alone separates each class from all others.

    The area under the receiver operating characteristic, of the direction that is larger: 0.5 for
    none, 1 for complete separation; (class, component), on a sample of the rows.
    """
    rows = rows_of(features)
    sample = stratified_sample(rows, _SAMPLE, seed)
    truth = targets_of(features, member_labels(features, label, classes), "single_components")
    numbers = _values_at(truth.numbers, sample.frame, sample.atom)
    areas = np.empty((len(classes), sample.rows.shape[1]))
    # Ranks of equal values are their mean.
    from scipy.stats import rankdata

    ranks = rankdata(sample.rows, axis=0)
    for number in range(len(classes)):
        mine = numbers == number
        n, rest = int(mine.sum()), int((~mine).sum())
        area = (ranks[mine].sum(axis=0) - n * (n + 1) / 2) / max(n * rest, 1)
        areas[number] = np.maximum(area, 1 - area)
    return areas


def _values_at(numbers: da.Array, frame: IntArray, atom: IntArray) -> npt.NDArray[np.int32]:
    values: npt.NDArray[np.int32] = numbers.compute()[frame, atom]
    return values
