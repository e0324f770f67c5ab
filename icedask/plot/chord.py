"""Chord diagrams of the flux between states."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Wedge
from matplotlib.path import Path
from matplotlib.patheffects import withStroke

from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.plot import style
from icedask.plot.inputs import flux_of

# Degrees between arcs, where there are few.
_GAP = 4.0
# Radii: the inner side of arcs, numbers, ends of ticks, and names.
_INNER, _NUMBERS, _TICK, _LABELS = 0.9, 0.76, 1.03, 1.16
# Of a digit and of a line of text, in radii.
_DIGIT, _LINE = 0.065, 0.12
# Inches: the square about the circle, and a letter of a name beside it.
_SIDE, _LETTER = 2.6, 0.058
# Ticks along all arcs, about.
_TICKS = 40
Span = tuple[float, float]


class Chord(NamedTuple):
    """Two states, the spans of angles of the bases of their chord, and the one that gives more."""

    states: tuple[int, int]  # Rows of the flux
    # Degrees on the arc of either state, as wide as the flux from it to the other.
    bases: tuple[Span, Span]
    origin: int | None  # The state that gives more atoms; None where both give the same


@style.in_style
def chord(
    transitions: xr.Dataset, *, self_transitions: bool = True, names: style.Names | None = None
) -> Figure:
    """Draw the flux between states as chords of a circle.

    The arc of a state is as long as all transitions from it. The base of a chord is as wide, on
    the arc of either state, as the transitions from it to the other; the colour is that of the
    state that gives more, grey where neither does. Atoms that stay are the part of the arc, half
    at each end, that has no chord. Ticks along the arcs count transitions; the number of them
    stands at each base that has the room.

    All widths are to scale. Where most atoms stay, chords are as thin as lines: each has an
    outline of half a point, so that it shows however rare it is, and without self-transitions
    the same exchanges fill the circle.

    Parameters
    ----------
    self_transitions : bool
        Let arcs include the atoms that stay.

    Raises
    ------
    InputError
        If there is no such variable, it is not square, or there is nothing to draw.
    """
    called, colors, counts = flux_of(transitions, names, "chord")
    arcs, chords = chord_layout(counts, self_transitions)
    beside = _LETTER * max(map(len, called))
    figure = style.new_figure(min(style.PAGE, _SIDE + 2 * beside), _SIDE + 0.2)
    axes = figure.subplots()
    for state, span in arcs.items():
        axes.add_patch(
            Wedge(
                (0, 0),
                1.0,
                *span,
                width=1 - _INNER,
                facecolor=colors[state],
                edgecolor=colors[state],
                linewidth=0.5,
            )
        )
    # The widest first: rare ones lie on top.
    for ribbon in sorted(chords, key=lambda chord: -max(end - start for start, end in chord.bases)):
        color = style.NOISE if ribbon.origin is None else colors[ribbon.origin]
        axes.add_patch(
            PathPatch(_ribbon(*ribbon.bases), facecolor=color, edgecolor=color, lw=0.5, alpha=0.6)
        )
    for (a, b), bases, _ in chords:
        for base, count in zip(bases, (counts[a, b], counts[b, a]), strict=True):
            _write_count(axes, base, int(count))
    middles = {state: np.deg2rad(sum(span) / 2) for state, span in arcs.items()}
    for right in (True, False):
        side = {state: angle for state, angle in middles.items() if (np.cos(angle) >= 0) == right}
        _write_names(axes, side, [called[state] for state in side], right)
    drawn = counts.sum() if self_transitions else counts.sum() - np.trace(counts)
    step = max(1, style.round_step(float(drawn) / _TICKS))
    turn = sum(end - start for start, end in arcs.values()) / drawn
    _draw_ticks(axes, arcs, turn * step)
    axes.set_xlim(-1.25, 1.25)
    axes.set_ylim(-1.25, 1.25)
    axes.set_aspect("equal")
    axes.axis("off")
    unit = "transition" if step == 1 else "transitions"
    note = f"from one tick to the next: {style.count_text(int(step))} {unit}"
    style.write(axes, note, (0.5, 0), (0, -6), "axes fraction", ha="center", color=style.GUIDE)
    return figure


def chord_layout(
    counts: npt.NDArray[np.int64], self_transitions: bool
) -> tuple[dict[int, Span], list[Chord]]:
    """Return the span of degrees of each state's arc, clockwise from the top, and the chords.

    Raises InputError if there are no transitions.
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
    drawn = [state for state in range(n_states) if flux[state].any() or flux[:, state].any()]
    gap = min(_GAP, 90 / len(drawn)) if len(drawn) > 1 else 0.0
    degrees = (360 - gap * len(drawn)) / flux.sum()
    arcs: dict[int, Span] = {}
    bases: dict[tuple[int, int], Span] = {}
    end = 90.0 - gap / 2
    for state in drawn:
        start = end - degrees * flux[state].sum()
        arcs[state] = (start, end)
        # Towards the neighbours on either side first, so that chords of one arc do not cross.
        place = start + degrees * flux[state, state] / 2
        for step in range(1, n_states):
            other = (state + step) % n_states
            bases[state, other] = (place, place + degrees * flux[state, other])
            place = bases[state, other][1]
        end = start - gap
    chords = [
        Chord((a, b), (bases[a, b], bases[b, a]), _origin(flux, a, b))
        for a, b in combinations(drawn, 2)
        if flux[a, b] or flux[b, a]
    ]
    return arcs, chords


