"""Trajectories from and to the objects of ASE and MDAnalysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.columns import join_columns, own_columns
from icedask.core.trajectory import check_trajectory, trajectory
from icedask.core.variables import ATOM, FRAME, XYZ
from icedask.errors import InputError
from icedask.readers.ase import atoms_of, frame_of
from icedask.readers.elements import ElementMap
from icedask.readers.formats import ask_elements
from icedask.readers.mdanalysis import block_of, reader_steps, universe_atoms
from icedask.store.frame_block import check_finite, join_blocks

if TYPE_CHECKING:
    import ase


def from_ase(
    atoms: ase.Atoms | Sequence[ase.Atoms], *, frame_interval: float | None = None
) -> xr.Dataset:
    """Make a trajectory Dataset from ASE Atoms, in memory.

    Parameters
    ----------
    atoms : ase.Atoms or sequence of ase.Atoms
        One frame, or frames of the same atoms in the same order.
    frame_interval : float, optional
        Picoseconds between frames; without it, time is NaN.

    Returns
    -------
    xarray.Dataset
        positions (frame, atom, xyz) in angstrom, cell, pbc, element, and the per-atom arrays and
        calculated forces and energies of the Atoms.

    Raises
    ------
    InputError
        If there are no frames, frames differ in atoms or boundaries, or a coordinate is not
        finite.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> dict(ice.from_ase(bulk("Cu", cubic=True)).sizes)
    {'frame': 1, 'atom': 4, 'xyz': 3, 'cell_vector': 3}
    """
    frames: list[Any] = [atoms] if hasattr(atoms, "get_chemical_symbols") else list(atoms)
    if not frames:
        raise InputError("from_ase: expected at least one Atoms, found an empty list")
    first = frames[0]
    for number, frame in enumerate(frames):
        if not np.array_equal(frame.numbers, first.numbers):
            raise InputError(
                f"from_ase: frame {number}: expected the {len(first)} atoms of the first frame in "
                f"the same order, found {frame.get_chemical_formula()}"
            )
    blocks = [frame_of(frame, {}, number, frame_interval) for number, frame in enumerate(frames)]
    shared = sorted(set.intersection(*[set(block.columns) for block in blocks]))
    blocks = [
        replace(block, columns={name: block.columns[name] for name in shared}) for block in blocks
    ]
    return _dataset(join_blocks(blocks), atoms_of(first), "the Atoms")


def from_mdanalysis(
    universe: Any, *, elements: ElementMap = None, pbc: Sequence[bool] | None = None
) -> xr.Dataset:
    """Make a trajectory Dataset from an MDAnalysis Universe or AtomGroup, in memory.

    Parameters
    ----------
    universe : MDAnalysis.Universe or AtomGroup
        All frames of its trajectory are read: use `ingest` for what does not fit in memory.
    elements : str or mapping, optional
        Elements by atom name, where the topology does not give them.
    pbc : three bool, optional
        Periodicity; without it, a unit cell means periodic in three directions.

    Returns
    -------
    xarray.Dataset
        The trajectory.

    Raises
    ------
    InputError
        If an element is not known, or a coordinate is not finite.
    """
    group = universe.atoms
    trj = group.universe.trajectory
    here = trj.frame
    try:
        frames = (trj[frame] for frame in range(len(trj)))
        block = block_of(frames, None if pbc is None else list(pbc)).take(group.indices)
        block = replace(block, step=reader_steps(trj, block))
    finally:
        trj[here]
    atoms = universe_atoms(group, elements)
    ask_elements(atoms)
    atoms["atom"] = group.indices
    return _dataset(block, atoms, "the Universe")


def _dataset(block: Any, atoms: dict[str, Any], where: str) -> xr.Dataset:
    check_finite(block, range(len(block.positions)), where)
    return trajectory(
        block.positions,
        element=atoms.pop("element"),
        cell=block.cell,
        pbc=block.pbc,
        time=block.time,
        step=block.step,
        atoms=atoms,
        columns=block.columns,
    )


def to_ase(ds: xr.Dataset, frame: int, **results: xr.Dataset | xr.DataArray) -> ase.Atoms:
    """Return one frame of a trajectory as ASE Atoms.

    Parameters
    ----------
    ds : xarray.Dataset
        A trajectory.
    frame : int
        Index of the frame; negative counts from the end.
    **results : xarray.Dataset or DataArray
        Results of the trajectory, as arrays of these names; matched by step and atom. Where a
        Dataset has several variables and no label, each is NAME_VARIABLE, and what stands beside
        a label too.

    Returns
    -------
    ase.Atoms
        With per-atom columns, molecules, types and names as arrays, and the results: (atoms,) or
        (atoms, components), NaN or -1 where a result has no value for an atom.

    Raises
    ------
    InputError
        If the frame does not exist, in the trajectory or in a result, a result belongs to another
        trajectory, or two arrays have the same name.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> ice.to_ase(ice.from_ase(bulk("Cu", cubic=True)), 0).get_chemical_formula()
    'Cu4'
    >>> trj = ice.from_ase(bulk("Cu", cubic=True) * (2, 2, 2))
    >>> atoms = ice.to_ase(trj, 0, cn=ice.coordination(trj, r_cut=3.0))
    >>> atoms.arrays["cn"][:3].tolist()
    [12, 12, 12]
    """
    from ase import Atoms

    check_trajectory(ds, "to_ase")
    n_frames = ds.sizes[FRAME]
    if isinstance(frame, bool) or not isinstance(frame, int | np.integer):
        raise InputError(f"to_ase: expected the index of a frame, found {frame!r}")
    if not -n_frames <= frame < n_frames:
        raise InputError(
            f"to_ase: expected a frame from {-n_frames} to {n_frames - 1}, found {frame}"
        )
    arrays = _result_arrays(ds, frame % n_frames, results) if results else {}
    ds = ds.isel({FRAME: frame})
    atoms = Atoms(
        symbols=ds["element"].values.astype(str).tolist(),
        positions=ds["positions"].values.astype(float),
        cell=ds["cell"].values,
        pbc=ds["pbc"].values,
        celldisp=ds["cell_origin"].values if "cell_origin" in ds else None,
    )
    for name in map(str, ds.variables):
        own = name in ("positions", "element", "atom", "mass")
        if not own and ds[name].dims in ((ATOM,), (ATOM, XYZ)):
            atoms.arrays[name] = ds[name].values
    for name, values in arrays.items():
        if name in atoms.arrays:
            raise InputError(
                f"to_ase: the Atoms have an array {name} already; give the result another name"
            )
        atoms.arrays[name] = values
    return atoms


def _result_arrays(
    ds: xr.Dataset, frame: int, results: Mapping[str, xr.Dataset | xr.DataArray]
) -> dict[str, npt.NDArray[Any]]:
    """Return the values of results in a frame, by name."""
    own = own_columns(ds).keys()
    joined = join_columns(ds, results, "to_ase", fill=True).columns
    columns = [column for name, column in joined.items() if name not in own]
    for column in columns:
        if column.frame_rows is not None and column.frame_rows[frame] < 0:
            step = f" (step {int(ds['step'].values[frame])})" if "step" in ds.variables else ""
            raise InputError(
                f"to_ase: {column.name} has no value for frame {frame}{step}; choose a frame that "
                "it was computed for"
            )
    return {column.name: column.of_frame(frame) for column in columns}
