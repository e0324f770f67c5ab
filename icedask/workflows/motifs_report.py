"""What motifs were found, in tables and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from icedask import plot
from icedask.core.variables import FRAME
from icedask.motifs.export import environments
from icedask.plot.report import Section
from icedask.workflows.sections import drawn, settings_section

if TYPE_CHECKING:
    from icedask.workflows.motifs import MotifAnalysis

# Frames of the picture of the whole, evenly spread, the first and the last among them.
_STAGES = 4
_UNITS = {
    "density": "g/cm^3",
    "energy": "eV",
}


def sections(found: MotifAnalysis, trj: xr.Dataset, *, draw: bool) -> list[Section]:
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
    parts = [_motifs(found, draw), _map(found, draw)]
    if found.sites.sizes[FRAME] > 1:
        parts.append(_through_time(found, draw))
    if found.scores is not None:
        parts.append(_scores(found.scores))
    return [
        *parts,
        _training(found, draw),
        settings_section(found.settings, found.store, _saved(found)),
    ]


def _saved(found: MotifAnalysis) -> list[xr.Dataset]:
    results = [found.features, found.latent, found.embedding, found.labels, found.table]
    results += [found.categories, found.populations]
    results += [one for one in (found.scores, found.transitions) if one is not None]
    return results


def _categories(found: MotifAnalysis) -> dict[int, str]:
    names = found.table["category"].attrs["flag_meanings"].split()
    return {
        motif: names[number] for motif, number in enumerate(found.table["category"].values.tolist())
    }


def _motifs(found: MotifAnalysis, draw: bool) -> Section:
    table = found.table
    columns = {
        "category": list(_categories(found).values()),
        "population": table["population"].values,
        "density": table["mass_density"].values,
        "A": table["tetrahedral"].values,
    }
    if "potential_energy" in table:
        columns["energy"] = table["potential_energy"].values
    for name in table["reference_class"].values.tolist():
        columns[name.replace("_", " ")] = table["composition"].sel(reference_class=name).values
    # As in the source, where sites may be some of the atoms.
    atoms = found.sites["atom"].values
    ids = found.sites["id"].values if "id" in found.sites.coords else atoms
    columns["medoid"] = [
        f"frame {frame}, atom {atoms[atom]} (id {ids[atom]})" if frame >= 0 else "none"
        for frame, atom in zip(
            table["medoid_frame"].values, table["medoid_atom"].values, strict=True
        )
    ]
    motifs = pd.DataFrame(columns, pd.Index(table["motif"].values, name="motif"))
    motifs.attrs["units"] = _UNITS
    categories = _categories(found)
    medoids = {
        motif: (int(table["medoid_frame"][motif]), int(table["medoid_atom"][motif]))
        for motif in categories
        if int(table["medoid_frame"][motif]) >= 0
    }
    figures = drawn(
        draw,
        map_of_motifs=lambda: plot.motif_map(
            found.embedding, found.labels, categories=categories, medoids=medoids
        ),
    )
    # No environment may be sure enough of its motif.
    if medoids:
        figures |= drawn(
            draw,
            surroundings_of_the_medoids=lambda: plot.environments(
                environments(found.sites, table, found.settings.r_cut), categories=categories
            ),
        )
    agreement = found.motifs.agreement_
    text = (
        f"A motif is ice where at least {found.settings.share:.0%} of its members are cubic or "
        "hexagonal ice by CHILL+, liquid where as many are liquid, and transient otherwise. "
        "Density is that of the Voronoi cell, A the deviation from a tetrahedron, 0 in a perfect "
        "one. "
        f"Of all environments {1 - float(table['population'].sum()):.1%} are in no motif."
    )
    # NaN where the network was sure of none that it had not seen.
    if agreement and np.isfinite(agreement["accuracy"]):
        text += (
            f" On {agreement['n']} environments that it had not seen, the network that labels all "
            f"agrees with the clusters for {agreement['accuracy']:.1%} of those that both label."
        )
    tables = {"Motifs, means over their members": motifs, "Categories": _category_text(found)}
    return Section("Motifs", text, figures, tables)


def _category_text(found: MotifAnalysis) -> pd.DataFrame:
    """Return the ranges of the means by category, as they are published."""
    table = found.categories
    members: dict[str, list[str]] = {name: [] for name in table["category"].values.tolist()}
    for motif, name in _categories(found).items():
        members[name].append(str(motif))
    named = {"mass_density": "density", "tetrahedral": "A", "potential_energy": "energy"}
    columns: dict[str, list[object]] = {
        "motifs": [", ".join(one) or "none" for one in members.values()],
        "population": table["population"].values.tolist(),
    }
    for name, short in named.items():
        if f"{name}_min" not in table:
            continue
        ends = zip(table[f"{name}_min"].values, table[f"{name}_max"].values, strict=True)
        columns[short] = [
            "none" if np.isnan(low) else f"{low:.3f} to {high:.3f}" for low, high in ends
        ]
    frame = pd.DataFrame(columns, pd.Index(table["category"].values, name="category"))
    frame.attrs["units"] = _UNITS
    return frame


def _map(found: MotifAnalysis, draw: bool) -> Section:
    named = {
        "potential_energy": "potential energy",
        "mass_density": "density",
        "tetrahedral": "deviation from a tetrahedron",
    }
    values = {
        title: found.values[name][name] for name, title in named.items() if name in found.values
    }
    moving = found.sites.sizes[FRAME] > 1

    def by_value() -> Figure:
        return plot.value_maps(found.embedding, values, time=moving)

    figures = drawn(draw, map_by_values=by_value)
    if moving:
        stages = min(4, found.sites.sizes[FRAME])
        figures |= drawn(
            draw, map_by_time=lambda: plot.density_stages(found.embedding, n_stages=stages)
        )
    agreement = found.umap.agreement_
    text = f"UMAP of {len(found.umap.sample_)} environments."
    if agreement:
        text += (
            f" The network that places all environments explains {agreement['r2']:.1%} of the "
            f"variance of the places of {agreement['n']} that it had not seen; half of them are "
            f"off by less than {agreement['median_error']:.2f} units of the map."
        )
    return Section("Map", text, figures)


def _through_time(found: MotifAnalysis, draw: bool) -> Section:
    share = found.populations["population"].values
    timed = found.table["mean_time"].attrs["units"] != "1"
    frames = found.populations["time"].values if timed else np.arange(len(share))
    # NaN in frames without an environment that is in a motif.
    largest = np.nan_to_num(share)
    categories = _categories(found)
    table = pd.DataFrame(
        {
            "category": list(categories.values()),
            "first frame": share[0],
            "last frame": share[-1],
            "largest share": largest.max(axis=0),
            "peak": frames[largest.argmax(axis=0)],
            "mean time": found.table["mean_time"].values,
        },
        pd.Index(found.table["motif"].values, name="motif"),
    )
    unit = "ps" if timed else "frames"
    table.attrs["units"] = {"mean time": unit, "peak": unit}
    last = found.sites.sizes[FRAME] - 1
    chosen = sorted({round(one) for one in np.linspace(0, last, _STAGES)})
    shown = found.values.get("potential_energy", found.values["tetrahedral"])
    value = shown[next(iter(shown.data_vars))]
    mean_time = found.table["mean_time"].copy()
    mean_time.attrs |= {"long_name": "mean time of the members", "units": unit}
    changes = found.transitions
    some = bool((found.table["members"].values > 0).any())
    figures = drawn(draw, stages=lambda: plot.stages(found.sites, value, found.chill, chosen))
    if some:
        figures |= drawn(
            draw, populations=lambda: plot.motif_populations(found.populations, categories)
        )
    tables = {"Populations, of the environments that are in a motif": table}
    if changes is not None and some and len(categories) > 1:
        figures |= drawn(
            draw,
            which_precedes_which=lambda: plot.precedence(
                changes, mean_time, categories, found.table["population"]
            ),
        )
        tables["Net changes from one motif to another, the largest"] = _net(changes)
    text = (
        "Net changes are the pairs of successive frames in which an atom goes from the first motif "
        "to the second, less those in which one goes back: along nucleation they run from what "
        "precedes to what follows."
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


def _scores(scores: xr.Dataset) -> Section:
    text = (
        "The same environments, mapped and clustered by the autoencoder's latent coordinates and "
        "by what is simpler: as many principal components, the features themselves, and bond "
        "order averaged within the cutoff alone. Trustworthiness is of neighbours in the map; the "
        "others are adjusted Rand indices: of the motifs with those under another seed and with "
        "those of four fifths of the rows, and with cubic ice, hexagonal ice and liquid by CHILL+."
    )
    frame = scores.to_dataframe().rename(columns=lambda name: name.replace("_", " "))
    return Section("Comparison of representations", text, tables={"Scores": frame})


def _training(found: MotifAnalysis, draw: bool) -> Section:
    curves = found.vae.curves_
    shown = {"training": curves["loss"], "held out": curves["held_loss"]}
    shown = {name: one for name, one in shown.items() if np.isfinite(one).any()}
    best = found.vae.best_epoch_
    text = (
        f"An autoencoder of {found.features.sizes['feature']} features in "
        f"{found.vae.latent_size} latent dimensions, trained for {len(curves['loss'])} epochs; the "
        f"weights are those of epoch {best + 1}"
    )
    # The mean variance of the features as they are weighted.
    whole = np.mean([*(found.vae.block_weights or {"": 1.0}).values()])
    left = curves["held_reconstruction"][best] / whole
    held = f", which leave {left:.1%} of the variance of frames that were held out."
    text += held if np.isfinite(left) else "."
    figures = drawn(draw, loss=lambda: plot.training_curves(shown, best=best + 1))
    return Section("Autoencoder", text, figures)
