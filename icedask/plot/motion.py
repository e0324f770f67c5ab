"""The two interfaces of a slab against time, and the speed at which it grows or melts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.figure import Figure

from icedask.core.trajectory import check_trajectory
from icedask.core.variables import FRAME, INTERFACE
from icedask.errors import InputError
from icedask.phases.interfaces import Motion, slab_motion, spacing
from icedask.plot.rows import check_same
from icedask.plot.style import PAGE, PALETTE, Times, frame_times, in_style, new_figure

# m/s in an angstrom per unit of time.
_SPEED = {"ps": 100.0, "ns": 0.1, "µs": 1e-4}
_NEEDED = 3


@in_style
def interface_motion(interfaces: xr.Dataset, trj: xr.Dataset, *, axis: int = 2) -> Figure:
    """Draw where a slab begins and ends against time, and its thickness with a straight line.

    Places have no jumps where an interface crosses a face of the cell. The slope of the line is
    given with its standard error, which takes into account that neighbouring frames resemble each
    other; each of the two interfaces moves at half of it. It is the speed of growth only while the
    thickness changes steadily: choose such frames.

    Parameters
    ----------
    interfaces : xarray.Dataset
        What `interfaces` returned: interface_position (frame, interface), angstrom. It is computed.
    trj : xarray.Dataset
        The trajectory, which knows the cell.
    axis : int, optional
        Which cell vector points across the slab, as for `interfaces`. Default 2.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is no such variable, the trajectory has other frames, a place is outside of its
        cell, or fewer than three frames have a slab.

    Examples
    --------
    >>> import ase
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> from icedask.plot import interface_motion
    >>> box = ase.Atoms("O", cell=[20, 20, 60], pbc=True)
    >>> trj = ice.from_ase([box] * 5).assign_coords(time=("frame", 100.0 * np.arange(5)))
    >>> place = np.stack([20 - np.arange(5.0), 40 + np.arange(5.0)], axis=1)
    >>> found = xr.Dataset({"interface_position": (("frame", "interface"), place)})
    >>> interface_motion(found, trj).axes[1].get_title()
    'slope 0.02 ± 0 Å/ps, each interface 1 ± 0 m/s'
    """
    check_trajectory(trj, "interface_motion")
    place = _places(interfaces)
    check_same("interface_motion", trj, interfaces, FRAME)
    height = np.array([spacing(cell, axis) for cell in trj["cell"].values.astype(float)])
    known = np.isfinite(place).all(axis=1)
    if known.sum() < _NEEDED:
        raise InputError(
            f"interface_motion: expected a slab in at least {_NEEDED} frames, found {known.sum()} "
            f"of {len(place)}; choose other classes, or frames in which there is one slab"
        )
    outside = (place[known] < 0) | (place[known] > height[known, None] * (1 + 1e-6))
    if outside.any():
        raise InputError(
            f"interface_motion: expected places within the cell along its vector {axis}, at most "
            f"{height.max():.4g} Å, found {place[known][outside][0]:.4g} Å; pass the trajectory "
            "and the axis that interfaces got"
        )
    times = frame_times(trj)
    motion = slab_motion(place, height, times.values)

    figure = new_figure(PAGE * 0.6, 3.8)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for number, name in enumerate(("begin", "end")):
        upper.plot(times.values, motion.position[:, number], color=PALETTE[number], lw=1.1)
        last = np.flatnonzero(known)[-1]
        upper.annotate(
            name,
            (times.values[last], motion.position[last, number]),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=PALETTE[number],
            fontsize=7,
        )
    upper.set_ylabel("position (Å)")
    lower.plot(times.values, motion.thickness, color="0.4", lw=1.1)
    ends = times.values[known][[0, -1]]
    lower.plot(ends, motion.intercept + motion.rate * ends, color="black", ls="--", lw=1)
    lower.set_ylabel("thickness (Å)")
    lower.set_xlabel(times.label)
    lower.set_title(_speed(motion, times))
    return figure


def _places(interfaces: xr.Dataset) -> npt.NDArray[np.float64]:
    found = interfaces.get("interface_position") if isinstance(interfaces, xr.Dataset) else None
    if found is None or found.dims != (FRAME, INTERFACE) or found.sizes[INTERFACE] != 2:
        raise InputError(
            "interface_motion: expected interface_position (frame, interface), found "
            f"{'no such variable' if found is None else found.dims}; pass what interfaces returned"
        )
    return found.values.astype(float)


def _speed(motion: Motion, times: Times) -> str:
    slope = f"slope {_with_error(motion.rate, motion.error)} Å/{times.unit or 'frame'}"
    if not times.unit:
        return slope
    each = _SPEED[times.unit] / 2
    return f"{slope}, each interface {_with_error(each * motion.rate, each * motion.error)} m/s"


def _with_error(value: float, error: float) -> str:
    """Return a value and its error with the digits that the error leaves."""
    if error <= 1e-9 * abs(value):
        return f"{value:.4g} ± 0"
    decimals = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
