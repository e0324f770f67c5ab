"""Latent spaces: samples of rows in two components, and the variance that components explain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.plot import style
from icedask.plot.inputs import sample_rows

if TYPE_CHECKING:
    from icedask.learn.pca import PCA

_MARKERS = "osD^v<>P"


@style.in_style
def latent_map(
    latent: xr.Dataset,
    labels: xr.Dataset,
    *,
    components: tuple[int, int] = (0, 1),
    max_points: int = 20_000,
    seed: int = 0,
    names: style.Names | None = None,
    variance: PCA | npt.ArrayLike | None = None,
) -> Figure:
    """Draw a sample of rows in two latent components, coloured by state and by time.

    Raises
    ------
    InputError
        If the labels are not of the same frames and atoms, there is no such component, or every
        row has a NaN.
    """
    rows = sample_rows(latent, labels, components, max_points, seed, "latent_map")
    times = style.frame_times(latent)
    figure = style.new_figure(style.PAGE, 2.9)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    called = style.names_of(labels["label"], names)
    scatter(left, rows.values, np.array(style.state_colors(rows.label, called)), seed)
    points = scatter(right, rows.values, times.values[rows.frame], seed)
    style.color_bar(points, right, label=times.label)
    style.legend_beside(figure, style.state_handles(np.unique(rows.label), called))
    left.set_title("by state")
    right.set_title("by time")
    for axes in (left, right):
        name_components(axes, components, "latent_map", variance)
    return figure


@style.in_style
def latent_maps(
    maps: Mapping[str, tuple[xr.Dataset, xr.Dataset]],
    *,
    components: tuple[int, int] = (0, 1),
    max_points: int = 20_000,
    seed: int = 0,
    names: Mapping[str, style.Names] | None = None,
    references: Mapping[str, npt.ArrayLike] | None = None,
    variance: Mapping[str, PCA | npt.ArrayLike] | None = None,
) -> Figure:
    """Draw latent spaces side by side, a sample of rows of each coloured by its states.

    Parameters
    ----------
    maps : mapping of str to (latent, labels)
        By title: latent (frame, atom, component) and label (frame, atom).
    names : mapping of str to mapping, optional
        By title, names of states; by default those of the labels' flags, else their numbers.
    references : mapping of str to (n_points, n_components) array, optional
        By name of state, points to mark in every map, such as the atoms of ideal crystals: the
        maps are then of one space.
    variance : mapping of str to PCA or array, optional
        By title, the fitted PCA or its explained_variance_ratio: the axes then have the share of
        each component.

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
    marks = {name: _points(name, place, components) for name, place in (references or {}).items()}
    figure = style.new_figure(
        style.PAGE if len(maps) > 1 else style.PAGE / 2, 3.4 if len(maps) < 3 else 2.7
    )
    one_space = bool(marks)
    panels = figure.subplots(1, len(maps), squeeze=False, sharex=one_space, sharey=one_space)[0]
    for axes, (title, rows) in zip(panels, drawn.items(), strict=True):
        called = style.names_of(maps[title][1]["label"], (names or {}).get(title))
        scatter(axes, rows.values, np.array(style.state_colors(rows.label, called)), seed)
        marked = _draw_references(axes, marks, called, title)
        states = np.union1d(rows.label, np.array(marked, int))
        style.legend_below(axes, states, called, figure.get_figwidth() / len(maps))
        if marks:
            axes.get_legend().set_title("crosses: references")
        axes.set_title(title)
        share = (variance or {}).get(title)
        name_components(axes, components, f"latent_maps: {title}", share)
    return figure


