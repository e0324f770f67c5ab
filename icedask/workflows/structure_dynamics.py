"""Structure and dynamics of each atom in one vector, and the states that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from icedask.core.options import Centers, Cutoff, Option, Species
from icedask.core.trajectory import own_species
from icedask.core.variables import FRAME
from icedask.descriptors.lens import lens
from icedask.descriptors.soap import soap
from icedask.descriptors.stack import join, unit_norm
from icedask.dynamics.markov import markov_test
from icedask.dynamics.merging import merge_states
from icedask.dynamics.origins import origins
from icedask.dynamics.residence import residence_times
from icedask.dynamics.smoothing import smooth
from icedask.dynamics.transitions import populations, transitions
from icedask.errors import InputError
from icedask.learn.base import fit_or_load, load_model
from icedask.learn.gmm import GaussianMixture
from icedask.learn.hdbscan import HDBSCAN
from icedask.learn.iterations import MAX_SEED
from icedask.learn.kmeans import KMeans
from icedask.learn.pca import PCA, fit_together
from icedask.store.runs import has_run
from icedask.store.save import save
from icedask.workflows.state_table import state_table
from icedask.workflows.workflow import workflow

if TYPE_CHECKING:
    from icedask.plot.report import Section

LABEL = "structure-dynamics"

_LAGS = (1, 2, 4, 8)

# As published: doi:10.1088/2632-2153/ad0fa5. The clusters of HDBSCAN are counted in rows of the
# sample, and the samples hold nearly all of the published rows.
PRESETS: dict[str, dict[str, Any]] = {
    "cu211": {
        "r_cut": 6.0,
        "window": 20,
        "variance": 0.995,
        "clustering": "hdbscan",
        "min_cluster_size": 80,
        "sample_size": 500_000,
        "lens_states": 4,
        "cutoff": 1.0,
    },
    "au309": {
        "r_cut": 4.48,
        "window": 100,
        "variance": 0.995,
        "clustering": "hdbscan",
        "min_cluster_size": 150,
        "sample_size": 500_000,
        "lens_states": 4,
        "cutoff": 1.0,
    },
    "ice-water": {
        "r_cut": 6.0,
        "centers": "element O",
        "window": 100,
        "variance": 0.99,
        "clustering": "gmm",
        "n_states": 3,
        "lens_states": 3,
        "cutoff": 0.0,
    },
}


class Analysis(NamedTuple):
    """What one description of the atoms, by structure, dynamics or both, shows.

    Attributes
    ----------
    title
        SOAP, LENS, or SOAP & LENS.
    values
        latent (frame, atom, component), or lens (frame, atom).
    clusters
        label (frame, atom) as the clustering gave it.
    states
        label (frame, atom) after merging; and the linkage.
    cluster_transitions, transitions
        Between clusters, and between states.
    residence, populations, markov
        Of the states.
    table
        One row for each state.
    variance
        Fraction of the variance that each principal component holds; None without PCA.
    """

    title: str
    values: xr.Dataset
    clusters: xr.Dataset
    states: xr.Dataset
    cluster_transitions: xr.Dataset
    transitions: xr.Dataset
    residence: xr.Dataset
    populations: xr.Dataset
    markov: xr.Dataset
    table: pd.DataFrame
    variance: npt.NDArray[np.float64] | None


class StructureDynamics(NamedTuple):
    """The three analyses, and what they say of each other.

    Attributes
    ----------
    soap, lens, joint
        Of structure alone, of dynamics alone, and of both.
    series
        lens (frame, atom), smoothed if that was asked for.
    origins
        Structural states before, during and after each state of LENS.
    settings
        Every option as it was used.
    store
        With all results.
    """

    soap: Analysis
    lens: Analysis
    joint: Analysis
    series: xr.Dataset
    origins: xr.Dataset
    settings: Settings
    store: Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of the workflow."""

    r_cut: Cutoff
    centers: Centers = None
    species: Species = None
    n_max: Annotated[int, Option("Radial functions of SOAP.", at_least=1)] = 8
    l_max: Annotated[int, Option("Largest degree of SOAP.", at_least=0)] = 8
    sigma: Annotated[float, Option("Width of SOAP's Gaussians.", "angstrom", above=0)] = 1.0
    delay: Annotated[int, Option("Frames between the neighbours of LENS.", at_least=1)] = 1
    window: Annotated[
        int, Option("Frames that LENS is smoothed over; 0 for no smoothing.", at_least=0)
    ] = 0
    order: Annotated[int, Option("Degree of the smoothing polynomials.", at_least=0)] = 2
    variance: Annotated[
        float,
        Option("Fraction of the variance that principal components exceed.", above=0, below=1),
    ] = 0.99
    clustering: Annotated[
        str, Option("Of SOAP, and of SOAP & LENS.", choices=("hdbscan", "gmm"))
    ] = "hdbscan"
    n_states: Annotated[int | None, Option("Components of gmm.", at_least=1)] = None
    min_cluster_size: Annotated[
        int | None, Option("Smallest cluster of hdbscan, in rows of the sample.", at_least=2)
    ] = None
    min_samples: Annotated[
        int | None,
        Option(
            "Neighbours that define density for hdbscan; min_cluster_size by default.", at_least=1
        ),
    ] = None
    sample_size: Annotated[
        int, Option("Rows that clusterings are fitted to, or begin with.", at_least=2)
    ] = 100_000
    lens_states: Annotated[int, Option("Clusters of LENS alone, by k-means.", at_least=1)] = 3
    cutoff: Annotated[
        float,
        Option(
            "Clusters with correlated rows of the transition matrix, at a distance of at most "
            "this, become one state; 0 keeps all."
        ),
    ] = 1.0
    seed: Annotated[int, Option("Of samples and starts.", at_least=0, at_most=MAX_SEED)] = 0

    def __post_init__(self) -> None:
        if not 0 <= self.cutoff <= 2:
            raise InputError(f"{LABEL}: cutoff: expected 0 to 2, found {self.cutoff}")
        needed = {"gmm": "n_states", "hdbscan": "min_cluster_size"}[self.clustering]
        if getattr(self, needed) is None:
            raise InputError(f"{LABEL}: expected {needed} for {self.clustering}, found none")


