"""TIP4P/Ice, rigid water of four sites, as an OpenMM System."""

from __future__ import annotations

from typing import Any

import ase
import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.simulate.molecules import to_standard, whole, wrap
from icedask.simulate.potentials import Potential

SITES = 4
# Abascal et al. (2005) cut at 8.5 angstrom.
CUTOFF = 8.5
_SHORTEST_CUTOFF = 6.0
# Relative error of forces. The energy of ices is then right within 0.006 kcal/mol of a molecule.
EWALD_TOLERANCE = 1e-4
# Largest cutoff over the smallest diagonal element of the reduced cell. With half of it every pair
# still has one image within the cutoff; less lets the cell shrink and fluctuate.
_OF_WIDTH = 0.46
_NM = 0.1
_KJ = 4.184


def parameters(potential: Potential) -> dict[str, float]:
    """Return the parameters of the model by name, in the units of its file."""
    lines = [line.split() for line in potential.text().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def choose_cutoff(cell: FloatArray) -> float:
    """Return the cutoff of the Lennard-Jones and the real-space Coulomb sum, angstrom.

    The cell is lower triangular and reduced. Raises InputError if the cell is too small for a
    sensible one.
    """
    narrowest = float(np.diag(cell).min())
    if _OF_WIDTH * narrowest < _SHORTEST_CUTOFF:
        raise InputError(
            f"start structure: expected a cell at least {_SHORTEST_CUTOFF / _OF_WIDTH:.1f} "
            f"angstrom wide for TIP4P/Ice, found {narrowest:.2f}; repeat it more often"
        )
    return min(CUTOFF, _OF_WIDTH * narrowest)


def molecules_of(atoms: ase.Atoms) -> tuple[FloatArray, FloatArray]:
    """Return whole molecules (n_molecules, 3, 3), and the lower triangular reduced cell; angstrom.

    Raises InputError if the atoms are not water molecules in the order O, H, H, periodic in all
    directions, or the cell is left-handed.
    """
    symbols = atoms.get_chemical_symbols()
    if not symbols or symbols != ["O", "H", "H"] * (len(symbols) // 3):
        raise InputError(
            "start structure: expected water molecules in the order O, H, H, found "
            f"{' '.join(symbols[:6])} ...; build it with sites='OHH'"
        )
    if not atoms.pbc.all():
        raise InputError(
            "start structure: expected a cell that is periodic along all vectors, found pbc "
            f"{atoms.pbc.tolist()}"
        )
    positions, cell = to_standard(atoms.positions, atoms.cell.array)
    return wrap(whole(positions.reshape(-1, 3, 3), cell), cell), cell


def make_system(
    openmm: Any,
    potential: Potential,
    cell: FloatArray,
    cutoff: float,
    mobile: npt.NDArray[np.bool_],
) -> Any:
    """Return the System of rigid molecules with sites O, H, H and the virtual M.

    The cell is lower triangular and reduced. Beyond the cutoff, angstrom, Coulomb interactions are
    summed by particle-mesh Ewald, and dispersion is integrated over a uniform density. Molecules
    that are not in the mask `mobile` have no mass.
    """
    model = parameters(potential)
    bond, half = model["distance_OH"] * _NM, np.radians(model["angle_HOH"]) / 2
    weight = model["distance_OM"] * _NM / (2 * bond * np.cos(half))
    charge = model["charge_H"]
    system, force = openmm.System(), openmm.NonbondedForce()
    system.setDefaultPeriodicBoxVectors(*(cell * _NM))
    for number, moves in enumerate(mobile):
        o = SITES * number
        for symbol in ("O", "H", "H"):
            system.addParticle(potential.masses[symbol] if moves else 0.0)
        system.addParticle(0.0)
        for i, j, length in ((0, 1, bond), (0, 2, bond), (1, 2, 2 * bond * np.sin(half))):
            system.addConstraint(o + i, o + j, length)
        site = openmm.ThreeParticleAverageSite(o, o + 1, o + 2, 1 - 2 * weight, weight, weight)
        system.setVirtualSite(o + 3, site)
        force.addParticle(0.0, model["sigma"] * _NM, model["epsilon"] * _KJ)
        for q in (charge, charge, -2 * charge):
            force.addParticle(q, 0.1, 0.0)
        for i in range(SITES):
            for j in range(i):
                force.addException(o + i, o + j, 0.0, 0.1, 0.0)
    force.setNonbondedMethod(openmm.NonbondedForce.PME)
    force.setCutoffDistance(cutoff * _NM)
    force.setEwaldErrorTolerance(EWALD_TOLERANCE)
    force.setUseDispersionCorrection(True)
    system.addForce(force)
    return system
