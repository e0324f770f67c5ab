"""Metals in fcc, hcp and bcc, hot: what packings are told apart on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from icedask.simulate.job import Check, Job, Start
from icedask.simulate.lattices import Lattice
from icedask.simulate.potentials import CU_MISHIN, FE_MENDELEV, Potential
from icedask.simulate.recipe import Options, Recipe, frame_steps, steps_of
from icedask.simulate.stages import Coupling, Dynamics

_REFERENCE = "doi:10.1103/PhysRevB.63.224106"
_TEMPERATURE = 900.0
_SETTLING, _LENGTH, _INTERVAL = 10.0, 20.0, 1.0
# In place of a publication: some 50,000 atoms for 0.1 ns.
_TIMES, _LONG = 3, 100.0


@dataclass(frozen=True)
class Crystal:
    """A crystal of a metal, and where it lasts.

    Attributes
    ----------
    element, lattice, potential
        The metal.
    volume
        Of an atom near 900 K, cubic angstrom.
    repeats
        Cells of `lattices.lattice_sites` along each cell vector.
    unit
        Atoms in one.
    pressure
        bar.
    coupling
        "iso" keeps a cubic cell cubic.
    """

    element: str
    lattice: Lattice
    potential: Potential
    volume: float
    repeats: tuple[int, int, int]
    unit: int
    pressure: float = 1.0
    coupling: Coupling = "aniso"


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
    given = CRYSTALS[system]
    potential = given.potential
    a, b, c = given.repeats
    times = _TIMES if options.published else 1
    repeats = (times * a, times * b, times * c)
    temperature = _TEMPERATURE if options.temperature is None else options.temperature
    pressure = given.pressure if options.pressure is None else options.pressure
    steps, every = frame_steps(
        options.length or (_LONG if options.published else _LENGTH),
        options.interval or _INTERVAL,
        potential,
    )
    start = {
        "element": given.element,
        "lattice": given.lattice,
        "volume": given.volume,
        "repeats": repeats,
    }
    settle = Dynamics(
        "settle",
        steps_of(_SETTLING, potential),
        temperature=temperature,
        pressure=pressure,
        coupling=given.coupling,
        # Half of it soon becomes potential energy: there is no thermal disorder yet.
        velocities=2 * temperature,
    )
    produce = Dynamics(
        "produce",
        steps,
        temperature=temperature,
        pressure=pressure,
        coupling=given.coupling,
        every=every,
    )
    return Job(
        recipe="metals",
        system=system,
        start=Start("metal", start),
        n_atoms=given.unit * math.prod(repeats),
        potential=potential,
        stages=(settle, produce),
        seed=options.seed,
        labels={
            "phase": given.lattice,
            "element": given.element,
            "temperature": temperature,
            "pressure": pressure,
            "model": potential.name,
            "seed": options.seed,
        },
        check=Check("metal", {"phase": given.lattice}),
        reference=_REFERENCE,
    )


RECIPE = Recipe(
    name="metals",
    summary="crystals at 900 K: copper in fcc and hcp, iron in bcc, and copper in bcc, which lasts "
    "at 300 kbar, out of the range of its model; EAM of Mishin and of Mendelev",
    systems={system: partial(crystal, system) for system in CRYSTALS},
    default=("fcc", "hcp", "bcc"),
    reference=_REFERENCE,
)
