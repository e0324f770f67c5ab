"""Fractions of atoms in states, phases and motifs against time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icedask.core.types import FloatArray
from icedask.core.variables import FRAME, STATE
from icedask.plot import style
from icedask.plot.inputs import (
    CATEGORIES,
    ICES,
    check_same,
    checked_categories,
    chill_variable,
    label_counts,
    label_variable,
    population_variable,
)

# Phases that never are a larger fraction are not drawn.
_RARE = 1e-3
# Points from one name to the next, and letters of a line of notes.
_APART, _LETTERS = 10, 64
# In distances between names: a name farther from the end of its line seems to be of another.
_NEAR = 1.5
# Inches: a panel of motifs, and the space between two.
_WIDTH, _HEIGHT, _GAP = 0.8 * style.PAGE, 1.5, 0.28


@style.in_style
def timelines(
    labels: xr.Dataset, chill: xr.Dataset | None = None, *, names: style.Names | None = None
) -> Figure:
    """Draw state populations against time, and the ice that CHILL+ finds.

    Parameters
    ----------
    chill : xarray.Dataset, optional
        label (frame, atom) of `chill_plus`; without it, the populations alone are drawn.

    Raises
    ------
    InputError
        If there are no labels, their frames differ, or those of `chill` have no classes of CHILL+.
    """
    label = label_variable(labels, "timelines")
    n_panels = 1 if chill is None else 2
    ices = None if chill is None else chill_variable(chill, "timelines")
    if chill is not None:
        check_same("timelines", chill, labels, FRAME)
    times = style.frame_times(labels)
    figure = style.new_figure(style.PAGE * 0.75, 0.6 + 1.8 * n_panels)
    panels = figure.subplots(n_panels, 1, sharex=True, squeeze=False)[:, 0]
    called = style.names_of(label, names)
    states, counts = label_counts(label)
    _draw_fractions(panels[0], times, states, counts / label.shape[1], called)
    panels[0].set_title("state populations")
    style.legend_right(panels[0], panels[0].lines, bbox_to_anchor=(1.01, 1.05))
    if ices is not None:
        _stack_ices(panels[1], times, ices)
    panels[-1].set_xlabel(times.label)
    for axes in panels:
        axes.set_ylabel("fraction of atoms")
        axes.margins(x=0)
        axes.set_ylim(bottom=0)
    return figure


def _stack_ices(axes: Axes, times: style.Times, label: xr.DataArray) -> None:
    """Draw the fractions of the ices that occur, each on top of the one before."""
    states, counts = label_counts(label)
    called = style.names_of(label)
    fractions = {
        called.get(state, ""): count / label.shape[1]
        for state, count in zip(states, counts.T, strict=True)
    }
    present = [name for name in ICES if name in fractions]
    axes.set_title("ice by CHILL+")
    if present:
        drawn = axes.stackplot(
            times.values,
            *(fractions[name] for name in present),
            labels=present,
            colors=[style.CLASS_COLORS[name] for name in present],
        )
        # In the order of the stack.
        style.legend_right(axes, drawn[::-1], bbox_to_anchor=(1.01, 1.05))


@style.in_style
def phase_fractions(populations: xr.Dataset, *, names: style.Names | None = None) -> Figure:
    """Draw the fraction of each phase against time.

    The name of a phase stands at the end of its line, or in a key where the ends crowd. Phases that
    never are more than 0.1 % of the atoms are not drawn, but written under the figure.

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
    array = population_variable(populations, "phase_fractions")
    every = [int(state) for state in array[STATE].values]
    called = style.names_of(array[STATE], names)
    seen = np.nanmax(array.values, axis=0, initial=0) > _RARE
    shown = [state for state, is_seen in zip(every, seen, strict=True) if is_seen]
    times = style.frame_times(populations)
    room = max(1.9, _APART * len(shown) / 72)
    figure = style.new_figure(style.PAGE * 0.6, 0.8 + room)
    axes = figure.subplots()
    _draw_fractions(axes, times, shown, array.values[:, seen], called)
    axes.set_ylim(0, 1)
    name_lines(axes, _APART / 72 / room)
    axes.set_xlabel(times.label)
    axes.set_ylabel("fraction of atoms")
    rare = [style.state_name(state, called) for state in every if state not in shown]
    if rare:
        note = fill(f"never above {100 * _RARE:g} %: {', '.join(rare)}", _LETTERS)
        style.write(axes, note, (0, 0), (0, -32), "axes fraction", va="top", color=style.GUIDE)
    return figure


