"""Atoms of one frame as balls, before and after denoising too, and environments of motifs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy.spatial import cKDTree

from icedask.core.trajectory import check_trajectory
from icedask.core.types import FloatArray
from icedask.core.variables import FRAME
from icedask.errors import InputError
from icedask.plot import style
from icedask.plot.balls import (
    Scene,
    draw_balls,
    draw_length,
    draw_scene,
    labelled_atoms,
    one_frame,
    radii_of,
    scene_of,
    view_of,
    wrapped,
)
from icedask.plot.inputs import check_same, checked_categories, label_variable

if TYPE_CHECKING:
    import ase

# Atoms without a label, in the radius of the others.
_SMALL = 0.4
# Inches: the longer side of the picture, from one picture to the next, and the margins of both.
_LONGER, _GAP, _LEFT, _BELOW, _ALL = 4.0, 0.25, 0.6, 0.45, 0.75
# Angstrom: the longest bond of an environment.
_BOND = 3.5
# In radii of balls that touch; the centre is larger.
_BALL, _CENTER = 0.4, 0.6
# Environments are seen a little from the side and from above, degrees.
_TURN, _TILT = 20.0, 12.0
_LAYERS = 12
# Inches: an environment, its title and the scale of all.
_SIDE, _TITLE, _SCALE, _COLUMNS = 1.1, 0.2, 0.2, 6


@style.in_style
def snapshot(
    trj: xr.Dataset,
    labels: xr.Dataset,
    frame: int = -1,
    *,
    view: str | None = None,
    others: bool = False,
    names: style.Names | None = None,
) -> Figure:
    """Draw a frame as balls coloured by state, far ones paler.

    Radii are in the ratio of the covalent ones, and such that most balls touch the nearest. The
    cell is drawn if it is periodic along any of its vectors.

    Parameters
    ----------
    labels : xarray.Dataset
        label (frame, atom) of some or all of its atoms.
    frame : int
        Position of the frame; the last by default.
    others : bool
        Draw the atoms without a label too, small and grey.

    Raises
    ------
    InputError
        If the frame is out of range, the labels are not of the trajectory's frames and atoms, or
        the view is unknown.
    """
    picture = _picture(trj, labels, frame, view, names, "snapshot", others=others)
    return _to_one_scale({_time(trj, frame): picture})


@style.in_style
def before_and_after(
    trj: xr.Dataset,
    denoised: xr.Dataset,
    labels_before: xr.Dataset,
    labels_after: xr.Dataset,
    frame: int = -1,
    *,
    view: str | None = None,
    names: style.Names | None = None,
) -> Figure:
    """Draw a frame before and after denoising to the same scale, balls coloured by phase.

    Wide cells are drawn one above the other, others side by side.

    Parameters
    ----------
    trj, denoised : xarray.Dataset
        The trajectory, and its denoised positions.
    labels_before, labels_after : xarray.Dataset
        label (frame, atom) of some or all atoms of each, with numbers of the same phases.
    frame : int
        Position of the frame in all; the last by default.

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
    before = _picture(trj, labels_before, frame, view, names, caller)
    after = _picture(denoised, labels_after, frame, view, names, caller)
    return _to_one_scale({"before": before, "after": after}, _time(trj, frame))


