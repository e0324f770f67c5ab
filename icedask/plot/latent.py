"""The latent map: rows in the plane of two components."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from icedask.errors import InputError
from icedask.plot.rows import Rows, sample_rows
from icedask.plot.style import (
    PAGE,
    TIME_MAP,
    Names,
    frame_times,
    in_style,
    legend_below,
    legend_beside,
    names_of,
    new_figure,
    state_color,
    state_colors,
)


@in_style
def latent_map(
    latent: xr.Dataset,
    labels: xr.Dataset,
    *,
    components: tuple[int, int] = (0, 1),
    max_points: int = 20_000,
    seed: int = 0,
    names: Names | None = None,
) -> Figure:
    """Draw a sample of rows in two latent components, coloured by state and by time.

    Parameters
    ----------
    latent : xarray.Dataset
        latent (frame, atom, component).
    labels : xarray.Dataset
        label (frame, atom).
    components : two int
        Which components to show.
    max_points : int
        Rows to draw, the same number from each frame.
    seed : int
        Of the sample.
    names : mapping of int to str, optional
        Names of states; by default those that the labels' flags tell, else their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the labels are not of the same frames and atoms, there is no such component, or every
        row has a NaN.
    """
    rows = sample_rows(latent, labels, components, max_points, seed, "latent_map")
    times = frame_times(latent)
    time = times.values[rows.frame]
    figure = new_figure(PAGE, 2.9)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    called = names_of(labels["label"], names)
    draw_rows(left, rows, np.array(state_colors(rows.label, called)), seed)
    points = draw_rows(right, rows, time, seed)
    bar = figure.colorbar(points, ax=right, label=times.label)
    if bar.solids is not None:
        bar.solids.set_alpha(1)
    legend_beside(figure, np.unique(rows.label), called)
    left.set_title("by state")
    right.set_title("by time")
    for axes in (left, right):
        name_components(axes, components)
    return figure


@in_style
def latent_maps(
    maps: Mapping[str, tuple[xr.Dataset, xr.Dataset]],
    *,
    components: tuple[int, int] = (0, 1),
    max_points: int = 20_000,
    seed: int = 0,
    names: Mapping[str, Names] | None = None,
    references: Mapping[str, npt.ArrayLike] | None = None,
) -> Figure:
    """Draw latent spaces side by side, a sample of rows of each coloured by its states.

    Parameters
    ----------
    maps : mapping of str to (latent, labels)
        By title: latent (frame, atom, component) and label (frame, atom).
    components : two int
        Which components to show.
    max_points : int
        Rows to draw in each map, the same number from each frame.
    seed : int
        Of the samples.
    names : mapping of str to mapping, optional
        By title, names of states; by default those that the labels' flags tell, else their
        numbers.
    references : mapping of str to (n_points, n_components) array, optional
        By name of state, points to mark in every map, such as the atoms of ideal crystals: the
        maps are then of one space.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is no map, one is as `latent_map` cannot draw it, or a reference has no such
        components or the name of no state.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from icedask.plot import latent_maps
    >>> label = np.arange(40, dtype=np.int32).reshape(2, 20) % 2
    >>> flags = {"flag_values": [0, 1], "flag_meanings": "Ih Ic"}
    >>> labels = xr.Dataset({"label": (("frame", "atom"), label, flags)})
    >>> place = label[:, :, None] + np.random.default_rng(0).normal(0, 0.2, (2, 20, 2))
    >>> latent = xr.Dataset({"latent": (("frame", "atom", "component"), place)})
    >>> maps = {"before": (latent, labels), "after": (latent.round(), labels)}
    >>> figure = latent_maps(maps, references={"Ih": [[0, 0]], "Ic": [[1, 1]]})
    >>> [axes.get_title() for axes in figure.axes]
    ['before', 'after']
    """
    if not maps:
        raise InputError("latent_maps: expected at least one map by title, found none")
    drawn = {
        title: sample_rows(*pair, components, max_points, seed, f"latent_maps: {title}")
        for title, pair in maps.items()
    }
    marks = {name: _points(name, given, components) for name, given in (references or {}).items()}
    figure = new_figure(PAGE if len(maps) > 1 else PAGE / 2, 3.4 if len(maps) < 3 else 2.7)
    one_space = bool(marks)
    panels = figure.subplots(1, len(maps), squeeze=False, sharex=one_space, sharey=one_space)[0]
    for axes, (title, rows) in zip(panels, drawn.items(), strict=True):
        called = names_of(maps[title][1]["label"], (names or {}).get(title))
        draw_rows(axes, rows, np.array(state_colors(rows.label, called)), seed)
        marked = _draw_references(axes, marks, called, title)
        states = np.union1d(rows.label, np.array(marked, int))
        legend_below(axes, states, called, figure.get_figwidth() / len(maps))
        if marks:
            axes.get_legend().set_title("crosses: references")
        axes.set_title(title)
        name_components(axes, components)
    return figure


def draw_rows(
    axes: Axes, rows: Rows, colors: npt.NDArray[np.str_] | npt.NDArray[np.floating], seed: int
) -> PathCollection:
    """Draw the points of rows in a random order, so that none covers the others as a whole."""
    order = np.random.default_rng(seed).permutation(len(rows.values))
    return axes.scatter(
        rows.values[order, 0],
        rows.values[order, 1],
        c=colors[order],
        cmap=TIME_MAP if colors.dtype.kind == "f" else None,
        s=2,
        linewidths=0,
        alpha=0.6,
        rasterized=True,
    )


def _points(
    name: str, given: npt.ArrayLike, components: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Return the two components of the points of a reference."""
    points = np.asarray(given, float)
    if points.ndim != 2 or points.shape[1] <= max(components):
        raise InputError(
            f"latent_maps: references: {name}: expected points (n_points, n_components) with at "
            f"least {max(components) + 1} components, found the shape {points.shape}"
        )
    return points[:, list(components)]


def _draw_references(
    axes: Axes, marks: Mapping[str, npt.NDArray[np.float64]], called: Names, title: str
) -> list[int]:
    """Mark the points of references in the colours of their states, which are returned."""
    numbers = {name: state for state, name in called.items()}
    unknown = [name for name in marks if name not in numbers]
    if unknown:
        raise InputError(
            f"latent_maps: references: expected names of states of {title!r}, "
            f"{', '.join(numbers) or 'which has no names'}, found {', '.join(unknown)}"
        )
    for name, points in marks.items():
        axes.scatter(
            points[:, 0],
            points[:, 1],
            s=42,
            marker="X",
            color=state_color(numbers[name], called),
            edgecolors="white",
            linewidths=0.8,
            zorder=3,
        )
    return [numbers[name] for name in marks]


def name_components(axes: Axes, components: tuple[int, int]) -> None:
    """Label the axes by the numbers of the components, from 1."""
    axes.set_xlabel(f"component {components[0] + 1}")
    axes.set_ylabel(f"component {components[1] + 1}")
