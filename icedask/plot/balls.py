"""Atoms as shaded balls, seen along any direction."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from ase.data import atomic_numbers, covalent_radii
from ase.utils import rotate
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_rgb
from scipy.spatial import cKDTree

from icedask.core.types import FloatArray
from icedask.errors import InputError

# Discs that make a ball: their radius, how far they are shifted towards the light, and how much
# black (below 0) or white is in their colour.
_DISCS = (
    (1.0, 0.0, -0.55),
    (0.93, 0.0, 0.0),
    (0.7, 0.16, 0.15),
    (0.45, 0.28, 0.3),
    (0.2, 0.38, 0.6),
)
_LIGHT = np.array([-0.6, 0.8])
# White in the colour of the farthest ball.
_HAZE = 0.45
# Columns: right, up and towards the eye.
_AXES = {
    "x": np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "z": np.eye(3),
}
_SEEN = {"x": ("y (Å)", "z (Å)"), "y": ("x (Å)", "z (Å)"), "z": ("x (Å)", "y (Å)")}


class View(NamedTuple):
    """A direction to look along.

    Attributes
    ----------
    matrix : (3, 3) array
        Turns positions (n, 3) into right, up and towards the eye by multiplication from the right.
    labels : two str
        Of the axes of the paper.
    """

    matrix: FloatArray
    labels: tuple[str, str]


def view_of(view: str, caller: str) -> View:
    """Return the view along an axis, or as ASE rotates.

    Raises
    ------
    InputError
        If it is neither.
    """
    if view in _AXES:
        return View(_AXES[view], _SEEN[view])
    try:
        return View(np.asarray(rotate(view)), ("Å", "Å"))
    except (ValueError, KeyError, AttributeError, IndexError) as error:
        raise InputError(
            f"{caller}: view: expected x, y, z or a rotation such as '-70x,20y', found {view!r}"
        ) from error


def radii_of(elements: npt.NDArray[np.str_], positions: FloatArray) -> FloatArray:
    """Return radii in the ratio of the covalent ones, such that most balls touch their nearest."""
    covalent = covalent_radii[[atomic_numbers[one] for one in elements]]
    if len(positions) < 2:
        return covalent
    distances, nearest = cKDTree(positions).query(positions, 2)
    return covalent * np.median(distances[:, 1] / (covalent + covalent[nearest[:, 1]]))


def draw_balls(
    axes: Axes,
    points: FloatArray,
    radii: FloatArray,
    colors: list[str],
    *,
    haze: float = _HAZE,
    zorder: float = 2,
) -> None:
    """Draw balls in the order of depth, far ones paler.

    Parameters
    ----------
    axes
        To draw on.
    points : (n, 3) array
        Right, up and towards the eye.
    radii : (n,) array
        In the same unit.
    colors
        Of each ball.
    haze
        White in the colour of the farthest.
    zorder
        Of all, among what else is drawn.
    """
    order = np.argsort(points[:, 2], kind="stable")
    xy, depth, sizes = points[order, :2], points[order, 2], radii[order]
    far = (depth[-1] - depth) / max(np.ptp(depth), 1e-9) if len(depth) else depth
    base = np.array([to_rgb(colors[one]) for one in order]).reshape(-1, 3)
    # The discs of one ball follow each other, so that a nearer ball covers them all.
    shape = (len(order), len(_DISCS))
    centers, widths, faces = np.empty((*shape, 2)), np.empty(shape), np.empty((*shape, 3))
    for number, (size, shift, tint) in enumerate(_DISCS):
        centers[:, number] = xy + shift * sizes[:, None] * _LIGHT
        widths[:, number] = 2 * size * sizes
        shaded = base * (1 + tint) if tint < 0 else base + (1 - base) * tint
        faces[:, number] = shaded + (1 - shaded) * (haze * far)[:, None]
    flat = widths.ravel()
    axes.add_collection(
        EllipseCollection(
            flat,
            flat,
            np.zeros_like(flat),
            units="xy",
            offsets=centers.reshape(-1, 2),
            offset_transform=axes.transData,
            facecolors=faces.reshape(-1, 3),
            linewidths=0,
            rasterized=True,
            zorder=zorder,
        )
    )


def draw_cell(axes: Axes, cell: FloatArray, view: View) -> None:
    """Draw the edges of a cell: those behind its centre behind the balls, the others before."""
    corners = {bits: np.array(bits) @ cell @ view.matrix for bits in product((0, 1), repeat=3)}
    edges = [
        np.stack([corners[a], corners[b]])
        for a in corners
        for b in corners
        if a < b and sum(x != y for x, y in zip(a, b, strict=True)) == 1
    ]
    middle = np.mean(list(corners.values()), axis=0)[2]
    for before in (False, True):
        lines = [edge[:, :2] for edge in edges if (edge[:, 2].mean() > middle) == before]
        axes.add_collection(
            LineCollection(lines, colors="0.25", linewidths=0.6, zorder=3 if before else 1)
        )
