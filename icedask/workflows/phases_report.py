"""What a classification of phases found, in tables and figures."""

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
from icedask.plot.report import Section, drawn, settings_section

if TYPE_CHECKING:
    from icedask.workflows.phases import Classified, PhaseAnalysis

# Frames that go into the map of SOAP vectors, spread over the trajectory.
_MAP_FRAMES = 4


def sections(found: PhaseAnalysis, trj: xr.Dataset, *, draw: bool) -> list[Section]:
    """Return the tables, and if they are to be drawn the figures, of what was found.

    Parameters
    ----------
    found
        The result.
    trj
        Its trajectory.
    draw
        Whether figures are wanted.
    """
    parts = [_phases(found, trj, draw), _scores(found, trj, draw)]
    if found.settings.truth is not None:
        parts.append(_truth(found, draw))
    if found.interfaces is not None:
        parts.append(_interfaces(found, found.interfaces, trj, draw))
    return [
        *parts,
        _denoiser(found, draw),
        settings_section(found.settings, found.store, _saved(found)),
    ]


def _results(found: PhaseAnalysis) -> list[Classified]:
    return [found.after, *([] if found.before is None else [found.before])]


def _phases(found: PhaseAnalysis, trj: xr.Dataset, draw: bool) -> Section:
    names = found.after.classifier.classes_
    share = found.populations["population"].values
    score, confidence = _groups(found.after).means.T
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
    view = "z" if found.interfaces is None or found.settings.axis != 2 else "x"
    figures = drawn(
        draw and len(share) > 1,
        fractions=lambda: plot.phase_fractions(found.populations, names=dict(enumerate(names))),
    )
    before = found.before
    if before is not None:
        figures |= drawn(
            draw,
            before_and_after=lambda: plot.before_and_after(
                trj, found.denoised, before.labels, found.after.labels, last, view=view
            ),
        )
    else:
        figures |= drawn(
            draw,
            snapshot=lambda: plot.snapshot(found.denoised, found.after.labels, last, view=view),
        )
    text = (
        "Each atom has the phase of the ideal crystal that its surroundings, denoised, are nearest "
        "to. Farther from all of them than the threshold of the score, it is liquid if it and its "
        "neighbours did not settle in denoising, and unknown if they did."
    )
    shown = table[(share > 0).any(axis=0)]
    return Section("Phases", text, figures, {"Share of the atoms, and means of each class": shown})


def _scores(found: PhaseAnalysis, trj: xr.Dataset, draw: bool) -> Section:
    results = _results(found)
    rows = {
        one.title: {
            "used": one.threshold,
            "valley": float(one.histogram["threshold"]),
            "calibration": one.classifier.threshold_,
        }
        for one in results
    }
    figures = drawn(
        draw,
        scores=lambda: plot.score_histogram(
            {"denoised": found.after.scores},
            threshold=found.after.threshold,
            by="nearest",
        ),
    )
    before = found.before
    if before is not None:
        figures |= drawn(
            draw,
            scores_before_denoising=lambda: plot.score_histogram(
                {"as simulated": before.scores}, threshold=before.threshold, by="nearest"
            ),
            map_of_soap_vectors=lambda: _map(found, before, trj),
        )
    return Section(
        "Scores",
        "The score of an atom is its distance from the nearest reference. The threshold between "
        "crystals and the rest is the valley of the histogram of all scores, where there is one; "
        "else that of the calibration, on crystals displaced at random and on melts of random "
        "packing.",
        figures,
        {"Thresholds": pd.DataFrame(rows).T.rename_axis("positions")},
    )


def _map(found: PhaseAnalysis, before: Classified, trj: xr.Dataset) -> Figure:
    """Draw SOAP vectors of some frames before and after denoising, and the references."""
    settings, denoiser = found.settings, found.denoiser
    last = trj.sizes[FRAME] - 1
    frames = np.unique(np.linspace(0, last, _MAP_FRAMES).astype(int))
    some = trj.isel({FRAME: frames})
    cold = denoiser.denoise(some, steps=settings.steps, centers=settings.centers)
    raw = some.isel(atom=denoiser.phases_.atoms_of(some, settings.centers, "phases"))
    labels = found.after.labels.isel({FRAME: frames})
    return plot.latent_maps(
        {
            "as simulated": (before.classifier.project(raw), labels),
            "denoised": (found.after.classifier.project(cold), labels),
        },
        references=found.after.classifier.reference_points(),
    )


def _truth(found: PhaseAnalysis, draw: bool) -> Section:
    names = found.after.classifier.classes_
    table = pd.DataFrame(
        {one.title: _groups(one).members for one in _results(found)}, pd.Index(names, name="label")
    ).T.rename_axis("positions")
    right = table[found.settings.truth] / table.sum(axis=1)
    text = f"All atoms are known to be {found.settings.truth}: " + ", ".join(
        f"{share:.3%} of the labels are right, {title}" for title, share in right.items()
    )
    return Section(
        "Truth", f"{text}.", drawn(draw, confusion=lambda: plot.confusion(table)), {"Atoms": table}
    )


def _groups(result: Classified) -> Groups:
    """Return the size, and the mean score and confidence, of each class."""
    return group_means(
        result.labels["label"],
        result.scores["score"],
        result.labels["confidence"],
        n_groups=len(result.classifier.classes_),
        description="means of classes",
    )


def _interfaces(found: PhaseAnalysis, planes: xr.Dataset, trj: xr.Dataset, draw: bool) -> Section:
    axis = found.settings.axis
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
    figures = drawn(
        draw and bool(known.sum() > 2),
        interfaces=lambda: plot.interface_motion(planes, trj, axis=axis),
    )
    return Section("Interfaces", text, figures, tables)


def _has_times(trj: xr.Dataset) -> bool:
    return "time" in trj.variables and bool(np.isfinite(trj["time"].values).all())


def _times(trj: xr.Dataset) -> npt.NDArray[np.float64]:
    """Return nanoseconds, or frames where times are not known."""
    if _has_times(trj):
        return np.asarray(trj["time"].values / 1000.0)
    return np.arange(trj.sizes[FRAME], dtype=float)


def _denoiser(found: PhaseAnalysis, draw: bool) -> Section:
    denoiser = found.denoiser
    parameters = denoiser.get_params()
    names, sigma = ", ".join(denoiser.phases_.names), parameters["sigma_max"]
    text = (
        f"Trained on ideal crystals of {names}: {len(denoiser.loss_)} steps, seed "
        f"{parameters['seed']}; noise up to {sigma:.3g} angstrom along each axis. Weights "
        f"{denoiser.digest_}."
    )
    figures = drawn(draw, training=lambda: plot.learning_curve(denoiser.loss_))
    return Section("Denoiser", text, figures)


def _saved(found: PhaseAnalysis) -> list[xr.Dataset]:
    saved = [found.denoised, found.populations]
    for one in _results(found):
        saved += [one.scores, one.histogram, one.labels]
    if found.interfaces is not None:
        saved.append(found.interfaces)
    return saved
