"""Phases of every atom in every frame, by comparison with ideal crystals after denoising."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import xarray as xr

from icedask.core.options import (
    Cutoff,
    GaussianWidth,
    LargestDegree,
    Option,
    RadialFunctions,
    Seed,
)
from icedask.core.provenance import canonical
from icedask.core.trajectory import center_indices
from icedask.core.variables import STATE
from icedask.dynamics.transitions import populations
from icedask.errors import InputError
from icedask.phases import classifier as phase_classifier
from icedask.phases import denoiser as phase_denoiser
from icedask.phases import interfaces as phase_interfaces
from icedask.phases import threshold as phase_threshold
from icedask.phases.checks import RESERVED, atoms_of_element, denoiser_outline
from icedask.phases.metric import Metric
from icedask.phases.shipped import SHIPPED
from icedask.store.save import save
from icedask.workflows.workflow import workflow

if TYPE_CHECKING:
    from icedask.phases.references import Phases

LABEL = "phases"

# Smallest part of the atoms that is liquid, and that is not, where there are interfaces.
_COEXISTING = 0.1

PRESETS: dict[str, dict[str, Any]] = {
    "ices": {"denoiser": "ices"},
    # Close-packed crystals differ in the third shell alone, which a wider Gaussian smears out.
    "metals": {"denoiser": "metals", "normalize": True, "sigma": 0.5},
    # doi:10.48550/arXiv.2405.06599
    "published": {"denoiser": "ices", "metric": "cosine", "n_max": 12, "l_max": 10},
}


class Classified(NamedTuple):
    """Comparison of positions with the references.

    Attributes
    ----------
    title
        "denoised" or "as simulated".
    classifier, scores, labels
        Fitted classifier; score and nearest, and label and confidence (frame, atom).
    histogram, threshold
        Histogram of the scores with its minimum, and the threshold as it was used.
    """

    title: str
    classifier: phase_classifier.PhaseClassifier
    scores: xr.Dataset
    histogram: xr.Dataset
    threshold: float
    labels: xr.Dataset


class PhaseAnalysis(NamedTuple):
    """Phases of a trajectory.

    Attributes
    ----------
    denoiser, denoised
        Denoiser as it was used; positions after denoising, shift and residual.
    after, before
        Classes of denoised positions, and of simulated ones; None without baseline.
    populations
        population (frame, state), of the classes after denoising.
    interfaces
        interface_position (frame, interface); None where crystal and liquid do not coexist.
    settings, store
        Options as they were used, and the store with all results.
    """

    denoiser: phase_denoiser.Denoiser
    denoised: xr.Dataset
    after: Classified
    before: Classified | None
    populations: xr.Dataset
    interfaces: xr.Dataset | None
    settings: Settings
    store: Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of the workflow."""

    denoiser: Annotated[
        str,
        Option(f"Shipped denoiser, {' or '.join(SHIPPED)}, or a file of weights."),
    ] = "ices"
    normalize: Annotated[
        bool,
        Option(
            "Scaling of the references to the volume per atom of the trajectory; for bulk matter, "
            "and references of one density."
        ),
    ] = False
    element: Annotated[
        str | None, Option("Element to classify, where it is not that of the references.")
    ] = None
    centers: Annotated[
        str | None,
        Option("Selection of the atoms to classify; those of the references' element by default."),
    ] = None
    steps: Annotated[int, Option("Steps of denoising.", at_least=1)] = 8
    metric: Metric = "mahalanobis"
    r_cut: Cutoff = 6.0
    n_max: RadialFunctions = 8
    l_max: LargestDegree = 6
    sigma: GaussianWidth = 1.0
    threshold: Annotated[
        float | None,
        Option(
            "Score above which an atom has none of the phases; by default the minimum of the "
            "histogram of all scores, or where there is none that of the calibration.",
            above=0,
        ),
    ] = None
    baseline: Annotated[bool, Option("Comparison with positions as simulated.")] = True
    truth: Annotated[str | None, Option("True class of all atoms, for the accuracy.")] = None
    axis: Annotated[
        int,
        Option(
            "Cell vector across a slab, where crystal and liquid coexist.", at_least=0, at_most=2
        ),
    ] = 2
    seed: Seed = 0


def _check(trj: Any, settings: Settings) -> None:
    """Raise InputError without denoiser, atoms to classify, or a class of the name of the truth."""
    outline = denoiser_outline(settings.denoiser)
    _check_truth(settings.truth, outline.phases)
    if settings.centers is not None:
        center_indices(trj, settings.centers)
    else:
        atoms_of_element(trj, settings.element or outline.element, "denoise")