@style.in_style
def motif_populations(populations: xr.Dataset, categories: Mapping[int, str]) -> Figure:
    """Draw the fraction of each motif against time, one panel for each category.

    The number of a motif stands at the end of its line, or in a key where the ends crowd. The thick
    pale line is the sum of the category. Each panel has a scale of its own.

    Raises
    ------
    InputError
        If there is no such variable, every population is NaN, or a motif has no category.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> from icedask.plot import motif_populations
    >>> label = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]], np.int32)
    >>> labels = xr.Dataset({"label": (("frame", "atom"), label)})
    >>> figure = motif_populations(ice.populations(labels), {0: "ice", 1: "liquid"})
    >>> [axes.get_title() for axes in figure.axes]
    ['liquid', 'ice']
    """
    array = population_variable(populations, "motif_populations")
    motifs = [int(motif) for motif in array[STATE].values]
    known = checked_categories(categories, motifs, "motif_populations")
    members = {
        name: [place for place, motif in enumerate(motifs) if known[motif] == name]
        for name in CATEGORIES[::-1]
    }
    members = {name: own for name, own in members.items() if own}
    times = style.frame_times(populations)
    # Names stand one above the other beside a panel.
    most = max(len(own) for own in members.values()) + 1
    height = max(_HEIGHT, _APART * most / 72)
    figure = style.new_figure(_WIDTH + 1.2, 0.45 + len(members) * (height + _GAP))
    called = {motif: str(motif) for motif in motifs}
    for number, (name, own) in enumerate(members.items()):
        bottom = 0.45 + (len(members) - 1 - number) * (height + _GAP)
        axes = style.axes_at(figure, 0.6, bottom, _WIDTH, height)
        total = array.values[:, own].sum(axis=1)
        axes.plot(times.values, total, color=style.PALE, lw=4, marker=_marker(times), label="all")
        own_motifs = [motifs[place] for place in own]
        _draw_fractions(axes, times, own_motifs, array.values[:, own], called)
        # A category may be empty.
        axes.set_ylim(0, 1.05 * max(np.nanmax(total), 1e-6))
        name_lines(axes, _APART / 72 / height)
        axes.set_title(name)
        axes.set_ylabel("fraction of atoms")
        axes.tick_params(labelbottom=number == len(members) - 1)
    figure.axes[-1].set_xlabel(times.label)
    return figure


def _draw_fractions(
    axes: Axes,
    times: style.Times,
    states: Sequence[int],
    fractions: FloatArray,
    called: style.Names,
) -> None:
    """Draw the fraction of each state (frame, state) as a line, or a point of one frame."""
    for state, fraction in zip(states, fractions.T, strict=True):
        axes.plot(
            times.values,
            fraction,
            color=style.state_color(state, called),
            label=style.state_name(state, called),
            marker=_marker(times),
            lw=1.2,
        )
    if len(times.values) > 1:
        axes.margins(x=0)


def _marker(times: style.Times) -> str | None:
    """Return the marker of a line: a disc where it is a single point."""
    return "o" if len(times.values) == 1 else None


def name_lines(axes: Axes, gap: float) -> None:
    """Write the names of lines beside their ends, or in a key where the ends crowd.

    Names are at least `gap` apart, in heights of the axes. The key is in the order of the means.
    """
    lines = list(axes.lines)
    drawn = [np.asarray(line.get_ydata(), float) for line in lines]
    last = np.array([values[np.isfinite(values)][-1] for values in drawn])
    low, high = axes.get_ylim()
    ends = (last - low) / (high - low)
    places = style.spread(ends, gap)
    # At the ends of the axis, names stay beside it.
    rank = np.argsort(np.argsort(places))
    places = np.clip(places, gap * rank, 1 - gap * (len(places) - 1 - rank))
    if np.abs(places - ends).max() > _NEAR * gap:
        order = np.argsort([-np.nanmean(values) for values in drawn], kind="stable")
        key = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5), "borderpad": 0}
        key |= {"labelspacing": 0.35, "handletextpad": 0.7}
        style.legend_right(axes, [lines[place] for place in order], **key)
        return
    for line, value, place in zip(lines, last, places, strict=True):
        axes.annotate(
            str(line.get_label()),
            (1, value),
            xycoords=("axes fraction", "data"),
            xytext=(1.07, place),
            textcoords="axes fraction",
            va="center",
            fontsize=style.SMALL,
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
