"""Structural motifs: clusters in a map of what an autoencoder makes of each environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import xarray as xr

from icedask.core.options import Option
from icedask.core.trajectory import select
from icedask.descriptors.chill import chill_plus
from icedask.descriptors.soap import soap
from icedask.descriptors.stack import combine, unit_norm
from icedask.descriptors.steinhardt import steinhardt
from icedask.descriptors.tetrahedral import tetrahedral
from icedask.descriptors.voronoi import mass_density
from icedask.dynamics.transitions import populations, transitions
from icedask.errors import InputError
from icedask.learn.base import fit_or_load, load_model
from icedask.learn.iterations import MAX_SEED
from icedask.learn.pca import PCA
from icedask.learn.umap import UMAP
from icedask.learn.vae import VAE
from icedask.motifs.map_scores import MapSettings, map_scores
from icedask.motifs.motifs import Motifs
from icedask.motifs.table import category_table, motif_table
from icedask.store.runs import has_run
from icedask.store.save import save
from icedask.workflows.workflow import workflow

if TYPE_CHECKING:
    from icedask.plot.report import Section

LABEL = "motifs"

# Dalton: a site of water with its hydrogens.
_MASS = 18.015
# Variances of the blocks of features for the autoencoder. The order within the cutoff, averaged,
# has the least noise and tells phases apart; that of four neighbours has the most.
WEIGHTS = {"soap": 1.0, "bonds": 0.3, "averaged": 1.0, "shell": 3.0}
_CATEGORIES = {"ice": ("cubic_ice", "hexagonal_ice"), "liquid": ("liquid",)}
# Of CHILL+: what maps are to keep apart.
_KNOWN = ("cubic_ice", "hexagonal_ice", "liquid")
# Variance of unit vectors in single precision that only tells how they were rounded.
_ROUNDED = 1e-10
CHECKPOINTS = ".checkpoints"

PRESETS: dict[str, dict[str, Any]] = {
    # Seconds to minutes: to look at a trajectory first.
    "quick": {"epochs": 15, "sample_size": 8_000, "baselines": False},
    # Only what a gap in the map parts: a continuum is one motif, and may take ice with it.
    "coarse": {"selection": "eom", "assign_noise": False, "min_cluster_size": 0.005},
}


class MotifAnalysis(NamedTuple):
    """The motifs of a trajectory.

    Attributes
    ----------
    features
        SOAP and bond order of each site, in blocks.
    vae, latent
        The autoencoder, and the latent coordinates of all rows.
    umap, embedding
        The map, and the place of every row in it.
    motifs, labels
        The clusters, and the motif of every row, the most tetrahedral first.
    values
        mass_density, tetrahedral (as A) and, if the trajectory has it, potential_energy.
    chill
        Classes of CHILL+.
    table
        By motif: see `motif_table`.
    categories
        Their ranges by category: see `category_table`.
    scores
        Of maps of this and other representations: see `map_scores`; None if not asked for.
    populations, transitions
        Of the motifs, by frame and between frames.
    sites
        The trajectory of the sites alone.
    settings
        Every option as it was used.
    store
        With all results.
    """

    features: xr.Dataset
    vae: VAE
    latent: xr.Dataset
    umap: UMAP
    embedding: xr.Dataset
    motifs: Motifs
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
    """The options of the workflow."""

    centers: Annotated[
        str | None,
        Option('Sites of water, a selection; "element O" by default. Others are left out.'),
    ] = None
    r_cut: Annotated[
        float, Option("Cutoff radius of SOAP and of the widest averages.", "angstrom", above=0)
    ] = 6.0
    n_max: Annotated[int, Option("Radial functions of SOAP.", at_least=1)] = 8
    l_max: Annotated[int, Option("Largest degree of SOAP.", at_least=0)] = 6
    variance: Annotated[
        float, Option("Part of the variance of SOAP that is kept.", above=0, below=1)
    ] = 0.999
    latent_size: Annotated[int, Option("Latent dimensions of the autoencoder.", at_least=1)] = 8
    beta: Annotated[float, Option("Weight of its divergence.", above=0)] = 1e-3
    epochs: Annotated[int, Option("Of its training, at most.", at_least=1)] = 50
    ranks: Annotated[int, Option("Workers that train it together.", at_least=1)] = 1
    sample_size: Annotated[int, Option("Rows of the map.", at_least=100)] = 30_000
    neighbors: Annotated[int, Option("Neighbours in the map.", at_least=2)] = 30
    min_cluster_size: Annotated[
        float, Option("Smallest motif, as a part of the rows of the map.", above=0, below=1)
    ] = 0.01
    selection: Annotated[
        str, Option("Most persistent clusters, or the finest.", choices=("eom", "leaf"))
    ] = "leaf"
    assign_noise: Annotated[
        bool, Option("Give what is in no cluster to the cluster that it is nearest to.")
    ] = True
    min_probability: Annotated[
        float, Option("Below this probability, an environment is of no motif.", above=0, below=1)
    ] = 0.6
    share: Annotated[
        float,
        Option(
            "A motif is ice if this part of its members or more is cubic or hexagonal by CHILL+, "
            "and liquid if this part is liquid; transient otherwise.",
            above=0,
            at_most=1,
        ),
    ] = 0.5
    baselines: Annotated[
        bool, Option("Map other representations, too, to compare the autoencoder with.")
    ] = True
    export: Annotated[
        str | None,
        Option("Folder to write the surroundings of the motifs' medoids to, as extended XYZ."),
    ] = None
    seed: Annotated[int, Option("Of all that is random.", at_least=0, at_most=MAX_SEED)] = 0


def _sections(found: MotifAnalysis, trj: xr.Dataset, *, draw: bool) -> list[Section]:
    # Matplotlib is imported when something is shown.
    from icedask.workflows.motifs_report import sections

    return sections(found, trj, draw=draw)


@workflow(LABEL, Settings, PRESETS, _sections)
def motifs(trj: xr.Dataset, store: Path, settings: Settings) -> MotifAnalysis:
    """Find the structural motifs of water and ice, and follow them through time; computes, saves.

    Each site of water is described by SOAP and by Steinhardt's bond order, of its four nearest
    neighbours, averaged over them, and averaged over all within the cutoff. A variational
    autoencoder takes these to few dimensions (`VAE`), UMAP makes a map of a sample of them, the
    clusters of HDBSCAN in it are the motifs, and networks put every environment into the map and
    into a motif (`UMAP`, `Motifs`). Everything goes into the store; a run that was interrupted
    continues, and one with the same options is not computed again.

    {parameters}

    Returns
    -------
    MotifAnalysis
        In the store, the labels have the label "motifs", the map "motifs-map", the table
        "motifs-table", that of the categories "motifs-categories", the scores of the maps
        "motifs-scores".

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
    sites = select(trj, settings.centers or "element O")
    _check_rows(sites, settings)
    features, values, chill = _described(sites, store, settings)
    vae = _trained(features, store, settings)
    latent = save(vae.transform(features), store)
    umap = fit_or_load(
        UMAP(
            n_neighbors=settings.neighbors,
            sample_size=settings.sample_size,
            seed=settings.seed,
        ),
        latent,
        store,
    )
    found = _clustered(latent, umap, values["tetrahedral"], store, settings)
    embedding, labels = save([umap.transform(latent), found.predict(latent)], store)
    table = motif_table(
        labels,
        latent,
        values,
        chill,
        n_motifs=found.n_motifs_,
        categories=_CATEGORIES,
        share=settings.share,
    )
    table = save(table, store, label=f"{LABEL}-table")
    categories = save(category_table(table), store, label=f"{LABEL}-categories")
    scores = _compared(features, vae, latent, chill, store, settings)
    share = save(populations(labels), store)
    between = None
    if labels.sizes["frame"] > 1:
        between = save(transitions(labels), store)
    if settings.export is not None:
        from icedask.motifs.export import export

        export(sites, table, settings.r_cut, settings.export)
    save(umap.transform(latent), store, label=f"{LABEL}-map")
    save(found.predict(latent), store, label=LABEL)
    return MotifAnalysis(
        features,
        vae,
        latent,
        umap,
        embedding,
        found,
        labels,
        values,
        chill,
        table,
        categories,
        scores,
        share,
        between,
        sites,
        settings,
        store,
    )