@workflow(LABEL, Settings, PRESETS, check=_check, takes="either")
def phases(trj: xr.Dataset, store: Path, settings: Settings) -> PhaseAnalysis:
    """Phase of each atom in each frame; computes and saves.

    Thermal noise is removed from the positions by a network trained on ideal crystals alone
    (`Denoiser`), then the SOAP vector of each atom is compared with those of the ideal crystals
    (`PhaseClassifier`). Atoms unlike all of them are liquid, or unknown if they settled in another
    order. Nothing is learnt from the trajectory but the threshold, the minimum of the histogram of
    its scores. Of water, only the oxygens count. Everything goes into the store; an interrupted
    run resumes, and one with the same options is not computed again. Of a collection each member
    is classified by itself, with the same references and its own threshold.

    {parameters}

    Returns
    -------
    PhaseAnalysis
        Labels in the store: "phases", "phases-before" (without denoising) and "phases-denoised"
        (the positions). Of a collection one for each member, in `results` by name, and `failed`
        for those that are left out.

    Raises
    ------
    InputError
        If an option is out of bounds, or the trajectory has no atoms of the references' element.
    StoreError
        If the store belongs to another trajectory, or cannot be written to.

    References
    ----------
    Sun et al., doi:10.48550/arXiv.2405.06599
    """
    denoiser = (
        phase_denoiser.Denoiser.shipped(settings.denoiser)
        if settings.denoiser in SHIPPED
        else phase_denoiser.Denoiser.load(settings.denoiser)
    )
    if settings.element is not None:
        denoiser = denoiser.scaled(1.0, settings.element)
    if settings.normalize:
        denoiser = denoiser.scaled(denoiser.phases_.scale_to(trj, settings.centers))
    references = denoiser.phases_
    _check_truth(settings.truth, references.names)
    lazy = denoiser.denoise(trj, steps=settings.steps, centers=settings.centers)
    after = _fitted(settings, references, denoiser)
    before = _fitted(settings, references, None) if settings.baseline else None
    raw = trj.isel(atom=references.atoms_of(trj, settings.centers, LABEL))
    compared = [after.compare(lazy), *([] if before is None else [before.compare(raw)])]
    # Together: denoised positions are compared before they leave the memory.
    denoised, *scores = save([lazy, *compared], store)
    results = [
        _classified(title, classifier, compared, store, settings)
        for title, classifier, compared in zip(
            ("denoised", "as simulated"), (after, before), scores, strict=False
        )
        if classifier is not None
    ]
    share = populations(results[0].labels)
    save(share, store)
    planes = _interfaces(trj, results[0].labels, share, references.names, settings.axis)
    if planes is not None:
        planes = save(planes, store)
    save(lazy, store, label=f"{LABEL}-denoised")
    for result, suffix in zip(results, ("", "-before"), strict=False):
        save(result.labels, store, label=LABEL + suffix)
    baseline = results[1] if settings.baseline else None
    return PhaseAnalysis(denoiser, denoised, results[0], baseline, share, planes, settings, store)


def _check_truth(truth: str | None, names: Sequence[str]) -> None:
    known = (*names, *RESERVED)
    if truth is not None and truth not in known:
        raise InputError(f"{LABEL}: truth: expected one of {', '.join(known)}, found {truth!r}")


# Classifiers of this process, the last used last: analyses in a row have the same references.
_FITTED: dict[str, phase_classifier.PhaseClassifier] = {}
_MOST_FITTED = 4


def _fitted(
    settings: Settings, references: Phases, denoiser: phase_denoiser.Denoiser | None
) -> phase_classifier.PhaseClassifier:
    names = ("metric", "r_cut", "n_max", "l_max", "sigma", "seed")
    classifier = phase_classifier.PhaseClassifier(
        **{name: getattr(settings, name) for name in names}
    )
    denoised = None if denoiser is None else [denoiser.digest_, settings.steps]
    key = canonical([classifier.get_params(), references.digest, denoised])
    fitted = _FITTED.pop(key, None)
    if fitted is None:
        fitted = classifier.fit(references, denoiser, steps=settings.steps)
    _FITTED[key] = fitted
    for oldest in list(_FITTED)[:-_MOST_FITTED]:
        del _FITTED[oldest]
    return _FITTED[key]


def _classified(
    title: str,
    classifier: phase_classifier.PhaseClassifier,
    scores: xr.Dataset,
    store: Path,
    settings: Settings,
) -> Classified:
    histogram = phase_threshold.score_threshold(scores, near=classifier.threshold_)
    save(histogram, store)
    threshold = settings.threshold
    if threshold is None:
        minimum = float(histogram["threshold"])
        threshold = classifier.threshold_ if np.isnan(minimum) else minimum
    labels = save(classifier.label(scores, threshold=threshold), store)
    return Classified(title, classifier, scores, histogram, threshold, labels)


def _interfaces(
    trj: xr.Dataset, labels: xr.Dataset, share: xr.Dataset, names: Sequence[str], axis: int
) -> xr.Dataset | None:
    """Return the planes between crystal and liquid, where they coexist."""
    liquid = float(share["population"].isel({STATE: len(names)}).mean())
    coexist = _COEXISTING <= liquid <= 1 - _COEXISTING
    if not coexist or not trj["pbc"].values[axis]:
        return None
    return phase_interfaces.interfaces(trj, labels, classes=names, axis=axis)
