"""The chord diagram of the flux between states."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Wedge
from matplotlib.path import Path

from icedask.errors import InputError
from icedask.plot.flux import flux_of
from icedask.plot.style import (
    COLUMN,
    NOISE,
    Names,
    in_style,
    new_figure,
    spread,
)

# Degrees between arcs, where there are few.
_GAP = 4.0
_INNER, _LABELS = 0.9, 1.16
Span = tuple[float, float]


class Chord(NamedTuple):
    """Two states, the spans of angles of the bases of their chord, and who gives more.

    Attributes
    ----------
    states : two int
        Rows of the flux.
    bases : two spans
        On the arc of either state, as wide as the flux from it to the other.
    origin : int or None
        The state from which more atoms come; None where both give the same.
    """

    states: tuple[int, int]
    bases: tuple[Span, Span]
    origin: int | None


@in_style
def chord(
    transitions: xr.Dataset, *, self_transitions: bool = True, names: Names | None = None
) -> Figure:
    """Draw the flux between states as chords of a circle.

    The arc of a state is as long as all transitions from it. The base of a chord is as wide, on
    the arc of either state, as the transitions from it to the other; the colour is that of the
    state that gives more, grey where neither does. Atoms that stay are the part of the arc, half
    at each end, that has no chord.

    All widths are to scale. Where most atoms stay, chords are as thin as lines: each has an
    outline of half a point, so that it shows however rare it is, and without self-transitions
    the same exchanges fill the circle.

    Parameters
    ----------
    transitions : xarray.Dataset
        What `transitions` returned: flux (from, to).
    self_transitions : bool
        Let arcs include the atoms that stay.
    names : mapping of int to str, optional
        Names of states; by default those that the flags of the states tell, else their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is no such variable, it is not square, or there is nothing to draw.
    """
    called, colors, counts = flux_of(transitions, names, "chord")
    arcs, chords = chord_layout(counts, self_transitions)
    figure = new_figure(COLUMN, 2.7)
    axes = figure.subplots()
    for one, span in arcs.items():
        axes.add_patch(
            Wedge(
                (0, 0),
                1.0,
                *span,
                width=1 - _INNER,
                facecolor=colors[one],
                edgecolor=colors[one],
                linewidth=0.5,
            )
        )
    # The widest first: what is rare lies on top.
    for drawn in sorted(chords, key=lambda one: -max(end - start for start, end in one.bases)):
        color = NOISE if drawn.origin is None else colors[drawn.origin]
        axes.add_patch(
            PathPatch(_ribbon(*drawn.bases), facecolor=color, edgecolor=color, lw=0.5, alpha=0.75)
        )
    middles = {one: np.deg2rad(sum(span) / 2) for one, span in arcs.items()}
    for right in (True, False):
        side = {one: a for one, a in middles.items() if (np.cos(a) >= 0) == right}
        _write(axes, side, [called[one] for one in side], right)
    axes.set_xlim(-1.25, 1.25)
    axes.set_ylim(-1.12, 1.12)
    axes.set_aspect("equal")
    axes.axis("off")
    return figure


def chord_layout(
    counts: npt.NDArray[np.int64], self_transitions: bool
) -> tuple[dict[int, Span], list[Chord]]:
    """Return the span of degrees of each state's arc, clockwise from the top, and the chords.

    Raises
    ------
    InputError
        If there are no transitions.
    """
    n_states = len(counts)
    flux = counts.astype(float)
    if not self_transitions:
        np.fill_diagonal(flux, 0)
    if not flux.any():
        raise InputError(
            "chord: expected transitions between frames, found none"
            if self_transitions or not counts.any()
            else "chord: every atom stays in its state; draw it with self_transitions=True"
        )
    drawn = [one for one in range(n_states) if flux[one].any() or flux[:, one].any()]
    gap = min(_GAP, 90 / len(drawn)) if len(drawn) > 1 else 0.0
    degrees = (360 - gap * len(drawn)) / flux.sum()
    arcs: dict[int, Span] = {}
    bases: dict[tuple[int, int], Span] = {}
    end = 90.0 - gap / 2
    for one in drawn:
        start = end - degrees * flux[one].sum()
        arcs[one] = (start, end)
        # Towards the neighbours on either side first, so that chords of one arc do not cross.
        place = start + degrees * flux[one, one] / 2
        for step in range(1, n_states):
            other = (one + step) % n_states
            bases[one, other] = (place, place + degrees * flux[one, other])
            place = bases[one, other][1]
        end = start - gap
    chords = [
        Chord((a, b), (bases[a, b], bases[b, a]), _origin(flux, a, b))
        for a, b in combinations(drawn, 2)
        if flux[a, b] or flux[b, a]
    ]
    return arcs, chords


def _origin(flux: npt.NDArray[np.float64], a: int, b: int) -> int | None:
    if flux[a, b] == flux[b, a]:
        return None
    return a if flux[a, b] > flux[b, a] else b


def _ribbon(one: Span, other: Span) -> Path:
    """Return the outline of a chord: two arcs of the inner circle joined by curves."""
    here, there = (_arc(*span) for span in (one, other))
    center = np.zeros((1, 2))
    outline = np.concatenate([here, center, there, center, here[:1]])
    codes = [Path.LINETO] * len(outline)
    codes[0] = Path.MOVETO
    for bend in (len(here), len(outline) - 2):
        codes[bend : bend + 2] = [Path.CURVE3, Path.CURVE3]
    return Path(_INNER * outline, codes)


def _arc(start: float, end: float) -> npt.NDArray[np.float64]:
    """Return points on the unit circle, at least one a degree, from one angle to another."""
    angles = np.deg2rad(np.linspace(start, end, 2 + int(end - start)))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _write(axes: Axes, angles: dict[int, float], names: list[str], right: bool) -> None:
    """Write names beside one half of the circle, apart from each other, with lines to the arcs."""
    if not angles:
        return
    middles = np.array(list(angles.values()))
    heights = spread(_LABELS * np.sin(middles), 0.13)
    sign = 1 if right else -1
    for middle, height, name in zip(middles, heights, names, strict=True):
        # Beside the circle at its height, but never within it.
        out = max(sign * _LABELS * np.cos(middle), np.sqrt(max(1.14**2 - height**2, 0)))
        axes.annotate(
            name,
            (np.cos(middle), np.sin(middle)),
            xytext=(sign * (out + 0.06), height),
            ha="left" if right else "right",
            va="center",
            fontsize=7,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "0.5", "shrinkA": 1, "shrinkB": 0},
        )