def described(
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


def _check_rows(sites: xr.Dataset, settings: Settings) -> None:
    """Raise InputError if a map has too few rows for what is asked: it is made last."""
    rows = min(sites.sizes["frame"] * sites.sizes["atom"], settings.sample_size)
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
    """Return the features of all sites, what motifs are told by, and CHILL+'s classes."""
    blocks = described(sites, settings.r_cut, settings.n_max, settings.l_max)
    structure = blocks.pop("soap")
    pca = fit_or_load(PCA(settings.variance), structure, store)
    if not pca.explained_variance_.sum() > _ROUNDED:
        raise InputError(
            f"{LABEL}: expected environments that differ, found none whose SOAP vectors do: all "
            "sites are the same by symmetry, as in a crystal at rest"
        )
    lazy = combine(soap=pca.transform(structure), **blocks)
    features, density, order, chill = save(
        [lazy, mass_density(sites, mass=_MASS), tetrahedral(sites, measure="A"), chill_plus(sites)],
        store,
    )
    values = {"mass_density": density, "tetrahedral": order}
    if "potential_energy" in sites:
        values["potential_energy"] = sites[["potential_energy"]]
    return features, values, chill


def _trained(features: xr.Dataset, store: Path, settings: Settings) -> VAE:
    """Return the autoencoder, from the store if it is there; a checkpoint stands beside."""
    vae = VAE(
        settings.latent_size,
        beta=settings.beta,
        epochs=settings.epochs,
        block_weights=WEIGHTS,
        seed=settings.seed,
    )
    run_id = vae.fitted_record(features).run_id
    if has_run(store, run_id):
        return load_model(store, run_id)
    checkpoint = store / CHECKPOINTS / f"{run_id}.npz"
    fitted = vae.fit(features, n_ranks=settings.ranks, checkpoint=checkpoint)
    save(fitted, store)
    return fitted


def _clustered(
    latent: xr.Dataset, umap: UMAP, order: xr.Dataset, store: Path, settings: Settings
) -> Motifs:
    found = Motifs(
        settings.min_cluster_size,
        cluster_selection_method=settings.selection,
        assign_noise=settings.assign_noise,
        min_probability=settings.min_probability,
        seed=settings.seed,
    )
    run_id = found.fitted_record(latent, umap, order).run_id
    if has_run(store, run_id):
        return load_model(store, run_id)
    found.fit(latent, umap, order)
    save(found, store)
    return found


def _compared(
    features: xr.Dataset,
    vae: VAE,
    latent: xr.Dataset,
    chill: xr.Dataset,
    store: Path,
    settings: Settings,
) -> xr.Dataset | None:
    """Return the scores of maps of the latent coordinates and of what is simpler."""
    if not settings.baselines:
        return None
    how = MapSettings(
        n_neighbors=settings.neighbors,
        min_dist=0.0,
        min_cluster_size=settings.min_cluster_size,
        method=settings.selection,
        assign_noise=settings.assign_noise,
        seed=settings.seed,
    )
    found = map_scores(features, vae, latent, chill, _KNOWN, how, block="shell")
    return save(found, store, label=f"{LABEL}-scores")
