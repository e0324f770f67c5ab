"""Fractions of atoms in each class against time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.figure import Figure

from icedask.plot.style import new_figure, state_color, state_name
from icedask.variables import ATOM


def fractions(labels: xr.Dataset) -> dict[int, npt.NDArray[np.float64]]:
    """Return the fraction of atoms with each label in each frame, (n_frames,) by label."""
    label = labels["label"]
    values = np.unique(label.values)
    return {int(one): (label == one).mean(ATOM).values for one in values}


def timelines(labels: xr.Dataset, chill: xr.Dataset) -> Figure:
    """Draw state populations, and the ice that CHILL+ finds, against time.

    Parameters
    ----------
    labels : xarray.Dataset
        label (frame, atom) of the states.
    chill : xarray.Dataset
        label (frame, atom) of `chill_plus`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    timed = "time" in labels.coords and not np.isnan(labels["time"].values).any()
    frames = np.arange(labels.sizes["frame"])
    time = labels["time"].values / 1000 if timed else frames
    figure = new_figure(8, 5.5)
    top, bottom = figure.subplots(2, 1, sharex=True)
    for one, fraction in fractions(labels).items():
        top.plot(time, fraction, color=state_color(one), label=state_name(one), lw=1.8)
    top.set_ylabel("fraction of molecules")
    top.set_title("state populations")
    names = chill["label"].attrs["flag_meanings"].split()
    found = fractions(chill)
    zero = np.zeros(len(time))
    parts = {
        "cubic ice": found.get(names.index("cubic_ice"), zero),
        "hexagonal ice": found.get(names.index("hexagonal_ice"), zero),
        "interfacial ice": found.get(names.index("interfacial_ice"), zero),
    }
    colors = ("#0072B2", "#56B4E9", "#DDDDDD")
    bottom.stackplot(time, *parts.values(), labels=list(parts), colors=colors)
    bottom.set_ylabel("fraction of molecules")
    bottom.set_title("ice by CHILL+")
    bottom.set_xlabel("time (ns)" if timed else "frame")
    for axes in (top, bottom):
        axes.legend(frameon=False, loc="upper left")
        axes.set_ylim(0, 1.02)
        axes.margins(x=0)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
