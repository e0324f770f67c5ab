"""States of atoms by structure (SOAP), by dynamics (LENS), and by both in one vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from icedask.core.features import feature_variable
from icedask.core.options import (
    Centers,
    Cutoff,
    GaussianWidth,
    LargestDegree,
    Option,
    RadialFunctions,
    Seed,
    Species,
)
from icedask.core.trajectory import own_species
from icedask.core.types import FloatArray
from icedask.core.variables import FRAME, STATE
from icedask.descriptors.descriptor import REGISTRY
from icedask.descriptors.lazy import record_without_frames
from icedask.descriptors.lens import lens
from icedask.descriptors.soap import soap
from icedask.descriptors.stack import join, unit_norm
from icedask.dynamics import merging
from icedask.dynamics.entry_exit_counts import entry_exit_counts
from icedask.dynamics.group_means import group_means
from icedask.dynamics.markov import markov_test
from icedask.dynamics.residence import residence_times
from icedask.dynamics.smoothing import smooth
from icedask.dynamics.transitions import populations, transitions
from icedask.errors import InputError
from icedask.learn import base, gmm, hdbscan, kmeans, pca
from icedask.store.runs import has_run
from icedask.store.save import save
from icedask.workflows.workflow import workflow

LABEL = "structure-dynamics"

_LAGS = (1, 2, 4, 8)
_SOAP_OPTIONS = ("r_cut", "n_max", "l_max", "sigma", "species", "centers")

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
    """Analysis of one description of the atoms: structure, dynamics, or both.

    Attributes
    ----------
    title
        SOAP, LENS, or SOAP & LENS.
    values
        latent (frame, atom, component), or lens (frame, atom).
    clusters, states
        label (frame, atom) of the clustering, and after merging, with the linkage.
    cluster_transitions, transitions
        Transitions between clusters, and between states.
    residence, populations, markov
        Results of these names, of the states.
    table
        One row for each state: see `state_table`.
    variance
        Fraction of the variance of each principal component; None without PCA.
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
    variance: FloatArray | None


class StructureDynamics(NamedTuple):
    """The three analyses, and a comparison of their states.

    Attributes
    ----------
    soap, lens, joint
        Analyses of structure alone, of dynamics alone, and of both.
    series
        lens (frame, atom), smoothed with a window above 0.
    origins
        Structural states before, during and after each state of LENS.
    settings, store
        Options as they were used, and the store with all results.
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
    """Options of the workflow."""

    r_cut: Cutoff
    centers: Centers = None
    species: Species = None
    n_max: RadialFunctions = 8
    l_max: LargestDegree = 8
    sigma: GaussianWidth = 1.0
    delay: Annotated[int, Option("Interval of LENS, in frames.", at_least=1)] = 1
    window: Annotated[
        int, Option("Window of the smoothing of LENS, in frames; 0 for none.", at_least=0)
    ] = 0
    order: Annotated[int, Option("Degree of the smoothing polynomials.", at_least=0)] = 2
    variance: Annotated[
        float,
        Option("Fraction of the variance to keep in principal components.", above=0, below=1),
    ] = 0.99
    clustering: Annotated[
        str, Option("Clustering of SOAP, and of SOAP & LENS.", choices=("hdbscan", "gmm"))
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
        int, Option("Rows of the sample for the fits of clusterings.", at_least=2)
    ] = 100_000
    lens_states: Annotated[int, Option("Clusters of LENS alone, by k-means.", at_least=1)] = 3
    cutoff: Annotated[
        float,
        Option(
            "Largest distance, 1 - correlation, of rows of the transition matrix whose clusters "
            "are merged; 0 keeps all.",
            at_least=0,
            at_most=2,
        ),
    ] = 1.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        needed = {"gmm": "n_states", "hdbscan": "min_cluster_size"}[self.clustering]
        if getattr(self, needed) is None:
            raise InputError(f"{LABEL}: expected {needed} for {self.clustering}, found none")


def _check(trj: Any, settings: Settings) -> None:
    """Raise InputError where SOAP or LENS of the trajectory would."""
    own = {name: getattr(settings, name) for name in _SOAP_OPTIONS}
    record_without_frames(trj, REGISTRY["soap"], own)
    record_without_frames(trj, REGISTRY["lens"], _lens_options(trj, settings))


@workflow(LABEL, Settings, PRESETS, check=_check, takes="either")
def structure_dynamics(trj: xr.Dataset, store: Path, settings: Settings) -> StructureDynamics:
    """Find states by structure (SOAP), by dynamics (LENS) and by both; computes and saves.

    As published: the SOAP vector of each atom is divided by its norm, LENS of the interval that
    follows is appended, principal components up to a fraction of the variance are clustered, and
    clusters that exchange atoms are merged. The same is done with SOAP alone, and LENS alone is
    clustered by k-means, for comparison. Everything goes into the store; an interrupted run
    resumes, and one with the same options is not computed again. SOAP itself is never stored: it
    is computed in two passes, one for the fits and one for the projections. Of a collection each
    member is analysed by itself: its states are its own.

    {parameters}

    Returns
    -------
    StructureDynamics
        Labels in the store: "structure-dynamics" (the states of SOAP & LENS),
        "structure-dynamics-soap" and "structure-dynamics-lens". Of a collection one for each
        member, in `results` by name, and `failed` for those that are left out.

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
    environment = soap(trj, **{name: getattr(settings, name) for name in _SOAP_OPTIONS})
    series = _series(trj, store, settings)
    inputs = [unit_norm(environment), join(environment, series)]
    latents, variances = _projected(inputs, store, settings.variance)
    dynamic = base.fit_or_load(
        kmeans.KMeans(settings.lens_states, sample_size=settings.sample_size, seed=settings.seed),
        series,
        store,
    )
    keep_all = replace(settings, cutoff=0.0)
    by_lens = _analysis("LENS", series, dynamic, None, series, store, keep_all)
    titles = ("SOAP", "SOAP & LENS")
    models = [
        _clustered(title, latent, store, settings)
        for title, latent in zip(titles, latents, strict=True)
    ]
    by_soap, joint = (
        _analysis(*parts, series, store, settings)
        for parts in zip(titles, latents, models, variances, strict=True)
    )
    before_and_after = entry_exit_counts(by_lens.states, by_soap.states)
    save(before_and_after, store)
    # Together, and last: labels never refer to two different computations.
    for analysis, suffix in ((by_soap, "-soap"), (by_lens, "-lens"), (joint, "")):
        save(analysis.states, store, label=LABEL + suffix)
    return StructureDynamics(by_soap, by_lens, joint, series, before_and_after, settings, store)


