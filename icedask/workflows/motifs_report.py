"""Tables and figures of an analysis of motifs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from icedask import plot
from icedask.core.variables import FRAME
from icedask.motifs.export import environments
from icedask.plot.report import Drawings, Section, atom_name, settings_section

if TYPE_CHECKING:
    from icedask.workflows.motifs import MotifAnalysis
    from icedask.workflows.motifs_members import MotifsOfMembers

# Frames of the figures of stages, evenly spread, with the first and the last.
_STAGES = 4
UNITS = {"density": "g/cm^3", "energy": "eV"}


def sections(result: MotifAnalysis, trj: xr.Dataset, *, draw: bool) -> list[Section]:
    """Return the tables of a result, and its figures if they are to be drawn."""
    parts = [motifs_section(result, draw), _map(result, draw)]
    if result.sites.sizes[FRAME] > 1:
        parts.append(time_section(result, draw))
    if result.scores is not None:
        parts.append(scores_section(result.scores))
    saved = [result.features, result.latent, result.embedding, result.labels, result.table]
    saved += [result.categories, result.populations]
    saved += [dataset for dataset in (result.scores, result.transitions) if dataset is not None]
    settings = settings_section(result.settings, result.store, saved)
    return [*parts, training_section(result, draw), settings]


def categories_of(result: MotifAnalysis | MotifsOfMembers) -> dict[int, str]:
    """Return the category of each motif."""
    category = result.table["category"]
    names = category.attrs["flag_meanings"].split()
    return {motif: names[number] for motif, number in enumerate(category.values.tolist())}


def motifs_section(result: MotifAnalysis, draw: bool) -> Section:
    """Return the section of the motifs: means, composition and medoids."""
    table = result.table
    frames, atoms = table["medoid_frame"].values, table["medoid_atom"].values
    columns = {
        "category": list(categories_of(result).values()),
        "population": table["population"].values,
        "density": table["mass_density"].values,
        "A": table["tetrahedral"].values,
    }
    if "potential_energy" in table:
        columns["energy"] = table["potential_energy"].values
    columns["medoid"] = [
        f"frame {frame}, {atom_name(result.sites, atom)}" if frame >= 0 else "none"
        for frame, atom in zip(frames.tolist(), atoms.tolist(), strict=True)
    ]
    index = pd.Index(table["motif"].values, name="motif")
    motifs = pd.DataFrame(columns, index)
    motifs.attrs["units"] = UNITS
    classes = [name.replace("_", " ") for name in table["reference_class"].values.tolist()]
    composition = pd.DataFrame(table["composition"].values, index, classes)
    categories = categories_of(result)
    medoids = {
        motif: (frame, atom)
        for motif, frame, atom in zip(categories, frames.tolist(), atoms.tolist(), strict=True)
        if frame >= 0
    }
    figures = Drawings(draw)
    figures.add(
        "Map of motifs: every environment in the map, coloured by motif, with the medoids.",
        plot.motif_map,
        result.embedding,
        result.labels,
        categories=categories,
        medoids=medoids,
    )
    # Without medoids where no environment is sure enough of its motif.
    if draw and medoids:
        figures.add(
            "Surroundings of the medoids: sites within the cutoff radius of the most typical "
            "member of each motif.",
            plot.environments,
            environments(result.sites, table, result.settings.r_cut),
            categories=categories,
        )
    tables = {
        "Motifs, means over their members": motifs,
        "Composition: shares of the classes of CHILL+ among the members": composition,
        "Categories: ranges of the means of their motifs": category_ranges(result),
    }
    return Section("Motifs", motifs_text(result), figures, tables)


def motifs_text(result: MotifAnalysis | MotifsOfMembers) -> str:
    """Return what the categories and quantities mean, and how sure the motifs are."""
    table = result.table
    agreement = result.motifs.agreement_
    text = (
        f"A motif is ice where at least {result.settings.share:.0%} of its members are cubic or "
        "hexagonal ice by CHILL+, liquid where as many are liquid, and transient otherwise. "
        "Density is that of the Voronoi cell, A the deviation from a tetrahedron, 0 in a perfect "
        "one. "
        f"Of all environments {1 - float(table['population'].sum()):.1%} are in no motif."
    )
    # NaN where the network labels no held-out environment.
    if agreement and np.isfinite(agreement["accuracy"]):
        text += (
            f" On {agreement['n']} held-out environments, the network that labels all agrees with "
            f"the clusters for {agreement['accuracy']:.1%} of those that both label."
        )
    return text


def category_ranges(result: MotifAnalysis | MotifsOfMembers) -> pd.DataFrame:
    """Return the ranges of the means by category, as published."""
    table = result.categories
    members: dict[str, list[str]] = {name: [] for name in table["category"].values.tolist()}
    for motif, name in categories_of(result).items():
        members[name].append(str(motif))
    named = {"mass_density": "density", "tetrahedral": "A", "potential_energy": "energy"}
    columns: dict[str, list[object]] = {
        "motifs": [", ".join(numbers) or "none" for numbers in members.values()],
        "population": table["population"].values.tolist(),
    }
    for name, short in named.items():
        if f"{name}_min" not in table:
            continue
        ends = zip(table[f"{name}_min"].values, table[f"{name}_max"].values, strict=True)
        columns[short] = [
            "none" if np.isnan(low) else f"{low:.3f} to {high:.3f}".replace("-", "\N{MINUS SIGN}")
            for low, high in ends
        ]
    frame = pd.DataFrame(columns, pd.Index(table["category"].values, name="category"))
    frame.attrs["units"] = UNITS
    return frame


def _map(result: MotifAnalysis, draw: bool) -> Section:
    named = {
        "potential_energy": "potential energy",
        "mass_density": "density",
        "tetrahedral": "deviation from a tetrahedron",
    }
    values = {
        title: result.values[name][name] for name, title in named.items() if name in result.values
    }
    moving = result.sites.sizes[FRAME] > 1

    figures = Drawings(draw)
    quantities = "Map by values: mean of each quantity in the map."
    figures.add(quantities, plot.value_maps, result.embedding, values, time=moving)
    figures.add(
        "Map by time: density of the environments in the map, in successive parts of the "
        "trajectory.",
        plot.density_stages,
        result.embedding,
        n_stages=min(_STAGES, result.sites.sizes[FRAME]),
        when=moving,
    )
    return Section("Map", map_text(result), figures)


def map_text(result: MotifAnalysis | MotifsOfMembers) -> str:
    """Return what the map was made from, and how sure the places in it are."""
    agreement = result.umap.agreement_
    text = f"UMAP of {len(result.umap.sample_)} environments."
    if agreement:
        text += (
            f" The network that maps all environments explains {agreement['r2']:.1%} of the "
            f"variance of the coordinates of {agreement['n']} held-out ones; the median error is "
            f"{agreement['median_error']:.2f} units of the map."
        )
    return text


def time_section(result: MotifAnalysis, draw: bool) -> Section:
    """Return the section of populations and net changes."""
    share = result.populations["population"].values
    timed = result.table["mean_time"].attrs["units"] != "1"
    frames = result.populations["time"].values if timed else np.arange(len(share))
    # NaN in frames without an environment that is in a motif.
    largest = np.nan_to_num(share)
    categories = categories_of(result)
    table = pd.DataFrame(
        {
            "category": list(categories.values()),
            "first frame": share[0],
            "last frame": share[-1],
            "largest share": largest.max(axis=0),
            "peak": frames[largest.argmax(axis=0)],
            "mean time": result.table["mean_time"].values,
        },
        pd.Index(result.table["motif"].values, name="motif"),
    )
    unit = "ps" if timed else "frames"
    table.attrs["units"] = {"mean time": unit, "peak": unit}
    last = result.sites.sizes[FRAME] - 1
    chosen = sorted({round(frame) for frame in np.linspace(0, last, _STAGES)})
    shown = result.values.get("potential_energy", result.values["tetrahedral"])
    value = shown[next(iter(shown.data_vars))]
    mean_time = result.table["mean_time"].copy()
    mean_time.attrs |= {"long_name": "mean time of the members", "units": unit}
    changes = result.transitions
    any_members = bool((result.table["members"].values > 0).any())
    figures = Drawings(draw)
    figures.add(
        f"Stages: sites in frames {', '.join(map(str, chosen))}, coloured by "
        f"{str(value.name).replace('_', ' ')}, and by the classes of CHILL+.",
        plot.stages,
        result.sites,
        value,
        result.chill,
        chosen,
    )
    figures.add(
        "Populations: share of each motif against time.",
        plot.motif_populations,
        result.populations,
        categories,
        when=any_members,
    )
    tables = {"Populations, of the environments that are in a motif": table}
    if changes is not None and any_members and len(categories) > 1:
        figures.add(
            "Which precedes which: largest net changes between motifs, at the mean times of their "
            "members.",
            plot.precedence,
            changes,
            mean_time,
            categories,
            result.table["population"],
        )
        tables["Net changes from one motif to another, the largest"] = _net(changes)
    text = (
        "Net changes are the pairs of successive frames in which an atom goes from the first motif "
        "to the second, less those in which one goes back: along nucleation they run from earlier "
        "to later motifs."
    )
    return Section("Through time", text, figures, tables)


def _net(changes: xr.Dataset) -> pd.DataFrame:
    """Return the largest net changes, each with how often it went either way."""
    flux = changes["flux"].values
    net = flux - flux.T
    rows = [
        {"from": a, "to": b, "net": net[a, b], "there": flux[a, b], "back": flux[b, a]}
        for a, b in np.argwhere(net > 0).tolist()
    ]
    frame = pd.DataFrame(rows, columns=["from", "to", "net", "there", "back"])
    return frame.sort_values("net", ascending=False, kind="stable").head(12).reset_index(drop=True)


def scores_section(scores: xr.Dataset) -> Section:
    """Return the section of the scores of maps."""
    text = (
        "The same environments, mapped and clustered by the autoencoder's latent coordinates and "
        "by simpler representations: as many principal components, the features themselves, and "
        "bond order averaged within the cutoff alone. Trustworthiness refers to neighbours in the "
        "map; the others are adjusted Rand indices: of the motifs with those under another seed "
        "and with those of four fifths of the rows, and with cubic ice, hexagonal ice and liquid "
        "by CHILL+."
    )
    order = ["dimensions", "motifs", "noise", "trustworthiness"]
    order += ["stability_seed", "stability_rows", "separation"]
    frame = scores.to_dataframe()[order].rename(columns=lambda name: name.replace("_", " "))
    return Section("Comparison of representations", text, tables={"Scores": frame})


def training_section(result: MotifAnalysis | MotifsOfMembers, draw: bool) -> Section:
    """Return the section of the training of the autoencoder."""
    curves = result.vae.curves_
    losses = {"training": curves["loss"], "held out": curves["held_loss"]}
    losses = {name: loss for name, loss in losses.items() if np.isfinite(loss).any()}
    best = result.vae.best_epoch_
    text = (
        f"An autoencoder of {len(result.vae.center_)} features in "
        f"{result.vae.latent_size} latent dimensions, trained for {len(curves['loss'])} epochs; "
        f"the weights are those of epoch {best + 1}"
    )
    # The mean variance of the features as they are weighted.
    whole = np.mean([*(result.vae.block_weights or {"": 1.0}).values()])
    left = curves["held_reconstruction"][best] / whole
    held = f", which leave {left:.1%} of the variance of frames that were held out."
    text += held if np.isfinite(left) else "."
    figures = Drawings(draw)
    figures.add(
        "Loss: loss of each epoch on training and held-out rows, and the best epoch.",
        plot.training_curves,
        losses,
        best=best + 1,
    )
    return Section("Autoencoder", text, figures)
