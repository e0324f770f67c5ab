"""Savitzky-Golay smoothing of any variable along the frames."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from numpy.polynomial.legendre import legvander

from icedask.errors import InputError
from icedask.features import feature_variable, input_record, lazy_blocks
from icedask.io.chunks import plan_windows
from icedask.io.provenance import stamped
from icedask.jit import jit
from icedask.model import check_even_steps
from icedask.neighbors import FloatArray
from icedask.variables import FRAME


def smooth(ds: xr.Dataset, *, window: int, order: int = 2) -> xr.Dataset:
    """Smooth a variable along the frames by a Savitzky-Golay filter; lazy.

    Each value is replaced by that of the polynomial which fits the `window` frames around it
    best. In the first and the last half window of a series, it is the polynomial of the first and
    the last `window` frames. The result does not depend on the blocks of the input.

    A value that is NaN or infinite ends a series: each stretch of frames without one is filtered
    as if it were the whole trajectory. So the filter of LENS stops before its last `delay` frames,
    which stay NaN, as does a stretch shorter than the window.

    Parameters
    ----------
    ds : xarray.Dataset
        One floating-point variable (frame, atom) or (frame, atom, feature), at even time steps.
    window : int
        Frames that each polynomial is fitted to, at least 1. An odd number has a middle. With an
        even one, as in some publications, the value is that in the middle between two frames:
        away from the ends, the result runs half a frame ahead of the input, as in SciPy.
    order : int, optional
        Degree of the polynomials, below `window`. Default 2.

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
    _check_window(window, order, array.sizes[FRAME])
    check_even_steps(array.coords.to_dataset(), "smooth")
    name = array.name or "data"
    smoothed = _smoothed(lazy_blocks(array), int(window), int(order))
    record = input_record(ds).child(
        "results", "smooth", 1, {"window": int(window), "order": int(order)}
    )
    return stamped(xr.Dataset({name: (array.dims, smoothed, array.attrs)}, array.coords), record)


def _check_window(window: Any, order: Any, n_frames: int) -> None:
    for name, value, least in (("window", window, 1), ("order", order, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise InputError(f"smooth: {name}: expected a whole number, found {value!r}")
        if value < least:
            raise InputError(f"smooth: {name}: expected at least {least}, found {value}")
    if window <= order:
        raise InputError(
            f"smooth: a polynomial of order {order} needs a window of at least {order + 1} frames, "
            f"found {window}; choose a longer window or a lower order"
        )
    if window > n_frames:
        raise InputError(
            f"smooth: window {window} needs at least {window} frames, the trajectory has "
            f"{n_frames}; choose a shorter window"
        )


def _smoothed(data: da.Array, window: int, order: int) -> da.Array:
    halo = window - 1
    n_frames, n_atoms, *tail = data.shape
    row_bytes = data.dtype.itemsize * int(np.prod(tail, dtype=int))
    blocks = plan_windows(n_frames, n_atoms, row_bytes, halo=halo)
    with dask.config.set({"array.rechunk.method": "tasks"}):
        data = data.rechunk((blocks.frames, blocks.atoms, *tail))
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
        da.arange(n_frames, chunks=(data.chunks[0],)),
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
    """Filter the core frames of a block, which up to `halo` frames precede and follow.

    With window - 1 frames on either side, the stretch around a core frame is known as far as it
    matters: whether it is long enough, and the ends within half a window.
    """
    first = min(halo, int(core[0]))
    smoothed = smooth_stretches(values.reshape(len(values), -1), window, order)
    return smoothed[first : first + len(core)].reshape(len(core), *values.shape[1:])


def weights(window: int, order: int) -> tuple[FloatArray, FloatArray]:
    """Return what turns the values of a window into those of its polynomial.

    Returns
    -------
    everywhere : (window, window) array
        At each frame of the window.
    middle : (window,) array
        In its middle, which for an even window lies between two frames.
    """
    points = np.linspace(-1, 1, window) if window > 1 else np.zeros(1)
    q, r = np.linalg.qr(legvander(points, order))
    return q @ q.T, np.linalg.solve(r.T, legvander(np.zeros(1), order)[0]) @ q.T


@jit
def filter_stretch(
    values: npt.NDArray[np.floating], everywhere: FloatArray, middle: FloatArray
) -> FloatArray:
    """Filter the columns of an array at least as long as the window, (n_frames, n_series)."""
    n_frames, n_series = values.shape
    window = len(middle)
    half = window // 2
    result = np.zeros((n_frames, n_series))
    for frame in range(n_frames):
        # An even window has its middle half a frame later.
        start = frame - (window - 1) // 2
        row = middle
        if frame < half:
            start, row = 0, everywhere[frame]
        elif frame >= n_frames - half:
            start = n_frames - window
            row = everywhere[frame - start]
        for place in range(window):
            weight = row[place]
            for series in range(n_series):
                result[frame, series] += weight * values[start + place, series]
    return result


def smooth_stretches(
    values: npt.NDArray[np.floating], window: int, order: int
) -> npt.NDArray[np.floating]:
    """Filter each stretch of finite values of each column by itself; NaN elsewhere.

    Parameters
    ----------
    values : (n_frames, n_series) array
    window, order
        Of the filter.
    """
    everywhere, middle = weights(window, order)
    result = np.full_like(values, np.nan)
    for members, known in _patterns(np.isfinite(values)):
        edges = np.flatnonzero(np.diff(known, prepend=False, append=False))
        for first, last in edges.reshape(-1, 2):
            if last - first >= window:
                part = np.ascontiguousarray(values[first:last, members])
                result[first:last, members] = filter_stretch(part, everywhere, middle)
    return result


def _patterns(
    finite: npt.NDArray[np.bool_],
) -> Iterator[tuple[Any, npt.NDArray[np.bool_]]]:
    """Yield the columns that are finite in the same frames, and these frames."""
    if finite.shape[1] == 0:
        return
    if (finite == finite[:, :1]).all():
        yield slice(None), finite[:, 0]
        return
    packed = np.ascontiguousarray(np.packbits(finite, axis=0).T)
    _, first, group = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group))
    for column, members in zip(first, np.split(order, ends[:-1]), strict=True):
        yield members, finite[:, column]
