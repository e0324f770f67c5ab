"""The latent map: rows in the plane of two components."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icedask.features import feature_blocks
from icedask.learn.sampling import stratified_sample
from icedask.plot.style import TIME_MAP, new_figure, state_color, state_colors, state_name


def latent_map(
    latent: xr.Dataset,
    labels: xr.Dataset,
    *,
    components: tuple[int, int] = (0, 1),
    max_points: int = 20_000,
    seed: int = 0,
) -> Figure:
    """Draw a sample of rows in two latent components, coloured by state and by time.

    Parameters
    ----------
    latent : xarray.Dataset
        latent (frame, atom, component).
    labels : xarray.Dataset
        label (frame, atom).
    components : two int
        Which components to show.
    max_points : int
        Rows to draw, the same number from each frame.
    seed : int
        Of the sample.

    Returns
    -------
    matplotlib.figure.Figure
    """
    sample = stratified_sample(feature_blocks(latent), max_points, seed)
    label = labels["label"].values[sample.frame, sample.atom]
    x, y = (sample.rows[:, component] for component in components)
    timed = "time" in latent.coords and not np.isnan(latent["time"].values).any()
    time = latent["time"].values[sample.frame] / 1000 if timed else sample.frame
    order = np.random.default_rng(seed).permutation(len(x))
    figure = new_figure(10, 4.4)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    style = {"s": 3, "linewidths": 0, "alpha": 0.6, "rasterized": True}
    left.scatter(x[order], y[order], c=state_colors(label[order]), **style)
    points = right.scatter(x[order], y[order], c=time[order], cmap=TIME_MAP, **style)
    bar = figure.colorbar(points, ax=right, label="time (ns)" if timed else "frame")
    if bar.solids is not None:
        bar.solids.set_alpha(1)
    handles = [
        Line2D([], [], marker="o", linestyle="", color=state_color(one), label=state_name(one))
        for one in np.unique(label)
    ]
    left.legend(handles=handles, frameon=False, markerscale=0.8)
    left.set_title("by state")
    right.set_title("by time")
    for axes in (left, right):
        axes.set_xlabel(f"component {components[0] + 1}")
    left.set_ylabel(f"component {components[1] + 1}")
    return figure
