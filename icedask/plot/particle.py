"""The path of one particle, in latent space and in space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from icedask.core.features import feature_variable
from icedask.core.trajectory import check_atom_order, check_trajectory
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.kernels.neighbors import complete_cell
from icedask.plot import style
from icedask.plot.balls import draw_balls, labelled_atoms, radii_of, view_of
from icedask.plot.inputs import check_same, sample_rows
from icedask.plot.latent import name_components, scatter

if TYPE_CHECKING:
    from icedask.learn.pca import PCA


@style.in_style
def particle_path(
    trj: xr.Dataset,
    latent: xr.Dataset,
    labels: xr.Dataset,
    atom: int,
    *,
    around: float = 8.0,
    view: str | None = None,
    components: tuple[int, int] = (0, 1),
    max_points: int = 20_000,
    seed: int = 0,
    names: style.Names | None = None,
    variance: PCA | npt.ArrayLike | None = None,
) -> Figure:
    """Draw the path of one particle through latent space and through space, coloured by time.

    In space, each step is the shortest one between periodic images, so that the path does not
    jump at a face of the cell. It is right if the particle moves less than half a cell from frame
    to frame. Both paths end at the last frame in which the particle has latent
    coordinates; the balls are the atoms around it there, coloured by state.

    Parameters
    ----------
    trj : xarray.Dataset
        The trajectory: the frames of `latent`; only this particle, and the last frame, are read.
    atom : int
        The particle, by the coordinate atom; the title has the id of the source too.
    around : float, angstrom
        Distance from the particle at the end of its path up to which atoms are drawn.
    max_points : int
        Rows of all particles to draw behind the path, the same number from each frame.

    Raises
    ------
    InputError
        If there is no such atom, its latent coordinates are all NaN, or the Datasets are not of
        the same frames and atoms.
    """
    check_trajectory(trj, "particle_path")
    check_atom_order(trj, "particle_path")
    check_same("particle_path", trj, latent, FRAME)
    seen = view_of(view, trj, "particle_path")
    rows = sample_rows(latent, labels, components, max_points, seed, "particle_path")
    place = labelled_atoms(trj, labels, "particle_path")
    (number,) = np.nonzero(trj[ATOM].values[place] == atom)
    if not len(number):
        raise InputError(
            f"particle_path: atom: expected an atom with a label, found {atom}; for example "
            f"{trj[ATOM].values[place[0]]}"
        )
    coordinates = feature_variable(latent).isel({ATOM: number[0]})[:, list(components)].values
    finite = np.isfinite(coordinates).all(axis=1)
    if not finite.any():
        raise InputError(f"particle_path: atom {atom} has only NaN in latent; nothing to draw")
    frames = slice(0, int(np.flatnonzero(finite)[-1]) + 1)
    particle = int(place[number[0]])
    positions = unwrapped(trj.isel({FRAME: frames, ATOM: particle})) @ seen.matrix
    times = style.frame_times(trj)
    time = times.values[frames]

    last = frames.stop - 1
    states = np.full(trj.sizes[ATOM], -1)
    states[place] = labels["label"].isel({FRAME: last}).values
    vectors = _vectors_to(trj.isel({FRAME: last}), particle)
    near = np.linalg.norm(vectors, axis=1) < around
    near[particle] = False
    called, around_it = style.names_of(labels["label"], names), np.unique(states[near])

    handles = style.state_handles(around_it, called)
    beside = style.legend_width(handles, "start")
    side = max(1.5, (style.PAGE - 1.9 - beside) / 2)
    figure = style.new_figure(2 * side + 1.9 + beside, side + 0.75)
    left = style.axes_at(figure, 0.55, 0.45, side, side)
    right = style.axes_at(figure, side + 1.2, 0.45, side, side)
    scatter(left, rows.values, np.full(len(rows.values), style.NOISE), seed)
    _draw_path(left, coordinates[finite], times.values[finite])
    name_components(left, components, "particle_path", variance)
    left.set_title("latent space")
    radii = radii_of(trj["element"].values[near], vectors[near])
    colors = style.state_colors(states[near], called)
    draw_balls(right, positions[-1] + vectors[near] @ seen.matrix, radii, colors)
    line = _draw_path(right, positions[:, :2], time)
    shown = np.concatenate([positions, positions[-1:] - around, positions[-1:] + around])[:, :2]
    middle = (shown.min(axis=0) + shown.max(axis=0)) / 2
    # Room for the balls at the edge.
    half = np.ptp(shown, axis=0).max() / 2 + 2
    right.set_xlim(middle[0] - half, middle[0] + half)
    right.set_ylim(middle[1] - half, middle[1] + half)
    right.set_title(f"{_atom_text(trj, particle)} in space")
    right.set_xlabel(seen.labels[0])
    right.set_ylabel(seen.labels[1])
    bar = style.axes_at(figure, 2 * side + 1.3, 0.45, 0.1, side)
    figure.colorbar(line, cax=bar, label=times.label)
    ends, _ = left.get_legend_handles_labels()
    style.legend_right(bar, [*ends, *handles], bbox_to_anchor=(5, 1))
    return figure


def _atom_text(trj: xr.Dataset, place: int) -> str:
    """Return the number of an atom, and its id in the source where that is another."""
    number = int(trj[ATOM].values[place])
    source = int(trj["id"].values[place]) if "id" in trj.coords else number
    return f"atom {number}" if source == number else f"atom {number} (id {source})"


def unwrapped(trj: xr.Dataset) -> FloatArray:
    """Return the positions of one particle, (n_frames, 3), each the image nearest to the last."""
    positions = trj["positions"].values.astype(float)
    periodic = trj["pbc"].values
    steps = np.diff(positions, axis=0)
    cells = trj["cell"].values[1:]
    for number, cell in enumerate(cells):
        steps[number] = _shortest(steps[number], cell, periodic)
    path: FloatArray = positions[0] + np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    return path


def _shortest(vectors: FloatArray, cell: FloatArray, periodic: npt.NDArray[np.bool_]) -> FloatArray:
    """Return vectors with the cell vectors taken off that make them shorter."""
    whole = complete_cell(cell)
    turns = np.where(periodic, np.round(vectors @ np.linalg.inv(whole)), 0)
    shortened: FloatArray = vectors - turns @ whole
    return shortened


def _draw_path(axes: Axes, points: FloatArray, time: FloatArray) -> LineCollection:
    """Draw a line coloured by time, its start as a circle and its end as a square."""
    line = LineCollection(
        list(np.stack([points[:-1], points[1:]], axis=1)), cmap=style.TIME_MAP, lw=1.2, zorder=4
    )
    line.set_array(time[:-1])
    line.set_path_effects([withStroke(linewidth=2.0, foreground=style.PAPER)])
    # A single frame has no extent in time.
    line.set_clim(time[0], max(time[-1], time[0] + 1e-9))
    axes.add_collection(line)
    for place, marker, name in ((0, "o", "start"), (-1, "s", "end")):
        axes.plot(
            *points[place],
            marker,
            color=line.cmap(line.norm(time[place])),
            markeredgecolor=style.INK,
            markersize=7,
            linestyle="",
            label=name,
            zorder=5,
        )
    return line


def _vectors_to(here: xr.Dataset, particle: int) -> FloatArray:
    """Return the shortest vectors from a particle to all atoms of a frame."""
    positions = here["positions"].values.astype(float)
    return _shortest(positions - positions[particle], here["cell"].values, here["pbc"].values)
