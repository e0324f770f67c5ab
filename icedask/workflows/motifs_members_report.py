"""Tables and figures of an analysis of the motifs of a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from icedask import plot
from icedask.core.collection import Collection
from icedask.core.pooled import pooled
from icedask.motifs.export import environments
from icedask.plot.report import Drawings, Section, atom_name, settings_section
from icedask.workflows.motifs_members import medoids_by_member
from icedask.workflows.motifs_report import (
    UNITS,
    categories_of,
    category_ranges,
    map_text,
    motifs_text,
    scores_section,
    training_section,
)

if TYPE_CHECKING:
    from icedask.workflows.motifs_members import MotifsOfMembers

# Rows of a figure of counts that can be read.
_MOST_ROWS = 30
_NONE = "none"


def sections(result: MotifsOfMembers, collection: Collection, *, draw: bool) -> list[Section]:
    """Return the tables of a result, and its figures if they are to be drawn."""
    embedding = pooled(result.embedding)
    parts = [
        motifs_section(result, embedding, draw),
        members_section(result, collection.labels.loc[list(result.labels)], draw),
        _map(result, embedding, draw),
    ]
    if result.scores is not None:
        parts.append(scores_section(result.scores))
    saved = [result.table, result.categories, result.members]
    saved += [] if result.scores is None else [result.scores]
    settings = settings_section(result.settings, result.store, saved)
    return [*parts, training_section(result, draw), settings]


def motifs_section(result: MotifsOfMembers, embedding: xr.Dataset, draw: bool) -> Section:
    """Return the section of the motifs: means, composition and medoids."""
    table, members = result.table, result.members
    index = pd.Index(table["motif"].values, name="motif")
    columns = {
        "category": list(categories_of(result).values()),
        "population": table["population"].values,
        "density": table["mass_density"].values,
        "A": table["tetrahedral"].values,
    }
    if "potential_energy" in table:
        columns["energy"] = table["potential_energy"].values
    columns["medoid"] = [_medoid(result, motif) for motif in range(len(index))]
    motifs = pd.DataFrame(columns, index)
    motifs.attrs["units"] = UNITS
    classes = _words(table["reference_class"].values)
    composition = pd.DataFrame(table["composition"].values, index, classes)
    categories = categories_of(result)
    rows = table["medoid_atom"].values.tolist()
    medoids = {motif: (0, row) for motif, row in enumerate(rows) if row >= 0}
    figures = Drawings(draw)
    figures.add(
        "Map of motifs: every environment of all members in the map, coloured by motif, with the "
        "medoids.",
        plot.motif_map,
        embedding,
        pooled(result.labels),
        categories=categories,
        medoids=medoids,
    )
    if draw and medoids:
        surroundings = {
            motif: atoms
            for name, part in medoids_by_member(table, members).items()
            for motif, atoms in environments(
                result.sites[name], part, result.settings.r_cut
            ).items()
        }
        figures.add(
            "Surroundings of the medoids: sites within the cutoff radius of the most typical "
            "member of each motif.",
            plot.environments,
            dict(sorted(surroundings.items())),
            categories=categories,
        )
    tables = {
        "Motifs, means over their members": motifs,
        "Composition: shares of the classes of CHILL+ among the members": composition,
        "Categories: ranges of the means of their motifs": category_ranges(result),
    }
    return Section("Motifs", motifs_text(result), figures, tables)


def _medoid(result: MotifsOfMembers, motif: int) -> str:
    members = result.members
    number, frame, atom = (
        int(members[name][motif]) for name in ("medoid_member", "medoid_frame", "medoid_atom")
    )
    if number < 0:
        return _NONE
    name = str(members["member"].values[number])
    return f"{name}, frame {frame}, {atom_name(result.sites[name], atom)}"


def members_section(result: MotifsOfMembers, labels: pd.DataFrame, draw: bool) -> Section:
    """Return the section of the members: the shares of motifs and of CHILL+'s classes in each."""
    members, by = result.members, result.settings.by
    index = pd.Index(members["member"].values.astype(str), name="member")
    motifs = [f"motif {number}" for number in members["motif"].values.tolist()]
    counts = pd.DataFrame(members["count"].values, index, motifs)
    counts[_NONE] = members["rows"].values - counts.sum(axis=1)
    classes = pd.DataFrame(
        members["reference_count"].values, index, _words(members["reference_class"].values)
    )
    tables = {
        "Members: shares of their environments in each motif": _shares(counts, members["rows"]),
        "Members: shares of their environments in each class of CHILL+": _shares(
            classes, members["rows"]
        ),
    }
    shown = counts
    if by is not None:
        values = labels[by].map(lambda value: _NONE if pd.isna(value) else str(value))
        shown = counts.groupby(values.to_numpy(), sort=False).sum().rename_axis(by)
        chill = classes.groupby(values.to_numpy(), sort=False).sum().rename_axis(by)
        title = f"By {by}: shares of the environments of its members in each "
        tables[f"{title}motif"] = _shares(shown, shown.sum(axis=1))
        tables[f"{title}class of CHILL+"] = _shares(chill, chill.sum(axis=1))
    figures = Drawings(draw)
    figures.add(
        f"Motifs by {by or 'member'}: share and number of the environments of each "
        f"{by or 'member'} (rows) in each motif.",
        plot.confusion,
        shown.rename(columns=lambda name: name.removeprefix("motif ")).rename_axis(columns="motif"),
        when=len(shown) <= _MOST_ROWS,
    )
    text = (
        f"{len(index)} trajectories, {int(members['rows'].sum())} environments; one map and one "
        "set of motifs for all. "
    )
    text += (
        "Each trajectory counts as much as any other in the fits."
        if result.settings.balanced
        else "Each environment counts as much as any other in the fits."
    )
    if result.failed:
        failed = {"reason": list(result.failed.values())}
        tables["Left out"] = pd.DataFrame(failed, pd.Index(list(result.failed), name="member"))
    return Section("Members", text, figures, tables)


def _shares(counts: pd.DataFrame, totals: npt.ArrayLike) -> pd.DataFrame:
    shares = counts.div(np.asarray(totals), axis=0)
    return pd.concat([pd.Series(np.asarray(totals), shares.index, name="rows"), shares], axis=1)


def _words(names: npt.NDArray[np.str_]) -> list[str]:
    return [str(name).replace("_", " ") for name in names.tolist()]


def _map(result: MotifsOfMembers, embedding: xr.Dataset, draw: bool) -> Section:
    named = {
        "potential_energy": "potential energy",
        "mass_density": "density",
        "tetrahedral": "deviation from a tetrahedron",
    }
    values = {
        title: pooled(result.values[name])[name]
        for name, title in named.items()
        if name in result.values
    }
    figures = Drawings(draw)
    figures.add(
        "Map by values: mean of each quantity in the map.",
        plot.value_maps,
        embedding,
        values,
        time=False,
    )
    return Section("Map", map_text(result), figures)
