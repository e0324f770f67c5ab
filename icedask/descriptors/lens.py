"""LENS: how many of an atom's neighbours change from one frame to a later one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.descriptors.contract import (
    Centers,
    Cutoff,
    Frame,
    Kernel,
    Option,
    Species,
    descriptor,
)
from icedask.errors import InputError
from icedask.variables import FRAME


def neighbor_keys(frame: Frame, r_cut: float) -> npt.NDArray[np.int64]:
    """Return one sorted number for each pair (centre, other atom) closer than the cutoff."""
    neighbors = frame.all_neighbors(r_cut)
    n_atoms = len(frame.positions)
    rows = neighbors.rows
    place = np.full(n_atoms, -1)
    place[frame.centers] = np.arange(len(frame.centers))
    # In a cell smaller than the cutoff an atom is its own image and others appear twice: the
    # neighbourhood is a set of other atoms.
    keep = (place[rows] >= 0) & (rows != neighbors.indices)
    return np.unique(place[rows[keep]] * n_atoms + neighbors.indices[keep])


def changes(
    before: npt.NDArray[np.int64],
    after: npt.NDArray[np.int64],
    n_centers: int,
    n_atoms: int,
) -> npt.NDArray[np.float32]:
    """Return |A xor B| / (|A| + |B|) of each centre, (n_centers,); 0 where both are empty."""
    sizes = np.bincount(before // n_atoms, minlength=n_centers) + np.bincount(
        after // n_atoms, minlength=n_centers
    )
    common = np.intersect1d(before, after, assume_unique=True)
    shared = np.bincount(common // n_atoms, minlength=n_centers)
    return np.where(sizes > 0, (sizes - 2 * shared) / np.maximum(sizes, 1), 0).astype(np.float32)


def lens_window(
    frames: Sequence[Frame], n_out: int, r_cut: float, delay: int
) -> npt.NDArray[np.float32]:
    """Return LENS of the first n_out frames of a window, NaN where the later frame is missing."""
    n_centers, n_atoms = len(frames[0].centers), len(frames[0].positions)
    result = np.full((n_out, n_centers), np.nan, np.float32)
    keys: dict[int, npt.NDArray[np.int64]] = {}
    for row in range(n_out):
        if row + delay >= len(frames):
            break
        for needed in (row, row + delay):
            if needed not in keys:
                keys[needed] = neighbor_keys(frames[needed], r_cut)
        result[row] = changes(keys.pop(row), keys[row + delay], n_centers, n_atoms)
    return result


@descriptor(variable="lens", version=1)
def lens(
    trj: xr.Dataset,
    *,
    r_cut: Cutoff,
    delay: Annotated[int, Option("Frames from the earlier to the later one.", at_least=1)] = 1,
    centers: Centers = None,
    species: Species = None,
) -> Kernel:
    """Local environments and neighbours shuffling (LENS); lazy.

    delta_i(t) = |A xor B| / (|A| + |B|), where A and B are the identities of the neighbours of
    atom i at frame t and at frame t + delay: 0 where none changed, 1 where all did, 0 where there
    are none at either time.

    {parameters}

    Returns
    -------
    xarray.Dataset
        lens (frame, atom), float32. Its value at frame t is the change to frame t + delay; the
        last `delay` frames are NaN.

    Raises
    ------
    InputError
        If an option is out of bounds or the trajectory is not longer than the delay.

    References
    ----------
    Crippa et al., PNAS 120, e2300565120 (2023), doi:10.1073/pnas.2300565120

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> crystal = bulk("Cu", cubic=True) * (2, 2, 2)
    >>> float(ice.lens(ice.from_ase([crystal, crystal]), r_cut=3.0)["lens"][0, 0])
    0.0
    """
    n_frames = trj.sizes[FRAME]
    if n_frames <= delay:
        raise InputError(
            f"lens: delay {delay} needs at least {delay + 1} frames, the trajectory has {n_frames}"
        )
    return Kernel(
        partial(lens_window, r_cut=r_cut, delay=delay),
        "float32",
        r_cut,
        halo=delay,
        species=species,
        attrs={"delay": delay},
    )
