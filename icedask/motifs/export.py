"""Surroundings of the medoids of motifs, as atoms and as files."""

from __future__ import annotations

import os
from pathlib import Path

import ase
import numpy as np
import xarray as xr

from icedask.core.variables import MOTIF
from icedask.errors import InputError
from icedask.kernels.neighbors import neighbor_list
from icedask.readers.convert import to_ase
from icedask.writers.extxyz import write_atoms


def environments(sites: xr.Dataset, table: xr.Dataset, r_cut: float) -> dict[int, ase.Atoms]:
    """Return the surroundings of the medoid of each motif.

    Parameters
    ----------
    sites : xarray.Dataset
        Trajectory of the motifs.
    table : xarray.Dataset
        Table from `motif_table`.
    r_cut : float
        Cutoff radius, angstrom.

    Returns
    -------
    dict of int to ase.Atoms
        By motif: the medoid first, at the origin, then the others from the nearest on; without a
        cell. Their `info` has motif, category, frame, time (picosecond), atom, the index in the
        source, and its id there if it has one. Motifs without members are left out.
    """
    names = table["category"].attrs["flag_meanings"].split()
    surroundings = {}
    for motif in table[MOTIF].values.tolist():
        row = table.sel({MOTIF: motif})
        frame, atom = int(row["medoid_frame"]), int(row["medoid_atom"])
        if frame < 0:
            continue
        surroundings[motif] = _surroundings(sites, frame, atom, r_cut)
        surroundings[motif].info = {
            "motif": motif,
            "category": names[int(row["category"])],
            "frame": frame,
            "time": float(sites["time"][frame]) if "time" in sites.coords else float("nan"),
            "atom": int(sites["atom"][atom]) if "atom" in sites.coords else atom,
            **({"id": int(sites["id"][atom])} if "id" in sites else {}),
        }
    return surroundings


def _surroundings(sites: xr.Dataset, frame: int, atom: int, r_cut: float) -> ase.Atoms:
    whole = to_ase(sites, frame)
    pairs = neighbor_list(whole.positions, whole.cell.array, whole.pbc, r_cut)
    mine = pairs.rows == atom
    order = np.argsort(pairs.distances[mine], kind="stable")
    symbols = [whole.symbols[place] for place in (atom, *pairs.indices[mine][order].tolist())]
    positions = np.concatenate([np.zeros((1, 3)), pairs.vectors[mine][order]])
    return ase.Atoms(symbols, positions)


def export(
    sites: xr.Dataset, table: xr.Dataset, r_cut: float, folder: str | os.PathLike[str]
) -> list[Path]:
    """Write the surroundings of each medoid as extended XYZ, `motif_<number>.xyz`.

    Parameters
    ----------
    sites, table, r_cut
        As for `environments`.
    folder : path
        Folder, made if it does not exist.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        If the folder cannot be made, or a file in it not written.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"export: expected a folder that can be made at {path}, found: {error.strerror}"
        ) from error
    files = []
    for motif, atoms in environments(sites, table, r_cut).items():
        files.append(path / f"motif_{motif:02d}.xyz")
        try:
            write_atoms(files[-1], atoms)
        except OSError as error:
            raise InputError(
                f"export: expected a file that can be written at {files[-1]}, found: "
                f"{error.strerror}"
            ) from error
    return files
