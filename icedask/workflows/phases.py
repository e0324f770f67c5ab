"""The phase of every atom in every frame: denoised, and compared with ideal crystals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import xarray as xr

from icedask.core.options import Option
from icedask.core.provenance import canonical
from icedask.core.variables import STATE
from icedask.dynamics.transitions import populations
from icedask.errors import InputError
from icedask.learn.iterations import MAX_SEED
from icedask.phases.classifier import PhaseClassifier
from icedask.phases.denoiser import SHIPPED, Denoiser
from icedask.phases.interfaces import interfaces
from icedask.phases.references import RESERVED, Phases
from icedask.phases.threshold import score_threshold
from icedask.store.save import save
from icedask.workflows.workflow import workflow

if TYPE_CHECKING:
    from icedask.plot.report import Section

LABEL = "phases"

# Where at least this part of the atoms is liquid and this part not, interfaces are looked for.
_COEXISTING = 0.1

PRESETS: dict[str, dict[str, Any]] = {
    "ices": {"denoiser": "ices"},
    # Close-packed crystals differ in the third shell alone: a wider Gaussian does not see it.
    "metals": {"denoiser": "metals", "normalize": True, "sigma": 0.5},
    # doi:10.48550/arXiv.2405.06599
    "published": {"denoiser": "ices", "metric": "cosine", "n_max": 12, "l_max": 10},
}


class Classified(NamedTuple):
    """What a comparison with the references shows.

    Attributes
    ----------
    title
        Denoised, or as simulated.
    classifier
        Fitted.
    scores
        score, nearest (frame, atom).
    histogram
        Of the scores, and its valley.
    threshold
        Of the scores, as it was used.
    labels
        label, confidence (frame, atom).
    """

    title: str
    classifier: PhaseClassifier
    scores: xr.Dataset
    histogram: xr.Dataset
    threshold: float
    labels: xr.Dataset


class PhaseAnalysis(NamedTuple):
    """The phases of a trajectory.

    Attributes
    ----------
    denoiser
        As it was used.
    denoised
        Positions after denoising, shift and residual.
    after, before
        Classes of denoised positions, and of positions as they are; None if not asked for.
    populations
        population (frame, state), of the classes after denoising.
    interfaces
        interface_position (frame, interface); None where crystal and liquid do not coexist.
    settings
        Every option as it was used.
    store
        With all results.
    """

    denoiser: Denoiser
    denoised: xr.Dataset
    after: Classified
    before: Classified | None
    populations: xr.Dataset
    interfaces: xr.Dataset | None
    settings: Settings
    store: Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of the workflow."""

    denoiser: Annotated[
        str,
        Option(f"{' or '.join(SHIPPED)}, which come with the package, or a file of yours."),
    ] = "ices"
    normalize: Annotated[
        bool,
        Option(
            "Scale the references to the volume of an atom in the trajectory; for bulk matter, and "
            "references of one density."
        ),
    ] = False
    element: Annotated[
        str | None, Option("Element to classify, where it is not that of the references.")
    ] = None
    centers: Annotated[
        str | None,
        Option("Atoms to classify, a selection; those of the references' element by default."),
    ] = None
    steps: Annotated[int, Option("Of denoising.", at_least=1)] = 8
    metric: Annotated[
        str,
        Option("Between SOAP vectors.", choices=("mahalanobis", "euclidean", "cosine")),
    ] = "mahalanobis"
    r_cut: Annotated[float, Option("Cutoff radius of SOAP.", "angstrom", above=0)] = 6.0
    n_max: Annotated[int, Option("Radial functions of SOAP.", at_least=1)] = 8
    l_max: Annotated[int, Option("Largest degree of SOAP.", at_least=0)] = 6
    sigma: Annotated[float, Option("Width of SOAP's Gaussians.", "angstrom", above=0)] = 1.0
    threshold: Annotated[
        float | None,
        Option(
            "Score above which an atom is of none of the phases; by default the valley of the "
            "histogram of all scores, or where there is none that of the calibration.",
            above=0,
        ),
    ] = None
    baseline: Annotated[bool, Option("Classify positions as they are, too, to compare with.")] = (
        True
    )
    truth: Annotated[
        str | None, Option("Class that all atoms are known to be of, to compare with.")
    ] = None
    axis: Annotated[
        int,
        Option(
            "Cell vector across a slab, where crystal and liquid coexist.", at_least=0, at_most=2
        ),
    ] = 2
    seed: Annotated[int, Option("Of the calibration.", at_least=0, at_most=MAX_SEED)] = 0


