"""One frame, its atoms coloured by state."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from icedask.errors import InputError
from icedask.model import check_trajectory
from icedask.neighbors import FloatArray, wrap
from icedask.plot.balls import View, draw_balls, draw_cell, radii_of, view_of
from icedask.plot.rows import check_same, label_variable
from icedask.plot.style import (
    NOISE,
    Names,
    axes_at,
    frame_times,
    in_style,
    legend_width,
    names_of,
    new_figure,
    state_color,
    state_handles,
)
from icedask.variables import ATOM, FRAME

# Of atoms without a label, in the radius of the others.
_SMALL = 0.4
# Inches: the longer side of the picture.
_SIDE = 4.0


@in_style
def snapshot(
    trj: xr.Dataset,
    labels: xr.Dataset,
    frame: int = -1,
    *,
    view: str = "z",
    others: bool = False,
    names: Names | None = None,
) -> Figure:
    """Draw a frame as balls coloured by state, far ones paler.

    Radii are in the ratio of the covalent ones, and such that most balls touch the nearest. The
    cell is drawn if it is periodic along any of its vectors.

    Parameters
    ----------
    trj : xarray.Dataset
        The trajectory.
    labels : xarray.Dataset
        label (frame, atom) of some or all of its atoms.
    frame : int
        Which frame; the last by default.
    view : str
        The axis to look along: x (y to the right, z up), y (x to the right, z up) or z (x to the
        right, y up). Or a rotation as ASE writes it, in degrees about the axes of the paper, such
        as "-70x,20y", or "180x" for z from below.
    others : bool
        Draw the atoms without a label too, small and grey.
    names : mapping of int to str, optional
        Names of states; by default those that the labels' flags tell, else their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the frame is out of range, the labels are not of the trajectory's frames and atoms, or
        the view is unknown.
    """
    check_trajectory(trj, "snapshot")
    label = label_variable(labels, "snapshot")
    check_same("snapshot", trj, labels, FRAME)
    seen = view_of(view, "snapshot")
    here, frame = one_frame(trj, frame, "snapshot"), frame % trj.sizes[FRAME]
    place = labelled_atoms(trj, labels, "snapshot")
    states = label.isel({FRAME: frame}).values
    positions = wrapped(here)
    colors = np.full(len(positions), NOISE, dtype=object)
    colors[place] = [state_color(int(one)) for one in states]
    radii = np.empty(len(positions))
    elements = here["element"].values
    radii[place] = radii_of(elements[place], positions[place])
    rest = np.setdiff1d(np.arange(len(positions)), place)
    radii[rest] = _SMALL * radii[place].mean()
    drawn = np.sort(np.concatenate([place, rest])) if others else place

    points = positions @ seen.matrix
    # A box that repeats nothing is no part of the matter.
    cell = here["cell"].values if here["pbc"].values.any() else np.zeros((3, 3))
    low, high = _extent(points[drawn], radii[drawn], cell, seen)
    width, height = high - low
    scale = _SIDE / max(width, height)
    called = names_of(labels["label"], names)
    found = np.unique(states)
    figure = new_figure(scale * width + 0.75 + legend_width(found, called), scale * height + 0.75)
    axes = axes_at(figure, 0.6, 0.45, scale * width, scale * height)
    draw_balls(axes, points[drawn], radii[drawn], list(colors[drawn]))
    if cell.any():
        draw_cell(axes, cell, seen)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_xlabel(seen.labels[0])
    axes.set_ylabel(seen.labels[1])
    times = frame_times(trj)
    axes.set_title(f"time {times.text(frame)}" if times.unit else "")
    axes.legend(
        handles=state_handles(found, called),
        loc="upper left",
        bbox_to_anchor=(1, 1),
        handletextpad=0.2,
    )
    return figure


def one_frame(trj: xr.Dataset, frame: int, caller: str) -> xr.Dataset:
    """Return one frame of a trajectory.

    Raises
    ------
    InputError
        If it is out of range.
    """
    n_frames = trj.sizes[FRAME]
    if not -n_frames <= frame < n_frames:
        raise InputError(
            f"{caller}: frame: expected a number from {-n_frames} to {n_frames - 1}, found {frame}"
        )
    return trj.isel({FRAME: frame})


def labelled_atoms(trj: xr.Dataset, labels: xr.Dataset, caller: str) -> np.ndarray:
    """Return the positions in the trajectory of the atoms that have labels."""
    if ATOM not in labels.coords or ATOM not in trj.coords:
        check_same(caller, trj, labels, ATOM)
        return np.arange(trj.sizes[ATOM])
    place = trj.indexes[ATOM].get_indexer(labels[ATOM].values)
    if (place < 0).any():
        raise InputError(
            f"{caller}: expected labels of atoms of this trajectory, found atom "
            f"{labels[ATOM].values[np.argmin(place)]}, which it has not; pass the trajectory that "
            "they were computed from"
        )
    return place


def wrapped(here: xr.Dataset) -> FloatArray:
    """Return the positions of a frame in its cell, from the cell's origin."""
    origin = here["cell_origin"].values if "cell_origin" in here else np.zeros(3)
    positions = here["positions"].values.astype(float) - origin
    return wrap(positions, here["cell"].values, here["pbc"].values)[0]


def _extent(
    points: FloatArray, radii: FloatArray, cell: FloatArray, seen: View
) -> tuple[FloatArray, FloatArray]:
    """Return the corners of the paper that hold the balls and the cell."""
    low = (points - radii[:, None]).min(axis=0)
    high = (points + radii[:, None]).max(axis=0)
    if cell.any():
        bits = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), axis=-1).reshape(-1, 3)
        corners = bits @ cell @ seen.matrix
        low, high = np.minimum(low, corners.min(axis=0)), np.maximum(high, corners.max(axis=0))
    margin = 0.01 * (high - low).max()
    return low[:2] - margin, high[:2] + margin
