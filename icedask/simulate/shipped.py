"""Shipped trajectories of TIP4P/Ice: ices, the liquid and amorphous ices, each with its labels."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.files import load_npz
from icedask.core.trajectory import trajectory
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.simulate.potentials import TIP4P_ICE
from icedask.store.save import save

# Its README is beside it.
AMORPHOUS_ICES = "amorphous_ices.npz"

# Fractions of a cell vector are kept as integers of 16 bits: to 0.2 milliangstrom in these cells.
_LEVELS = 1 << 16


def amorphous_ices(
    folder: str | os.PathLike[str], phases: Sequence[str] | None = None
) -> list[Path]:
    """Write the shipped trajectories of water into a folder, a store for each.

    Ih, Ic, II, III, V, the liquid ("water"), LDA, MDA and HDA, several independent trajectories of
    each, and of VI, VII and sI, which are none of these nine; a few frames of each with O and H,
    TIP4P/Ice. `trj.attrs["labels"]` has the phase, temperature (K), pressure (bar), seed and how
    it was made, `trj.attrs["simulation"]` the settings and how the phase was checked. Stores that
    are there are not written again.

    Parameters
    ----------
    folder : path
        Folder of the stores; made if there is none.
    phases : sequence of str, optional
        Phases to write; all by default.

    Returns
    -------
    list of pathlib.Path
        The stores, named by phase and seed, as `LDA-0.zarr`.

    Raises
    ------
    InputError
        If there is no trajectory of a phase.
    StoreError
        If a store of one of the names holds another trajectory, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import icedask as ice
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     stores = ice.amorphous_ices(folder, ["LDA"])
    ...     ice.open_trajectory(stores[0]).attrs["labels"]["cooling_rate"]
    200.0
    """
    with as_file(files("icedask") / "data" / AMORPHOUS_ICES) as path:
        trajectories = dict(unpacked(path))
    known = {trj.attrs["labels"]["phase"] for trj in trajectories.values()}
    wanted = known if phases is None else {phases} if isinstance(phases, str) else set(phases)
    if unknown := wanted - known:
        raise InputError(
            f"phases: expected some of {', '.join(sorted(known))}, found "
            f"{', '.join(map(repr, sorted(unknown)))}"
        )
    stores = []
    for name, trj in trajectories.items():
        if trj.attrs["labels"]["phase"] in wanted:
            stores.append(Path(folder) / f"{name}.zarr")
            save(trj, stores[-1])
    return stores


def unpacked(path: Path) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield name and trajectory of each record of a packed file."""
    arrays = load_npz(path)
    atoms_done = frames_done = 0
    for record in json.loads(str(arrays["records"])):
        n_frames, n_atoms = record["frames"], record["atoms"]
        frames = slice(frames_done, frames_done + n_frames)
        atoms = slice(atoms_done, atoms_done + n_frames * n_atoms)
        frames_done, atoms_done = frames.stop, atoms.stop
        cell = arrays["cell"][frames]
        levels = arrays["positions"][atoms].reshape(n_frames, n_atoms, 3)
        elements = np.tile(["O", "H", "H"], n_atoms // 3)
        yield (
            record["name"],
            trajectory(
                _positions(levels, cell),
                element=elements,
                cell=cell,
                pbc=[True] * 3,
                time=arrays["time"][frames],
                step=arrays["step"][frames],
                atoms={
                    "molecule": np.repeat(np.arange(1, n_atoms // 3 + 1), 3),
                    "mass": np.array([TIP4P_ICE.masses[element] for element in elements]),
                },
                attrs={"labels": record["labels"], "simulation": record["simulation"]},
            ),
        )


def packed(trajectories: Mapping[str, xr.Dataset]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a packed file: trajectories of molecules O, H, H by name.

    Fractions of the cell vectors as integers of 16 bits, cells, times and steps one after another;
    `records`, JSON, has names, numbers, labels and provenance. Raises InputError if a trajectory is
    of other atoms.
    """
    parts: dict[str, list[npt.NDArray[Any]]] = {
        name: [] for name in ("positions", "cell", "time", "step")
    }
    records = []
    for name, trj in trajectories.items():
        elements = trj["element"].values.tolist()
        if elements != ["O", "H", "H"] * (len(elements) // 3) or not trj["pbc"].values.all():
            raise InputError(f"{name}: expected periodic molecules O, H, H, found other atoms")
        fractions = trj["positions"].values @ np.linalg.inv(trj["cell"].values)
        levels = np.round(fractions * _LEVELS).astype(np.int64) % _LEVELS
        parts["positions"].append(levels.reshape(-1, 3).astype(np.uint16))
        for part in ("cell", "time", "step"):
            parts[part].append(trj[part].values)
        records.append(
            {
                "name": name,
                "frames": trj.sizes[FRAME],
                "atoms": trj.sizes[ATOM],
                "labels": trj.attrs["labels"],
                "simulation": trj.attrs["simulation"],
            }
        )
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return {**joined, "records": np.array(json.dumps(records))}


def _positions(
    levels: npt.NDArray[np.uint16], cell: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Return positions of whole molecules, oxygens in the cell."""
    n_frames, n_atoms = levels.shape[:2]
    fractions = levels.astype(float).reshape(n_frames, n_atoms // 3, 3, 3) / _LEVELS
    bonds = fractions[:, :, 1:] - fractions[:, :, :1]
    fractions[:, :, 1:] -= np.round(bonds)
    return (fractions.reshape(n_frames, n_atoms, 3) @ cell).astype(np.float32)
