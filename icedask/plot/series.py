"""Time series of a quantity of atoms, and its density, by state."""

from __future__ import annotations

from functools import partial

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from icedask.core.features import feature_variable, lazy_blocks, whole_number
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.plot.rows import by_block, check_same, label_variable
from icedask.plot.style import (
    PAGE,
    Names,
    frame_times,
    in_style,
    legend_beside,
    names_of,
    new_figure,
    state_color,
)

# More points than a figure has pixels only take time.
_MAX_FRAMES = 2000
_BINS = 100


@in_style
def series_states(
    values: xr.Dataset,
    labels: xr.Dataset,
    *,
    max_atoms: int = 100,
    seed: int = 0,
    names: Names | None = None,
) -> Figure:
    """Draw time series of some atoms and the density of all values, coloured by state.

    The line of an atom from one frame to the next has the colour of its state in the first. Of
    many frames, 1000 to 2000 at even distances are drawn. The density is that of all values of all
    atoms and frames, counted block by block, on a logarithmic scale on which rare states show;
    the areas of all states together make one. For this the values are computed twice: save what
    takes long first.

    Parameters
    ----------
    values : xarray.Dataset
        One floating-point variable (frame, atom): LENS, smoothed or not, timeSOAP, ...; NaN is
        left out.
    labels : xarray.Dataset
        label (frame, atom).
    max_atoms : int
        Atoms to draw series of.
    seed : int
        Of the choice of atoms.
    names : mapping of int to str, optional
        Names of states; by default those that the labels' flags tell, else their numbers.

    Returns
    -------
    matplotlib.figure.Figure

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
    times = frame_times(values)
    called = names_of(labels["label"], names)

    figure = new_figure(PAGE, 2.6)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    # The most common first: what is rare lies on top.
    for one in np.argsort(-density.sum(axis=1)):
        color = state_color(states[one], called)
        segments = _segments(times.values[::stride], series, of_series == states[one])
        left.add_collection(
            LineCollection(list(segments), colors=color, linewidths=0.5, alpha=0.7, rasterized=True)
        )
        right.stairs(
            density[one],
            edges,
            orientation="horizontal",
            color=color,
            fill=True,
            alpha=0.25,
        )
        right.stairs(density[one], edges, orientation="horizontal", color=color, lw=0.9)
    left.set_xlim(times.values[0], times.values[-1] if n_frames > 1 else times.values[0] + 1)
    left.set_ylim(edges[0], edges[-1])
    left.set_xlabel(times.label)
    units = str(array.attrs.get("units", "1"))
    name = str(array.name or "value").replace("_", " ")
    name = name.upper() if name == "lens" else name
    left.set_ylabel(name if units == "1" else f"{name} ({units})")
    left.set_title(f"{len(atoms)} of {n_atoms} atoms")
    right.set_xscale("log")
    right.set_xlim(density[density > 0].min() / 2, density.max() * 2)
    right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    right.set_xlabel("density")
    right.set_title("all atoms")
    legend_beside(figure, states, called, marker="s")
    return figure


def _segments(
    time: npt.NDArray[np.float64], series: npt.NDArray[np.floating], chosen: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return the lines from each chosen (frame, atom) to the next frame, (n, 2, 2)."""
    whole = np.isfinite(series[:-1]) & np.isfinite(series[1:]) & chosen[:-1]
    frame, atom = np.nonzero(whole)
    ends = [np.stack([time[frame + k], series[frame + k, atom]], axis=1) for k in (0, 1)]
    return np.stack(ends, axis=1)


def _extent(
    values: npt.NDArray[np.floating], label: npt.NDArray[np.integer]
) -> tuple[float, float, set[int]]:
    finite = np.isfinite(values)
    some = values[finite]
    low, high = some.min(initial=np.inf), some.max(initial=-np.inf)
    return float(low), float(high), set(np.unique(label[finite]).tolist())


def _count(
    values: npt.NDArray[np.floating],
    label: npt.NDArray[np.integer],
    states: list[int],
    edges: npt.NDArray[np.float64],
) -> npt.NDArray[np.int64]:
    return np.stack([np.histogram(values[label == one], edges)[0] for one in states])


def _density(
    data: da.Array, label: da.Array
) -> tuple[list[int], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the states that have values, edges of bins and the density of each state in them."""
    lows, highs, found = zip(*by_block(_extent, data, label), strict=True)
    low, high = min(lows), max(highs)
    if not np.isfinite(low):
        raise InputError("series_states: expected values, found none but NaN; nothing to draw")
    states = sorted(set().union(*found))
    # Values that are all the same have a bin around them.
    margin = 0.0 if high > low else max(abs(low), 1.0) / 2
    edges = np.linspace(low - margin, high + margin, _BINS + 1)
    counts = np.sum(by_block(partial(_count, states=states, edges=edges), data, label), axis=0)
    return states, edges, counts / counts.sum() / np.diff(edges)
