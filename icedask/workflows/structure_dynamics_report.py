"""Tables and figures of an analysis of structure and dynamics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from icedask import plot
from icedask.core.features import feature_variable
from icedask.core.variables import ATOM, COMPONENT, FRAME
from icedask.plot.report import Drawings, Section, atom_name, settings_section

if TYPE_CHECKING:
    from icedask.workflows.structure_dynamics import Analysis, StructureDynamics

# Frames of the flow, and components in the table of variances.
_SANKEY_FRAMES, _MOST = 4, 8


def sections(result: StructureDynamics, trj: xr.Dataset, *, draw: bool) -> list[Section]:
    """Return the tables of a result, and its figures if they are to be drawn."""
    analyses = (result.soap, result.lens, result.joint)
    saved = [result.origins]
    for analysis in analyses:
        saved += [
            analysis.states,
            analysis.transitions,
            analysis.residence,
            analysis.populations,
            analysis.markov,
        ]
    return [
        _comparison(result, draw),
        *(_states(result, analysis, trj, draw) for analysis in analyses),
        settings_section(result.settings, result.store, saved),
    ]


def _comparison(result: StructureDynamics, draw: bool) -> Section:
    both, threshold = (result.soap, result.joint), result.settings.variance
    variances = {
        analysis.title: analysis.variance for analysis in both if analysis.variance is not None
    }
    totals = {title: np.cumsum(ratio) for title, ratio in variances.items()}
    needed = {
        title: int(np.searchsorted(total, threshold, side="right")) + 1
        for title, total in totals.items()
    }
    text = (
        "Each atom is described by structure alone (SOAP), by dynamics alone (LENS, the share of "
        "its neighbours that change), and by both in one vector (SOAP & LENS). "
        f"More than {threshold:.1%} of the variance takes "
        + " and ".join(f"{n} components for {title}" for title, n in needed.items())
        + "."
    )
    figures = Drawings(draw)
    figures.add(
        "Cumulative variance: part of the variance in the first principal components, and the part "
        "that is kept.",
        plot.cumulative_variance,
        variances,
        threshold=threshold,
    )
    figures.add(
        "Principal components: density of all atoms in all frames along the first two, coloured by "
        "state.",
        plot.latent_maps,
        {analysis.title: (analysis.values, analysis.states) for analysis in both},
        variance={
            analysis.title: analysis.variance for analysis in both if analysis.variance is not None
        },
        when=all(_is_plane(analysis) for analysis in both),
    )
    first = pd.DataFrame({title: pd.Series(total[:_MOST]) for title, total in totals.items()})
    first.index = pd.Index(np.arange(1, len(first) + 1), name="components")
    return Section(
        "Comparison",
        text,
        figures,
        {
            "Cumulative variance of the first components": first,
            "SOAP states of atoms before they enter a state of LENS, and after they leave it: "
            "shares of the entries and exits": _origins(result.origins),
        },
    )


def _is_plane(analysis: Analysis) -> bool:
    """Return whether there are two components to draw."""
    return analysis.values.sizes[COMPONENT] > 1


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


def _states(result: StructureDynamics, analysis: Analysis, trj: xr.Dataset, draw: bool) -> Section:
    states, flux = analysis.states, analysis.transitions
    last = _last_labelled(states)
    exchange = bool((flux["flux"].values * (1 - np.eye(flux.sizes["to"]))).any())
    merged = analysis.cluster_transitions.sizes["from"] > len(analysis.table)
    figures = Drawings(draw)
    figures.add(
        "Populations: atoms in each state against time.",
        plot.timelines,
        states.isel({FRAME: slice(0, last + 1)}),
    )
    figures.add(
        "Transition matrix: probability of each state one frame after each other.",
        plot.transition_matrix,
        flux,
    )
    figures.add(
        "Dendrogram of clusters: distance, 1 - correlation, of the rows of their transition "
        "matrix.",
        plot.dendrogram,
        states,
        when=merged,
    )
    for view, name in (("z", "Snapshot"), ("x", "Snapshot from the side")):
        caption = f"{name}: states in frame {last}, seen along {view}."
        figures.add(caption, plot.snapshot, trj, states, last, view=view, others=True)
    series = "Series: LENS of atoms against time, coloured by state."
    figures.add(series, plot.series_states, result.series, states)
    figures.add(
        "Exchange: transitions between different states.",
        plot.chord,
        flux,
        self_transitions=False,
        when=exchange,
    )
    figures.add(
        "Population and exchange: transitions, and frames without a change of state.",
        plot.chord,
        flux,
        when=exchange,
    )
    if draw and analysis is result.joint:
        _add_joint_figures(figures, result, trj)
    tables = {"States": analysis.table, "Transition probabilities": _matrix(analysis.transitions)}
    return Section(analysis.title, _states_text(analysis), figures, tables)


def _add_joint_figures(figures: Drawings, result: StructureDynamics, trj: xr.Dataset) -> None:
    states, liveliest = result.joint.states, _liveliest(result.series)
    last = _last_labelled(states)
    frames = np.unique(np.linspace(0, last, _SANKEY_FRAMES).astype(int)).tolist()
    figures.add("Flow: atoms from state to state between frames.", plot.sankey, states, frames)
    name = atom_name(trj, trj[ATOM].values.tolist().index(liveliest))
    figures.add(
        f"Path of one atom: {name}, whose LENS spans the widest range.",
        plot.particle_path,
        trj,
        result.joint.values,
        states,
        liveliest,
        variance=result.joint.variance,
        when=_is_plane(result.joint),
    )


def _states_text(analysis: Analysis) -> str:
    clusters, n_states = analysis.cluster_transitions.sizes["from"], len(analysis.table)
    text = f"{clusters} clusters, {n_states} states."
    if clusters > n_states:
        groups = analysis.states["macro_state"].values
        merged = "; ".join(
            f"state {state}: clusters {', '.join(map(str, np.flatnonzero(groups == state)))}"
            for state in range(n_states)
        )
        text += f" {merged}."
    return f"{text}\n\n{analysis.markov.attrs['verdict']}"


def _matrix(transitions: xr.Dataset) -> pd.DataFrame:
    return pd.DataFrame(
        transitions["probability"].values,
        pd.Index(transitions["from"].values, name="from state"),
        [f"to {state}" for state in transitions["to"].values],
    )


def _last_labelled(states: xr.Dataset) -> int:
    """Return the last frame with labels: LENS has none in the frames of the last delay."""
    label = states["label"]
    for frame in range(label.sizes[FRAME] - 1, 0, -1):
        if (label.isel({FRAME: frame}).values >= 0).any():
            return frame
    return 0


def _liveliest(series: xr.Dataset) -> int:
    """Return the atom whose LENS spans the widest range."""
    values = feature_variable(series)
    span = (values.max(FRAME) - values.min(FRAME)).fillna(-1.0).values
    return int(series[ATOM].values[np.argmax(span)])
