"""Tables and figures of a classification of phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from icedask import plot
from icedask.core.variables import FRAME
from icedask.dynamics.group_means import Groups, group_means
from icedask.phases.interfaces import slab_motion, spacing
from icedask.plot.report import Drawings, Section, settings_section

if TYPE_CHECKING:
    from icedask.workflows.phases import Classified, PhaseAnalysis

# Frames of the map of SOAP vectors, evenly spread.
_MAP_FRAMES = 4


def sections(result: PhaseAnalysis, trj: xr.Dataset, *, draw: bool) -> list[Section]:
    """Return the tables of a result, and its figures if they are to be drawn."""
    parts = [_phases(result, trj, draw), _scores(result, trj, draw)]
    if result.settings.truth is not None:
        parts.append(_truth(result, draw))
    saved = [result.denoised, result.populations]
    for outcome in _results(result):
        saved += [outcome.scores, outcome.histogram, outcome.labels]
    if result.interfaces is not None:
        parts.append(_interfaces(result, result.interfaces, trj, draw))
        saved.append(result.interfaces)
    settings = settings_section(result.settings, result.store, saved)
    return [*parts, _denoiser(result, draw), settings]


def _results(result: PhaseAnalysis) -> list[Classified]:
    return [result.after, *([] if result.before is None else [result.before])]


def _phases(result: PhaseAnalysis, trj: xr.Dataset, draw: bool) -> Section:
    names = result.after.classifier.classes_
    share = result.populations["population"].values
    score, confidence = _groups(result.after).means.T
    table = pd.DataFrame(
        {
            "share": share.mean(axis=0),
            "first frame": share[0],
            "last frame": share[-1],
            "score": score,
            "confidence": confidence,
        },
        pd.Index(names, name="class"),
    )
    last = trj.sizes[FRAME] - 1
    # A slab from its side.
    view = "z" if result.interfaces is None or result.settings.axis != 2 else "x"
    figures = Drawings(draw)
    figures.add(
        "Fractions: share of the atoms in each class against time.",
        plot.phase_fractions,
        result.populations,
        names=dict(enumerate(names)),
        when=len(share) > 1,
    )
    denoised, labels = result.denoised, result.after.labels
    if result.before is None:
        caption = f"Snapshot: classes in frame {last}."
        figures.add(caption, plot.snapshot, denoised, labels, last, view=view)
    else:
        both = (result.before.labels, labels)
        caption = f"Before and after: classes in frame {last}, of simulated and denoised positions."
        figures.add(caption, plot.before_and_after, trj, denoised, *both, last, view=view)
    text = (
        "Each atom has the phase of the ideal crystal whose surroundings are nearest to its own "
        "after denoising. If its score is above the threshold, it is liquid if it and its "
        "neighbours did not settle in denoising, and unknown if they did."
    )
    shown = table[(share > 0).any(axis=0)]
    return Section("Phases", text, figures, {"Share of the atoms, and means of each class": shown})


def _scores(result: PhaseAnalysis, trj: xr.Dataset, draw: bool) -> Section:
    rows = {
        outcome.title: {
            "used": outcome.threshold,
            "minimum": float(outcome.histogram["threshold"]),
            "calibration": outcome.classifier.threshold_,
        }
        for outcome in _results(result)
    }
    figures = Drawings(draw)
    names = {"denoised": "Scores", "as simulated": "Scores before denoising"}
    for outcome in _results(result):
        figures.add(
            f"{names[outcome.title]}: histogram of the scores of positions {outcome.title}, by "
            "nearest phase, and the threshold.",
            plot.score_histogram,
            {outcome.title: outcome.scores},
            threshold=outcome.threshold,
            by="nearest",
        )
    if result.before is not None:
        caption = (
            "Map of SOAP vectors: the plane in which the references differ most, with the "
            "references, before and after denoising."
        )
        figures.add(caption, _map, result, result.before, trj)
    return Section(
        "Scores",
        "The score of an atom is its distance from the nearest reference. The threshold between "
        "crystals and the rest is the minimum of the histogram of all scores, where there is one; "
        "else that of the calibration, on crystals with random displacements and on melts of "
        "random packing.",
        figures,
        {"Thresholds": pd.DataFrame(rows).T.rename_axis("positions")},
    )


def _map(result: PhaseAnalysis, before: Classified, trj: xr.Dataset) -> Figure:
    """Return the map of SOAP vectors of some frames before and after denoising."""
    settings, denoiser = result.settings, result.denoiser
    last = trj.sizes[FRAME] - 1
    frames = np.unique(np.linspace(0, last, _MAP_FRAMES).astype(int))
    spread = trj.isel({FRAME: frames})
    cold = denoiser.denoise(spread, steps=settings.steps, centers=settings.centers)
    raw = spread.isel(atom=denoiser.phases_.atoms_of(spread, settings.centers, "phases"))
    labels = result.after.labels.isel({FRAME: frames})
    return plot.latent_maps(
        {
            "as simulated": (before.classifier.project(raw), labels),
            "denoised": (result.after.classifier.project(cold), labels),
        },
        references=result.after.classifier.reference_points(),
    )


def _truth(result: PhaseAnalysis, draw: bool) -> Section:
    names = result.after.classifier.classes_
    table = pd.DataFrame(
        {outcome.title: _groups(outcome).members for outcome in _results(result)},
        pd.Index(names, name="label"),
    ).T.rename_axis("positions")
    right = table[result.settings.truth] / table.sum(axis=1)
    text = f"All atoms are known to be {result.settings.truth}: " + ", ".join(
        f"{share:.3%} of the labels are right, {title}" for title, share in right.items()
    )
    figures = Drawings(draw)
    figures.add(
        "Confusion: labels of the atoms, before and after denoising.", plot.confusion, table
    )
    return Section("Truth", f"{text}.", figures, {"Atoms": table})


def _groups(result: Classified) -> Groups:
    """Return the size, and the mean score and confidence, of each class."""
    return group_means(
        result.labels["label"],
        result.scores["score"],
        result.labels["confidence"],
        n_groups=len(result.classifier.classes_),
        description="means of classes",
    )


def _interfaces(result: PhaseAnalysis, planes: xr.Dataset, trj: xr.Dataset, draw: bool) -> Section:
    axis = result.settings.axis
    position = planes["interface_position"].values
    known = np.isfinite(position).all(axis=1)
    text = f"The slab has two interfaces in {known.sum()} of {len(known)} frames."
    tables = {}
    if known.sum() > 2:
        height = np.array([spacing(cell, axis) for cell in trj["cell"].values])
        motion = slab_motion(position, height, _times(trj))
        unit = "angstrom/ns" if _has_times(trj) else "angstrom/frame"
        ends = motion.thickness[known][[0, -1]]
        tables["Motion"] = pd.DataFrame(
            {
                "thickness at first, angstrom": [ends[0]],
                "at last": [ends[1]],
                f"growth, {unit}": [motion.rate],
                "standard error": [motion.error],
            },
            pd.Index(["slab"], name=""),
        )
    figures = Drawings(draw)
    figures.add(
        "Interfaces: places of the two interfaces, and thickness of the slab, against time.",
        plot.interface_motion,
        planes,
        trj,
        axis=axis,
        when=bool(known.sum() > 2),
    )
    return Section("Interfaces", text, figures, tables)


def _has_times(trj: xr.Dataset) -> bool:
    return "time" in trj.variables and bool(np.isfinite(trj["time"].values).all())


def _times(trj: xr.Dataset) -> npt.NDArray[np.float64]:
    """Return nanoseconds, or numbers of frames where times are not known."""
    if _has_times(trj):
        return np.asarray(trj["time"].values / 1000.0)
    return np.arange(trj.sizes[FRAME], dtype=float)


def _denoiser(result: PhaseAnalysis, draw: bool) -> Section:
    denoiser = result.denoiser
    parameters = denoiser.get_params()
    names, sigma = ", ".join(denoiser.phases_.names), parameters["sigma_max"]
    text = (
        f"Trained on ideal crystals of {names}: {len(denoiser.loss_)} steps, seed "
        f"{parameters['seed']}; noise up to {sigma:.3g} angstrom along each axis. Weights "
        f"{denoiser.digest_}."
    )
    figures = Drawings(draw)
    figures.add(
        "Training: loss of each step, the squared error over the variance of the noise.",
        plot.learning_curve,
        denoiser.loss_,
    )
    return Section("Denoiser", text, figures)