@style.in_style
def cumulative_variance(
    fits: Mapping[str, PCA | npt.ArrayLike], *, threshold: float = 0.99
) -> Figure:
    """Draw the cumulative explained variance against the number of components.

    A dotted line stands at the threshold; on each curve, the number of components that reach it
    is marked. Components are shown up to twice the largest such number, and at least 10.

    Parameters
    ----------
    fits : mapping of str to PCA or array
        By name: a fitted PCA, or its explained_variance_ratio (component,).
    threshold : float
        Share of the variance to reach, between 0 and 1.

    Raises
    ------
    InputError
        If there is no fit, a ratio is no list of shares, or the threshold is out of bounds.
    """
    if not fits:
        raise InputError("cumulative_variance: expected at least one fit by name, found none")
    if not 0 < threshold < 1:
        raise InputError(
            f"cumulative_variance: threshold: expected a share between 0 and 1, found {threshold}"
        )
    curves = {
        name: np.cumsum(_ratio(f"cumulative_variance: {name}", fit)) for name, fit in fits.items()
    }
    needed = {name: n_components(curve, threshold) for name, curve in curves.items()}
    longest = max(len(curve) for curve in curves.values())
    reached = [number for number in needed.values() if number is not None]
    shown = longest if len(reached) < len(needed) else min(longest, max(10, 2 * max(reached)))
    figure = style.new_figure(style.COLUMN, 2.8)
    axes = figure.subplots()
    for number, (name, curve) in enumerate(curves.items()):
        color, marker = style.state_color(number), _MARKERS[number % len(_MARKERS)]
        drawn = curve[:shown]
        count = needed[name]
        needed_text = f"more than {len(curve)}" if count is None else str(count)
        axes.plot(
            np.arange(1, len(drawn) + 1),
            drawn,
            color=color,
            marker=marker,
            markersize=3,
            lw=1,
            label=f"{name}: {needed_text}",
            clip_on=False,
        )
        if count is not None:
            axes.plot([count, count], [0, curve[count - 1]], color=color, lw=0.7, ls="--")
            axes.plot(count, curve[count - 1], marker, color=color, markersize=6)
    axes.axhline(threshold, color=style.GUIDE, ls=":", lw=1)
    axes.set_xlim(0.5, shown + 0.5)
    low = min(curve[0] for curve in curves.values())
    axes.set_ylim(low - 0.1 * (1 - low), 1 + 0.02 * (1 - low))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("number of components")
    axes.set_ylabel("cumulative explained variance")
    title = f"components for {100 * threshold:.4g} %"
    axes.legend(title=title, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


def scatter(
    axes: Axes,
    points: FloatArray,
    colors: npt.NDArray[np.str_] | npt.NDArray[np.floating],
    seed: int,
    cmap: Colormap = style.TIME_MAP,
) -> PathCollection:
    """Draw points in a random order, so that no group of them covers the others.

    Colours are names of colours, or values that the colour map takes.
    """
    order = np.random.default_rng(seed).permutation(len(points))
    return axes.scatter(
        points[order, 0],
        points[order, 1],
        c=colors[order],
        cmap=cmap if colors.dtype.kind == "f" else None,
        s=2,
        linewidths=0,
        alpha=0.6,
        rasterized=True,
    )


def name_components(
    axes: Axes,
    components: tuple[int, int],
    caller: str,
    variance: PCA | npt.ArrayLike | None = None,
) -> None:
    """Label the axes by the numbers of the components, from 1, and their shares of the variance."""
    shares = [] if variance is None else _ratio(caller, variance).tolist()
    for component, axis in zip(components, (axes.xaxis, axes.yaxis), strict=True):
        share = shares[component : component + 1]
        text = f" ({100 * share[0]:.3g} % of the variance)" if share else ""
        axis.set_label_text(f"component {component + 1}{text}")


def n_components(curve: FloatArray, threshold: float) -> int | None:
    """Return the number of components that reach a share of the variance; None if all do not."""
    reached = curve >= threshold
    return int(np.argmax(reached)) + 1 if reached.any() else None


def _ratio(where: str, variance: PCA | npt.ArrayLike) -> FloatArray:
    """Return the explained variance ratios of a fit."""
    ratio = np.asarray(getattr(variance, "explained_variance_ratio_", variance))
    shares = ratio.ndim == 1 and ratio.size > 0 and ratio.dtype.kind == "f"
    if not shares or not (ratio >= 0).all() or ratio.sum() > 1 + 1e-6:
        raise InputError(
            f"{where}: expected a fitted PCA or its explained variance ratios, which add up to at "
            f"most 1, found {type(variance).__name__} of the shape {ratio.shape}"
        )
    return ratio.astype(float)


def _points(name: str, place: npt.ArrayLike, components: tuple[int, int]) -> FloatArray:
    """Return two components of the points of a reference."""
    points = np.asarray(place, float)
    if points.ndim != 2 or points.shape[1] <= max(components):
        raise InputError(
            f"latent_maps: references: {name}: expected points (n_points, n_components) with at "
            f"least {max(components) + 1} components, found the shape {points.shape}"
        )
    return points[:, list(components)]


def _draw_references(
    axes: Axes, marks: Mapping[str, FloatArray], called: style.Names, title: str
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
            color=style.state_color(numbers[name], called),
            edgecolors=style.PAPER,
            linewidths=0.8,
            zorder=3,
        )
    return [numbers[name] for name in marks]
