"""Classification of amorphous and crystalline ices and the liquid, by several descriptors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import xarray as xr

from icedask.core.collection import Collection
from icedask.core.options import Cutoff, Option, Seed
from icedask.core.selection import select
from icedask.core.types import FloatArray
from icedask.core.variables import FRAME
from icedask.errors import InputError
from icedask.learn import attribution, pruning
from icedask.store.save import save
from icedask.workflows.amorphous_benchmark import (
    Benchmark,
    Split,
    benchmark,
    denoised_shares,
    fitted,
    flagged,
    make_splits,
    score,
    shuffled_labels,
    single_components,
)
from icedask.workflows.amorphous_features import (
    ALL_SIMPLE,
    CENTERS,
    FAMILIES,
    SIMPLE,
    Simple,
    seconds_for_thousand,
)
from icedask.workflows.workflow import workflow

logger = logging.getLogger("icedask")

LABEL = "amorphous"
CLASSES = ("Ih", "Ic", "II", "III", "V", "water", "LDA", "MDA", "HDA")

# Of classes that are far apart each is given one label by chance: several draws are averaged.
_SHUFFLES = 5

PRESETS: dict[str, dict[str, Any]] = {
    # Minutes, for a first look.
    "quick": {
        "families": ("symmetry", "soap-small"),
        "n_splits": 1,
        "epochs": 15,
        "cutoffs": (),
        "simple": False,
        "denoiser": False,
        "components": (),
    },
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of the workflow."""

    label: Annotated[str, Option("Label of the members that names their class.")] = "phase"
    classes: Annotated[
        Sequence[str],
        Option("Classes of the training; members of other classes should come out as unknown."),
    ] = CLASSES
    families: Annotated[Sequence[str], Option(f"Descriptors: {', '.join(FAMILIES)}.")] = tuple(
        FAMILIES
    )
    r_cut: Cutoff = 6.0
    cutoffs: Annotated[
        Sequence[float],
        Option(
            "Cutoff radii at which the described family is compared; only that of the families for "
            "no comparison.",
            "angstrom",
            above=0,
        ),
    ] = (3.5, 4.5, 6.0, 7.5, 9.0)
    described: Annotated[
        str, Option("Family of which importances, pruning and cutoffs are shown.")
    ] = "soap"
    simple: Annotated[bool, Option("Comparison with a few simple numbers.")] = True
    denoiser: Annotated[
        bool, Option("Comparison with the denoiser of ices, which knows no amorphous ice.")
    ] = True
    components: Annotated[
        Sequence[int], Option("Numbers of components kept in pruning.", at_least=1)
    ] = (1, 2, 5, 10, 20, 30, 60, 100)
    test: Annotated[
        float, Option("Share of the trajectories of each class for the test.", above=0, below=1)
    ] = 0.25
    n_splits: Annotated[
        int, Option("Number of splits, each with a seed of its own.", at_least=1)
    ] = 3
    layers: Annotated[Sequence[int], Option("Widths of the hidden layers.", at_least=1)] = (
        100,
        100,
    )
    epochs: Annotated[int, Option("Largest number of training epochs.", at_least=1)] = 50
    seed: Seed = 0


class Unseen(NamedTuple):
    """Share of rows flagged as unknown, by member: of classes never trained on, and of the test."""

    of_others: dict[str, float]
    of_classes: FloatArray


class Pruned(NamedTuple):
    """Accuracy on each split with the components of largest importance in training."""

    numbers: tuple[int, ...]
    accuracy: FloatArray


class AmorphousAnalysis(NamedTuple):
    """Classifiers of the classes of a collection.

    Attributes
    ----------
    benchmarks, simple, cutoffs
        Scores by family, by simple numbers, and by cutoff radius of the described family.
    seconds
        Time of one core for 1000 molecules, by family.
    splits, classes
        Members of each split, and the classes with two independent trajectories or more.
    left_out
        Classes that have fewer.
    unseen, shuffled
        Shares that are flagged as unknown by the described family; its accuracy when it is trained
        on shuffled labels.
    importances, rank_correlation
        Mean importances of its components on each split, and their rank correlation between splits.
    areas
        How well each component alone separates each class (`single_components`), by family.
    denoised
        Names of the classes of the denoiser of ices, and their shares by member; empty without it.
    pruned
        Accuracy by the number of components kept.
    collection, settings, store
        Members, options as they were used, and the store of the models.
    """

    benchmarks: dict[str, Benchmark]
    simple: dict[str, Benchmark]
    cutoffs: dict[float, Benchmark]
    seconds: dict[str, float]
    splits: list[Split]
    classes: tuple[str, ...]
    left_out: tuple[str, ...]
    unseen: Unseen
    shuffled: float
    importances: list[xr.Dataset]
    rank_correlation: FloatArray
    areas: dict[str, FloatArray]
    features: dict[str, Collection]
    denoised: tuple[list[str], dict[str, FloatArray]]
    pruned: Pruned | None
    collection: Collection
    settings: Settings
    store: Path

    @property
    def failed(self) -> dict[str, str]:
        """Messages of members that could not be described, by name."""
        failed = dict(self.collection.failed)
        for features in self.features.values():
            failed |= features.failed
        return failed


