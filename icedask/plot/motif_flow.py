"""Precedence of motifs: the mean time of their members, and the net flux between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke

from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.plot import style
from icedask.plot.inputs import CATEGORIES, checked_categories, flux_of

# Inches: radii of the largest disc and of the smallest, the space between discs and in bands,
# and, squared, how much all discs cover.
_LARGEST, _LEAST, _GAP, _BAND, _COVER = 0.3, 0.08, 0.06, 0.25, 1.3
_LEFT, _BELOW = 0.85, 0.75
# Arrows are drawn from this share of the largest on, and if they are more than counting noise.
_SHARE, _NOISE = 0.1, 2.0
# Points: widths of arrows.
_THIN, _WIDE = 0.5, 3.0
_LETTERS = 105


@style.in_style
def precedence(
    transitions: xr.Dataset,
    mean_time: xr.DataArray,
    categories: Mapping[int, str],
    population: npt.ArrayLike,
) -> Figure:
    """Draw motifs as discs at the mean time of their members, and the net flux as arrows.

    The area of a disc is the population. An arrow leads from one motif to another if more atoms
    go that way than back; its width is the difference. Differences below 10 % of the largest, or
    within twice their counting noise, are left out. Motifs without members are not drawn.

    Parameters
    ----------
    transitions : xarray.Dataset
        What `transitions` returned: flux (from, to) between motifs.
    mean_time : (n_motifs,) xarray.DataArray
        Mean time of the members of each motif, with the attributes long_name and units; NaN without
        members. Picoseconds are drawn as ps, ns or µs, as in all figures.
    population : (n_motifs,) array
        Population of each motif, as numbers or fractions.

    Raises
    ------
    InputError
        If there is no flux, times or populations are not one for each motif, a motif has no
        category, or none has members.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> from icedask.plot import precedence
    >>> label = np.repeat(np.array([[1], [1], [0], [0]], np.int32), 50, axis=1)
    >>> changes = ice.transitions(xr.Dataset({"label": (("frame", "atom"), label)}))
    >>> time = xr.DataArray([2.5, 0.5], attrs={"long_name": "mean time", "units": "ns"})
    >>> figure = precedence(changes, time, {0: "ice", 1: "liquid"}, [0.5, 0.5])
    >>> figure.axes[0].get_xlabel()
    'mean time (ns)'
    """
    net = flux_of(transitions, None, "precedence").counts
    motifs = [int(motif) for motif in transitions["from"].values]
    known = checked_categories(categories, motifs, "precedence")
    times, units = _in_unit(
        _one_each(mean_time, "mean_time", len(motifs)), style.units_text(mean_time)
    )
    sizes = _one_each(population, "population", len(motifs))
    members = np.flatnonzero(np.isfinite(times) & (sizes > 0))
    if not len(members):
        raise InputError("precedence: expected a motif with members and a mean time, found none")
    width = style.PAGE - _LEFT - 0.1
    low, high = times[members].min(), times[members].max()
    # Discs at the ends do not leave the axes; a single time has no extent.
    per_inch = max(high - low, 1e-9) / (width - 2 * _LARGEST - 0.1)
    shares = sizes / sizes[members].max()
    largest_disc = min(_LARGEST, np.sqrt(_COVER / (np.pi * shares[members].sum())))
    radii = np.maximum(largest_disc * np.sqrt(shares), _LEAST)
    across = (times - low) / per_inch + _LARGEST + 0.05
    bands = [
        (name, [int(disc) for disc in members if known[motifs[disc]] == name])
        for name in CATEGORIES[::-1]
    ]
    bands = [(name, own) for name, own in bands if own]
    heights, up = _in_bands([own for _, own in bands], across, radii)
    height = sum(heights)
    figure = style.new_figure(style.PAGE, height + _BELOW + 0.05)
    axes = style.axes_at(figure, _LEFT, _BELOW, width, height)
    axes.set_xlim(low - (_LARGEST + 0.05) * per_inch, low + (width - _LARGEST - 0.05) * per_inch)
    axes.set_ylim(0, height)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    top = height
    for (name, _), tall in zip(bands, heights, strict=True):
        middle, coords = (0, top - tall / 2), ("axes fraction", "data")
        style.write(axes, name, middle, (-6, 0), coords, ha="right", fontsize=8)
        top -= tall
        if top > 1e-6:
            axes.axhline(top, color=style.PALE, lw=0.7, zorder=0)
    places = np.stack([times, up], axis=1)
    axes.scatter(
        times[members],
        up[members],
        s=(2 * 72 * radii[members]) ** 2,
        color=[style.state_color(motifs[disc]) for disc in members],
        linewidths=0,
        zorder=2,
    )
    halo = [withStroke(linewidth=2, foreground=style.PAPER)]
    for disc in members:
        place, number = tuple(places[disc]), str(motifs[disc])
        look: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontweight": "bold"}
        style.write(axes, number, place, path_effects=halo, zorder=4, **look)
    # Over the discs that they pass, under the numbers.
    largest = _draw_arrows(axes, net, members, places, radii)
    name = str(mean_time.attrs.get("long_name", "mean time"))
    axes.set_xlabel(f"{name} ({units})" if units else name)
    note = _note(largest)
    figure.text(
        0.1 / style.PAGE, 0.05 / figure.get_figheight(), note, fontsize=style.SMALL, va="bottom"
    )
    return figure


def _in_unit(times: FloatArray, units: str) -> tuple[FloatArray, str]:
    """Return times in picoseconds as ps, ns or µs, others as they are, and their units."""
    if units != "ps" or not np.isfinite(times).any():
        return times, units
    factor, unit = style.time_scale(np.nanmax(np.abs(times)))
    return times * factor, unit


def _one_each(numbers: npt.ArrayLike, what: str, n_motifs: int) -> FloatArray:
    """Return numbers, checked to be one for each motif."""
    values = np.asarray(numbers, float)
    if values.shape != (n_motifs,):
        raise InputError(
            f"precedence: {what}: expected one for each of {n_motifs} motifs, found the shape "
            f"{values.shape}"
        )
    return values


def _in_bands(
    bands: Sequence[Sequence[int]], across: FloatArray, radii: FloatArray
) -> tuple[list[float], FloatArray]:
    """Return the heights of bands, from the top, and the heights of all discs in them."""
    up = np.full(len(across), np.nan)
    heights = []
    for own in bands:
        swarm(own, across, radii, up)
        lowest, highest = (up[own] - radii[own]).min(), (up[own] + radii[own]).max()
        up[own] -= lowest - _BAND / 2
        heights.append(float(highest - lowest + _BAND))
    bottoms = np.cumsum(heights[::-1])[::-1] - heights
    for own, bottom in zip(bands, bottoms, strict=True):
        up[own] += bottom
    return heights, up


def swarm(own: Sequence[int], across: FloatArray, radii: FloatArray, up: FloatArray) -> None:
    """Set the heights of discs such that none overlap, the largest nearest to zero."""
    placed: list[int] = []
    for disc in sorted(own, key=lambda disc: -radii[disc]):
        apart = radii[disc] + radii[placed] + _GAP
        beside = np.abs(across[disc] - across[placed])
        reach = np.sqrt(np.maximum(apart**2 - beside**2, 0))
        # It stands at zero, or just clear of one of the others.
        tried = np.concatenate([[0.0], up[placed] + reach, up[placed] - reach])
        clear = (np.abs(tried[:, None] - up[placed]) >= reach - 1e-9).all(axis=1)
        tried = tried[clear]
        up[disc] = tried[np.argmin(np.abs(tried))]
        placed.append(disc)


def _draw_arrows(
    axes: Axes,
    flux: npt.NDArray[np.int64],
    members: npt.NDArray[np.int64],
    places: FloatArray,
    radii: FloatArray,
) -> int:
    """Draw the net flux between discs, and return the largest; 0 if none is drawn."""
    net = np.where(flux > flux.T, flux - flux.T, 0)
    sure = net > _NOISE * np.sqrt(flux + flux.T)
    drawn = np.zeros(net.shape, bool)
    drawn[np.ix_(members, members)] = sure[np.ix_(members, members)]
    if not drawn.any():
        return 0
    largest = int(net[drawn].max())
    for a, b in np.argwhere(drawn & (net >= _SHARE * largest)):
        wide = _THIN + (_WIDE - _THIN) * net[a, b] / largest
        axes.add_patch(
            FancyArrowPatch(
                tuple(places[a]),
                tuple(places[b]),
                arrowstyle="-|>",
                connectionstyle="arc3,rad=0.12",
                mutation_scale=5 + 2.5 * wide,
                lw=wide,
                shrinkA=72 * radii[a],
                shrinkB=72 * radii[b] + 1,
                color=style.DARK,
                path_effects=[withStroke(linewidth=wide + 1.2, foreground=style.PAPER)],
                zorder=3,
            )
        )
    return largest


def _note(largest: int) -> str:
    """Return the note under the figure."""
    if not largest:
        return "Area: population. No net flux beyond counting noise."
    return fill(
        f"Area: population. Width of arrows: net flux, the widest {largest} transitions; below "
        f"{100 * _SHARE:g} % of it, or within counting noise, none is drawn.",
        _LETTERS,
    )
