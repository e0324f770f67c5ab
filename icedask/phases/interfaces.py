"""Interfaces of a slab: the two planes at which its profile falls to one half, and their motion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
import scipy.stats
import xarray as xr

from icedask.core.collection import over_members
from icedask.core.features import check_same_rows, lazy_blocks, rechunked
from icedask.core.labels import Labels, checked_labels
from icedask.core.options import Option, takes_options
from icedask.core.provenance import stamped
from icedask.core.trajectory import check_trajectory
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME, INTERFACE, VARIABLES
from icedask.errors import InputError
from icedask.kernels.neighbors import wrap

_BIN = 0.5
# Largest correlation of neighbouring residuals; a larger one leaves no independent frame.
_MOST_PERSISTENT = 0.99


@over_members
@takes_options(
    "trj : xarray.Dataset\n    The trajectory, periodic along `axis`.",
    "labels : xarray.Dataset\n    label (frame, atom) with flag_meanings, as of `chill_plus`, of "
    "some or all of its atoms.",
)
def interfaces(
    trj: xr.Dataset,
    labels: xr.Dataset,
    *,
    classes: Annotated[
        Sequence[str],
        Option(
            'Names of the classes that make up the slab, for example ["hexagonal_ice", '
            '"cubic_ice"].'
        ),
    ],
    axis: Annotated[
        int, Option("Cell vector across the slab: 0, 1 or 2.", at_least=0, at_most=2)
    ] = 2,
    width: Annotated[
        float, Option("Standard deviation of the Gaussian.", "angstrom", above=0)
    ] = 2.0,
) -> xr.Dataset:
    """Find the two interfaces of a slab that fills the cell along two of its vectors; lazy.

    The fraction of atoms of the slab's classes is taken along the normal of the interfaces,
    smoothed by a Gaussian, and followed to the planes where it passes one half.

    {parameters}

    Returns
    -------
    xarray.Dataset
        interface_position (frame, interface), angstrom from the cell's origin along the normal,
        within the cell: where the slab begins and where it ends, in the direction of `axis`. NaN
        in frames whose profile does not pass one half exactly twice.

    Raises
    ------
    InputError
        If the labels have no such classes, or the cell is not periodic along `axis`.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> from ase.build import bulk
    >>> ice_half = bulk("O", "diamond", a=6.37, cubic=True) * (3, 3, 6)
    >>> upper = ice_half.positions[:, 2] > 19
    >>> ice_half.positions[upper] += 0.8 * np.random.default_rng(0).normal(size=(upper.sum(), 3))
    >>> trj = ice.from_ase(ice_half)
    >>> planes = ice.interfaces(trj, ice.chill_plus(trj), classes=["cubic_ice"])
    >>> planes["interface_position"].round(0).values
    array([[ 2., 16.]])
    """
    check_trajectory(trj, "interfaces")
    states = checked_labels(labels, "interfaces")
    numbers = _numbers(states, classes)
    if not trj["pbc"].values[axis]:
        raise InputError(
            f"interfaces: expected a trajectory that is periodic along cell vector {axis}, found "
            f"pbc {trj['pbc'].values.tolist()}"
        )
    here = _labelled_atoms(trj, states)
    rows = rechunked(states.blocks, {1: -1})
    atoms = rechunked(lazy_blocks(here["positions"]), (rows.chunks[0], -1, -1))
    cells = da.from_array(here["cell"].values, chunks=(rows.chunks[0], -1, -1))
    positions = da.blockwise(
        partial(_frames, numbers=numbers, axis=axis, width=width, pbc=here["pbc"].values),
        "fi",
        rows,
        "fa",
        atoms,
        "fax",
        cells,
        "fvx",
        new_axes={"i": 2},
        concatenate=True,
        meta=np.empty((0, 0)),
    )
    options = {"classes": list(classes), "axis": axis, "width": width}
    record = states.record.child("results", "interfaces", 1, options)
    spec = VARIABLES["interface_position"]
    coords = {name: coord for name, coord in states.array.coords.items() if coord.dims == (FRAME,)}
    coords[INTERFACE] = np.array(["begin", "end"])
    return stamped(xr.Dataset({spec.name: (spec.dims, positions, spec.attrs)}, coords), record)


def _labelled_atoms(trj: xr.Dataset, labels: Labels) -> xr.Dataset:
    """Return the atoms of the trajectory that have labels."""
    atoms = labels.array[ATOM].values
    unknown = atoms[~np.isin(atoms, trj[ATOM].values)]
    if len(unknown):
        raise InputError(
            f"interfaces: expected labels of atoms of the trajectory, found atom {unknown[0]}; "
            "pass the trajectory that the labels were computed from"
        )
    here = trj.sel({ATOM: atoms})
    check_same_rows(here["positions"], labels.array, "interfaces")
    return here


def _numbers(labels: Labels, classes: Sequence[str]) -> list[int]:
    """Return the numbers of classes by their names."""
    numbers = {name: number for number, name in labels.names.items()}
    if unknown := [name for name in classes if name not in numbers]:
        raise InputError(
            f"interfaces: classes: expected some of {', '.join(numbers) or 'no named class'}, "
            f"found {', '.join(unknown)}"
        )
    return [int(numbers[name]) for name in classes]


def _frames(
    labels: npt.NDArray[np.integer],
    positions: npt.NDArray[np.floating],
    cells: FloatArray,
    numbers: Sequence[int],
    axis: int,
    width: float,
    pbc: npt.NDArray[np.bool_],
) -> FloatArray:
    result = np.full((len(labels), 2), np.nan)
    for frame, (label, place, cell) in enumerate(zip(labels, positions, cells, strict=True)):
        _, fractional = wrap(place.astype(np.float64), cell, pbc)
        result[frame] = crossings(
            fractional[:, axis], np.isin(label, numbers), spacing(cell, axis), width
        )
    return result


def spacing(cell: FloatArray, axis: int) -> float:
    """Return the distance between the two faces of a cell that `axis` joins, angstrom."""
    a, b = (cell[side] for side in range(3) if side != axis)
    normal = np.cross(a, b)
    return float(abs(cell[axis] @ normal) / np.linalg.norm(normal))


def crossings(
    fraction: FloatArray, inside: npt.NDArray[np.bool_], height: float, width: float
) -> tuple[float, float]:
    """Return the begin and the end of a slab, angstrom; NaN unless there is exactly one.

    Of each atom, the fractional coordinate across the slab, and whether it has a class of the slab;
    `height` of the cell and `width`, the standard deviation of the Gaussian, are in angstrom.
    """
    n_bins = max(8, round(height / _BIN))
    bins = np.minimum((fraction * n_bins).astype(int), n_bins - 1)
    waves = np.fft.rfftfreq(n_bins, d=height / n_bins)
    damping = np.exp(-2 * (np.pi * waves * width) ** 2)
    everything, slab = (
        np.fft.irfft(np.fft.rfft(np.bincount(bins, weights, n_bins)) * damping, n_bins)
        for weights in (np.ones(len(bins)), inside.astype(float))
    )
    above = np.where(everything > 1e-9, slab / np.maximum(everything, 1e-9), 0.0) - 0.5
    after = np.roll(above, -1)
    rises = np.flatnonzero((above < 0) & (after >= 0))
    falls = np.flatnonzero((above >= 0) & (after < 0))
    if len(rises) != 1 or len(falls) != 1:
        return np.nan, np.nan
    begin, end = (
        (place + 0.5 + above[place] / (above[place] - after[place])) % n_bins * height / n_bins
        for place in (rises[0], falls[0])
    )
    return float(begin), float(end)


class Motion(NamedTuple):
    """Motion of the interfaces of a slab."""

    # (n_frames, 2): begin and end of the slab, angstrom, without jumps over the cell's faces; NaN
    # where unknown.
    position: FloatArray
    thickness: FloatArray  # (n_frames,): thickness of the slab, angstrom; NaN where unknown
    # Slope of the straight line through the thickness, angstrom per unit of time, its standard
    # error, and its intercept, angstrom.
    rate: float
    error: float
    intercept: float


def slab_motion(position: FloatArray, height: FloatArray, time: FloatArray) -> Motion:
    """Follow the interfaces of a slab from frame to frame.

    Positions (n_frames, 2) are the begin and end of the slab within the cell, angstrom: NaN where
    unknown, known in at least three frames. The height of the cell, angstrom, and the time are
    (n_frames,).

    An interface moves by less than half the cell from one known place to the next. The standard
    error holds for residuals that follow each other as in an autoregressive process of first order:
    each frame counts as (1 - r) / (1 + r) independent ones, r being the correlation of neighbouring
    frames.
    """
    known = np.isfinite(position).all(axis=1)
    share = position[known] / height[known, None]
    begin = np.unwrap(share[:, 0], period=1.0)
    thick = (share[:, 1] - share[:, 0]) % 1.0
    places, thickness = np.full(position.shape, np.nan), np.full(len(position), np.nan)
    thickness[known] = thick * height[known]
    places[known] = np.stack([begin, begin + thick], axis=1) * height[known, None]
    line = scipy.stats.linregress(time[known], thickness[known])
    rest = thickness[known] - line.intercept - line.slope * time[known]
    square = rest @ rest
    repeated = rest[1:] @ rest[:-1] / square if square > 0 else 0.0
    repeated = float(np.clip(repeated, 0, _MOST_PERSISTENT))
    error = line.stderr * np.sqrt((1 + repeated) / (1 - repeated))
    return Motion(places, thickness, float(line.slope), float(error), float(line.intercept))
