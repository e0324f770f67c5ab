"""Positions of the two interfaces of a slab against time, and its speed of growth or melting."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from icedask.core.trajectory import check_trajectory
from icedask.core.variables import FRAME, INTERFACE
from icedask.errors import InputError
from icedask.phases.interfaces import Motion, slab_motion, spacing
from icedask.plot import style
from icedask.plot.inputs import check_same, required

# m/s in an angstrom per unit of time.
_SPEED = {"ps": 100.0, "ns": 0.1, "µs": 1e-4}
_NEEDED = 3


@style.in_style
def interface_motion(interfaces: xr.Dataset, trj: xr.Dataset, *, axis: int = 2) -> Figure:
    """Draw both interfaces of a slab against time, and its thickness with a straight line.

    Positions have no jumps where an interface crosses a face of the cell. The slope of the line is
    given with its standard error, which takes into account that neighbouring frames resemble each
    other; each of the two interfaces moves at half of it. It is the speed of growth only while the
    thickness changes steadily: choose such frames.

    Parameters
    ----------
    interfaces : xarray.Dataset
        What `interfaces` returned: interface_position (frame, interface), angstrom; computes.
    trj : xarray.Dataset
        The trajectory, for its cell.
    axis : int, optional
        Number of the cell vector across the slab, as for `interfaces`. Default 2.

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
    >>> planes = xr.Dataset({"interface_position": (("frame", "interface"), place)})
    >>> interface_motion(planes, trj).axes[1].get_title()
    'slope 0.02 ± 0 Å/ps, each interface 1 ± 0 m/s'
    """
    check_trajectory(trj, "interface_motion")
    dims = (FRAME, INTERFACE)
    array = required(interfaces, "interface_position", dims, "interface_motion", "interfaces")
    if array.sizes[INTERFACE] != 2:
        raise InputError(
            f"interface_motion: expected two interfaces, found {array.sizes[INTERFACE]}; pass what "
            "interfaces returned"
        )
    place = array.values.astype(float)
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
    times = style.frame_times(trj)
    motion = slab_motion(place, height, times.values)

    figure = style.new_figure(style.PAGE * 0.6, 3.8)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for number, name in enumerate(("begin", "end")):
        upper.plot(times.values, motion.position[:, number], color=style.PALETTE[number], lw=1.1)
        last = np.flatnonzero(known)[-1]
        place_of_name = (times.values[last], motion.position[last, number])
        style.write(upper, name, place_of_name, (4, 0), color=style.PALETTE[number])
    upper.set_ylabel("position (Å)")
    lower.plot(times.values, motion.thickness, color=style.GUIDE, lw=1.1)
    ends = times.values[known][[0, -1]]
    lower.plot(ends, motion.intercept + motion.rate * ends, color=style.INK, ls="--", lw=1)
    lower.set_ylabel("thickness (Å)")
    lower.set_xlabel(times.label)
    lower.set_title(_speed(motion, times))
    return figure


def _speed(motion: Motion, times: style.Times) -> str:
    slope = f"slope {value_text(motion.rate, motion.error)} Å/{times.unit or 'frame'}"
    if not times.unit:
        return slope
    each = _SPEED[times.unit] / 2
    return f"{slope}, each interface {value_text(each * motion.rate, each * motion.error)} m/s"


def value_text(value: float, error: float) -> str:
    """Return a value and its error with the digits that the error leaves."""
    if error <= 1e-9 * abs(value):
        return f"{value:.4g} ± 0"
    decimals = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
