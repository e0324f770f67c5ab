"""Structural motifs: clusters in a UMAP map of the latent coordinates of an autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import xarray as xr

from icedask.core.constants import WATER_MASS
from icedask.core.options import LargestDegree, Option, RadialFunctions, Seed
from icedask.core.trajectory import center_indices
from icedask.core.types import IntArray
from icedask.core.variables import ATOM
from icedask.descriptors.chill import chill_plus
from icedask.descriptors.soap import soap
from icedask.descriptors.stack import combine, unit_norm
from icedask.descriptors.steinhardt import steinhardt
from icedask.descriptors.tetrahedral import tetrahedral
from icedask.descriptors.voronoi import mass_density
from icedask.dynamics.transitions import populations, transitions
from icedask.errors import InputError
from icedask.learn import base
from icedask.learn import pca as learn_pca
from icedask.learn import umap as learn_umap
from icedask.learn import vae as learn_vae
from icedask.motifs import export as motif_export
from icedask.motifs import map_scores as motif_scores
from icedask.motifs import motifs as motif_clusters
from icedask.motifs import table as motif_tables
from icedask.store.runs import has_run
from icedask.store.save import save
from icedask.workflows.workflow import workflow

LABEL = "motifs"

# Variances of the blocks of features for the autoencoder. The order within the cutoff, averaged,
# has the least noise and separates phases; that of four neighbours has the most.
WEIGHTS = {"soap": 1.0, "bonds": 0.3, "averaged": 1.0, "shell": 3.0}
CATEGORIES = {"ice": ("cubic_ice", "hexagonal_ice"), "liquid": ("liquid",)}
# Classes of CHILL+ that maps are to separate.
KNOWN = ("cubic_ice", "hexagonal_ice", "liquid")
# Variance of unit vectors in single precision by rounding alone.
ROUNDED = 1e-10
CHECKPOINTS = ".checkpoints"

PRESETS: dict[str, dict[str, Any]] = {
    # Seconds to minutes, for a first look.
    "quick": {"epochs": 15, "sample_size": 8_000, "baselines": False},
    # Motifs separated by a gap in the map: a continuum is one motif, and may take ice with it.
    "coarse": {"selection": "eom", "assign_noise": False, "min_cluster_size": 0.005},
}


class MotifAnalysis(NamedTuple):
    """Motifs of a trajectory.

    Attributes
    ----------
    features
        SOAP and bond order of each site, in blocks.
    vae, latent
        Autoencoder, and latent coordinates of all rows.
    umap, embedding
        Map, and position of every row in it.
    motifs, labels
        Clusters, and motif of every row, the most tetrahedral first.
    values
        mass_density, tetrahedral (as A) and, if the trajectory has it, potential_energy.
    chill
        Classes of CHILL+.
    table, categories
        Means by motif (`motif_table`), and their ranges by category (`category_table`).
    scores
        Scores of maps of several representations (`map_scores`); None without baselines.
    populations, transitions
        Populations by frame, and transitions between frames, of the motifs.
    sites
        Trajectory of the sites alone.
    settings, store
        Options as they were used, and the store with all results.
    """

    features: xr.Dataset
    vae: learn_vae.VAE
    latent: xr.Dataset
    umap: learn_umap.UMAP
    embedding: xr.Dataset
    motifs: motif_clusters.Motifs
    labels: xr.Dataset
    values: dict[str, xr.Dataset]
    chill: xr.Dataset
    table: xr.Dataset
    categories: xr.Dataset
    scores: xr.Dataset | None
    populations: xr.Dataset
    transitions: xr.Dataset | None
    sites: xr.Dataset
    settings: Settings
    store: Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of the workflow."""

    centers: Annotated[
        str | None,
        Option('Selection of the sites of water; "element O" by default.'),
    ] = None
    r_cut: Annotated[
        float, Option("Cutoff radius of SOAP and of the widest averages.", "angstrom", above=0)
    ] = 6.0
    n_max: RadialFunctions = 8
    l_max: LargestDegree = 6
    variance: Annotated[
        float, Option("Part of the variance of SOAP to keep.", above=0, below=1)
    ] = 0.999
    latent_size: Annotated[int, Option("Latent dimensions of the autoencoder.", at_least=1)] = 8
    beta: Annotated[float, Option("Weight of the divergence in its loss.", above=0)] = 1e-3
    epochs: Annotated[int, Option("Largest number of training epochs.", at_least=1)] = 50
    ranks: Annotated[int, Option("Workers that train the autoencoder together.", at_least=1)] = 1
    sample_size: Annotated[int, Option("Rows of the map.", at_least=100)] = 30_000
    neighbors: Annotated[int, Option("Neighbours in the map.", at_least=2)] = 30
    min_cluster_size: Annotated[
        float, Option("Smallest motif, as a part of the rows of the map.", above=0, below=1)
    ] = 0.01
    selection: Annotated[
        str,
        Option("Most persistent clusters (eom), or the finest (leaf).", choices=("eom", "leaf")),
    ] = "leaf"
    assign_noise: Annotated[
        bool, Option("Assignment of rows in no cluster to the nearest cluster.")
    ] = True
    min_probability: Annotated[
        float,
        Option("Smallest probability with which an environment is in a motif.", above=0, below=1),
    ] = 0.6
    share: Annotated[
        float,
        Option(
            "Smallest part of the members, cubic or hexagonal by CHILL+, that makes a motif ice, "
            "and liquid members that make it liquid; others are transient.",
            above=0,
            at_most=1,
        ),
    ] = 0.5
    baselines: Annotated[bool, Option("Comparison with maps of simpler representations.")] = True
    export: Annotated[
        str | None,
        Option("Folder for the surroundings of the motifs' medoids, as extended XYZ."),
    ] = None
    by: Annotated[
        str | None,
        Option("Label of members by which motifs are counted together, of a collection alone."),
    ] = None
    balanced: Annotated[
        bool,
        Option("Fits in which each member counts as much as any other, of a collection alone."),
    ] = False
    seed: Seed = 0


