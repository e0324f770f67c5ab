"""Sankey diagrams of the flow of atoms between states at chosen frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from icedask.core.variables import FRAME
from icedask.errors import InputError
from icedask.plot import style
from icedask.plot.inputs import label_variable

# Widths of a bar in columns, and of the space between two states in the height of all atoms.
_BAR, _SPACE = 0.08, 0.02


@style.in_style
def sankey(
    labels: xr.Dataset, frames: Sequence[int], *, names: style.Names | None = None
) -> Figure:
    """Draw the flow of atoms from state to state between chosen frames.

    Bars are populations, ribbons the atoms that are in one state at a frame and in another, or
    the same, at the next chosen one; frames between them are left out. Atoms without a state are
    drawn as noise, so that none is lost. A ribbon has the colour of the state it leaves.

    Parameters
    ----------
    labels : xarray.Dataset
        label (frame, atom); only the chosen frames are computed.
    frames : sequence of int
        Positions of frames, ascending; negative ones count from the end.

    Raises
    ------
    InputError
        If there are no labels, or a frame is out of range or out of order.
    """
    label = label_variable(labels, "sankey")
    chosen = _frames(frames, label.sizes[FRAME])
    values = label.isel({FRAME: chosen}).values
    states, place = np.unique(values, return_inverse=True)
    place = place.reshape(values.shape)
    n_states, n_atoms = len(states), values.shape[1]
    called = style.names_of(label, names)
    colors = style.state_colors(states, called)
    bars = np.stack([np.bincount(row, minlength=n_states) for row in place]) / n_atoms
    bottoms = np.cumsum(bars, axis=1) - bars + _SPACE * np.arange(n_states)

    figure = style.new_figure(min(style.PAGE, max(style.COLUMN, 1.6 + 1.1 * len(chosen))), 2.6)
    axes = figure.subplots()
    for column in range(len(chosen) - 1):
        pairs = place[column] * n_states + place[column + 1]
        flow = np.bincount(pairs, minlength=n_states**2).reshape(n_states, n_states) / n_atoms
        starts = bottoms[column][:, None] + np.cumsum(flow, axis=1) - flow
        ends = bottoms[column + 1][None, :] + np.cumsum(flow, axis=0) - flow
        for a, b in np.argwhere(flow):
            ribbon = _ribbon(column, starts[a, b], ends[a, b], flow[a, b])
            axes.add_patch(PathPatch(ribbon, facecolor=colors[a], alpha=0.45, lw=0))
    for column, row in np.argwhere(bars):
        corner = (column - _BAR / 2, bottoms[column, row])
        axes.add_patch(Rectangle(corner, _BAR, bars[column, row], facecolor=colors[row], lw=0))
    for column, side in {0: "right", len(chosen) - 1: "left"}.items():
        shown = np.flatnonzero(bars[column])
        heights = style.spread((bottoms + bars / 2)[column, shown], 0.06)
        for row, height in zip(shown, heights, strict=True):
            shift = -0.08 if side == "right" else 0.08
            text = f"{style.percent_text(100 * bars[column, row])} %"
            axes.text(column + shift, height, text, ha=side, va="center", fontsize=style.SMALL)
    times = style.frame_times(labels)
    axes.set_xticks(range(len(chosen)), [times.text(frame) for frame in chosen])
    axes.set_yticks([])
    axes.set_xlim(-0.4, len(chosen) - 0.6)
    axes.set_ylim(-0.03, 1.03 + _SPACE * (n_states - 1))
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", length=0)
    style.legend_beside(figure, style.state_handles(states[::-1], called, "s"))
    return figure


def _frames(frames: Sequence[int], n_frames: int) -> list[int]:
    """Return positions of frames from the start, ascending."""
    positions = np.atleast_1d(frames)
    if positions.ndim != 1 or not positions.size or positions.dtype.kind not in "iu":
        raise InputError(f"sankey: frames: expected whole numbers, at least one, found {frames!r}")
    if (positions < -n_frames).any() or (positions >= n_frames).any():
        raise InputError(
            f"sankey: frames: expected numbers from {-n_frames} to {n_frames - 1}, found {frames!r}"
        )
    chosen = [int(frame) % n_frames for frame in positions]
    if (np.diff(chosen) <= 0).any():
        raise InputError(f"sankey: frames: expected later and later ones, found {frames!r}")
    return chosen


def _ribbon(column: int, start: float, end: float, height: float) -> Path:
    """Return the outline of a ribbon from the bar of a column to that of the next."""
    left, right = column + _BAR / 2, column + 1 - _BAR / 2
    middle = (left + right) / 2
    lower = [(left, start), (middle, start), (middle, end), (right, end)]
    upper = [(x, y + height) for x, y in reversed(lower)]
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3]
    return Path(np.array(lower + upper), codes)
