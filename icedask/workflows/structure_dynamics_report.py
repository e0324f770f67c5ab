"""What SOAP & LENS found, in tables and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from icedask import plot
from icedask.core.features import feature_variable
from icedask.core.variables import ATOM, COMPONENT, FRAME
from icedask.plot.report import Section
from icedask.workflows.sections import drawn, settings_section

if TYPE_CHECKING:
    from icedask.workflows.structure_dynamics import Analysis, StructureDynamics

_SANKEY_FRAMES = 4


def sections(found: StructureDynamics, trj: xr.Dataset, *, draw: bool) -> list[Section]:
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
    return [
        _comparison(found, draw),
        *(_of_one(found, one, trj, draw) for one in (found.soap, found.lens, found.joint)),
        settings_section(found.settings, found.store, _results(found)),
    ]


def _comparison(found: StructureDynamics, draw: bool) -> Section:
    both = (found.soap, found.joint)
    needed = {one.title: _n_components(one, found.settings.variance) for one in both}
    text = (
        "Each atom is described by structure alone (SOAP), by dynamics alone (LENS, the share of "
        "its neighbours that change), and by both in one vector (SOAP & LENS). "
        f"More than {found.settings.variance:.1%} of the variance takes "
        + " and ".join(f"{n} components for {title}" for title, n in needed.items())
        + "."
    )
    figures = drawn(
        draw,
        cumulative_variance=lambda: plot.cumulative_variance(
            {one.title: one.variance for one in both if one.variance is not None},
            threshold=found.settings.variance,
        ),
    )
    figures |= drawn(
        draw and all(_is_plane(one) for one in both),
        principal_components=lambda: plot.latent_maps(
            {one.title: (one.values, one.states) for one in both},
            variance={one.title: one.variance for one in both if one.variance is not None},
        ),
    )
    return Section(
        "Comparison",
        text,
        figures,
        {
            "Cumulative variance of the first components": _variances(found),
            "SOAP states that atoms are in when they enter a state of LENS, and after they leave "
            "it: shares of the entries and exits": _origins(found.origins),
        },
    )


def _n_components(one: Analysis, variance: float) -> int:
    assert one.variance is not None
    return int(np.searchsorted(np.cumsum(one.variance), variance, side="right")) + 1


def _is_plane(one: Analysis) -> bool:
    """Say whether there are two components to draw."""
    return one.values.sizes[COMPONENT] > 1


def _variances(found: StructureDynamics, most: int = 8) -> pd.DataFrame:
    columns = {
        one.title: pd.Series(np.cumsum(one.variance)[:most])
        for one in (found.soap, found.joint)
        if one.variance is not None
    }
    table = pd.DataFrame(columns)
    table.index = pd.Index(np.arange(1, len(table) + 1), name="components")
    return table


def _origins(origins: xr.Dataset) -> pd.DataFrame:
    """Return the shares of the structural states before entries and after exits."""
    columns = {}
    for name, text in (("before", "from"), ("after", "to")):
        counts = origins[name].values.astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = counts / counts.sum(axis=1, keepdims=True)
        for state, share in zip(origins["structural_state"].values, shares.T, strict=True):
            columns[f"{text} SOAP {state}"] = share
    return pd.DataFrame(
        columns, pd.Index(origins["dynamic_state"].values, name="state of LENS")
    ).assign(entries=origins["before"].sum("structural_state").values)


def _of_one(found: StructureDynamics, one: Analysis, trj: xr.Dataset, draw: bool) -> Section:
    n_states = len(one.table)
    last = _last_labelled(one.states)
    figures = drawn(
        draw,
        populations=lambda: plot.timelines(one.states.isel({FRAME: slice(0, last + 1)})),
        transition_matrix=lambda: plot.transition_matrix(one.transitions),
        snapshot=lambda: plot.snapshot(trj, one.states, last, view="z", others=True),
        snapshot_from_the_side=lambda: plot.snapshot(trj, one.states, last, view="x", others=True),
        series=lambda: plot.series_states(found.series, one.states),
    )
    clusters = one.cluster_transitions.sizes["from"]
    # A tree without a merge says nothing.
    figures |= drawn(
        draw and clusters > n_states,
        dendrogram_of_clusters=lambda: plot.dendrogram(one.states),
    )
    flux = one.transitions["flux"].values
    figures |= drawn(
        draw and bool(flux.sum() > np.trace(flux)),
        exchange=lambda: plot.chord(one.transitions, self_transitions=False),
        population_and_exchange=lambda: plot.chord(one.transitions),
    )
    if one.title == "SOAP & LENS":
        figures |= drawn(
            draw,
            flow=lambda: plot.sankey(one.states, _spread_frames(one.states)),
        )
        figures |= drawn(
            draw and _is_plane(one),
            path_of_one_atom=lambda: plot.particle_path(
                trj, one.values, one.states, _liveliest(found.series), variance=one.variance
            ),
        )
    text = f"{clusters} clusters, {n_states} states."
    if clusters > n_states:
        groups = one.states["macro_state"].values
        merged = "; ".join(
            f"state {state}: clusters {', '.join(map(str, np.flatnonzero(groups == state)))}"
            for state in range(n_states)
        )
        text += f" {merged}."
    text += f"\n\n{one.markov.attrs['verdict']}"
    return Section(
        one.title,
        text,
        figures,
        {
            "States": one.table,
            "Transition probabilities": _matrix(one.transitions),
        },
    )


def _matrix(transitions: xr.Dataset) -> pd.DataFrame:
    return pd.DataFrame(
        transitions["probability"].values,
        pd.Index(transitions["from"].values, name="from state"),
        [f"to {state}" for state in transitions["to"].values],
    )


def _last_labelled(states: xr.Dataset) -> int:
    """Return the last frame in which atoms have labels: those of the last delay have none."""
    label = states["label"]
    for frame in range(label.sizes[FRAME] - 1, 0, -1):
        if (label.isel({FRAME: frame}).values >= 0).any():
            return frame
    return 0


def _spread_frames(states: xr.Dataset) -> list[int]:
    last = _last_labelled(states)
    return np.unique(np.linspace(0, last, _SANKEY_FRAMES).astype(int)).tolist()


def _liveliest(series: xr.Dataset) -> int:
    """Return the atom whose LENS spans the widest range."""
    values = feature_variable(series)
    span = (values.max(FRAME) - values.min(FRAME)).fillna(-1.0).values
    return int(series[ATOM].values[np.argmax(span)])


def _results(found: StructureDynamics) -> list[xr.Dataset]:
    results = [found.origins]
    for one in (found.soap, found.lens, found.joint):
        results += [one.states, one.transitions, one.residence, one.populations, one.markov]
    return results
