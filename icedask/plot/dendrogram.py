"""The dendrogram of states that merge into macro states."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster import hierarchy

from icedask.errors import InputError
from icedask.plot import style


@style.in_style
def dendrogram(merged: xr.Dataset, *, names: style.Names | None = None) -> Figure:
    """Draw the tree of states, and the cut, if any, that makes macro states of them.

    Branches below the cut, and the leaves, have the colour of their macro state. States that
    cannot be compared, as none was seen to follow them, stand on the right without a branch.

    Parameters
    ----------
    merged : xarray.Dataset
        What `merge_states` returned: macro_state (state), leaf (leaf), linkage (merge, 4) and the
        attribute cutoff.
    names : mapping of int to str, optional
        Names of the macro states; by default those of the labels' flags, else their
        numbers.

    Raises
    ------
    InputError
        If a variable is missing, or the tree is not one of these states.
    """
    missing = [name for name in ("macro_state", "leaf", "linkage") if name not in merged]
    if missing or "cutoff" not in merged.attrs:
        raise InputError(
            f"dendrogram: expected what merge_states returned, found a Dataset without "
            f"{', '.join(missing) or 'the attribute cutoff'}"
        )
    macro, linkage, leaves = (merged[name].values for name in ("macro_state", "linkage", "leaf"))
    cutoff = float(merged.attrs["cutoff"])
    if linkage.shape != (max(len(leaves) - 1, 0), 4):
        raise InputError(
            f"dendrogram: expected a linkage of {max(len(leaves) - 1, 0)} merges for {len(leaves)} "
            f"leaves, found the shape {linkage.shape}; merge the states again"
        )
    order, lines = leaves, []
    if len(linkage):
        tree = hierarchy.dendrogram(linkage, no_plot=True)
        order = leaves[tree["leaves"]]
        # SciPy places leaves at 5, 15, 25, ...
        lines = [
            ((np.array(x) - 5) / 10, np.array(y))
            for x, y in zip(tree["icoord"], tree["dcoord"], strict=True)
        ]
    # What is not in the tree stands beside it.
    order = np.concatenate([order, np.setdiff1d(np.arange(len(macro)), order)]).astype(int)
    figure = style.new_figure(min(style.PAGE, max(style.COLUMN, 1.8 + 0.25 * len(macro))), 2.4)
    axes = figure.subplots()
    called = {int(state): f"macro state {state}" for state in macro}
    if "label" in merged:
        called |= style.names_of(merged["label"])
    called |= names or {}
    for x, y in lines:
        below = y[1] <= cutoff
        leaf = order[int(np.round(x[0]))]
        color = style.state_color(int(macro[leaf]), called) if below else style.GUIDE
        axes.plot(x, y, color=color, lw=1.6 if below else 1.0, solid_joinstyle="miter")
    axes.scatter(
        np.arange(len(order)),
        np.zeros(len(order)),
        s=28,
        color=style.state_colors(macro[order], called),
        clip_on=False,
        zorder=3,
    )
    if cutoff > 0:
        _draw_cut(axes, cutoff)
    flags = style.names_of(merged["state"])
    leaf_names = [flags.get(int(state), str(state)) for state in order]
    turned = max(map(len, leaf_names)) > 3
    axes.set_xticks(np.arange(len(order)), leaf_names, rotation=90 if turned else 0)
    axes.tick_params(axis="x", length=0, pad=6)
    axes.set_xlim(-0.6, len(order) - 0.4)
    axes.set_ylim(0, 1.1 * (max(cutoff, linkage[:, 2].max(initial=0)) or 1.0))
    axes.set_xlabel("state")
    axes.set_ylabel("correlation distance")
    style.legend_beside(figure, style.state_handles(np.unique(macro), called))
    return figure


def _draw_cut(axes: Axes, cutoff: float) -> None:
    axes.axhline(cutoff, color=style.INK, ls="--", lw=0.8)
    # Beside the axes, where no branch is.
    style.write(axes, f"cut {cutoff:g}", (1, cutoff), (3, 0), ("axes fraction", "data"))