def _check(collection: Any, settings: Settings) -> None:
    """Raise InputError for families that there are not."""
    unknown = [name for name in settings.families if name not in FAMILIES]
    if unknown or not settings.families:
        raise InputError(
            f"{LABEL}: families: expected some of {', '.join(FAMILIES)}, found "
            f"{', '.join(unknown) or 'none'}"
        )
    if settings.described not in settings.families:
        raise InputError(
            f"{LABEL}: described: expected one of the families, {', '.join(settings.families)}, "
            f"found {settings.described!r}"
        )


@workflow(LABEL, Settings, PRESETS, check=_check, takes="collection")
def amorphous(collection: Collection, store: Path, settings: Settings) -> AmorphousAnalysis:
    """Classify ices, amorphous ices and water by neural networks; computes and saves.

    The oxygens of each trajectory are described by several families of descriptors. For each, a
    network (`NeuralClassifier`) is trained on some trajectories of each class and scored on others,
    several times with other splits; a trajectory is never on both sides, nor two that share a start
    or are parts of one run. Beside them, a few simple numbers, the accuracy by cutoff radius,
    importances of components by integrated gradients and pruning by them, structures of classes
    that were not trained on, and shuffled labels. Models go into the store of the collection,
    descriptors into those of its members; an interrupted run resumes.

    {parameters}

    Returns
    -------
    AmorphousAnalysis
        Label in the stores of the members: "amorphous", the classes by the described family as
        trained on the first split, of test members and of unseen classes.

    Raises
    ------
    InputError
        If an option is out of bounds, or fewer than two classes have two independent trajectories.
    StoreError
        If a store cannot be written to.

    References
    ----------
    Faure Beaulieu, Deringer and Martelli, doi:10.1063/5.0193340
    """
    _check(collection, settings)
    known, others, left_out = _members(collection, settings)
    classes = tuple(name for name in settings.classes if name in set(known.labels[settings.label]))
    splits = make_splits(known, settings.label, settings.test, settings.n_splits, settings.seed)
    run = _Run(collection, known, others, classes, splits, store, settings)
    features = run.described(settings.families, settings.r_cut)
    benchmarks = {name: run.scored(FAMILIES[name].title, each) for name, each in features.items()}
    seconds = {name: seconds_for_thousand(run.lazy[name]) for name in features}
    chosen = features[settings.described]
    models = [each.model for each in benchmarks[settings.described].scores]
    importances = [
        attribution.mean_importances(
            model, _first_frames(chosen.subset(split.train)), settings.label
        )
        for model, split in zip(models, splits, strict=True)
    ]
    training = {name: each.subset(splits[0].train) for name, each in features.items()}
    areas = {
        name: single_components(each, settings.label, classes, settings.seed)
        for name, each in training.items()
    }
    run.save_labels(models[0], chosen, splits[0])
    return AmorphousAnalysis(
        benchmarks,
        run.simple(),
        run.cutoffs(benchmarks),
        seconds,
        splits,
        classes,
        left_out,
        run.unseen(models[0], chosen, splits[0]),
        run.shuffled(chosen, splits[0]),
        importances,
        _rank_correlation(importances),
        areas,
        features,
        denoised_shares(run.all) if settings.denoiser else ([], {}),
        run.pruned(chosen, importances),
        collection,
        settings,
        store,
    )


def _members(
    collection: Collection, settings: Settings
) -> tuple[Collection, Collection | None, tuple[str, ...]]:
    """Return members of known classes, of other classes, and the classes with too few."""
    column = collection.label(settings.label)
    unlabelled = [str(name) for name in column.index[column.isna()]]
    if unlabelled:
        logger.warning("%s: without %s, left out: %s", LABEL, settings.label, ", ".join(unlabelled))
    labelled = [name for name in collection if not column.isna()[name]]
    groups = collection.groups
    independent = {
        value: len({groups[name] for name in labelled if column[name] == value})
        for value in settings.classes
    }
    left_out = tuple(value for value, n in independent.items() if n < 2)
    kept = [value for value, n in independent.items() if n >= 2]
    if len(kept) < 2:
        raise InputError(
            f"{LABEL}: expected two independent trajectories or more of at least two classes of "
            f"{', '.join(settings.classes)}, found them of {', '.join(kept) or 'none'}; add "
            f"trajectories, or name other classes"
        )
    if left_out:
        logger.warning(
            "%s: fewer than two independent trajectories, left out: %s", LABEL, ", ".join(left_out)
        )
    known = [name for name in labelled if column[name] in kept]
    others = [name for name in labelled if column[name] not in settings.classes]
    return collection.subset(known), collection.subset(others) if others else None, left_out


