"""LENS: change of an atom's neighbours from a frame to a later one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.options import Centers, Delay, NearestCount, Option, Species
from icedask.core.trajectory import check_atom_order, check_delay
from icedask.core.types import IntArray
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor
from icedask.errors import InputError
from icedask.kernels.jit import jit


@jit
def distinct_others(
    indptr: IntArray, indices: IntArray, centers: IntArray
) -> tuple[IntArray, npt.NDArray[np.int32]]:
    """Return row starts and identities of the other atoms in the rows of the centres, each once.

    In a cell smaller than the cutoff an atom is its own neighbour and others appear several
    times: the neighbourhood is a set of other atoms. Negative indices stand for no neighbour.
    """
    room = 0
    for center in centers:
        room += indptr[center + 1] - indptr[center]
    ids = np.empty(room, np.int32)
    starts = np.zeros(len(centers) + 1, np.int64)
    last_row = np.full(len(indptr) - 1, -1, np.int64)
    n_ids = 0
    for row, center in enumerate(centers):
        for pair in range(indptr[center], indptr[center + 1]):
            other = indices[pair]
            if other >= 0 and other != center and last_row[other] != row:
                last_row[other] = row
                ids[n_ids] = other
                n_ids += 1
        starts[row + 1] = n_ids
    # A copy, so that the room that was not needed does not stay in memory.
    return starts, ids[:n_ids].copy()


@jit
def changes(
    n_atoms: int,
    before_starts: IntArray,
    before: npt.NDArray[np.int32],
    after_starts: IntArray,
    after: npt.NDArray[np.int32],
) -> npt.NDArray[np.float32]:
    """Return |A xor B| / (|A| + |B|) of each centre, (n_centers,); 0 where both are empty."""
    n_centers = len(before_starts) - 1
    result = np.zeros(n_centers, np.float32)
    last_row = np.full(n_atoms, -1, np.int64)
    for row in range(n_centers):
        for place in range(before_starts[row], before_starts[row + 1]):
            last_row[before[place]] = row
        common = 0
        for place in range(after_starts[row], after_starts[row + 1]):
            common += last_row[after[place]] == row
        size = before_starts[row + 1] - before_starts[row]
        size += after_starts[row + 1] - after_starts[row]
        if size > 0:
            result[row] = (size - 2 * common) / size
    return result


Identities = tuple[int, IntArray, npt.NDArray[np.int32]]


def neighbor_identities(frame: Frame, r_cut: float | None, n_neighbors: int | None) -> Identities:
    """Return the number of atoms, and row starts and neighbours of the centres."""
    n_atoms = len(frame.positions)
    if r_cut is not None:
        neighbors = frame.neighbors(r_cut)
        indptr, indices = neighbors.indptr, neighbors.indices
    else:
        nearest = frame.nearest(n_neighbors or 0).indices
        indptr = np.arange(n_atoms + 1) * nearest.shape[1]
        indices = np.ascontiguousarray(nearest).ravel()
    starts, ids = distinct_others(indptr, indices, frame.centers)
    return n_atoms, starts, ids


def lens_window(window: Sequence[Identities]) -> npt.NDArray[np.float32]:
    """Return LENS between the first and the last frame of a window, (n_centers,)."""
    n_atoms, before_starts, before = window[0]
    _, after_starts, after = window[-1]
    return changes(n_atoms, before_starts, before, after_starts, after)


@descriptor(
    variable=Variable(
        "lens",
        (FRAME, ATOM),
        "float32",
        "1",
        "local environments and neighbours shuffling",
        "doi:10.1073/pnas.2300565120",
    ),
    version=1,
    example={"r_cut": 3.6, "delay": 2},
)
def lens(
    trj: xr.Dataset,
    *,
    r_cut: Annotated[float | None, Option("Cutoff radius.", "angstrom", above=0)] = None,
    n_neighbors: NearestCount = None,
    delay: Delay = 1,
    centers: Centers = None,
    species: Species = None,
) -> Kernel:
    """Local environments and neighbours shuffling (LENS); lazy.

    delta_i(t) = |A xor B| / (|A| + |B|), where A and B are the identities of the neighbours of
    atom i at frame t and at frame t + delay: 0 where none changed, 1 where all did, 0 where there
    are none at either time. The neighbours are a set of other atoms: those closer than `r_cut`, or
    those among the `n_neighbors` nearest (periodic images included, so that in a cell of few atoms
    there may be fewer; of several at the same distance any may be the last).

    {parameters}

    {returns}. Its value at frame t is the change to frame t + delay; the
        last `delay` frames are NaN.

    {raises}, not exactly one of r_cut and n_neighbors is given, or the
        trajectory is not longer than the delay or not evenly spaced in time.

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
    check_delay(trj, delay, "lens")
    check_atom_order(trj, "lens")
    if (r_cut is None) == (n_neighbors is None):
        raise InputError(
            "lens: expected exactly one of r_cut and n_neighbors, found "
            f"{'neither' if r_cut is None else 'both'}; give r_cut for the neighbours within a "
            "distance, n_neighbors for a number of nearest ones"
        )
    return Kernel(
        lens_window,
        "float32",
        r_cut,
        n_neighbors,
        halo=delay,
        keep=partial(neighbor_identities, r_cut=r_cut, n_neighbors=n_neighbors),
        species=species,
        attrs={"delay": delay},
    )
