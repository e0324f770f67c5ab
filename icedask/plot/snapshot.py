"""One frame, its atoms coloured by state; before and after denoising too."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icedask.core.trajectory import check_trajectory
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.kernels.neighbors import wrap
from icedask.plot.balls import View, draw_balls, draw_cell, radii_of, view_of
from icedask.plot.rows import check_same, label_variable
from icedask.plot.style import (
    NOISE,
    PAGE,
    Names,
    axes_at,
    frame_times,
    in_style,
    legend_width,
    names_of,
    new_figure,
    state_colors,
    state_handles,
)

# Of atoms without a label, in the radius of the others.
_SMALL = 0.4
# Inches: the longer side of the picture, and from one picture to the next.
_SIDE = 4.0
_GAP = 0.25


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
    scene = _scene(trj, labels, frame, view, names, "snapshot", others=others)
    called = names_of(labels["label"], names)
    width, height = scene.high - scene.low
    scale = _SIDE / max(width, height)
    beside = legend_width(scene.states, called)
    figure = new_figure(scale * width + 0.75 + beside, scale * height + 0.75)
    axes = axes_at(figure, 0.6, 0.45, scale * width, scale * height)
    _draw(axes, scene, scene.low, scene.high)
    axes.set_xlabel(scene.view.labels[0])
    axes.set_ylabel(scene.view.labels[1])
    axes.set_title(_time(trj, frame))
    axes.legend(
        handles=state_handles(scene.states, called),
        loc="upper left",
        bbox_to_anchor=(1, 1),
        handletextpad=0.2,
    )
    return figure


@in_style
def before_and_after(
    trj: xr.Dataset,
    denoised: xr.Dataset,
    labels_before: xr.Dataset,
    labels_after: xr.Dataset,
    frame: int = -1,
    *,
    view: str = "z",
    names: Names | None = None,
) -> Figure:
    """Draw a frame before and after denoising to the same scale, balls coloured by phase.

    What is wide is drawn one above the other, else side by side.

    Parameters
    ----------
    trj, denoised : xarray.Dataset
        The trajectory, and what denoising made of it.
    labels_before, labels_after : xarray.Dataset
        label (frame, atom) of some or all atoms of each, with numbers of the same phases.
    frame : int
        Which frame of all; the last by default.
    view : str
        The axis to look along, or a rotation, as for `snapshot`.
    names : mapping of int to str, optional
        Names of phases; by default those that the labels' flags tell, else their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the four are not of the same frames, the frame is out of range, labels are not of the
        atoms, or the view is unknown.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> from icedask.plot import before_and_after
    >>> ideal = bulk("O", "diamond", a=6.37, cubic=True) * 3
    >>> noisy = ideal.copy()
    >>> noisy.rattle(0.4)
    >>> before, after = ice.from_ase(noisy), ice.from_ase(ideal)
    >>> labels = ice.chill_plus(before), ice.chill_plus(after)
    >>> figure = before_and_after(before, after, *labels)
    >>> [axes.get_title() for axes in figure.axes]
    ['before', 'after']
    """
    caller = "before_and_after"
    check_trajectory(denoised, caller)
    check_same(caller, trj, denoised, FRAME)
    scenes = [
        _scene(*pair, frame, view, names, caller)
        for pair in ((trj, labels_before), (denoised, labels_after))
    ]
    called = names_of(labels_before["label"], names_of(labels_after["label"], names))
    states = np.unique(np.concatenate([one.states for one in scenes]))
    low = np.min([one.low for one in scenes], axis=0)
    high = np.max([one.high for one in scenes], axis=0)
    width, height = high - low
    stacked = width > height
    across, up = (1, 2) if stacked else (2, 1)
    beside = legend_width(states, called)
    room = PAGE - 0.65 - _GAP - beside
    scale = min(_SIDE / max(width, height), room / (across * width))
    wide, tall = scale * width, scale * height
    figure = new_figure(
        across * wide + (across - 1) * _GAP + 0.65 + beside,
        up * tall + (up - 1) * _GAP + 0.75,
    )
    for number, (scene, title) in enumerate(zip(scenes, ("before", "after"), strict=True)):
        left = 0.6 if stacked else 0.6 + number * (wide + _GAP)
        bottom = 0.45 + (1 - number) * (tall + _GAP) if stacked else 0.45
        axes = axes_at(figure, left, bottom, wide, tall)
        _draw(axes, scene, low, high)
        axes.set_title(title)
        lowest, leftmost = not stacked or number == 1, stacked or number == 0
        axes.tick_params(labelbottom=lowest, labelleft=leftmost)
        axes.set_xlabel(scene.view.labels[0] if lowest else "")
        axes.set_ylabel(scene.view.labels[1] if leftmost else "")
    figure.axes[0 if stacked else 1].legend(
        handles=state_handles(states, called),
        title=_time(trj, frame) or None,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        handletextpad=0.2,
    )
    return figure


class _Scene(NamedTuple):
    """The balls of a frame, the states that occur, and the corners of the paper that hold all."""

    view: View
    points: FloatArray
    radii: FloatArray
    colors: list[str]
    states: npt.NDArray[np.integer]
    cell: FloatArray
    low: FloatArray
    high: FloatArray


def _scene(
    trj: xr.Dataset,
    labels: xr.Dataset,
    frame: int,
    view: str,
    names: Names | None,
    caller: str,
    *,
    others: bool = False,
) -> _Scene:
    """Return what is drawn of a frame, after checks."""
    check_trajectory(trj, caller)
    label = label_variable(labels, caller)
    check_same(caller, trj, labels, FRAME)
    seen = view_of(view, caller)
    here = one_frame(trj, frame, caller)
    place = labelled_atoms(trj, labels, caller)
    states = label.isel({FRAME: frame}).values
    positions = wrapped(here)
    colors = np.full(len(positions), NOISE, dtype=object)
    colors[place] = state_colors(states, names_of(label, names))
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
    return _Scene(
        seen, points[drawn], radii[drawn], list(colors[drawn]), np.unique(states), cell, low, high
    )


def _draw(axes: Axes, scene: _Scene, low: FloatArray, high: FloatArray) -> None:
    """Draw the balls and the cell in the corners given."""
    draw_balls(axes, scene.points, scene.radii, scene.colors)
    if scene.cell.any():
        draw_cell(axes, scene.cell, scene.view)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])


def _time(trj: xr.Dataset, frame: int) -> str:
    """Return the time of a frame, or nothing where it is not known."""
    times = frame_times(trj)
    return f"time {times.text(frame)}" if times.unit else ""


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
