"""The path of one particle, in a latent space and in space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from icedask.core.features import feature_variable
from icedask.core.trajectory import check_trajectory
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.kernels.neighbors import complete_cell
from icedask.plot.balls import draw_balls, radii_of, view_of
from icedask.plot.latent import draw_rows, name_components
from icedask.plot.rows import check_same, sample_rows
from icedask.plot.snapshot import labelled_atoms
from icedask.plot.style import (
    PAGE,
    TIME_MAP,
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


@in_style
def particle_path(
    trj: xr.Dataset,
    latent: xr.Dataset,
    labels: xr.Dataset,
    atom: int,
    *,
    around: float = 8.0,
    view: str = "z",
    components: tuple[int, int] = (0, 1),
    max_points: int = 20_000,
    seed: int = 0,
    names: Names | None = None,
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
    latent : xarray.Dataset
        latent (frame, atom, component).
    labels : xarray.Dataset
        label (frame, atom).
    atom : int
        The particle, as the coordinate atom numbers it.
    around : float, angstrom
        Distance from the particle at the end of its path up to which atoms are drawn.
    view : str
        As of `snapshot`.
    components : two int
        Which components to show.
    max_points : int
        Rows of all particles to draw behind the path, the same number from each frame.
    seed : int
        Of these rows.
    names : mapping of int to str, optional
        Names of states; by default those that the labels' flags tell, else their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is no such atom, its latent coordinates are all NaN, or the Datasets are not of
        the same frames and atoms.
    """
    check_trajectory(trj, "particle_path")
    check_same("particle_path", trj, latent, FRAME)
    seen = view_of(view, "particle_path")
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
    times = frame_times(trj)
    time = times.values[frames]

    last = frames.stop - 1
    states = np.full(trj.sizes[ATOM], -1)
    states[place] = labels["label"].isel({FRAME: last}).values
    vectors = _vectors_to(trj.isel({FRAME: last}), particle)
    near = np.linalg.norm(vectors, axis=1) < around
    near[particle] = False
    called, found = names_of(labels["label"], names), np.unique(states[near])

    beside = legend_width(found, called) if len(found) else 0.6
    side = max(1.5, (PAGE - 1.9 - beside) / 2)
    figure = new_figure(2 * side + 1.9 + beside, side + 0.75)
    left = axes_at(figure, 0.55, 0.45, side, side)
    right = axes_at(figure, side + 1.2, 0.45, side, side)
    draw_rows(left, rows, np.full(len(rows.values), "#CCCCCC"), seed)
    _draw_path(left, coordinates[finite], times.values[finite])
    name_components(left, components)
    left.set_title("latent space")
    radii = radii_of(trj["element"].values[near], vectors[near])
    colors = state_colors(states[near], called)
    draw_balls(right, positions[-1] + vectors[near] @ seen.matrix, radii, colors)
    line = _draw_path(right, positions[:, :2], time)
    shown = np.concatenate([positions, positions[-1:] - around, positions[-1:] + around])[:, :2]
    middle = (shown.min(axis=0) + shown.max(axis=0)) / 2
    # Room for the balls at the edge.
    half = np.ptp(shown, axis=0).max() / 2 + 2
    right.set_xlim(middle[0] - half, middle[0] + half)
    right.set_ylim(middle[1] - half, middle[1] + half)
    right.set_title(f"atom {atom} in space")
    right.set_xlabel(seen.labels[0])
    right.set_ylabel(seen.labels[1])
    bar = axes_at(figure, 2 * side + 1.3, 0.45, 0.1, side)
    figure.colorbar(line, cax=bar, label=times.label)
    handles, _ = left.get_legend_handles_labels()
    bar.legend(
        handles=[*handles, *state_handles(found, called)],
        loc="upper left",
        bbox_to_anchor=(5, 1),
        handletextpad=0.2,
    )
    return figure


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


def _draw_path(axes: Axes, points: FloatArray, time: npt.NDArray[np.float64]) -> LineCollection:
    """Draw a line coloured by time, its start as a circle and its end as a square."""
    line = LineCollection(
        list(np.stack([points[:-1], points[1:]], axis=1)), cmap=TIME_MAP, lw=1.2, zorder=4
    )
    line.set_array(time[:-1])
    line.set_path_effects([withStroke(linewidth=2.0, foreground="white")])
    # A single frame has no extent in time.
    line.set_clim(time[0], max(time[-1], time[0] + 1e-9))
    axes.add_collection(line)
    for place, marker, name in ((0, "o", "start"), (-1, "s", "end")):
        axes.plot(
            *points[place],
            marker,
            color=line.cmap(line.norm(time[place])),
            markeredgecolor="black",
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