def _sections(found: PhaseAnalysis, trj: xr.Dataset, *, draw: bool) -> list[Section]:
    # Matplotlib is imported when something is shown.
    from icedask.workflows.phases_report import sections

    return sections(found, trj, draw=draw)


@workflow(LABEL, Settings, PRESETS, _sections)
def phases(trj: xr.Dataset, store: Path, settings: Settings) -> PhaseAnalysis:
    """Say of which phase each atom is in each frame; computes and saves.

    Thermal noise is taken from the positions by a network that has seen nothing but ideal crystals
    (`Denoiser`), then the SOAP vector of each atom is compared with those of the ideal crystals
    (`PhaseClassifier`). Atoms that are like none of them are liquid, or unknown if they settled
    in an order of their own. Nothing is learnt from the trajectory; the boundary is the valley of
    the histogram of its scores. Of water, only the oxygens count. Everything goes into the store;
    a run that was interrupted continues, and one with the same options is not computed again.

    {parameters}

    Returns
    -------
    PhaseAnalysis
        In the store, the labels have the label "phases", those without denoising "phases-before",
        the denoised positions "phases-denoised".

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
        Denoiser.shipped(settings.denoiser)
        if settings.denoiser in SHIPPED
        else Denoiser.load(settings.denoiser)
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
    # Together: what is denoised is compared before it leaves the memory.
    denoised, *scores = save([lazy, *compared], store)
    results = [
        _classified(title, one, found, store, settings)
        for title, one, found in zip(
            ("denoised", "as simulated"), (after, before), scores, strict=False
        )
        if one is not None
    ]
    share = populations(results[0].labels)
    save(share, store)
    planes = _interfaces(trj, results[0].labels, share, references.names, settings.axis)
    if planes is not None:
        planes = save(planes, store)
    save(lazy, store, label=f"{LABEL}-denoised")
    for one, suffix in zip(results, ("", "-before"), strict=False):
        save(one.labels, store, label=LABEL + suffix)
    return PhaseAnalysis(
        denoiser,
        denoised,
        results[0],
        results[1] if settings.baseline else None,
        share,
        planes,
        settings,
        store,
    )


def _check_truth(truth: str | None, names: Sequence[str]) -> None:
    known = (*names, *RESERVED)
    if truth is not None and truth not in known:
        raise InputError(f"{LABEL}: truth: expected one of {', '.join(known)}, found {truth!r}")


# What was fitted last in this process: one analysis after another has the same references.
_FITTED: dict[str, PhaseClassifier] = {}
_MOST_FITTED = 4


def _fitted(settings: Settings, references: Phases, denoiser: Denoiser | None) -> PhaseClassifier:
    classifier = PhaseClassifier(
        metric=settings.metric,
        r_cut=settings.r_cut,
        n_max=settings.n_max,
        l_max=settings.l_max,
        sigma=settings.sigma,
        seed=settings.seed,
    )
    denoised = None if denoiser is None else [denoiser.digest_, settings.steps]
    key = canonical([classifier.get_params(), references.digest, denoised])
    known = _FITTED.pop(key, None)
    # Those used last are last.
    _FITTED[key] = (
        classifier.fit(references, denoiser, steps=settings.steps) if known is None else known
    )
    for oldest in list(_FITTED)[:-_MOST_FITTED]:
        del _FITTED[oldest]
    return _FITTED[key]


def _classified(
    title: str, classifier: PhaseClassifier, scores: xr.Dataset, store: Path, settings: Settings
) -> Classified:
    histogram = score_threshold(scores, near=classifier.threshold_)
    save(histogram, store)
    threshold = settings.threshold
    if threshold is None:
        valley = float(histogram["threshold"])
        threshold = classifier.threshold_ if np.isnan(valley) else valley
    labels = save(classifier.label(scores, threshold=threshold), store)
    return Classified(title, classifier, scores, histogram, threshold, labels)


def _interfaces(
    trj: xr.Dataset, labels: xr.Dataset, share: xr.Dataset, names: Sequence[str], axis: int
) -> xr.Dataset | None:
    """Return the planes between crystal and liquid, where both are there."""
    liquid = float(share["population"].isel({STATE: len(names)}).mean())
    coexist = _COEXISTING <= liquid <= 1 - _COEXISTING
    if not coexist or not trj["pbc"].values[axis]:
        return None
    return interfaces(trj, labels, classes=names, axis=axis)
