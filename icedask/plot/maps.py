"""A map coloured by values of its rows, and its density in parts of a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure

from icedask.core.features import check_same_rows, feature_variable, lazy_blocks, whole_number
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.plot.latent import draw_rows
from icedask.plot.motif_map import COMPONENTS, PALE, limit_map, map_limits
from icedask.plot.rows import Rows, sample_points, values_at
from icedask.plot.style import (
    PAGE,
    TIME_MAP,
    Times,
    frame_times,
    in_style,
    new_figure,
    plain_logarithm,
    units_text,
)
from icedask.tasks.sampling import Sample

_VALUE_MAP = "viridis"
# Per cent: what lies beyond takes the colours of the ends.
_ROBUST = (1, 99)
_COLUMNS = 3


@in_style
def value_maps(
    latent: xr.Dataset,
    values: Mapping[str, xr.DataArray],
    *,
    time: bool = True,
    max_points: int = 20_000,
    seed: int = 0,
) -> Figure:
    """Draw a sample of rows in a map of two components, coloured by each of some values.

    Colours range from the 1st to the 99th percentile of the sample. Rows where a value is NaN are
    pale grey.

    Parameters
    ----------
    latent : xarray.Dataset
        latent (frame, atom, component): the two components of a UMAP.
    values : mapping of str to xarray.DataArray
        By title, values (frame, atom) with the attribute units; "" or "1" where there are none.
    time : bool
        Colour the map by the time of the frames, too.
    max_points : int
        Rows to draw, the same number from each frame.
    seed : int
        Of the sample.

    Returns
    -------
    matplotlib.figure.Figure

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
    for title, given in values.items():
        check_values(given, f"value_maps: {title}")
        check_same_rows(array, given, f"value_maps: {title}")
    sample = sample_points(latent, COMPONENTS, max_points, seed, "value_maps")
    panels = {
        title: (
            values_at(sample, lazy_blocks(given), max_points, seed),
            units_text(given),
            _VALUE_MAP,
        )
        for title, given in values.items()
    }
    if time:
        times = frame_times(latent)
        panels["time" if times.unit else "frame"] = times.values[sample.frame], times.unit, TIME_MAP
    low, high = map_limits(sample.rows)
    across = 2 if len(panels) == 4 else min(len(panels), _COLUMNS)
    down = -(-len(panels) // across)
    wide = PAGE / max(across, 2)
    tall = min(1.4, (high - low)[1] / (high - low)[0]) * (wide - 0.25) + 0.7
    figure = new_figure(wide * across, tall * down)
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes, (title, (value, units, cmap)) in zip(grid, panels.items(), strict=False):
        known = np.isfinite(value)
        if not known.all():
            draw_rows(axes, _some(sample, ~known), np.full((~known).sum(), PALE), seed)
        points = draw_rows(axes, _some(sample, known), value[known], seed)
        points.set_cmap(cmap)
        if known.any():
            points.set_clim(*np.percentile(value[known], _ROBUST))
        bar = figure.colorbar(
            points, ax=axes, location="bottom", pad=0.04, shrink=0.8, aspect=25, label=units
        )
        if bar.solids is not None:
            bar.solids.set_alpha(1)
        limit_map(axes, low, high)
        axes.set_title(title)
    for axes in grid[len(panels) :]:
        axes.remove()
    return figure


def check_values(given: xr.DataArray, where: str) -> None:
    """Raise InputError unless these are numbers (frame, atom); the message begins with `where`."""
    if not isinstance(given, xr.DataArray) or given.dims != (FRAME, ATOM):
        what = f"{given.dims}" if isinstance(given, xr.DataArray) else type(given).__name__
        raise InputError(
            f"{where}: expected a DataArray (frame, atom), found {what}; choose one variable of a "
            "Dataset, for example ds['potential_energy']"
        )
    if given.dtype.kind not in "fiu":
        raise InputError(f"{where}: expected numbers, found {given.dtype}")


def _some(sample: Sample, keep: npt.NDArray[np.bool_]) -> Rows:
    """Return some rows of a sample, in no state."""
    return Rows(sample.rows[keep], sample.frame[keep], np.zeros(keep.sum(), np.int64))


@in_style
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
    latent : xarray.Dataset
        latent (frame, atom, component): the two components of a UMAP.
    n_stages : int
        Parts of the time.
    max_points : int
        Rows to count, the same number from each frame.
    bins : int
        Along the longer side of the map.
    seed : int
        Of the sample.

    Returns
    -------
    matplotlib.figure.Figure

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
    times = frame_times(latent)
    edges = np.linspace(times.values[0], times.values[-1], n_stages + 1)
    stage = np.searchsorted(edges[1:-1], times.values[sample.frame], side="right")
    low, high = map_limits(sample.rows)
    densities = _densities(sample.rows, stage, n_stages, low, high, bins)
    # Per cent; one value alone makes no scale.
    filled = 100 * densities[densities > 0]
    norm = LogNorm(filled.min(), filled.max() * (1 + 1e-9))
    across = 2 if n_stages == 4 else min(n_stages, _COLUMNS)
    down = -(-n_stages // across)
    wide = (PAGE - 0.7) / max(across, 2)
    tall = min(1.4, (high - low)[1] / (high - low)[0]) * (wide - 0.25) + 0.4
    figure = new_figure(wide * across + 0.7, tall * down)
    grid = figure.subplots(down, across, squeeze=False).ravel()
    box = (low[0], high[0], low[1], high[1])
    seen = np.where(densities.any(axis=0), 1.0, np.nan)
    for number, (axes, density) in enumerate(zip(grid, densities, strict=False)):
        axes.imshow(seen.T, extent=box, origin="lower", cmap=ListedColormap([PALE]))
        shown = np.where(density > 0, 100 * density, np.nan)
        image = axes.imshow(
            shown.T, extent=box, origin="lower", cmap=_VALUE_MAP, norm=norm, interpolation="nearest"
        )
        limit_map(axes, low, high)
        axes.set_title(_span(times, edges[number], edges[number + 1]))
    for axes in grid[n_stages:]:
        axes.remove()
    bar = figure.colorbar(
        image, ax=list(grid[:n_stages]), label="rows of the part (% per bin)", aspect=30, shrink=0.8
    )
    plain_logarithm(bar.ax.yaxis)
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
    grid = [np.linspace(low[one], high[one], shape[one] + 1) for one in (0, 1)]
    counts = np.stack([np.histogramdd(points[part == one], bins=grid)[0] for one in range(n_parts)])
    shares: FloatArray = counts / np.maximum(counts.sum(axis=(1, 2), keepdims=True), 1)
    return shares


def _span(times: Times, start: float, stop: float) -> str:
    """Return a range of times with its unit."""
    if times.unit:
        return f"{start:.4g} to {stop:.4g} {times.unit}"
    return f"frames {start:.4g} to {stop:.4g}"
