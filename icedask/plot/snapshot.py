"""One frame, its atoms coloured by state."""

from __future__ import annotations

from itertools import product

import numpy as np
import xarray as xr
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icedask.neighbors import wrap
from icedask.plot.style import new_figure, state_color, state_colors, state_name
from icedask.variables import ATOM, FRAME


def snapshot(trj: xr.Dataset, labels: xr.Dataset, frame: int = -1) -> Figure:
    """Draw a frame along the third axis, the nearest atoms on top, coloured by state.

    Parameters
    ----------
    trj : xarray.Dataset
        The trajectory.
    labels : xarray.Dataset
        label (frame, atom) of some or all of its atoms.
    frame : int
        Which frame; the last by default.

    Returns
    -------
    matplotlib.figure.Figure
    """
    here = trj.sel({ATOM: labels[ATOM].values}).isel({FRAME: frame})
    label = labels["label"].isel({FRAME: frame}).values
    cell = here["cell"].values
    origin = here["cell_origin"].values if "cell_origin" in here else np.zeros(3)
    raw = here["positions"].values.astype(float) - origin
    positions, _ = wrap(raw, cell, here["pbc"].values)
    order = np.argsort(positions[:, 2])
    figure = new_figure(6.4, 6)
    axes = figure.subplots()
    size = 26000 / max(len(positions), 200) ** 0.9
    axes.scatter(
        positions[order, 0],
        positions[order, 1],
        s=size,
        c=state_colors(label[order]),
        edgecolors="white",
        linewidths=0.25,
    )
    if cell.any():
        corners = {bits: np.array(bits) @ cell for bits in product((0, 1), repeat=3)}
        edges = [
            (corners[a][:2], corners[b][:2])
            for a in corners
            for b in corners
            if a < b and sum(x != y for x, y in zip(a, b, strict=True)) == 1
        ]
        axes.add_collection(LineCollection(edges, colors="black", linewidths=0.8))
    handles = [
        Line2D([], [], marker="o", linestyle="", color=state_color(one), label=state_name(one))
        for one in np.unique(label)
    ]
    axes.legend(handles=handles, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    axes.set_aspect("equal")
    axes.set_xlabel("x (Å)")
    axes.set_ylabel("y (Å)")
    time = float(here["time"])
    axes.set_title("" if np.isnan(time) else f"time {time / 1000:.2f} ns")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
