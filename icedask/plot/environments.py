"""The environment of an atom of each motif, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy.spatial import cKDTree

from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.plot.balls import draw_balls, radii_of
from icedask.plot.motifs import check_categories
from icedask.plot.style import PAGE, axes_at, in_style, new_figure, state_color

if TYPE_CHECKING:
    import ase

# Angstrom: the longest bond.
_BOND = 3.5
# Of the radius of balls that touch; the centre is larger.
_BALL, _CENTER = 0.4, 0.6
_NEAR, _FAR, _STICK = "#8C8C8C", "#D0D0D0", "#8C8C8C"
# Seen a little from the side and from above, degrees.
_TURN, _TILT = 20.0, 12.0
_LAYERS = 12
# Inches.
_SIDE, _TITLE, _COLUMNS = 1.1, 0.2, 6


@in_style
def environments(
    atoms: Mapping[int, ase.Atoms], *, categories: Mapping[int, str] | None = None
) -> Figure:
    """Draw environments of atoms, one of each motif, as balls with bonds.

    All are turned the same way: the nearest neighbour of the central atom points up, and the
    second nearest to the right. Atoms nearer than 3.5 Å have a bond; those bonded to the central
    one are darker than the others.

    Parameters
    ----------
    atoms : mapping of int to ase.Atoms
        By motif, the central atom first, then those around it at their places about it: no
        periodic images are looked for.
    categories : mapping of int to str, optional
        Of each motif: ice, transient or liquid.

    Returns
    -------
    matplotlib.figure.Figure

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
    empty = [str(motif) for motif, one in atoms.items() if not len(one)]
    if empty:
        raise InputError(
            f"environments: expected atoms about each motif's, found none for {', '.join(empty)}"
        )
    known = None if categories is None else check_categories(categories, atoms, "environments")
    turned = {int(motif): _turned(one.positions) for motif, one in atoms.items()}
    reach = max(np.abs(one).max() for one in turned.values()) + 1.0
    across = min(len(atoms), _COLUMNS)
    side = min(_SIDE, PAGE / across)
    down = -(-len(atoms) // across)
    figure = new_figure(across * side, down * (side + _TITLE))
    for number, (motif, points) in enumerate(turned.items()):
        row, column = divmod(number, across)
        bottom = (down - 1 - row) * (side + _TITLE)
        axes = axes_at(figure, column * side, bottom, side, side)
        _draw(axes, points, np.array(atoms[motif].get_chemical_symbols()), state_color(motif))
        axes.set_xlim(-reach, reach)
        axes.set_ylim(-reach, reach)
        axes.axis("off")
        axes.set_title(f"{motif} ({known[motif]})" if known else str(motif), pad=2)
    return figure


def _turned(positions: FloatArray) -> FloatArray:
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


def _draw(axes: Axes, points: FloatArray, elements: np.ndarray, color: str) -> None:
    """Draw balls and halves of bonds, layer by layer from the farthest to the nearest."""
    bonds = cKDTree(points).query_pairs(_BOND, output_type="ndarray")
    ends = points[np.concatenate([bonds, bonds[:, ::-1]])]
    # A half reaches from its atom to the middle.
    halves = np.stack([ends[:, 0], ends.mean(axis=1)], axis=1)
    near = np.isin(np.arange(len(points)), bonds[(bonds == 0).any(axis=1)])
    colors = np.where(near, _NEAR, _FAR).astype(object)
    colors[0] = color
    radii = _BALL * radii_of(elements, points)
    radii[0] *= _CENTER / _BALL
    edges = np.linspace(points[:, 2].min(), points[:, 2].max(), _LAYERS + 1)[1:-1]
    of_ball = np.searchsorted(edges, points[:, 2])
    of_half = np.searchsorted(edges, halves[:, :, 2].mean(axis=1))
    for layer in range(_LAYERS):
        lines = list(halves[of_half == layer][:, :, :2])
        axes.add_collection(LineCollection(lines, colors=_STICK, linewidths=1.2, zorder=2 + layer))
        some = of_ball == layer
        draw_balls(axes, points[some], radii[some], list(colors[some]), haze=0, zorder=2.5 + layer)
