"""Atoms as shaded balls, seen along any direction, with their cell and a scale."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from ase.data import atomic_numbers, covalent_radii
from ase.utils import rotate
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_rgb
from scipy.spatial import cKDTree

from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.kernels.neighbors import wrap
from icedask.plot import style
from icedask.plot.inputs import check_same

# Discs of a ball: their radius, their shift towards the light, and the black (below 0) or white in
# their colour.
DISCS = (
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
# A cell so much longer along one vector than along the others holds a slab across it.
_ELONGATED = 1.5
_SEEN = {"x": ("y (Å)", "z (Å)"), "y": ("x (Å)", "z (Å)"), "z": ("x (Å)", "y (Å)")}


class View(NamedTuple):
    """A direction to look along."""

    # (3, 3): turns positions (n, 3) into right, up and towards the eye by multiplication from the
    # right.
    matrix: FloatArray
    labels: tuple[str, str]  # Labels of the axes of the paper


class Scene(NamedTuple):
    """Balls seen along a direction, the cell about them, and the corners of the paper for all."""

    view: View
    points: FloatArray
    radii: FloatArray
    cell: FloatArray
    low: FloatArray
    high: FloatArray


def view_of(view: str | None, trj: xr.Dataset, caller: str) -> View:
    """Return the view along an axis or by a rotation of ASE; by default a slab from its side.

    Raises InputError if it is neither.
    """
    if view is None:
        view = "x" if _normal(trj) == 2 else "z"
    if view in _AXES:
        return View(_AXES[view], _SEEN[view])
    try:
        return View(np.asarray(rotate(view)), ("Å", "Å"))
    except (ValueError, KeyError, AttributeError, IndexError) as error:
        raise InputError(
            f"{caller}: view: expected x, y, z or a rotation such as '-70x,20y', found {view!r}"
        ) from error


def _normal(trj: xr.Dataset) -> int | None:
    """Return the cell vector across a slab: the one not periodic, or by far the longest."""
    (fixed,) = np.nonzero(~trj["pbc"].values.astype(bool))
    if len(fixed):
        return int(fixed[0]) if len(fixed) == 1 else None
    lengths = np.linalg.norm(trj["cell"].isel({FRAME: 0}).values, axis=1)
    order = np.argsort(lengths)
    return int(order[2]) if lengths[order[2]] > _ELONGATED * lengths[order[1]] else None


def one_frame(trj: xr.Dataset, frame: int, caller: str) -> xr.Dataset:
    """Return one frame of a trajectory.

    Raises InputError if it is out of range.
    """
    n_frames = trj.sizes[FRAME]
    if not -n_frames <= frame < n_frames:
        raise InputError(
            f"{caller}: frame: expected a number from {-n_frames} to {n_frames - 1}, found {frame}"
        )
    return trj.isel({FRAME: frame})


def labelled_atoms(trj: xr.Dataset, labels: xr.Dataset, caller: str) -> npt.NDArray[np.int64]:
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


def radii_of(elements: npt.NDArray[np.str_], positions: FloatArray) -> FloatArray:
    """Return radii in the ratio of the covalent ones, such that most balls touch their nearest."""
    covalent = covalent_radii[[atomic_numbers[element] for element in elements]]
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
    """Draw balls in the order of depth; `haze` is the white in the colour of the farthest.

    Points (n, 3) are right, up and towards the eye.
    """
    order = np.argsort(points[:, 2], kind="stable")
    xy, depth, sizes = points[order, :2], points[order, 2], radii[order]
    far = (depth[-1] - depth) / max(np.ptp(depth), 1e-9) if len(depth) else depth
    base = np.array([to_rgb(colors[place]) for place in order]).reshape(-1, 3)
    # The discs of one ball follow each other, so that a nearer ball covers them all.
    shape = (len(order), len(DISCS))
    centers, widths, faces = np.empty((*shape, 2)), np.empty(shape), np.empty((*shape, 3))
    for number, (size, shift, tint) in enumerate(DISCS):
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


def scene_of(
    positions: FloatArray, radii: FloatArray, cell: FloatArray, view: View, margin: float = 0.0
) -> Scene:
    """Return balls as they are seen; a cell of zeros is not drawn."""
    points = positions @ view.matrix
    edges = [points - radii[:, None], points + radii[:, None]]
    if cell.any():
        edges.append(np.array(list(product((0, 1), repeat=3))) @ cell @ view.matrix)
    corners = np.concatenate(edges)[:, :2]
    low, high = corners.min(axis=0), corners.max(axis=0)
    room = margin * (high - low).max()
    return Scene(view, points, radii, cell, low - room, high + room)


def draw_scene(
    axes: Axes,
    scene: Scene,
    colors: list[str],
    low: FloatArray,
    high: FloatArray,
    haze: float = _HAZE,
) -> None:
    """Draw balls and their cell between two corners of the paper."""
    draw_balls(axes, scene.points, scene.radii, colors, haze=haze)
    if scene.cell.any():
        _draw_cell(axes, scene.cell, scene.view)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])


def _draw_cell(axes: Axes, cell: FloatArray, view: View) -> None:
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
            LineCollection(lines, colors=style.DARK, linewidths=0.6, zorder=3 if before else 1)
        )


def draw_length(axes: Axes, below: float) -> None:
    """Draw a bar of a round length in angstrom, `below` of the height of the axes under them."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    left += 0.05 * (right - left)
    length = style.round_step(0.45 * (right - left))
    y = low - below * (high - low)
    axes.plot([left, left + length], [y, y], color=style.INK, lw=1.5, clip_on=False)
    style.write(axes, f"{length:g} Å", (left + length, y), (3, 0), va="center_baseline")
