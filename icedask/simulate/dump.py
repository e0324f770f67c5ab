"""Export of a stored trajectory as a LAMMPS text dump, for programs that do not read Zarr."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from icedask.core.variables import ATOM, FRAME


def write_dump(trj: xr.Dataset, path: Path) -> None:
    """Write a trajectory as a gzipped LAMMPS text dump.

    The trajectory is read frame by frame; the same one gives the same bytes. Columns are id, type,
    element, mol (where there are molecules), x, y, z (angstrom) and potential_energy (eV, where
    there is one). Units are metal and every frame has its time, so that `icedask.ingest` needs no
    options.
    """
    partial = path.with_name(f"{path.name}.partial")
    # Without a name and a time of writing in the header.
    with partial.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        for text in _frames(trj):
            file.write(text.encode())
    partial.replace(path)


def _frames(trj: xr.Dataset) -> Iterator[str]:
    elements = trj["element"].values.astype(str)
    kinds = sorted(set(elements.tolist()))
    names = ["id", "type", "element"]
    fixed = [
        np.arange(1, len(elements) + 1).astype(str),
        np.array([str(kinds.index(symbol) + 1) for symbol in elements]),
        elements,
    ]
    if "molecule" in trj.variables:
        names.append("mol")
        fixed.append(trj["molecule"].values.astype(str))
    prefix = [" ".join(row) for row in zip(*fixed, strict=True)]
    names += ["x", "y", "z"]
    energy = "potential_energy" in trj.data_vars
    names += ["potential_energy"] if energy else []
    # As in LAMMPS: the units once, the time with every frame.
    units = ["ITEM: UNITS", "metal"]
    for number in range(trj.sizes[FRAME]):
        frame = trj.isel({FRAME: number})
        values = frame["positions"].values.astype(np.float64)
        formats = ["%.4f"] * 3
        if energy:
            values = np.column_stack([values, frame["potential_energy"].values])
            formats.append("%.5f")
        pattern = " ".join(formats)
        rows = [
            f"{start} {pattern % tuple(row)}"
            for start, row in zip(prefix, values.tolist(), strict=True)
        ]
        header = [*(units if number == 0 else []), *_header(frame, trj.sizes[ATOM])]
        yield "\n".join([*header, "ITEM: ATOMS " + " ".join(names), *rows]) + "\n"


def _header(frame: xr.Dataset, n_atoms: int) -> list[str]:
    cell, pbc = frame["cell"].values, frame["pbc"].values
    positions = frame["positions"].values
    low = np.zeros(3)
    edges = np.diag(cell).copy()
    for axis in range(3):
        if not cell[axis].any():
            low[axis] = positions[:, axis].min()
            edges[axis] = max(np.ptp(positions[:, axis]), 1e-3)
    xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
    tilted = bool(xy or xz or yz)
    boundary = " ".join("pp" if periodic else "ff" for periodic in pbc)
    # A tilted box is given by what encloses it.
    extra_low = [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
    extra_high = [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
    bounds = []
    for axis, tilt in enumerate((xy, xz, yz)):
        start, stop = low[axis] + extra_low[axis], low[axis] + edges[axis] + extra_high[axis]
        bounds.append(f"{start:.10g} {stop:.10g}" + (f" {tilt:.10g}" if tilted else ""))
    return [
        "ITEM: TIME",
        f"{float(frame['time']):.10g}",
        "ITEM: TIMESTEP",
        str(int(frame["step"])),
        "ITEM: NUMBER OF ATOMS",
        str(n_atoms),
        "ITEM: BOX BOUNDS " + ("xy xz yz " if tilted else "") + boundary,
        *bounds,
    ]
