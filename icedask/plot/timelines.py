"""Fractions of atoms in each class against time."""

from __future__ import annotations

from textwrap import fill

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icedask.core.variables import FRAME, STATE
from icedask.errors import InputError
from icedask.plot.rows import check_same, label_counts, label_variable
from icedask.plot.style import (
    PAGE,
    Names,
    Times,
    frame_times,
    in_style,
    names_of,
    new_figure,
    spread,
    state_color,
    state_name,
)

# Phases that never are a larger fraction are not drawn.
_RARE = 1e-3
# Points from one name to the next, and letters of a line of notes.
APART = 10
_LETTERS = 64
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
    figure = new_figure(PAGE * 0.75, 0.6 + 1.8 * n_panels)
    panels = figure.subplots(n_panels, 1, sharex=True, squeeze=False)[:, 0]
    called = names_of(labels["label"], names)
    states, counts = label_counts(label)
    _draw_fractions(panels[0], times, states, counts / label.shape[1], called)
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


@in_style
def phase_fractions(populations: xr.Dataset, *, names: Names | None = None) -> Figure:
    """Draw the fraction of each phase against time, its name at the end of its line.

    Phases that never are more than 0.1 % of the atoms are not drawn, but written under the figure.

    Parameters
    ----------
    populations : xarray.Dataset
        What `populations` returned: population (frame, state).
    names : mapping of int to str, optional
        Names of phases; by default those that the flags of the states tell, else their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is no such variable, or every fraction is NaN.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> from icedask.plot import phase_fractions
    >>> label = np.array([[0, 2, 2, 2], [0, 0, 2, 2], [0, 0, 0, 2]], np.int32)
    >>> flags = {"flag_values": [0, 1, 2], "flag_meanings": "Ih Ic liquid"}
    >>> labels = xr.Dataset({"label": (("frame", "atom"), label, flags)})
    >>> figure = phase_fractions(ice.populations(labels))
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['Ih', 'liquid']
    """
    found = populations.get("population") if isinstance(populations, xr.Dataset) else None
    if found is None or found.dims != (FRAME, STATE):
        raise InputError(
            "phase_fractions: expected population (frame, state), found "
            f"{'no such variable' if found is None else found.dims}; pass what populations returned"
        )
    fractions = found.values
    if not np.isfinite(fractions).any():
        raise InputError(
            "phase_fractions: expected fractions, found none but NaN: no atom has a state"
        )
    every = [int(one) for one in found[STATE].values]
    called = names_of(found[STATE], names)
    seen = np.nanmax(fractions, axis=0, initial=0) > _RARE
    shown = [one for one, is_seen in zip(every, seen, strict=True) if is_seen]
    times = frame_times(populations)
    room = max(1.9, APART * len(shown) / 72)
    figure = new_figure(PAGE * 0.6, 0.8 + room)
    axes = figure.subplots()
    _draw_fractions(axes, times, shown, fractions[:, seen], called)
    axes.set_ylim(0, 1)
    name_at_the_end(axes, APART / 72 / room)
    axes.set_xlabel(times.label)
    axes.set_ylabel("fraction of atoms")
    rare = [state_name(one, called) for one in every if one not in shown]
    if rare:
        note = fill(f"never above {100 * _RARE:g} %: {', '.join(rare)}", _LETTERS)
        axes.annotate(
            note,
            (0, 0),
            xycoords="axes fraction",
            xytext=(0, -32),
            textcoords="offset points",
            va="top",
            fontsize=7,
            color="0.35",
        )
    return figure


def _draw_fractions(
    axes: Axes,
    times: Times,
    states: list[int],
    fractions: npt.NDArray[np.float64],
    called: Names,
) -> None:
    """Draw the fraction of each state (frame, state) as a line, or a point of one frame."""
    for state, fraction in zip(states, fractions.T, strict=True):
        axes.plot(
            times.values,
            fraction,
            color=state_color(state, called),
            label=state_name(state, called),
            marker="o" if len(times.values) == 1 else None,
            lw=1.3,
        )
    if len(times.values) > 1:
        axes.margins(x=0)


def name_at_the_end(axes: Axes, gap: float) -> None:
    """Write the names of lines beside their ends, with leaders to them.

    They are at least `gap` apart, in heights of the axes.
    """
    drawn = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    last = [one[np.isfinite(one)][-1] for one in drawn]
    low, high = axes.get_ylim()
    places = spread((np.array(last) - low) / (high - low), gap)
    # At the ends of the axis, names stay beside it.
    rank = np.argsort(np.argsort(places))
    places = np.clip(places, gap * rank, 1 - gap * (len(places) - 1 - rank))
    for line, value, place in zip(list(axes.lines), last, places, strict=True):
        axes.annotate(
            str(line.get_label()),
            (1, value),
            xycoords=("axes fraction", "data"),
            xytext=(1.07, place),
            textcoords="axes fraction",
            va="center",
            fontsize=7,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": line.get_color(),
                "lw": 0.7,
                "shrinkA": 1,
                "relpos": (0, 0.5),
                "shrinkB": 0,
            },
        )
