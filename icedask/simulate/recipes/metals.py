"""Hot metals in fcc, hcp and bcc, to train and test classifiers of packings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from icedask.simulate.job import Check, Job, Start
from icedask.simulate.lattices import Lattice
from icedask.simulate.potentials import CU_MISHIN, FE_MENDELEV, Potential
from icedask.simulate.recipe import Options, Recipe, make_job, steps_of
from icedask.simulate.stages import Coupling, Dynamics

_REFERENCE = "doi:10.1103/PhysRevB.63.224106"
_TEMPERATURE = 900.0
_SETTLING, _LENGTH, _INTERVAL = 10.0, 20.0, 1.0
# In place of a publication: some 50,000 atoms for 0.1 ns.
_TIMES, _LONG = 3, 100.0


@dataclass(frozen=True)
class Crystal:
    """A crystal of a metal, and the state at which it lasts."""

    # The metal.
    element: str
    lattice: Lattice
    potential: Potential
    volume: float  # Volume of an atom near 900 K, cubic angstrom
    # Cells of `lattices.lattice_sites` along each cell vector, and atoms in a cell.
    repeats: tuple[int, int, int]
    unit: int
    pressure: float = 1.0  # bar
    coupling: Coupling = "aniso"  # "iso" keeps a cubic cell cubic


CRYSTALS = {
    "fcc": Crystal("Cu", "fcc", CU_MISHIN, 12.38, (8, 8, 8), 4),
    "hcp": Crystal("Cu", "hcp", CU_MISHIN, 12.38, (12, 7, 7), 4),
    "bcc": Crystal("Fe", "bcc", FE_MENDELEV, 11.92, (10, 10, 10), 2),
    # Bcc copper is not stable: at the volume of fcc it is lost within picoseconds, at 200 kbar in
    # 20 ps. At 300 kbar, in a cell that stays cubic, it lasts.
    "bcc-Cu": Crystal("Cu", "bcc", CU_MISHIN, 10.41, (10, 10, 10), 2, 300_000.0, "iso"),
}


def crystal(system: str, options: Options) -> Job:
    """Return the job of a crystal, periodic in all directions."""
    metal = CRYSTALS[system]
    times = options.sized(1, _TIMES)
    repeats = tuple(times * number for number in metal.repeats)
    temperature, pressure = options.state(_TEMPERATURE, metal.pressure)
    steps, every = options.frames(options.sized(_LENGTH, _LONG), _INTERVAL, metal.potential)
    dynamics = partial(
        Dynamics, temperature=temperature, pressure=pressure, coupling=metal.coupling
    )
    settling = steps_of(_SETTLING, metal.potential)
    start = {
        "element": metal.element,
        "lattice": metal.lattice,
        "volume": metal.volume,
        "repeats": repeats,
    }
    return make_job(
        ("metals", system),
        Start("metal", start),
        metal.unit * math.prod(repeats),
        metal.potential,
        (
            # Half of it soon becomes potential energy: there is no thermal disorder yet.
            dynamics("settle", settling, velocities=2 * temperature),
            dynamics("produce", steps, every=every),
        ),
        options,
        _REFERENCE,
        phase=metal.lattice,
        element=metal.element,
        check=Check("metal", {"phase": metal.lattice}),
    )


RECIPE = Recipe(
    name="metals",
    summary="crystals at 900 K: copper in fcc and hcp, iron in bcc, and copper in bcc, which lasts "
    "at 300 kbar, out of the range of its model; EAM of Mishin and of Mendelev",
    systems={system: partial(crystal, system) for system in CRYSTALS},
    default=("fcc", "hcp", "bcc"),
    reference=_REFERENCE,
)
