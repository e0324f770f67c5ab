"""Savitzky-Golay smoothing of any variable along the frames."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Annotated

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.collection import over_members
from icedask.core.features import feature_variable, input_record, lazy_blocks, rechunked
from icedask.core.options import Option, takes_options
from icedask.core.provenance import stamped
from icedask.core.trajectory import check_atom_order, check_even_steps
from icedask.core.types import FloatArray
from icedask.core.variables import FRAME
from icedask.errors import InputError
from icedask.kernels.jit import jit
from icedask.store.chunks import plan_windows

# Series converted to float64 at a time: a few MB for a few hundred frames.
_SERIES = 1024


@over_members
@takes_options(
    "ds : xarray.Dataset\n"
    "    One floating-point variable (frame, atom) or (frame, atom, feature), at even time steps."
)
def smooth(
    ds: xr.Dataset,
    *,
    window: Annotated[int, Option("Length of the window of the filter.", "frame", at_least=1)],
    order: Annotated[int, Option("Degree of the polynomials, below `window`.", at_least=0)] = 2,
) -> xr.Dataset:
    """Smooth a variable along the frames by a Savitzky-Golay filter; lazy.

    Each value is replaced by that of the least-squares polynomial of the `window` frames around
    it; in the first and the last half window, by that of the first and the last `window` frames.
    An even window, as in some publications, has its middle between two frames: away from the
    ends, the result at frame t is the value at t + 1/2, as in SciPy. The result does not depend
    on the blocks of the input.

    Where values of an atom are NaN or infinite, each stretch of frames between them is filtered
    as if it were the whole trajectory; a stretch shorter than the window becomes NaN. So LENS is
    smoothed up to its last `delay` frames, which stay NaN.

    {parameters}

    Returns
    -------
    xarray.Dataset
        The variable with its name, dimensions, dtype, attributes and coordinates.

    Raises
    ------
    InputError
        If there is no such variable, the window is longer than the trajectory or not longer than
        the order, or the frames are not at even time steps.

    References
    ----------
    Savitzky and Golay, Anal. Chem. 36, 1627 (1964), doi:10.1021/ac60214a047

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> crystal = bulk("Cu", cubic=True) * (2, 2, 2)
    >>> lens = ice.lens(ice.from_ase([crystal] * 8), r_cut=3.0)
    >>> ice.smooth(lens, window=5)["lens"][:, 0].values
    array([ 0.,  0.,  0.,  0.,  0.,  0.,  0., nan], dtype=float32)
    """
    array = feature_variable(ds)
    _check_window(window, order, array.sizes[FRAME] - int(array.attrs.get("delay", 0)))
    check_even_steps(array.coords.to_dataset(), "smooth")
    check_atom_order(ds, "smooth")
    name = array.name or "data"
    smoothed = _smoothed(lazy_blocks(array), window, order)
    record = input_record(ds).child("results", "smooth", 1, {"window": window, "order": order})
    return stamped(xr.Dataset({name: (array.dims, smoothed, array.attrs)}, array.coords), record)


def _check_window(window: int, order: int, n_frames: int) -> None:
    if window <= order:
        raise InputError(
            f"smooth: a polynomial of order {order} needs a window of at least {order + 1} frames, "
            f"found {window}; choose a longer window or a lower order"
        )
    if window > n_frames:
        raise InputError(
            f"smooth: window {window} needs at least {window} frames with values, the trajectory "
            f"has {n_frames}; choose a shorter window"
        )


def _smoothed(data: da.Array, window: int, order: int) -> da.Array:
    halo = window - 1
    n_frames, n_atoms, *tail = data.shape
    row_bytes = data.dtype.itemsize * int(np.prod(tail, dtype=int))
    blocks = plan_windows(n_frames, n_atoms, row_bytes, halo=halo)
    data = rechunked(data, (blocks.frames, blocks.atoms, *tail))
    windows = data
    if halo and data.numblocks[0] > 1:
        windows = da.overlap.overlap(
            data, depth={0: (halo, halo)}, boundary="none", allow_rechunk=False
        )
    index = "fak"[: data.ndim]
    # The core frames come first: they, not the longer windows, decide the blocks of the result.
    return da.blockwise(
        partial(_smooth_block, halo=halo, window=window, order=order),
        index,
        da.from_array(np.arange(n_frames), chunks=(data.chunks[0],)),
        "f",
        windows,
        index,
        align_arrays=False,
        meta=np.empty((0,) * data.ndim, data.dtype),
    )


def _smooth_block(
    core: npt.NDArray[np.int64],
    values: npt.NDArray[np.floating],
    *,
    halo: int,
    window: int,
    order: int,
) -> npt.NDArray[np.floating]:
    """Filter the core frames of a block with a halo of up to window - 1 frames on either side.

    The halo decides whether the stretch of finite values around a frame is long enough, and holds
    its ends within half a window.
    """
    first = min(halo, int(core[0]))
    smoothed = smooth_columns(values.reshape(len(values), -1), window, order)
    return smoothed[first : first + len(core)].reshape(len(core), *values.shape[1:])


def smooth_columns(
    values: npt.NDArray[np.floating], window: int, order: int
) -> npt.NDArray[np.floating]:
    """Filter each stretch of finite values of each column of (n_frames, n_series) by itself."""
    everywhere, middle = polynomial_weights(window, order)
    result = np.empty_like(values)
    for start in range(0, values.shape[1], _SERIES):
        columns = slice(start, start + _SERIES)
        series = np.ascontiguousarray(values[:, columns].T, np.float64)
        result[:, columns] = smooth_series(series, everywhere, middle).T
    return result


@lru_cache(maxsize=8)
def polynomial_weights(window: int, order: int) -> tuple[FloatArray, FloatArray]:
    """Return the weights of a window in the values of the polynomial fitted to it.

    At each of its frames, a symmetric matrix; and in its middle, which lies between two frames of
    an even window.
    """
    # Twice the distance from the middle, at the end the middle itself: Gram's polynomials, which
    # are orthogonal at the frames, are whole numbers there.
    places = [*range(1 - window, window, 2), 0]
    everywhere, middle = np.zeros((window, window)), np.zeros(window)
    last, values = [0] * (window + 1), [1] * (window + 1)
    for degree in range(order + 1):
        square = sum(value * value for value in values[:-1])
        unit = np.array([_unit(value, square) for value in values])
        # Element by element: sums of matrix products depend on the host.
        everywhere += unit[:-1, None] * unit[:-1]
        middle += unit[:-1] * unit[-1]
        rise = 4 * degree**2 - 1
        fall = degree**2 * (window**2 - degree**2) * (4 * (degree - 1) ** 2 - 1)
        last, values = (
            values,
            [
                rise * place * value - fall * before
                for place, value, before in zip(places, values, last, strict=True)
            ],
        )
    return everywhere, middle


def _unit(value: int, square: int) -> float:
    """Return a value over the root of a square, without an integer too large for a double."""
    return math.copysign(math.sqrt(value * value / square), value)


@jit
def smooth_series(values: FloatArray, everywhere: FloatArray, middle: FloatArray) -> FloatArray:
    """Filter each stretch of finite values of each row of (n_series, n_frames) by itself."""
    result = np.full(values.shape, np.nan)
    n_series, n_frames = values.shape
    for series in range(n_series):
        first = 0
        while first < n_frames:
            last = first
            while last < n_frames and np.isfinite(values[series, last]):
                last += 1
            if last - first >= len(middle):
                stretch = values[series, first:last]
                filter_stretch(stretch, everywhere, middle, result[series, first:last])
            first = last + 1
    return result


@jit
def filter_stretch(
    values: FloatArray, everywhere: FloatArray, middle: FloatArray, out: FloatArray
) -> None:
    """Filter a series at least as long as the window into `out`."""
    n_frames, window = len(values), len(middle)
    half = window // 2
    n_inner = n_frames - 2 * half
    first = 1 - window % 2  # an even window has its middle half a frame later
    out[:] = 0.0
    head, inner, tail = out[:half], out[half : half + n_inner], out[half + n_inner :]
    for place in range(window):
        add_multiple(inner, middle[place], values[first + place : first + place + n_inner])
        # A row of the symmetric matrix holds what a frame adds to the others.
        row = everywhere[place]
        add_multiple(head, values[place], row[:half])
        add_multiple(tail, values[n_frames - window + place], row[window - half :])


@jit
def add_multiple(out: FloatArray, factor: float, values: FloatArray) -> None:
    """Add factor * values to out, without sums across elements: in vector registers."""
    for k in range(len(out)):
        out[k] += factor * values[k]