def _sections(found: StructureDynamics, trj: xr.Dataset, *, draw: bool) -> list[Section]:
    # Matplotlib is imported when something is shown.
    from icedask.workflows.structure_dynamics_report import sections

    return sections(found, trj, draw=draw)


@workflow(LABEL, Settings, PRESETS, _sections)
def structure_dynamics(trj: xr.Dataset, store: Path, settings: Settings) -> StructureDynamics:
    """Find states by structure (SOAP), by dynamics (LENS) and by both; computes and saves.

    As published: the SOAP vector of each atom is divided by its norm, LENS of the interval that
    follows is appended, principal components are kept up to a fraction of the variance and
    clustered, and clusters that exchange atoms are merged. The same is done with SOAP alone, and
    LENS alone is clustered by k-means: what each misses can be compared. Everything goes into the
    store; a run that was interrupted continues, and one with the same options is not computed
    again. SOAP itself is never stored: it is computed in two passes, one for the fits and one
    for the projections.

    {parameters}

    Returns
    -------
    StructureDynamics
        In the store, the states of SOAP & LENS have the label "structure-dynamics", those of
        the others "structure-dynamics-soap" and "structure-dynamics-lens".

    Raises
    ------
    InputError
        If an option is out of bounds or missing, or a clustering finds nothing.
    StoreError
        If the store belongs to another trajectory, or cannot be written to.

    References
    ----------
    Crippa et al., Mach. Learn.: Sci. Technol. 4, 045044 (2023), doi:10.1088/2632-2153/ad0fa5
    """
    environment = soap(
        trj,
        r_cut=settings.r_cut,
        n_max=settings.n_max,
        l_max=settings.l_max,
        sigma=settings.sigma,
        species=settings.species,
        centers=settings.centers,
    )
    series = _series(trj, store, settings)
    inputs = [unit_norm(environment), join(environment, series)]
    latents, variances = _projected(inputs, store, settings.variance)
    dynamic = fit_or_load(
        KMeans(settings.lens_states, sample_size=settings.sample_size, seed=settings.seed),
        series,
        store,
    )
    keep_all = replace(settings, cutoff=0.0)
    by_lens = _analysis("LENS", series, dynamic, None, series, store, keep_all)
    titles = ("SOAP", "SOAP & LENS")
    by_soap, joint = (
        _analysis(
            title,
            latent,
            _clustered(title, latent, store, settings),
            ratio,
            series,
            store,
            settings,
        )
        for title, latent, ratio in zip(titles, latents, variances, strict=True)
    )
    found = origins(by_lens.states, by_soap.states)
    save(found, store)
    # Together, and last: labels never speak of two different computations.
    for one, suffix in ((by_soap, "-soap"), (by_lens, "-lens"), (joint, "")):
        save(one.states, store, label=LABEL + suffix)
    return StructureDynamics(by_soap, by_lens, joint, series, found, settings, store)