def _check(trj: Any, settings: Settings) -> None:
    """Raise InputError without sites, with too few of them, or with options of collections."""
    for name, value in (("by", settings.by), ("balanced", settings.balanced)):
        if value:
            raise InputError(
                f"{LABEL}: {name}: expected a collection, found a trajectory; leave this option out"
            )
    check_rows(trj.sizes["frame"] * len(sites_of(trj, settings)), settings)


@workflow(LABEL, Settings, PRESETS, check=_check, takes="either")
def motifs(trj: xr.Dataset, store: Path, settings: Settings) -> MotifAnalysis:
    """Find the structural motifs of water and ice, and follow them through time; computes, saves.

    Each site of water is described by SOAP and by Steinhardt's bond order, of its four nearest
    neighbours, averaged over them, and averaged over all within the cutoff. A variational
    autoencoder reduces these to few dimensions (`VAE`), UMAP makes a map of a sample of them, the
    clusters of HDBSCAN in it are the motifs, and networks map and label every environment
    (`UMAP`, `Motifs`). Everything goes into the store; an interrupted run resumes, and one with
    the same options is not computed again.

    Of a collection all is fitted to the rows of all members together; the models and tables go
    into its store, labels and maps into that of each member.

    {parameters}

    Returns
    -------
    MotifAnalysis
        Labels in the store: "motifs", "motifs-map" (the map), "motifs-table",
        "motifs-categories", "motifs-scores" (of the maps). Of a collection
        `MotifsOfMembers`, with "motifs" and "motifs-map" in the store of each member, the
        others and "motifs-members" in that of all.

    Raises
    ------
    InputError
        If an option is out of bounds, or the trajectory has no such sites.
    StoreError
        If the store belongs to another trajectory, or cannot be written to.

    References
    ----------
    Yue et al., Mapping diverse structures of liquid water and ice using variational autoencoders
    """
    _check(trj, settings)
    sites = trj.isel({ATOM: sites_of(trj, settings)})
    features, values, chill = _described(sites, store, settings)
    vae = trained(features, store, settings)
    latent = save(vae.transform(features), store)
    n_neighbors, size, seed = settings.neighbors, settings.sample_size, settings.seed
    umap = learn_umap.UMAP(n_neighbors=n_neighbors, sample_size=size, seed=seed)
    umap = base.fit_or_load(umap, latent, store)
    clusters = clustered(latent, umap, values["tetrahedral"], store, settings)
    embedding, labels = save([umap.transform(latent), clusters.predict(latent)], store)
    n_motifs, share = clusters.n_motifs_, settings.share
    table = motif_tables.motif_table(
        labels, latent, values, chill, n_motifs=n_motifs, categories=CATEGORIES, share=share
    )
    table = save(table, store, label=f"{LABEL}-table")
    categories = save(motif_tables.category_table(table), store, label=f"{LABEL}-categories")
    scores = compared(features, vae, latent, chill, store, settings)
    fractions = save(populations(labels), store)
    flux = save(transitions(labels), store) if labels.sizes["frame"] > 1 else None
    if settings.export is not None:
        motif_export.export(sites, table, settings.r_cut, settings.export)
    save(umap.transform(latent), store, label=f"{LABEL}-map")
    save(clusters.predict(latent), store, label=LABEL)
    fitted = (features, vae, latent, umap, embedding, clusters, labels)
    described = (values, chill, table, categories, scores, fractions, flux)
    return MotifAnalysis(*fitted, *described, sites, settings, store)


