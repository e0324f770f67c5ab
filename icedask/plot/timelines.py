"""Fractions of atoms in each class against time."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from icedask.plot.rows import check_same, label_counts, label_variable
from icedask.plot.style import (
    PAGE,
    Names,
    frame_times,
    in_style,
    names_of,
    new_figure,
    state_color,
    state_name,
)
from icedask.variables import FRAME

_ICE = {"cubic_ice": "#0072B2", "hexagonal_ice": "#56B4E9", "interfacial_ice": "#DDDDDD"}


@in_style
def timelines(
    labels: xr.Dataset, chill: xr.Dataset | None = None, *, names: Names | None = None
) -> Figure:
    """Draw state populations against time, and the ice that CHILL+ finds.

    Parameters
    ----------
    labels : xarray.Dataset
        label (frame, atom) of the states.
    chill : xarray.Dataset, optional
        label (frame, atom) of `chill_plus`; without it, the populations alone are drawn.
    names : mapping of int to str, optional
        Names of states; by default those that the labels' flags tell, else their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there are no labels, or the frames of the two differ.
    """
    label = label_variable(labels, "timelines")
    n_panels = 1 if chill is None else 2
    if chill is not None:
        label_variable(chill, "timelines")
        check_same("timelines", chill, labels, FRAME)
    times = frame_times(labels)
    # A line needs two points.
    marker = "o" if len(times.values) == 1 else None
    figure = new_figure(PAGE * 0.75, 0.6 + 1.8 * n_panels)
    panels = figure.subplots(n_panels, 1, sharex=True, squeeze=False)[:, 0]
    called = names_of(labels["label"], names)
    states, counts = label_counts(label)
    for state, count in zip(states, counts.T, strict=True):
        panels[0].plot(
            times.values,
            count / label.shape[1],
            color=state_color(state),
            label=state_name(state, called),
            marker=marker,
            lw=1.3,
        )
    panels[0].set_title("state populations")
    if chill is not None:
        found, ice = label_counts(chill["label"])
        meanings = chill["label"].attrs["flag_meanings"].split()
        of_state = dict(zip(found, ice.T / chill.sizes["atom"], strict=True))
        zero = np.zeros(len(times.values))
        parts = [of_state.get(meanings.index(name), zero) for name in _ICE]
        panels[1].stackplot(
            times.values,
            *parts,
            labels=[name.replace("_", " ") for name in _ICE],
            colors=list(_ICE.values()),
        )
        panels[1].set_title("ice by CHILL+")
    panels[-1].set_xlabel(times.label)
    for axes in panels:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.05))
        axes.set_ylabel("fraction of atoms")
        axes.margins(x=0)
        axes.set_ylim(bottom=0)
    return figure
