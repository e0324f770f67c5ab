"""The Gupta potential of a metal, written as the eam/alloy table that LAMMPS reads.

In the second-moment approximation to tight binding (TB-SMA) the energy of an atom is

    E_i = sum_j A exp[-p (r_ij / r0 - 1)] - sqrt(sum_j xi^2 exp[-2 q (r_ij / r0 - 1)]),

which is an embedded-atom model: the first sum is half a pair potential, the second a density, and
its square root the embedding function.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from icedask.core.types import FloatArray

_N_DENSITIES = 10_000
_N_DISTANCES = 5_000
_PER_LINE = 5


@dataclass(frozen=True)
class Gupta:
    """Parameters of a metal."""

    # Symbol, atomic number and mass, dalton.
    element: str
    number: int
    mass: float
    lattice_constant: float  # Lattice constant of the face-centred cubic crystal, angstrom
    # Parameters of the energy; A and xi in eV.
    A: float
    xi: float
    p: float
    q: float
    r0: float  # Distance of nearest neighbours in the crystal, angstrom
    switch: tuple[float, float]  # Distances, angstrom, between which both sums go smoothly to zero

    def repulsion(self, r: FloatArray) -> FloatArray:
        """Return the term of a neighbour at a distance in the first sum, eV."""
        return self.A * np.exp(-self.p * (r / self.r0 - 1)) * self._fade(r)

    def density(self, r: FloatArray) -> FloatArray:
        """Return the term of a neighbour at a distance in the second sum, eV^2."""
        return self.xi**2 * np.exp(-2 * self.q * (r / self.r0 - 1)) * self._fade(r)

    def _fade(self, r: FloatArray) -> FloatArray:
        """Return 1 below the switch, 0 above, with two continuous derivatives."""
        low, high = self.switch
        x = np.clip((r - low) / (high - low), 0, 1)
        return 1 - x**3 * (10 - 15 * x + 6 * x**2)


# Cleri and Rosato fitted to the crystal with neighbours up to the fifth shell, at r0 sqrt(5) =
# 6.449 angstrom; only so are lattice constant and cohesive energy theirs. The switch lies between
# that shell and the sixth, at r0 sqrt(6) = 7.065: it leaves the crystal's energy alone, and where
# vibrations carry an atom into it, no force jumps.
GOLD = Gupta("Au", 79, 196.96657, 4.0790, 0.2061, 1.790, 10.229, 4.036, 2.88429, (6.5, 7.05))


def setfl(metal: Gupta, reference: str) -> str:
    """Return the potential of a metal as the text of an eam/alloy file (setfl)."""
    r_cut = metal.switch[1]
    # Twice the crystal's density: more than any atom of a stable metal has.
    highest = 24 * metal.xi**2
    rho = np.linspace(0, highest, _N_DENSITIES)
    r = np.linspace(0, r_cut, _N_DISTANCES)
    lines = [
        f"Gupta (TB-SMA) potential of {metal.element}; units metal",
        f"{reference}",
        f"A {metal.A} eV, xi {metal.xi} eV, p {metal.p}, q {metal.q}, r0 {metal.r0} angstrom, "
        f"switched off between {metal.switch[0]} and {metal.switch[1]} angstrom",
        f"1 {metal.element}",
        f"{_N_DENSITIES} {rho[1]:.15g} {_N_DISTANCES} {r[1]:.15g} {r_cut:.15g}",
        f"{metal.number} {metal.mass} {metal.lattice_constant} fcc",
        *_rows(-np.sqrt(rho)),
        *_rows(metal.density(r)),
        # Half of the pair potential belongs to each atom; the file has it times r.
        *_rows(2 * r * metal.repulsion(r)),
    ]
    return "\n".join(lines) + "\n"


def _rows(values: FloatArray) -> list[str]:
    # Ten digits: more would differ between mathematical libraries, and with them the checksum.
    text = [f"{value:.9e}" for value in values]
    return [" ".join(text[i : i + _PER_LINE]) for i in range(0, len(text), _PER_LINE)]
