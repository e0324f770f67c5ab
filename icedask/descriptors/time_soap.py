"""timeSOAP: change of the surroundings of an atom from a frame to a later one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.collection import over_members
from icedask.core.features import feature_variable, input_record, lazy_blocks, row_coords
from icedask.core.options import Delay, Option, takes_options
from icedask.core.provenance import Record, stamped
from icedask.core.trajectory import (
    check_atom_order,
    check_delay,
    check_even_steps,
    frame_interval,
)
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.soap.square import square_weights
from icedask.errors import InputError
from icedask.kernels.jit import jit

TIME_SOAP = Variable(
    "time_soap", (FRAME, ATOM), "float32", "1", "change of the SOAP vector", "doi:10.1063/5.0147025"
)
DERIVATIVE = Variable(
    "time_soap_derivative",
    (FRAME, ATOM),
    "float32",
    "1/picosecond",
    "rate of change of timeSOAP",
    "doi:10.1063/5.0147025",
)


@jit
def angular_changes(
    before: npt.NDArray[np.floating], after: npt.NDArray[np.floating], weights: FloatArray
) -> npt.NDArray[np.float32]:
    """Return the distance between the directions of vectors, (n_frames, n_atoms).

    |a/|a| - b/|b|| = sqrt(2 - 2 cos(a, b)), without the cancellation of the latter between
    vectors that are nearly parallel.
    """
    n_frames, n_atoms, n_features = before.shape
    result = np.empty((n_frames, n_atoms), np.float32)
    for frame in range(n_frames):
        for atom in range(n_atoms):
            a, b = before[frame, atom], after[frame, atom]
            norm_a, norm_b = 0.0, 0.0
            for k in range(n_features):
                norm_a += weights[k] * a[k] * a[k]
                norm_b += weights[k] * b[k] * b[k]
            scale_a, scale_b = 1 / np.sqrt(norm_a), 1 / np.sqrt(norm_b)
            total = 0.0
            for k in range(n_features):
                difference = a[k] * scale_a - b[k] * scale_b
                total += weights[k] * difference * difference
            result[frame, atom] = np.sqrt(total)
    return result


@over_members
@takes_options()
def time_soap(
    soap: xr.Dataset,
    *,
    delay: Delay = 1,
    filled: Annotated[
        bool,
        Option(
            "Norms and cosines of the full square of pairs n, n', as published; else of the "
            "components that are kept, of which a pair of equal species has only n' >= n."
        ),
    ] = True,
) -> xr.Dataset:
    """Change of each atom's SOAP vector from a frame to a later one (timeSOAP); lazy.

    tau_i(t) = sqrt(2 - 2 cos(p_i(t), p_i(t + delay))), the distance between the two vectors
    divided by their norms: 0 where nothing changed. It sees changes of structure, not of
    identities: see `lens` for these. About `delay` frames of SOAP are in memory at once.

    Parameters
    ----------
    soap : xarray.Dataset
        What `soap` returned, or another variable (frame, atom, feature), at even time steps.
    {options}

    Returns
    -------
    xarray.Dataset
        time_soap (frame, atom), float32. Its value at frame t is the change to frame t + delay;
        the last `delay` frames are NaN, as are atoms whose vector is zero or NaN at either frame.

    Raises
    ------
    InputError
        If there is no such variable, it has no component labels and `filled` asks for them, the
        trajectory is not longer than the delay or its frames are not at even time steps.

    References
    ----------
    Caruso et al., J. Chem. Phys. 158, 214302 (2023), doi:10.1063/5.0147025

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> crystal = bulk("Cu", cubic=True) * (2, 2, 2)
    >>> soap = ice.soap(ice.from_ase([crystal, crystal]), r_cut=4.0, n_max=2, l_max=2)
    >>> float(ice.time_soap(soap)["time_soap"][0, 0])
    0.0
    """
    array = feature_variable(soap)
    if array.ndim != 3:
        raise InputError(
            f"time_soap: expected a variable (frame, atom, feature), found {array.name} with the "
            f"dimensions {array.dims}; pass what icedask.soap returned"
        )
    check_delay(array.to_dataset(name="soap"), delay, "time_soap")
    check_atom_order(soap, "time_soap")
    weights = square_weights(array, "time_soap") if filled else np.ones(array.shape[2])
    changes = _between_frames(partial(_changes, weights=weights), lazy_blocks(array), delay)
    options = {"delay": delay, "filled": filled}
    record = input_record(soap).child("descriptors", "time_soap", 1, options)
    return _dataset(TIME_SOAP, changes, array, record, {"delay": delay})


@over_members
def time_soap_derivative(time_soap: xr.Dataset) -> xr.Dataset:
    """Rate of change of timeSOAP from each frame to the next; lazy.

    (tau_i(t + 1) - tau_i(t)) / dt, where dt is the time from a frame to the next: the difference
    of successive values, as published, in units that do not depend on how often frames were
    written.

    Parameters
    ----------
    time_soap : xarray.Dataset
        What `time_soap` returned, smoothed or not, or another variable (frame, atom).

    Returns
    -------
    xarray.Dataset
        time_soap_derivative (frame, atom), float32, 1/picosecond; where the times of the frames
        are not known, dt is 1 and the unit 1/frame. The last frame is NaN, and so is each frame
        that is NaN in the input or before such a frame.

    Raises
    ------
    InputError
        If there is no such variable, fewer than two frames, or they are not at even time steps.

    References
    ----------
    Caruso et al., J. Chem. Phys. 158, 214302 (2023), doi:10.1063/5.0147025

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> crystal = bulk("Cu", cubic=True) * (2, 2, 2)
    >>> soap = ice.soap(ice.from_ase([crystal] * 3), r_cut=4.0, n_max=2, l_max=2)
    >>> float(ice.time_soap_derivative(ice.time_soap(soap))["time_soap_derivative"][0, 0])
    0.0
    """
    array = feature_variable(time_soap)
    if array.ndim != 2:
        raise InputError(
            f"time_soap_derivative: expected a variable (frame, atom), found {array.name} with "
            f"the dimensions {array.dims}; pass what icedask.time_soap returned"
        )
    if array.sizes[FRAME] < 2:
        raise InputError(
            f"time_soap_derivative: expected at least 2 frames, found {array.sizes[FRAME]}"
        )
    check_even_steps(array.coords.to_dataset(), "time_soap_derivative")
    check_atom_order(time_soap, "time_soap_derivative")
    interval = frame_interval(array)
    rates = _between_frames(partial(_rate, interval=interval or 1.0), lazy_blocks(array), 1)
    # No run id of an input knows the times. Part of a trajectory has the same interval but for
    # rounding.
    options = {"interval": interval and float(f"{interval:.5g}")}
    record = input_record(time_soap).child("descriptors", "time_soap_derivative", 1, options)
    units = {} if interval else {"units": "1/frame"}
    return _dataset(DERIVATIVE, rates, array, record, units)


def _changes(
    before: npt.NDArray[np.floating], after: npt.NDArray[np.floating], weights: FloatArray
) -> npt.NDArray[np.float32]:
    # Compiled functions are pickled by value, without their cache: this one goes by its name.
    return angular_changes(before, after, weights)


def _rate(
    before: npt.NDArray[np.floating], after: npt.NDArray[np.floating], interval: float
) -> npt.NDArray[np.float32]:
    return ((after.astype(np.float64) - before) / interval).astype(np.float32)


def _between_frames(
    function: Callable[..., npt.NDArray[np.float32]], data: da.Array, delay: int
) -> da.Array:
    """Return function(frames, frames `delay` later), (frame, atom), in the blocks of `data`.

    The last `delay` frames are NaN. Each block of `data` is computed once.
    """
    before, after = data[:-delay], data[delay:]
    index = "fak"[: data.ndim]
    with dask.config.set({"array.rechunk.method": "tasks"}):
        values = da.blockwise(
            function,
            "fa",
            before,
            index,
            after.rechunk(before.chunks),
            index,
            concatenate=True,
            meta=np.empty((0, 0), np.float32),
        )
        shape = (delay, data.shape[1])
        missing = da.full(shape, np.nan, dtype=np.float32, chunks=(delay, data.chunks[1]))
        return da.concatenate([values, missing]).rechunk(data.chunks[:2])


def _dataset(
    spec: Variable, values: da.Array, source: xr.DataArray, record: Record, attrs: dict[str, Any]
) -> xr.Dataset:
    return stamped(xr.Dataset({spec.name: spec.of(values, **attrs)}, row_coords(source)), record)