class _Run:
    """The members, splits and settings that the parts of an analysis share."""

    def __init__(
        self,
        collection: Collection,
        known: Collection,
        others: Collection | None,
        classes: tuple[str, ...],
        splits: list[Split],
        store: Path,
        settings: Settings,
    ) -> None:
        self.known, self.others, self.classes = known, others, classes
        self.splits, self.store, self.settings = splits, store, settings
        self.all = collection.subset([*known, *(others or {})])
        self.lazy: dict[str, Collection] = {}

    def described(self, families: Sequence[str], r_cut: float) -> dict[str, Collection]:
        """Return the features of all members by family, in their stores."""
        self.lazy = {name: FAMILIES[name].describe(self.all, r_cut) for name in families}
        return dict(zip(self.lazy, save(list(self.lazy.values())), strict=True))

    def scored(self, title: str, features: Collection, splits: int | None = None) -> Benchmark:
        """Return the scores of a representation."""
        options = {"layers": self.settings.layers, "epochs": self.settings.epochs}
        return benchmark(
            title,
            features,
            self.splits[:splits],
            self.settings.label,
            self.classes,
            self.store,
            self.settings.seed,
            **options,
        )

    def simple(self) -> dict[str, Benchmark]:
        """Return the scores of simple numbers, and of all of them together."""
        if not self.settings.simple:
            return {}
        oxygens = self.known.map(select, CENTERS)
        chosen: dict[str, Simple] = {**SIMPLE, "all": ALL_SIMPLE}
        lazy = [oxygens.map(each.function) for each in chosen.values()]
        return {
            name: self.scored(each.title, features)
            for (name, each), features in zip(chosen.items(), save(lazy), strict=True)
        }

    def cutoffs(self, benchmarks: dict[str, Benchmark]) -> dict[float, Benchmark]:
        """Return the scores of the described family by cutoff radius."""
        name = self.settings.described
        results = {self.settings.r_cut: benchmarks[name]}
        for r_cut in self.settings.cutoffs:
            if r_cut not in results:
                features = save(FAMILIES[name].describe(self.known, r_cut))
                results[r_cut] = self.scored(f"{r_cut:g} angstrom", features)
        return dict(sorted(results.items())) if len(results) > 1 else {}

    def unseen(self, model: Any, features: Collection, split: Split) -> Unseen:
        """Return shares flagged as unknown, of other classes and by mistake of the test."""
        test = features.subset(split.test)
        by_class = flagged(model, test)
        column = test.labels[self.settings.label]
        shares = [
            np.mean([by_class[name] for name in test if column[name] == value])
            if (column == value).any()
            else np.nan
            for value in self.classes
        ]
        mine = {} if self.others is None else flagged(model, features.subset(list(self.others)))
        return Unseen(mine, np.array(shares))

    def shuffled(self, features: Collection, split: Split) -> float:
        """Return the mean accuracy of classifiers that are trained on shuffled labels."""
        train, test = features.subset(split.train), features.subset(split.test)
        label, accuracy = self.settings.label, []
        for seed in range(self.settings.seed, self.settings.seed + _SHUFFLES):
            labels = shuffled_labels(train, label, seed)
            # There is nothing to learn: a few epochs show that.
            model = fitted(train, labels, None, seed, layers=self.settings.layers, epochs=3)
            accuracy.append(float(score(model, test, label, self.classes).forced["accuracy"]))
        return float(np.mean(accuracy))

    def pruned(self, features: Collection, importances: list[xr.Dataset]) -> Pruned | None:
        """Return the accuracy with the most important components of the training members."""
        width = next(iter(importances))["importance"].shape[1]
        numbers = tuple(n for n in self.settings.components if n < width)
        if not numbers:
            return None
        accuracy = np.empty((len(numbers), len(self.splits)))
        for place, (split, importance) in enumerate(zip(self.splits, importances, strict=True)):
            order = pruning.ranked_components(importance, features.subset(split.train))
            for row, number in enumerate(numbers):
                kept = features.map(pruning.select_components, order[:number].tolist())
                options = {"layers": self.settings.layers, "epochs": self.settings.epochs}
                model = fitted(
                    kept.subset(split.train),
                    self.settings.label,
                    self.store,
                    self.settings.seed + place,
                    **options,
                )
                scores = score(model, kept.subset(split.test), self.settings.label, self.classes)
                accuracy[row, place] = float(scores.forced["accuracy"])
        return Pruned(numbers, accuracy)

    def save_labels(self, model: Any, features: Collection, split: Split) -> None:
        """Save the classes of test members and of unseen ones under the name of the workflow."""
        names = [*split.test, *(self.others or {})]
        save(model.predict(features.subset(names)), label=LABEL)


def _first_frames(features: Collection) -> Collection:
    """Return the first frame of each member: as many rows as mean importances need."""
    return features.map(lambda each: each.isel({FRAME: slice(0, 1)}))


def _rank_correlation(importances: list[xr.Dataset]) -> FloatArray:
    """Return the rank correlations between all pairs of splits."""
    pairs = [
        float(attribution.importance_correlation(first, second)["overall_rank_correlation"])
        for number, first in enumerate(importances)
        for second in importances[number + 1 :]
    ]
    return np.array(pairs)