def _lens_options(trj: Any, settings: Settings) -> dict[str, Any]:
    names = ("r_cut", "delay", "centers")
    species = own_species(trj, settings.centers, None)
    return {**{name: getattr(settings, name) for name in names}, "species": species}


def _series(trj: xr.Dataset, store: Path, settings: Settings) -> xr.Dataset:
    """Return LENS among the atoms of the centres' elements, smoothed with a window above 0."""
    raw = lens(trj, **_lens_options(trj, settings))
    if settings.window == 0:
        return save(raw, store)
    # Refused before anything is computed, where the trajectory is too short.
    smooth(raw, window=settings.window, order=settings.order)
    stored = save(raw, store)
    return save(smooth(stored, window=settings.window, order=settings.order), store)


def _projected(
    inputs: Sequence[xr.Dataset], store: Path, variance: float
) -> tuple[list[xr.Dataset], list[FloatArray]]:
    """Return the latent coordinates of each input, and the variance along all axes."""
    models = [(pca.PCA(n), x) for n in (variance, None) for x in inputs]
    ids = [model.fitted_record(x).run_id for model, x in models]
    missing = [pair for pair, run_id in zip(models, ids, strict=True) if not has_run(store, run_id)]
    if missing:
        save(pca.fit_together(missing), store)
    kept = [base.load_model(store, run_id) for run_id in ids]
    latents = save(
        [model.transform(x) for model, x in zip(kept[: len(inputs)], inputs, strict=True)], store
    )
    return latents, [model.explained_variance_ratio_ for model in kept[len(inputs) :]]


def _clustered(title: str, latent: xr.Dataset, store: Path, settings: Settings) -> Any:
    model: Any
    if settings.n_states is not None and settings.clustering == "gmm":
        model = gmm.GaussianMixture(
            settings.n_states, sample_size=settings.sample_size, seed=settings.seed
        )
    elif settings.min_cluster_size is not None:
        model = hdbscan.HDBSCAN(
            settings.min_cluster_size,
            min_samples=settings.min_samples,
            sample_size=settings.sample_size,
            holdout=0.0,
            assign_noise=True,
            seed=settings.seed,
        )
    fitted = base.fit_or_load(model, latent, store)
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
    variance: FloatArray | None,
    series: xr.Dataset,
    store: Path,
    settings: Settings,
) -> Analysis:
    clusters = save(model.predict(values), store)
    between = transitions(clusters)
    merged = merging.merge_states(clusters, between, cutoff=settings.cutoff)
    states = save(merged, store)
    flux, residence = transitions(states), residence_times(states)
    fractions = populations(states)
    markov = markov_test(states, lags=[lag for lag in _LAGS if lag < states.sizes[FRAME]])
    save([between, flux, residence, fractions, markov], store)
    table = state_table(states, series, flux, residence)
    dynamics = (between, flux, residence, fractions, markov)
    return Analysis(title, values, clusters, states, *dynamics, table, variance)


def state_table(
    states: xr.Dataset, series: xr.Dataset, transitions: xr.Dataset, residence: xr.Dataset
) -> pd.DataFrame:
    """Return size, dynamics and exchange of each state; computes.

    Parameters
    ----------
    states : xarray.Dataset
        label (frame, atom).
    series : xarray.Dataset
        A variable (frame, atom), such as LENS, of the same frames and atoms.
    transitions, residence : xarray.Dataset
        Of these states.

    Returns
    -------
    pandas.DataFrame
        By state: population (fraction of all labels), the mean of the series under its name,
        residence (as in `residence`), stays (probability to be in it one frame later),
        entered_from and left_to (the state most atoms come from and go to), and the shares of
        entries and exits that these are.
    """
    values = feature_variable(series)
    groups = group_means(
        states["label"], values, n_groups=residence.sizes[STATE], description="state means"
    )
    flux = transitions["flux"].values.astype(float)
    others = np.where(np.eye(len(flux), dtype=bool), 0.0, flux)
    units = residence["residence_time"].attrs.get("units", "")
    with np.errstate(invalid="ignore", divide="ignore"):
        return pd.DataFrame(
            {
                "population": groups.members / groups.members.sum(),
                str(values.name): groups.means[:, 0],
                f"residence ({units})": residence["residence_time"].values,
                "stays": np.diag(transitions["probability"].values),
                "entered_from": _largest(others, axis=0),
                "entered_share": others.max(axis=0) / others.sum(axis=0),
                "left_to": _largest(others, axis=1),
                "left_share": others.max(axis=1) / others.sum(axis=1),
            },
            index=pd.Index(residence[STATE].values, name="state"),
        )


def _largest(flux: FloatArray, axis: int) -> pd.arrays.IntegerArray:
    """Return the state with the largest flux along an axis; missing where there is none."""
    return pd.arrays.IntegerArray(flux.argmax(axis=axis), flux.sum(axis=axis) == 0)