def descriptors(
    sites: xr.Dataset, r_cut: float = 6.0, n_max: int = 8, l_max: int = 6
) -> dict[str, xr.Dataset]:
    """Return the descriptors of sites by the names of their blocks; lazy.

    Unit SOAP vectors, and bond order of four neighbours, averaged over them, and averaged over
    all within the cutoff.
    """
    degrees = tuple(range(2, 13))
    return {
        "soap": unit_norm(soap(sites, r_cut=r_cut, n_max=n_max, l_max=l_max)),
        "bonds": steinhardt(sites, degrees=degrees, n_neighbors=4),
        "averaged": steinhardt(sites, degrees=degrees, n_neighbors=4, averaged=True),
        "shell": steinhardt(sites, degrees=degrees, r_cut=r_cut, averaged=True),
    }


def sites_of(trj: Any, settings: Settings) -> IntArray:
    """Return the indices of the sites of water."""
    return center_indices(trj, settings.centers or "element O")


def check_rows(n_rows: int, settings: Settings) -> None:
    """Raise InputError if there are too few rows for the map, which is made last."""
    rows = min(n_rows, settings.sample_size)
    if rows < settings.neighbors + 2:
        raise InputError(
            f"{LABEL}: neighbors: expected at least {settings.neighbors + 2} rows in the map for "
            f"{settings.neighbors}, found {rows}; choose fewer, or take more frames"
        )
    if round(settings.min_cluster_size * rows) < 2:
        raise InputError(
            f"{LABEL}: min_cluster_size: expected 2 rows or more of the {rows} in the map, found "
            f"{settings.min_cluster_size:g} of them; choose a larger part"
        )


def _described(
    sites: xr.Dataset, store: Path, settings: Settings
) -> tuple[xr.Dataset, dict[str, xr.Dataset], xr.Dataset]:
    """Return the features of all sites, the values that describe motifs, and CHILL+'s classes."""
    blocks = descriptors(sites, settings.r_cut, settings.n_max, settings.l_max)
    structure = blocks.pop("soap")
    pca = base.fit_or_load(learn_pca.PCA(settings.variance), structure, store)
    if not pca.explained_variance_.sum() > ROUNDED:
        raise InputError(
            f"{LABEL}: expected environments that differ, found none whose SOAP vectors do: all "
            "sites are the same by symmetry, as in a crystal at rest"
        )
    lazy = combine(soap=pca.transform(structure), **blocks)
    features, density, order, chill = save(
        [
            lazy,
            mass_density(sites, mass=WATER_MASS),
            tetrahedral(sites, measure="A"),
            chill_plus(sites),
        ],
        store,
    )
    values = {"mass_density": density, "tetrahedral": order}
    if "potential_energy" in sites:
        values["potential_energy"] = sites[["potential_energy"]]
    return features, values, chill


def trained(features: xr.Dataset, store: Path, settings: Settings) -> learn_vae.VAE:
    """Return the autoencoder, from the store if it is there, else trained with a checkpoint."""
    vae = learn_vae.VAE(
        settings.latent_size,
        beta=settings.beta,
        epochs=settings.epochs,
        block_weights=WEIGHTS,
        seed=settings.seed,
    )
    run_id = vae.fitted_record(features).run_id
    if has_run(store, run_id):
        return base.load_model(store, run_id)
    checkpoint = store / CHECKPOINTS / f"{run_id}.checkpoint"
    fitted = vae.fit(features, n_ranks=settings.ranks, checkpoint=checkpoint)
    save(fitted, store)
    return fitted


def clustered(
    latent: xr.Dataset, umap: learn_umap.UMAP, order: xr.Dataset, store: Path, settings: Settings
) -> motif_clusters.Motifs:
    """Return the motifs, from the store if they are there, else fitted."""
    clusters = motif_clusters.Motifs(
        settings.min_cluster_size,
        cluster_selection_method=settings.selection,
        assign_noise=settings.assign_noise,
        min_probability=settings.min_probability,
        seed=settings.seed,
    )
    run_id = clusters.fitted_record(latent, umap, order).run_id
    if has_run(store, run_id):
        return base.load_model(store, run_id)
    save(clusters.fit(latent, umap, order), store)
    return clusters


def compared(
    features: xr.Dataset,
    vae: learn_vae.VAE,
    latent: xr.Dataset,
    chill: xr.Dataset,
    store: Path,
    settings: Settings,
) -> xr.Dataset | None:
    """Return the scores of maps of the latent coordinates and of simpler representations."""
    if not settings.baselines:
        return None
    options = motif_scores.MapSettings(
        n_neighbors=settings.neighbors,
        min_dist=0.0,
        min_cluster_size=settings.min_cluster_size,
        method=settings.selection,
        assign_noise=settings.assign_noise,
        seed=settings.seed,
    )
    scores = motif_scores.map_scores(features, vae, latent, chill, KNOWN, options, block="shell")
    return save(scores, store, label=f"{LABEL}-scores")