@style.in_style
def environments(
    atoms: Mapping[int, ase.Atoms], *, categories: Mapping[int, str] | None = None
) -> Figure:
    """Draw the environment of an atom of each motif, side by side, as balls with bonds.

    All are turned the same way: the nearest neighbour of the central atom points up, and the
    second nearest to the right. Atoms nearer than 3.5 Å have a bond; those bonded to the central
    one are darker than the others. The scale is common to all.

    Parameters
    ----------
    atoms : mapping of int to ase.Atoms
        By motif, the central atom first, then those around it at their places about it: no
        periodic images are looked for.

    Raises
    ------
    InputError
        If there is no environment, one has no atoms, or a motif has no category.

    Examples
    --------
    >>> import ase
    >>> from icedask.plot import environments
    >>> pair = ase.Atoms("O2", [[0, 0, 0], [0, 0, 2.8]])
    >>> figure = environments({0: pair, 1: pair}, categories={0: "ice", 1: "liquid"})
    >>> [axes.get_title() for axes in figure.axes]
    ['0 (ice)', '1 (liquid)']
    """
    if not atoms:
        raise InputError("environments: expected at least one by its motif, found none")
    empty = [str(motif) for motif, around in atoms.items() if not len(around)]
    if empty:
        raise InputError(
            f"environments: expected atoms about each motif's, found none for {', '.join(empty)}"
        )
    known = None if categories is None else checked_categories(categories, atoms, "environments")
    turned = {int(motif): oriented(around.positions) for motif, around in atoms.items()}
    reach = max(np.abs(points).max() for points in turned.values()) + 1.0
    across = min(len(atoms), _COLUMNS)
    side = min(_SIDE, style.PAGE / across)
    down = -(-len(atoms) // across)
    figure = style.new_figure(across * side, down * (side + _TITLE) + _SCALE)
    for number, (motif, points) in enumerate(turned.items()):
        row, column = divmod(number, across)
        bottom = _SCALE + (down - 1 - row) * (side + _TITLE)
        axes = style.axes_at(figure, column * side, bottom, side, side)
        _draw_environment(
            axes, points, np.array(atoms[motif].get_chemical_symbols()), style.state_color(motif)
        )
        axes.set_xlim(-reach, reach)
        axes.set_ylim(-reach, reach)
        axes.axis("off")
        axes.set_title(f"{motif} ({known[motif]})" if known else str(motif), pad=2)
    # Under the first of the lowest row.
    draw_length(figure.axes[(down - 1) * across], 0.5 * _SCALE / side)
    return figure


class _Picture(NamedTuple):
    """A frame to draw: its balls, their colours, and the states that occur with their names."""

    scene: Scene
    colors: list[str]
    states: npt.NDArray[np.integer]
    names: dict[int, str]


def _picture(
    trj: xr.Dataset,
    labels: xr.Dataset,
    frame: int,
    view: str | None,
    names: style.Names | None,
    caller: str,
    *,
    others: bool = False,
) -> _Picture:
    """Return a frame to draw, after checks."""
    check_trajectory(trj, caller)
    label = label_variable(labels, caller)
    check_same(caller, trj, labels, FRAME)
    seen = view_of(view, trj, caller)
    here = one_frame(trj, frame, caller)
    place = labelled_atoms(trj, labels, caller)
    states = label.isel({FRAME: frame}).values
    called = style.names_of(label, names)
    positions = wrapped(here)
    colors = np.full(len(positions), style.NOISE, dtype=object)
    colors[place] = style.state_colors(states, called)
    radii = np.empty(len(positions))
    radii[place] = radii_of(here["element"].values[place], positions[place])
    rest = np.setdiff1d(np.arange(len(positions)), place)
    radii[rest] = _SMALL * radii[place].mean()
    drawn = np.sort(np.concatenate([place, rest])) if others else place
    # A box that repeats nothing is no part of the matter.
    cell = here["cell"].values if here["pbc"].values.any() else np.zeros((3, 3))
    scene = scene_of(positions[drawn], radii[drawn], cell, seen, margin=0.01)
    return _Picture(scene, list(colors[drawn]), np.unique(states), called)


def _to_one_scale(pictures: Mapping[str, _Picture], heading: str = "") -> Figure:
    """Draw pictures by their titles, one above the other if wide, with one legend."""
    low = np.min([picture.scene.low for picture in pictures.values()], axis=0)
    high = np.max([picture.scene.high for picture in pictures.values()], axis=0)
    width, height = high - low
    n, stacked = len(pictures), width > height
    across, up = (1, n) if stacked else (n, 1)
    states = np.unique(np.concatenate([picture.states for picture in pictures.values()]))
    called = {state: name for picture in pictures.values() for state, name in picture.names.items()}
    handles = style.state_handles(states, called)
    beside = style.legend_width(handles, heading) + _ALL
    room = style.PAGE - beside - (across - 1) * _GAP
    scale = min(_LONGER / max(width, height), room / (across * width))
    wide, tall = scale * width, scale * height
    figure = style.new_figure(
        across * wide + (across - 1) * _GAP + beside, up * tall + (up - 1) * _GAP + _ALL
    )
    for number, (title, picture) in enumerate(pictures.items()):
        row, column = (number, 0) if stacked else (0, number)
        left, bottom = _LEFT + column * (wide + _GAP), _BELOW + (up - 1 - row) * (tall + _GAP)
        axes = style.axes_at(figure, left, bottom, wide, tall)
        draw_scene(axes, picture.scene, picture.colors, low, high)
        axes.set_title(title)
        lowest, leftmost = row == up - 1, column == 0
        axes.tick_params(labelbottom=lowest, labelleft=leftmost)
        axes.set_xlabel(picture.scene.view.labels[0] if lowest else "")
        axes.set_ylabel(picture.scene.view.labels[1] if leftmost else "")
    style.legend_right(figure.axes[across - 1], handles, title=heading or None)
    return figure


def _time(trj: xr.Dataset, frame: int) -> str:
    """Return the time of a frame, or nothing where it is not known."""
    times = style.frame_times(trj)
    return f"time {times.text(frame)}" if times.unit else ""


def oriented(positions: FloatArray) -> FloatArray:
    """Return places about the first atom: right, up and towards the eye."""
    points = np.asarray(positions, float) - positions[0]
    order = np.argsort(np.linalg.norm(points, axis=1), kind="stable")[1:3]
    first, second = np.concatenate([points[order], np.eye(3)])[:2]
    up = first / max(np.linalg.norm(first), 1e-12)
    right = second - second @ up * up
    if np.linalg.norm(right) < 1e-6:
        # On one line: any direction across it.
        right = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    right = right / np.linalg.norm(right)
    frame = np.stack([right, up, np.cross(right, up)], axis=1)
    turn, tilt = np.radians([_TURN, _TILT])
    about_up = np.array(
        [[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]]
    )
    about_right = np.array(
        [[1, 0, 0], [0, np.cos(tilt), np.sin(tilt)], [0, -np.sin(tilt), np.cos(tilt)]]
    )
    turned: FloatArray = points @ frame @ about_up @ about_right
    return turned


def _draw_environment(
    axes: Axes, points: FloatArray, elements: npt.NDArray[np.str_], color: str
) -> None:
    """Draw balls and halves of bonds, layer by layer from the farthest to the nearest."""
    bonds = cKDTree(points).query_pairs(_BOND, output_type="ndarray")
    ends = points[np.concatenate([bonds, bonds[:, ::-1]])]
    # A half reaches from its atom to the middle.
    halves = np.stack([ends[:, 0], ends.mean(axis=1)], axis=1)
    near = np.isin(np.arange(len(points)), bonds[(bonds == 0).any(axis=1)])
    colors = np.where(near, style.GUIDE, style.PALE).astype(object)
    colors[0] = color
    radii = _BALL * radii_of(elements, points)
    radii[0] *= _CENTER / _BALL
    edges = np.linspace(points[:, 2].min(), points[:, 2].max(), _LAYERS + 1)[1:-1]
    of_ball = np.searchsorted(edges, points[:, 2])
    of_half = np.searchsorted(edges, halves[:, :, 2].mean(axis=1))
    for layer in range(_LAYERS):
        lines = list(halves[of_half == layer][:, :, :2])
        axes.add_collection(
            LineCollection(lines, colors=style.GUIDE, linewidths=1.2, zorder=2 + layer)
        )
        inside = of_ball == layer
        draw_balls(
            axes, points[inside], radii[inside], list(colors[inside]), haze=0, zorder=2.5 + layer
        )
