"""Structural motifs of a collection: one map and one set of motifs for all its members."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from icedask.core.collection import Collection
from icedask.core.constants import WATER_MASS
from icedask.core.pooled import pooled
from icedask.core.variables import ATOM, MEMBER, MOTIF
from icedask.descriptors.chill import chill_plus
from icedask.descriptors.stack import combine
from icedask.descriptors.tetrahedral import tetrahedral
from icedask.descriptors.voronoi import mass_density
from icedask.dynamics.transitions import populations
from icedask.errors import InputError
from icedask.learn import base
from icedask.learn import pca as learn_pca
from icedask.learn import umap as learn_umap
from icedask.learn import vae as learn_vae
from icedask.motifs import export as motif_export
from icedask.motifs import members as motif_members
from icedask.motifs import motifs as motif_clusters
from icedask.motifs import table as motif_tables
from icedask.store.outline import Outline
from icedask.store.save import save
from icedask.workflows.motifs import (
    CATEGORIES,
    LABEL,
    ROUNDED,
    Settings,
    check_rows,
    clustered,
    compared,
    descriptors,
    sites_of,
    trained,
)


class MotifsOfMembers(NamedTuple):
    """Motifs of many trajectories.

    Attributes
    ----------
    features
        SOAP and bond order of each site, in blocks, of each member.
    vae, latent
        Autoencoder of all, and latent coordinates of each member.
    umap, embedding
        Map of all, and position of every row of each member in it.
    motifs, labels
        Clusters, and motif of every row of each member, the most tetrahedral first.
    values
        mass_density, tetrahedral (as A) and, if all have it, potential_energy, of each member.
    chill
        Classes of CHILL+ of each member.
    table, categories
        Means by motif over all members (`motif_table`), and their ranges by category.
    members
        Rows of each member in each motif and in each class of CHILL+, and where the medoids are.
    scores
        Scores of maps of several representations (`map_scores`); None without baselines.
    populations
        Populations by frame of each member.
    sites
        Trajectories of the sites alone.
    settings, store
        Options as they were used, and the store of what belongs to all.
    failed
        Messages of the members that are left out, by name.
    """

    features: Collection
    vae: learn_vae.VAE
    latent: Collection
    umap: learn_umap.UMAP
    embedding: Collection
    motifs: motif_clusters.Motifs
    labels: Collection
    values: dict[str, Collection]
    chill: Collection
    table: xr.Dataset
    categories: xr.Dataset
    members: xr.Dataset
    scores: xr.Dataset | None
    populations: Collection
    sites: Collection
    settings: Settings
    store: Path
    failed: dict[str, str]


def check(outlines: Mapping[str, Outline], settings: Settings) -> None:
    """Raise InputError if no member has sites, or all together have too few of them."""
    n_rows, first = 0, None
    for outline in outlines.values():
        try:
            n_rows += outline.sizes["frame"] * len(sites_of(outline, settings))
        except InputError as error:
            first = first or error
    if first is not None and n_rows == 0:
        raise first
    check_rows(n_rows, settings)


def members(collection: Collection, store: Path, settings: Settings) -> MotifsOfMembers:
    """Find the motifs of all members together; computes, saves."""
    if settings.by is not None:
        collection.label(settings.by)
    sites, values, chill = _described(_sites(collection, settings))
    check_rows(sum(each.sizes["frame"] * each.sizes[ATOM] for each in sites.values()), settings)
    features: Any = _features(sites, store, settings)
    vae = trained(features, store, settings)
    latent: Any = save(_collected(vae.transform(features)))
    names = list(latent)
    order: Any = values["tetrahedral"].subset(names)
    umap = learn_umap.UMAP(
        n_neighbors=settings.neighbors, sample_size=settings.sample_size, seed=settings.seed
    )
    umap = base.fit_or_load(umap, latent, store)
    clusters = clustered(latent, umap, order, store, settings)
    mapped, labelled = _collected(umap.transform(latent)), _collected(clusters.predict(latent))
    embedding, labels = save([mapped, labelled])
    names = list(labels)
    features, latent, chill = (each.subset(names) for each in (features, latent, chill))
    values = {name: each.subset(names) for name, each in values.items()}
    table = motif_tables.motif_table(
        pooled(labels),
        pooled(latent),
        {name: pooled(each) for name, each in values.items()},
        pooled(chill),
        n_motifs=clusters.n_motifs_,
        categories=CATEGORIES,
        share=settings.share,
    )
    table = save(table, store, label=f"{LABEL}-table")
    categories = save(motif_tables.category_table(table), store, label=f"{LABEL}-categories")
    counts = motif_members.member_table(labels, latent, chill, table)
    counts = save(counts, store, label=f"{LABEL}-members")
    scores = compared(pooled(features), vae, pooled(latent), pooled(chill), store, settings)
    fractions = save(labels.map(populations))
    sites = sites.subset(names)
    if settings.export is not None:
        for name, part in medoids_by_member(table, counts).items():
            motif_export.export(sites[name], part, settings.r_cut, settings.export)
    save(mapped.subset(names), label=f"{LABEL}-map")
    save(labelled.subset(names), label=LABEL)
    fitted = (features, vae, latent, umap, embedding, clusters, labels)
    described = (values, chill, table, categories, counts, scores, fractions)
    return MotifsOfMembers(*fitted, *described, sites, settings, store, labels.failed)


def medoids_by_member(table: xr.Dataset, counts: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return, by member, the rows of the table whose medoids it has, with their places in it."""
    parts = {}
    places = {name: counts[name] for name in ("medoid_frame", "medoid_atom")}
    for number, name in enumerate(counts[MEMBER].values.tolist()):
        mine = np.flatnonzero(counts["medoid_member"].values == number)
        if len(mine):
            parts[str(name)] = table.assign(places).isel({MOTIF: mine})
    return parts


def _collected(results: Any) -> Collection:
    """Return what a model made of a collection, by its type."""
    assert isinstance(results, Collection)
    return results


def _sites(collection: Collection, settings: Settings) -> Collection:
    """Return the trajectories of the sites; members without any are left out."""
    sites = collection.map(lambda trj: trj.isel({ATOM: sites_of(trj, settings)}))
    return sites.balanced() if settings.balanced else sites


def _described(sites: Collection) -> tuple[Collection, dict[str, Collection], Collection]:
    """Return sites, the values that describe motifs, and CHILL+'s classes.

    Of the members that could be read: the fits that follow need all of theirs.
    """
    density, order, chill = save(
        [
            sites.map(mass_density, mass=WATER_MASS),
            sites.map(tetrahedral, measure="A"),
            sites.map(chill_plus),
        ]
    )
    sites = sites.with_members({name: sites[name] for name in chill}, chill.failed)
    values = {"mass_density": density, "tetrahedral": order}
    if all("potential_energy" in each for each in sites.values()):
        values["potential_energy"] = sites.map(lambda trj: trj[["potential_energy"]])
    return sites, values, chill


def _features(sites: Any, store: Path, settings: Settings) -> Collection:
    """Return the features of all sites, with one PCA of SOAP for all members."""
    blocks = descriptors(sites, settings.r_cut, settings.n_max, settings.l_max)
    structure = blocks.pop("soap")
    pca = base.fit_or_load(learn_pca.PCA(settings.variance), structure, store)
    if not pca.explained_variance_.sum() > ROUNDED:
        raise InputError(
            f"{LABEL}: expected environments that differ, found none whose SOAP vectors do: all "
            "sites of all members are the same by symmetry, as in a crystal at rest"
        )
    return save(_collected(combine(soap=pca.transform(structure), **blocks)))