def _series(trj: xr.Dataset, store: Path, settings: Settings) -> xr.Dataset:
    """Return LENS among the atoms of the centres' elements, smoothed if that is asked for."""
    raw = lens(
        trj,
        r_cut=settings.r_cut,
        delay=settings.delay,
        centers=settings.centers,
        species=own_species(trj, settings.centers, None),
    )
    if settings.window == 0:
        return save(raw, store)
    # Refused before anything is computed, where the trajectory is too short.
    smooth(raw, window=settings.window, order=settings.order)
    stored = save(raw, store)
    return save(smooth(stored, window=settings.window, order=settings.order), store)


def _projected(
    inputs: Sequence[xr.Dataset], store: Path, variance: float
) -> tuple[list[xr.Dataset], list[npt.NDArray[np.float64]]]:
    """Return the latent coordinates of each input, and the variance along all axes."""
    models = [(PCA(n), x) for n in (variance, None) for x in inputs]
    ids = [model.fitted_record(x).run_id for model, x in models]
    missing = [pair for pair, run_id in zip(models, ids, strict=True) if not has_run(store, run_id)]
    if missing:
        save(fit_together(missing), store)
    kept = [load_model(store, run_id) for run_id in ids]
    latents = save(
        [pca.transform(x) for pca, x in zip(kept[: len(inputs)], inputs, strict=True)], store
    )
    return latents, [pca.explained_variance_ratio_ for pca in kept[len(inputs) :]]


def _clustered(title: str, latent: xr.Dataset, store: Path, settings: Settings) -> Any:
    model: Any
    if settings.n_states is not None and settings.clustering == "gmm":
        model = GaussianMixture(
            settings.n_states, sample_size=settings.sample_size, seed=settings.seed
        )
    elif settings.min_cluster_size is not None:
        model = HDBSCAN(
            settings.min_cluster_size,
            min_samples=settings.min_samples,
            sample_size=settings.sample_size,
            holdout=0.0,
            assign_noise=True,
            seed=settings.seed,
        )
    fitted = fit_or_load(model, latent, store)
    if settings.clustering == "hdbscan" and fitted.n_clusters_ == 0:
        raise InputError(
            f"{LABEL}: {title}: hdbscan found no cluster; a smaller min_cluster_size or "
            "min_samples, or clustering gmm"
        )
    return fitted


def _analysis(
    title: str,
    values: xr.Dataset,
    model: Any,
    variance: npt.NDArray[np.float64] | None,
    series: xr.Dataset,
    store: Path,
    settings: Settings,
) -> Analysis:
    clusters = save(model.predict(values), store)
    between = transitions(clusters)
    merged = merge_states(clusters, between, cutoff=settings.cutoff)
    states = save(merged, store)
    flux, residence = transitions(states), residence_times(states)
    fractions = populations(states)
    markov = markov_test(states, lags=[lag for lag in _LAGS if lag < states.sizes[FRAME]])
    save([between, flux, residence, fractions, markov], store)
    table = state_table(states, series, flux, residence)
    return Analysis(
        title,
        values,
        clusters,
        states,
        between,
        flux,
        residence,
        fractions,
        markov,
        table,
        variance,
    )
