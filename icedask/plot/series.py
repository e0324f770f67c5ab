"""Time series of a quantity of atoms and its density, coloured by state."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from icedask.core.features import feature_variable, lazy_blocks, whole_number
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.plot import style
from icedask.plot.inputs import by_block, check_same, histograms, label_variable

# More points than a figure has pixels only take time.
_MAX_FRAMES = 2000
_BINS = 100


@style.in_style
def series_states(
    values: xr.Dataset,
    labels: xr.Dataset,
    *,
    max_atoms: int = 40,
    seed: int = 0,
    names: style.Names | None = None,
) -> Figure:
    """Draw time series of a sample of atoms and the density of all values, coloured by state.

    The line of an atom from one frame to the next has the colour of its state in the first; lines
    are drawn in a random order, so that no state covers the others. Of many frames, 1000 to 2000 at
    even distances are drawn. The density is that of all values of all atoms and frames, counted
    block by block, on a logarithmic scale on which rare states show; the areas under the outlines
    of all states together make one. For this the values are computed twice: save slow ones first.

    Parameters
    ----------
    values : xarray.Dataset
        One floating-point variable (frame, atom): LENS, smoothed or not, timeSOAP, ...; NaN is
        left out.
    max_atoms : int
        Atoms whose series are drawn.
    seed : int
        Seed of the choice of atoms.

    Raises
    ------
    InputError
        If the values have features, all are NaN, or the labels are of other frames or atoms.
    """
    array = feature_variable(values)
    label = label_variable(labels, "series_states")
    if array.ndim != 2:
        raise InputError(
            f"series_states: expected a variable (frame, atom), found {array.name} with the "
            f"dimensions {array.dims}; select one feature"
        )
    check_same("series_states", values, labels, FRAME, ATOM)
    max_atoms = whole_number(max_atoms, "series_states: max_atoms", at_least=1)
    n_frames, n_atoms = array.shape
    atoms = np.sort(np.random.default_rng(seed).permutation(n_atoms)[:max_atoms])
    stride = max(1, n_frames // (_MAX_FRAMES // 2)) if n_frames > _MAX_FRAMES else 1
    data = lazy_blocks(array)
    states_of = lazy_blocks(label).rechunk(data.chunks)
    series, of_series = dask.compute(data[::stride, atoms], states_of[::stride, atoms])
    states, edges, density = _density(data, states_of)
    times = style.frame_times(values)
    called = style.names_of(label, names)

    figure = style.new_figure(style.PAGE, 2.6)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    segments, of_segments = _segments(times.values[::stride], series, of_series)
    order = np.random.default_rng(seed).permutation(len(segments))
    colors = style.state_colors(of_segments[order], called)
    left.add_collection(
        LineCollection(
            list(segments[order]), colors=colors, linewidths=0.5, alpha=0.6, rasterized=True
        )
    )
    # Outlines alone, the most common first: none hides another.
    for place in np.argsort(-density.sum(axis=1)):
        color = style.state_color(states[place], called)
        right.stairs(density[place], edges, orientation="horizontal", color=color, lw=1.2)
    left.set_xlim(times.values[0], times.values[-1] if n_frames > 1 else times.values[0] + 1)
    left.set_ylim(edges[0], edges[-1])
    left.set_xlabel(times.label)
    units = style.units_text(array)
    name = str(array.name or "value").replace("_", " ")
    name = name.upper() if name == "lens" else name
    left.set_ylabel(f"{name} ({units})" if units else name)
    left.set_title(f"{len(atoms)} of {n_atoms} atoms")
    right.set_xscale("log")
    right.set_xlim(density[density > 0].min() / 2, density.max() * 2)
    right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    right.set_xlabel(f"density (1/{units})" if units else "density")
    right.set_title("all atoms")
    style.legend_beside(figure, style.state_handles(states, called, "s"))
    return figure


def _segments(
    time: FloatArray,
    series: npt.NDArray[np.floating],
    states: npt.NDArray[np.integer],
) -> tuple[FloatArray, npt.NDArray[np.integer]]:
    """Return the lines from each (frame, atom) to the next frame, (n, 2, 2), and their states."""
    frame, atom = np.nonzero(np.isfinite(series[:-1]) & np.isfinite(series[1:]))
    ends = [np.stack([time[frame + k], series[frame + k, atom]], axis=1) for k in (0, 1)]
    return np.stack(ends, axis=1), states[frame, atom]


def _extent(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return float(known.min(initial=np.inf)), float(known.max(initial=-np.inf))


def _density(data: da.Array, label: da.Array) -> tuple[list[int], FloatArray, FloatArray]:
    """Return the states that have values, edges of bins and the density of each state in them."""
    lows, highs = zip(*by_block(_extent, data), strict=True)
    low, high = min(lows), max(highs)
    if not np.isfinite(low):
        raise InputError("series_states: expected values, found none but NaN; nothing to draw")
    # Values that are all the same have a bin around them.
    margin = 0.0 if high > low else max(abs(low), 1.0) / 2
    edges = np.linspace(low - margin, high + margin, _BINS + 1)
    parts = histograms(edges, data, label)
    counts = np.stack(list(parts.values()))
    return list(parts), edges, counts / counts.sum() / np.diff(edges)
