"""Make the shipped trajectory: freezing mW water, as a LAMMPS dump in units real.

    icedask simulate nucleation mw_nucleation.zarr --published --seed 1
    python make_mw_nucleation.py mw_nucleation.zarr mw_nucleation.lammpstrj.gz

The first takes about one and a half hours of one core. The simulation is chaotic: another kind of
processor gives another course of the same freezing.
"""

import gzip
import sys
from pathlib import Path

import numpy as np

from icedask.store.runs import open_trajectory

_EV_IN_KCAL_MOL = 23.060548


def frame_text(step: int, edge: float, positions: np.ndarray, energy: np.ndarray) -> str:
    """Return the text of a frame of molecules in a cube."""
    header = [
        "ITEM: TIMESTEP",
        str(step),
        "ITEM: NUMBER OF ATOMS",
        str(len(positions)),
        "ITEM: BOX BOUNDS pp pp pp",
        *[f"0.0 {edge:.6f}"] * 3,
        "ITEM: ATOMS id x y z c_e",
    ]
    rows = [
        f"{number + 1} {x:.3f} {y:.3f} {z:.3f} {value:.4f}"
        for number, ((x, y, z), value) in enumerate(
            zip(positions.tolist(), energy.tolist(), strict=True)
        )
    ]
    return "\n".join([*header, *rows]) + "\n"


def main(store: str, out: str) -> None:
    """Write the dump."""
    trj = open_trajectory(store)
    # No time stamp and no name: the same store gives the same bytes.
    with Path(out).open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        for number in range(trj.sizes["frame"]):
            frame = trj.isel(frame=number)
            edge = float(frame["cell"][0, 0])
            text = frame_text(
                int(frame["step"]),
                edge,
                frame["positions"].values % edge,
                frame["potential_energy"].values * _EV_IN_KCAL_MOL,
            )
            file.write(text.encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
