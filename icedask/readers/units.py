"""Unit systems of trajectory files, converted to angstrom, picosecond and eV."""

from __future__ import annotations

from dataclasses import dataclass

from icedask.errors import InputError

# CODATA values as in ase.units: kcal/mol and kJ/mol in eV.
_KCAL_MOL = 0.04336410390059322
KJ_MOL = 0.010364269574711572


@dataclass(frozen=True)
class Units:
    """Factors to angstrom, picosecond, eV and elementary charge."""

    style: str
    length: float
    time: float
    energy: float

    @property
    def velocity(self) -> float:
        """Factor to angstrom per picosecond."""
        return self.length / self.time

    @property
    def force(self) -> float:
        """Factor to eV per angstrom."""
        return self.energy / self.length


OWN = Units("icedask", 1.0, 1.0, 1.0)
_LAMMPS = {"real": Units("real", 1.0, 1e-3, _KCAL_MOL), "metal": Units("metal", 1.0, 1.0, 1.0)}


def lammps_units(
    style: str | None,
    *,
    lj_sigma: float | None = None,
    lj_epsilon: float | None = None,
    lj_tau: float | None = None,
) -> Units:
    """Return the factors of a LAMMPS unit style, "real", "metal" or "lj".

    Style lj needs its units of length (angstrom), energy (eV) and time (picosecond); values of 1
    keep the reduced numbers. Raises InputError if the style is missing or unknown, or lj is not
    given its scale.
    """
    if style is None:
        raise InputError(
            "units: a LAMMPS dump does not say its units; give units= (--units) real, metal or lj, "
            "as in the units command of the simulation"
        )
    scale = {"lj_sigma": lj_sigma, "lj_epsilon": lj_epsilon, "lj_tau": lj_tau}
    scales = [name for name, value in scale.items() if value is not None]
    if style in _LAMMPS and scales:
        raise InputError(
            f"{scales[0]}: expected with units lj only, found units {style}; leave it out"
        )
    if style == "lj":
        missing = [name for name, value in scale.items() if value is None or not value > 0]
        if missing:
            raise InputError(
                f"units lj: expected positive {', '.join(missing)} (angstrom, eV, picosecond); "
                "give them, or 1 to keep reduced numbers"
            )
        assert lj_sigma is not None and lj_tau is not None and lj_epsilon is not None
        return Units("lj", lj_sigma, lj_tau, lj_epsilon)
    if style not in _LAMMPS:
        raise InputError(
            f"units: expected real, metal or lj, found {style!r}; convert the dump to one of them"
        )
    return _LAMMPS[style]
