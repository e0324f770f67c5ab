"""Maps of UMAP coordinates: coloured by values of their rows, and densities in parts of a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure

from icedask.core.features import check_same_rows, feature_variable, lazy_blocks, whole_number
from icedask.core.types import FloatArray
from icedask.core.variables import FRAME
from icedask.errors import InputError
from icedask.plot import style
from icedask.plot.inputs import sample_points, value_variable, values_at
from icedask.plot.latent import scatter

COMPONENTS = (0, 1)
_NAMES = ("UMAP 1", "UMAP 2")
_COLUMNS = 3


@style.in_style
def value_maps(
    latent: xr.Dataset,
    values: Mapping[str, xr.DataArray],
    *,
    time: bool = True,
    max_points: int = 20_000,
    seed: int = 0,
) -> Figure:
    """Draw a sample of rows in a map of two components, coloured by each of several values.

    Colours range from the 1st to the 99th percentile of the sample. Rows where a value is NaN are
    pale grey.

    Parameters
    ----------
    values : mapping of str to xarray.DataArray
        By title, values (frame, atom) with the attribute units; "" or "1" where there are none.
    time : bool
        Colour the map by the time of the frames, too.

    Raises
    ------
    InputError
        If there is nothing to colour by, values are not of the same frames and atoms, or every
        row has a NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from icedask.plot import value_maps
    >>> place = np.random.default_rng(0).normal(size=(3, 20, 2))
    >>> latent = xr.Dataset({"latent": (("frame", "atom", "component"), place)})
    >>> energy = xr.DataArray(place[:, :, 0], dims=("frame", "atom"), attrs={"units": "eV"})
    >>> figure = value_maps(latent, {"potential energy": energy}, time=False)
    >>> [axes.get_title() for axes in figure.axes if axes.get_title()]
    ['potential energy']
    """
    if not values and not time:
        raise InputError("value_maps: expected values to colour the map by, found none")
    array = feature_variable(latent)
    for title, value in values.items():
        value_variable(value, f"value_maps: {title}")
        check_same_rows(array, value, f"value_maps: {title}")
    sample = sample_points(latent, COMPONENTS, max_points, seed, "value_maps")
    low, high = map_limits(sample.rows)
    n_panels = len(values) + time
    figure, panels = _panels(n_panels, low, high, style.PAGE, 1.2)
    for axes, (title, value) in zip(panels, values.items(), strict=False):
        at_rows = values_at(sample, lazy_blocks(value), max_points, seed)
        known = np.isfinite(at_rows)
        if not known.all():
            scatter(axes, sample.rows[~known], np.full((~known).sum(), style.PALE), seed)
        limits = np.percentile(at_rows[known], style.ROBUST) if known.any() else (0.0, 1.0)
        axes.set_title(title)
        _colored(axes, sample.rows[known], at_rows[known], seed, limits, style.units_text(value))
    if time:
        times = style.frame_times(latent)
        at_rows = times.values[sample.frame]
        panels[-1].set_title("time" if times.unit else "frame")
        _colored(panels[-1], sample.rows, at_rows, seed, None, times.unit)
    for axes in panels:
        limit_map(axes, low, high)
    return figure


def _colored(
    axes: Axes,
    points: FloatArray,
    values: FloatArray,
    seed: int,
    limits: npt.ArrayLike | None,
    label: str,
) -> None:
    """Draw points coloured by values between limits with a bar, or by time without limits."""
    drawn = scatter(
        axes, points, values, seed, style.TIME_MAP if limits is None else style.VALUE_MAP
    )
    if limits is not None:
        drawn.set_clim(*np.asarray(limits))
    style.color_bar(
        drawn,
        axes,
        location="bottom",
        pad=0.04,
        shrink=0.8,
        aspect=25,
        label=label,
        extend="neither" if limits is None else "both",
    )


@style.in_style
def density_stages(
    latent: xr.Dataset,
    *,
    n_stages: int = 4,
    max_points: int = 200_000,
    bins: int = 100,
    seed: int = 0,
) -> Figure:
    """Draw the density of rows in a map of two components for equal parts of the time.

    The colour is the share of the rows of a part in a bin, on a logarithmic scale that all parts
    have in common. Bins with rows of other parts only are pale grey.

    Parameters
    ----------
    n_stages : int
        Parts of the time.
    max_points : int
        Rows to count, the same number from each frame.
    bins : int
        Bins along the longer side of the map.

    Raises
    ------
    InputError
        If there are fewer frames than parts, or every row has a NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from icedask.plot import density_stages
    >>> place = np.random.default_rng(0).normal(size=(8, 20, 2))
    >>> time = ("frame", 100.0 * np.arange(8))
    >>> latent = xr.Dataset({"latent": (("frame", "atom", "component"), place)}, {"time": time})
    >>> figure = density_stages(latent, n_stages=2, bins=10)
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['0 to 350 ps', '350 to 700 ps']
    """
    n_stages = whole_number(n_stages, "density_stages: n_stages", at_least=1)
    bins = whole_number(bins, "density_stages: bins", at_least=1)
    n_frames = feature_variable(latent).sizes[FRAME]
    if n_frames < n_stages:
        raise InputError(
            f"density_stages: n_stages: expected at most as many as frames, {n_frames}, found "
            f"{n_stages}"
        )
    sample = sample_points(latent, COMPONENTS, max_points, seed, "density_stages")
    times = style.frame_times(latent)
    edges = np.linspace(times.values[0], times.values[-1], n_stages + 1)
    stage = np.searchsorted(edges[1:-1], times.values[sample.frame], side="right")
    low, high = map_limits(sample.rows)
    densities = _densities(sample.rows, stage, n_stages, low, high, bins)
    # Per cent; one value alone makes no scale.
    filled = 100 * densities[densities > 0]
    norm = LogNorm(filled.min(), filled.max() * (1 + 1e-9))
    figure, panels = _panels(n_stages, low, high, style.PAGE - 0.7, 0.4, beside=0.7)
    box = (low[0], high[0], low[1], high[1])
    seen = np.where(densities.any(axis=0), 1.0, np.nan)
    for number, (axes, density) in enumerate(zip(panels, densities, strict=True)):
        axes.imshow(seen.T, extent=box, origin="lower", cmap=ListedColormap([style.PALE]))
        shown = np.where(density > 0, 100 * density, np.nan)
        image = axes.imshow(
            shown.T,
            extent=box,
            origin="lower",
            cmap=style.VALUE_MAP,
            norm=norm,
            interpolation="nearest",
        )
        limit_map(axes, low, high)
        axes.set_title(_span(times, edges[number], edges[number + 1]))
    bar = figure.colorbar(
        image, ax=panels, label="rows of the part (% per bin)", aspect=30, shrink=0.8
    )
    style.plain_logarithm(bar.ax.yaxis)
    return figure


def _densities(
    points: FloatArray,
    part: npt.NDArray[np.int64],
    n_parts: int,
    low: FloatArray,
    high: FloatArray,
    bins: int,
) -> FloatArray:
    """Return the share of the points of each part in square bins, (n_parts, across, up)."""
    edge = (high - low).max() / bins
    shape = np.maximum(np.ceil((high - low) / edge), 1).astype(int)
    grid = [np.linspace(low[side], high[side], shape[side] + 1) for side in (0, 1)]
    counts = np.stack([np.histogramdd(points[part == k], bins=grid)[0] for k in range(n_parts)])
    shares: FloatArray = counts / np.maximum(counts.sum(axis=(1, 2), keepdims=True), 1)
    return shares


def _span(times: style.Times, start: float, stop: float) -> str:
    """Return a range of times with its unit."""
    if times.unit:
        return f"{start:.4g} to {stop:.4g} {times.unit}"
    return f"frames {start:.4g} to {stop:.4g}"


def _panels(
    number: int, low: FloatArray, high: FloatArray, page: float, room: float, beside: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels for maps on a page of some width, with room about each, inches."""
    across = 2 if number == 4 else min(number, _COLUMNS)
    down = -(-number // across)
    wide = page / max(across, 2)
    tall = min(1.4, (high - low)[1] / (high - low)[0]) * (wide - 0.25) + room
    figure = style.new_figure(wide * across + beside, tall * down)
    panels = list(figure.subplots(down, across, squeeze=False).ravel())
    for axes in panels[number:]:
        axes.remove()
    return figure, panels[:number]


def map_limits(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the corners of a map that holds points."""
    low, high = points.min(axis=0), points.max(axis=0)
    # A single point has no extent.
    margin = max(0.03 * (high - low).max(), 1e-6)
    return low - margin, high + margin


def limit_map(axes: Axes, low: FloatArray, high: FloatArray) -> None:
    """Set the limits of a map, whose axes have names but no scale, which is the same for both."""
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(_NAMES[0])
    axes.set_ylabel(_NAMES[1])