def _origin(flux: FloatArray, a: int, b: int) -> int | None:
    if flux[a, b] == flux[b, a]:
        return None
    return a if flux[a, b] > flux[b, a] else b


def _ribbon(first: Span, second: Span) -> Path:
    """Return the outline of a chord: two arcs of the inner circle joined by curves."""
    here, there = (_arc(*span) for span in (first, second))
    center = np.zeros((1, 2))
    outline = np.concatenate([here, center, there, center, here[:1]])
    codes = [Path.LINETO] * len(outline)
    codes[0] = Path.MOVETO
    for bend in (len(here), len(outline) - 2):
        codes[bend : bend + 2] = [Path.CURVE3, Path.CURVE3]
    return Path(_INNER * outline, codes)


def _arc(start: float, end: float) -> FloatArray:
    """Return points on the unit circle, at least one a degree, from one angle to another."""
    angles = np.deg2rad(np.linspace(start, end, 2 + int(end - start)))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _write_count(axes: Axes, base: Span, count: int) -> None:
    """Write the number of transitions at the base of a chord, where it has the room."""
    text, middle = style.count_text(count), np.deg2rad(sum(base) / 2)
    # Room along the arc, for a text that lies level.
    needed = _DIGIT * len(text) * abs(np.sin(middle)) + _LINE * abs(np.cos(middle))
    if 2 * _NUMBERS * np.sin(np.deg2rad(min(base[1] - base[0], 180) / 2)) > needed:
        axes.text(
            _NUMBERS * np.cos(middle),
            _NUMBERS * np.sin(middle),
            text,
            ha="center",
            va="center",
            fontsize=style.SMALL,
            color=style.INK,
            path_effects=[withStroke(linewidth=1.5, foreground=style.PAPER)],
        )


def _draw_ticks(axes: Axes, arcs: dict[int, Span], step: float) -> None:
    """Draw ticks outside of the arcs, every so many degrees from their beginnings on."""
    angles = [np.arange(end, start - 1e-9, -step) for start, end in arcs.values()]
    turned = np.deg2rad(np.concatenate(angles))
    ends = np.stack([np.cos(turned), np.sin(turned)], axis=1)
    lines = list(np.stack([ends, _TICK * ends], axis=1))
    axes.add_collection(LineCollection(lines, colors=style.GUIDE, linewidths=0.5))


def _write_names(axes: Axes, angles: dict[int, float], names: list[str], right: bool) -> None:
    """Write names beside one half of the circle, apart from each other, with lines to the arcs."""
    if not angles:
        return
    middles = np.array(list(angles.values()))
    heights = style.spread(_LABELS * np.sin(middles), 0.13)
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
            fontsize=style.SMALL,
            arrowprops={
                "arrowstyle": "-",
                "lw": 0.5,
                "color": style.GUIDE,
                "shrinkA": 1,
                "shrinkB": 0,
            },
        )
