"""Tables and figures of a classification of amorphous and crystalline ices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from icedask import plot
from icedask.core.features import feature_variable
from icedask.learn.attribution import importance_of, overall_importance
from icedask.plot.report import Drawings, Section, settings_section
from icedask.workflows.amorphous_features import FAMILIES

if TYPE_CHECKING:
    from icedask.core.collection import Collection
    from icedask.workflows.amorphous import AmorphousAnalysis
    from icedask.workflows.amorphous_benchmark import Benchmark

# Of the largest importance: components below carry nothing.
_NOTHING = 0.01
# Components of the tables.
_SHOWN = 3


def sections(result: AmorphousAnalysis, collection: Collection, *, draw: bool) -> list[Section]:
    """Return the tables of a result, and its figures if they are to be drawn."""
    parts = [_data(result), _families(result, draw), _confusion(result, draw)]
    parts += [_importances(result, draw), _single(result)]
    if result.pruned is not None:
        parts.append(_pruned(result, draw))
    if result.cutoffs:
        parts.append(_cutoffs(result, draw))
    if result.simple:
        parts.append(_simple(result))
    if result.denoised[1]:
        parts.append(_denoiser(result))
    parts.append(_unknown(result))
    models = [
        score.model.to_dataset() for each in result.benchmarks.values() for score in each.scores
    ]
    return [*parts, settings_section(result.settings, result.store, models)]


def _title(result: AmorphousAnalysis) -> str:
    return FAMILIES[result.settings.described].title


def _data(result: AmorphousAnalysis) -> Section:
    """Return the section of the trajectories, and of how they were split."""
    label = result.settings.label
    column = result.collection.labels[label]
    groups = result.collection.groups
    rows = {}
    for name in dict.fromkeys(column.dropna()):
        mine = [member for member in result.collection if column[member] == name]
        n_oxygens = sum(
            int((result.collection[member]["element"].values == "O").sum())
            * result.collection[member].sizes["frame"]
            for member in mine
        )
        rows[name] = {
            "trajectories": len(mine),
            "independent": len({groups[member] for member in mine}),
            "environments": n_oxygens,
            "in training": ", ".join(m for m in mine if m in result.splits[0].train) or "none",
            "in test": ", ".join(m for m in mine if m in result.splits[0].test) or "none",
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")
    text = (
        f"{len(result.classes)} classes, each of {len(result.splits)} splits by trajectory: one is "
        "never on both sides, nor two that share a start or are parts of one run."
    )
    if result.left_out:
        text += (
            f" Left out, for want of two independent trajectories: {', '.join(result.left_out)}: "
            f"the numbers below are of {len(result.classes)} classes."
        )
    return Section("Trajectories", text, tables={"Trajectories, and the first split": table})


def _families(result: AmorphousAnalysis, draw: bool) -> Section:
    """Return the section of accuracies, recalls and costs of all families."""
    rows, recalls = {}, {}
    for name, each in result.benchmarks.items():
        family = FAMILIES[name]
        milliseconds = 1e3 * result.seconds[name]
        rows[each.title] = {
            "components": each.n_components,
            "parameters": each.scores[0].model.n_parameters_,
            "accuracy": 100 * each.accuracy.mean(),
            "spread": 100 * each.accuracy.std(ddof=1) if len(each.accuracy) > 1 else np.nan,
            "published": np.nan if family.published is None else family.published,
            "calibration error": each.calibration_error,
            "per 1000 molecules": milliseconds,
            "per component": milliseconds / each.n_components,
        }
        recalls[each.title] = 100 * each.recall
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("family")
    percent = dict.fromkeys(("accuracy", "spread", "published"), "%")
    table.attrs["units"] = {**percent, "per 1000 molecules": "ms", "per component": "ms"}
    recall = pd.DataFrame.from_dict(recalls, orient="index", columns=list(result.classes))
    recall.attrs["units"] = dict.fromkeys(result.classes, "%")
    figures = Drawings(draw)
    figures.add(
        "Accuracy: each family of descriptors on the test trajectories of each split, beside the "
        "accuracy that document 004 reports.",
        plot.accuracies,
        {each.title: each.accuracy for each in result.benchmarks.values()},
        {
            each.title: FAMILIES[name].published / 100  # type: ignore[operator]
            for name, each in result.benchmarks.items()
            if FAMILIES[name].published is not None
        },
    )
    text = (
        "Networks on the descriptors of single oxygens; the accuracy counts every oxygen of the "
        "test trajectories, without abstention, as published numbers do. The published accuracies "
        "are of other trajectories and an unknown split. The spread is the standard deviation over "
        "the splits. Times are of one core, descriptors alone."
    )
    tables = {"Accuracy and cost": table, "Recall of each class, mean over the splits": recall}
    return Section("Families of descriptors", text, figures, tables)


def _confusion(result: AmorphousAnalysis, draw: bool) -> Section:
    each = result.benchmarks[result.settings.described]
    predicted = [*each.scores[0].model.classes_]
    counts = pd.DataFrame(
        each.confusion,
        pd.Index(result.classes, name="true class"),
        pd.Index(predicted, name="label"),
    ).drop(columns="unknown")
    counts = counts[[name for name in result.classes if name in counts]]
    figures = Drawings(draw)
    figures.add(
        f"Confusion: oxygens of the test trajectories of all splits, by {each.title}.",
        plot.confusion,
        counts,
    )
    figures.add(
        "Reliability: accuracy against the probability of the label, on the test trajectories of "
        "the first split.",
        plot.reliability,
        each.scores[0].answered,
    )
    model = each.scores[0].model
    text = f"By {each.title}. "
    if model.calibration_error_ is not None:
        text += (
            f"The temperature {model.temperature_:.2f}, fitted to training trajectories that were "
            f"held out, brings the expected calibration error on these from "
            f"{model.calibration_error_uncalibrated_:.3f} to {model.calibration_error_:.3f}; on "
            f"the test trajectories it is {each.calibration_error:.3f}."
        )
    return Section("Confusion and calibration", text, figures, {"Counts": counts})


def _importances(result: AmorphousAnalysis, draw: bool) -> Section:
    importance = importance_of(result.importances[0], "amorphous")
    overall = overall_importance(importance)
    nothing = float((overall < _NOTHING * overall.max()).mean())
    errors = [float(each["completeness_error"]) for each in result.importances]
    figures = Drawings(draw)
    figures.add(
        f"Importance: mean absolute integrated gradient of each component of {_title(result)}, by "
        "class, on training trajectories.",
        plot.component_importances,
        result.importances[0],
    )
    text = (
        f"Of {len(overall)} components {nothing:.0%} have less than {_NOTHING:.0%} of the largest "
        f"mean importance. Sums of attributions differ from the difference of outputs by at most "
        f"{max(errors):.1g}."
    )
    if len(result.rank_correlation):
        text += (
            " Rank correlation of the importances between splits and seeds: "
            f"{', '.join(f'{value:.2f}' for value in result.rank_correlation)}."
        )
    return Section("Importances", text, figures)


def _single(result: AmorphousAnalysis) -> Section:
    """Return the section of the components that separate one class alone."""
    tables = {}
    for name, areas in result.areas.items():
        names = _component_names(result.features[name])
        rows = {}
        for number, label in enumerate(result.classes):
            order = np.argsort(-areas[number], kind="stable")[:_SHOWN]
            rows[label] = {
                f"rank {place}": f"{names[component]} ({areas[number, component]:.3f})"
                for place, component in enumerate(order, 1)
            }
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")
        tables[f"{FAMILIES[name].title}: components that separate a class best, alone"] = table
    text = (
        "Area under the receiver operating characteristic of a single component for one class "
        "against all others, on training trajectories: 0.5 is none, 1 complete separation."
    )
    return Section("Single components", text, tables=tables)


def _component_names(features: Collection) -> list[str]:
    """Return names of the components from their coordinates."""
    array = feature_variable(next(iter(features.values())))
    dim = array.dims[2]
    coords = {
        str(name): coord.values for name, coord in array.coords.items() if coord.dims == (dim,)
    }
    coords.pop(str(dim), None)
    if not coords:
        return [str(value) for value in range(array.shape[2])]
    # Kinds and species before parameters.
    coords = dict(sorted(coords.items(), key=lambda item: item[1].dtype.kind not in "UTO"))
    return [
        " ".join(_part(name, values[number]) for name, values in coords.items()).strip()
        for number in range(array.shape[2])
    ]


def _part(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float | np.floating) and np.isnan(value):
        return ""
    return f"{name}={value:g}"


def _pruned(result: AmorphousAnalysis, draw: bool) -> Section:
    pruned = result.pruned
    assert pruned is not None
    whole = result.benchmarks[result.settings.described].accuracy
    table = pd.DataFrame(
        {
            "accuracy": 100 * pruned.accuracy.mean(axis=1),
            "less than all": 100 * (whole - pruned.accuracy).mean(axis=1),
        },
        pd.Index(pruned.numbers, name="components"),
    )
    table.attrs["units"] = dict.fromkeys(table.columns, "%")
    scores = xr.Dataset(
        {
            "accuracy": ("n_components", pruned.accuracy.mean(axis=1)),
            "accuracy_of_all": float(whole.mean()),
        },
        {"n_components": list(pruned.numbers)},
    )
    figures = Drawings(draw)
    figures.add(
        f"Pruning: accuracy with the components of {_title(result)} that are most important in "
        "training.",
        plot.accuracy_by_components,
        scores,
    )
    text = "Components are ranked on training trajectories; a network is trained on the first ones."
    return Section("Pruning", text, figures, {"Accuracy by components kept": table})


def _accuracy_table(benchmarks: dict[Any, Benchmark], index: str) -> pd.DataFrame:
    rows = {
        key: {
            "components": each.n_components,
            "accuracy": 100 * each.accuracy.mean(),
            "spread": 100 * each.accuracy.std(ddof=1) if len(each.accuracy) > 1 else np.nan,
        }
        for key, each in benchmarks.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(index)
    table.attrs["units"] = {"accuracy": "%", "spread": "%"}
    return table


def _cutoffs(result: AmorphousAnalysis, draw: bool) -> Section:
    figures = Drawings(draw)
    figures.add(
        f"Cutoff: accuracy of {_title(result)} on test trajectories against its radius.",
        plot.accuracy_by_cutoff,
        {radius: each.accuracy for radius, each in result.cutoffs.items()},
    )
    table = _accuracy_table(result.cutoffs, "radius (angstrom)")
    text = "How far the network must look."
    return Section("Cutoff radius", text, figures, {"Accuracy by cutoff radius": table})


def _simple(result: AmorphousAnalysis) -> Section:
    table = _accuracy_table({each.title: each for each in result.simple.values()}, "numbers")
    recall = pd.DataFrame(
        [100 * each.recall for each in result.simple.values()],
        pd.Index([each.title for each in result.simple.values()], name="numbers"),
        list(result.classes),
    )
    recall.attrs["units"] = dict.fromkeys(result.classes, "%")
    text = "The same networks on a few numbers of the surroundings of an oxygen."
    tables = {"Accuracy of simple numbers": table, "Recall of each class": recall}
    return Section("Simple numbers", text, tables=tables)


def _denoiser(result: AmorphousAnalysis) -> Section:
    """Return the section of the classes that the denoiser of ices gives to each class."""
    names, shares = result.denoised
    column = result.collection.labels[result.settings.label]
    rows = {
        value: np.mean([100 * share for name, share in shares.items() if column[name] == value], 0)
        for value in dict.fromkeys(column[list(shares)])
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("class")
    table.attrs["units"] = dict.fromkeys(names, "%")
    text = (
        "The same trajectories by the denoiser and the nearest ideal crystal, which are made from "
        "seven ices and know neither ice V nor amorphous ices: what is none of its ices is liquid, "
        "or unknown where it settles in another order."
    )
    tables = {"Shares of the classes of the denoiser": table}
    return Section("Denoiser of ices", text, tables=tables)


def _unknown(result: AmorphousAnalysis) -> Section:
    label = result.collection.labels[result.settings.label]
    others = pd.DataFrame(
        {
            "class": [str(label[name]) for name in result.unseen.of_others],
            "flagged as unknown": [100 * value for value in result.unseen.of_others.values()],
        },
        pd.Index(list(result.unseen.of_others), name="trajectory"),
    )
    mine = pd.DataFrame(
        {"flagged as unknown": 100 * result.unseen.of_classes},
        pd.Index(result.classes, name="class"),
    )
    for table in (others, mine):
        table.attrs["units"] = {"flagged as unknown": "%"}
    text = (
        f"By {_title(result)}, first split. An oxygen is unknown by the rule of the classifier, "
        "whose limits come from training trajectories alone. Trained on shuffled labels, the "
        f"classifier has an accuracy of {result.shuffled:.1%}; chance is "
        f"{1 / len(result.classes):.1%}."
    )
    tables = {"By mistake: test trajectories of known classes": mine}
    if len(others):
        tables = {"Trajectories of classes that were not trained on": others, **tables}
    return Section("Unknown structures", text, tables=tables)
