"""Where a slab of one phase ends: the two planes at which its profile falls to one half."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import check_same_rows, lazy_blocks
from icedask.core.labels import Labels, checked_labels
from icedask.core.provenance import stamped
from icedask.core.trajectory import check_trajectory
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME, INTERFACE, VARIABLES
from icedask.errors import InputError
from icedask.kernels.neighbors import wrap

_BIN = 0.5


def interfaces(
    trj: xr.Dataset,
    labels: xr.Dataset,
    *,
    classes: Sequence[str],
    axis: int = 2,
    width: float = 2.0,
) -> xr.Dataset:
    """Find the two interfaces of a slab that fills the cell along two of its vectors; lazy.

    The fraction of atoms of the slab's classes is taken along the normal of the interfaces,
    smoothed by a Gaussian, and followed to the planes where it passes one half.

    Parameters
    ----------
    trj : xarray.Dataset
        The trajectory, periodic along `axis`.
    labels : xarray.Dataset
        label (frame, atom) with flag_meanings, as of `chill_plus`, of some or all of its atoms.
    classes : sequence of str
        Names of the classes that make up the slab, for example ["hexagonal_ice", "cubic_ice"].
    axis : int, optional
        Which cell vector points across the slab: 0, 1 or 2. Default 2.
    width : float, optional
        Standard deviation of the Gaussian, angstrom. Default 2.

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
    >>> found = ice.interfaces(trj, ice.chill_plus(trj), classes=["cubic_ice"])
    >>> found["interface_position"].round(0).values
    array([[ 2., 16.]])
    """
    check_trajectory(trj, "interfaces")
    given = checked_labels(labels, "interfaces")
    wanted = _flags(given, classes)
    if not isinstance(axis, int | np.integer) or isinstance(axis, bool) or axis not in (0, 1, 2):
        raise InputError(f"interfaces: axis: expected 0, 1 or 2, found {axis!r}")
    if not trj["pbc"].values[axis]:
        raise InputError(
            f"interfaces: expected a trajectory that is periodic along cell vector {axis}, found "
            f"pbc {trj['pbc'].values.tolist()}"
        )
    number = isinstance(width, int | float | np.number) and not isinstance(width, bool)
    if not number or not 0 < width < np.inf:
        raise InputError(
            f"interfaces: width: expected a number of angstrom above 0, found {width!r}"
        )
    here = _of_the_labels(trj, given)
    rows = given.blocks
    with dask.config.set({"array.rechunk.method": "tasks"}):
        rows = rows.rechunk({1: -1})
        positions = lazy_blocks(here["positions"]).rechunk((rows.chunks[0], -1, -1))
    cells = da.from_array(here["cell"].values, chunks=(rows.chunks[0], -1, -1))
    found = da.blockwise(
        partial(_frames, wanted=wanted, axis=axis, width=width, pbc=here["pbc"].values),
        "fi",
        rows,
        "fa",
        positions,
        "fax",
        cells,
        "fvx",
        new_axes={"i": 2},
        concatenate=True,
        meta=np.empty((0, 0)),
    )
    options = {"classes": list(classes), "axis": axis, "width": float(width)}
    record = given.record.child("results", "interfaces", 1, options)
    spec = VARIABLES["interface_position"]
    coords = {name: one for name, one in given.array.coords.items() if one.dims == (FRAME,)}
    coords[INTERFACE] = np.array(["begin", "end"])
    return stamped(xr.Dataset({spec.name: (spec.dims, found, spec.attrs)}, coords), record)


def _of_the_labels(trj: xr.Dataset, labels: Labels) -> xr.Dataset:
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


def _flags(labels: Labels, classes: Sequence[str]) -> list[int]:
    numbers = {name: number for number, name in labels.names.items()}
    if isinstance(classes, str) or not np.iterable(classes):
        raise InputError(
            f"interfaces: classes: expected a list of names such as ['cubic_ice'], found "
            f"{classes!r}"
        )
    unknown = [str(name) for name in classes if name not in numbers]
    if unknown or not classes:
        raise InputError(
            f"interfaces: classes: expected some of {', '.join(numbers) or 'no named class'}, "
            f"found {', '.join(unknown) or 'none'}"
        )
    return [int(numbers[name]) for name in classes]


def _frames(
    labels: npt.NDArray[np.integer],
    positions: npt.NDArray[np.floating],
    cells: FloatArray,
    wanted: Sequence[int],
    axis: int,
    width: float,
    pbc: npt.NDArray[np.bool_],
) -> FloatArray:
    result = np.full((len(labels), 2), np.nan)
    for frame, (label, place, cell) in enumerate(zip(labels, positions, cells, strict=True)):
        _, fractional = wrap(place.astype(np.float64), cell, pbc)
        result[frame] = crossings(
            fractional[:, axis], np.isin(label, wanted), spacing(cell, axis), width
        )
    return result


def spacing(cell: FloatArray, axis: int) -> float:
    """Return the distance between the two faces of a cell that `axis` joins, angstrom."""
    a, b = (cell[one] for one in range(3) if one != axis)
    normal = np.cross(a, b)
    return float(abs(cell[axis] @ normal) / np.linalg.norm(normal))


def crossings(
    fraction: FloatArray, inside: npt.NDArray[np.bool_], height: float, width: float
) -> tuple[float, float]:
    """Return where the slab begins and ends, angstrom; NaN unless there is one slab.

    Parameters
    ----------
    fraction : (n_atoms,)
        Fractional coordinates across the slab.
    inside : (n_atoms,)
        Whether an atom is of the slab's phase.
    height
        Of the cell, angstrom.
    width
        Of the Gaussian, angstrom.
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
