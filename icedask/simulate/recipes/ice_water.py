"""A crystal in contact with its melt near the melting point: interfaces, growth and melting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from icedask.simulate.job import Check, Job, Start
from icedask.simulate.potentials import MW, TIP4P_ICE, Potential
from icedask.simulate.recipe import Options, Recipe, frame_steps, steps_of
from icedask.simulate.stages import Dynamics, Held, Minimise

_REFERENCE = "doi:10.1088/2632-2153/ad0fa5"
_PRESSURE = 1.0
# What does not melt, along the longest cell vector.
_CRYSTAL = Held(axis=2, low=0.0, high=0.5)


@dataclass(frozen=True)
class Slab:
    """A box of ice, of which one half is melted.

    Attributes
    ----------
    phase
        The crystal.
    repeats, published
        Unit cells of GenIce2 along each cell vector, for minutes and as published.
    unit
        Molecules in one.
    potential
        TIP4P/Ice or mW.
    temperature
        K, of the production.
    hot
        K, of the melt, at the volume of the crystal.
    melt
        Picoseconds at that temperature, and half of it down to that of the production.
    settle
        Picoseconds at constant pressure before the production.
    length, interval
        Picoseconds of the production and between frames.
    published_length, published_interval
        As published.
    """

    phase: str
    repeats: tuple[int, int, int]
    published: tuple[int, int, int]
    unit: int
    potential: Potential
    temperature: float
    hot: float
    melt: float
    settle: float
    length: float
    interval: float
    published_length: float
    published_interval: float


def _tip4p_ice(
    phase: str, repeats: tuple[int, int, int], published: tuple[int, int, int], unit: int
) -> Slab:
    return Slab(
        phase,
        repeats,
        published,
        unit,
        TIP4P_ICE,
        temperature=268.0,
        hot=440.0,
        melt=20.0,
        settle=10.0,
        length=20.0,
        interval=1.0,
        published_length=50_000.0,
        published_interval=100.0,
    )


# Published: 2,048 molecules, slabs of 24,000 and of 37,260 atoms, and the like for mW.
SLABS = {
    "Ih": _tip4p_ice("Ih", (3, 3, 6), (4, 4, 8), 16),
    "Ic": _tip4p_ice("Ic", (3, 3, 9), (10, 10, 10), 8),
    "sI": _tip4p_ice("sI", (2, 2, 4), (5, 6, 9), 46),
    "Ih-mW": Slab(
        "Ih",
        (4, 4, 8),
        (10, 10, 15),
        16,
        MW,
        temperature=268.0,
        hot=390.0,
        melt=40.0,
        settle=40.0,
        length=100.0,
        interval=1.0,
        published_length=10_000.0,
        published_interval=10.0,
    ),
}


def slab(system: str, options: Options) -> Job:
    """Return the job of a crystal and its melt."""
    given = SLABS[system]
    potential = given.potential
    repeats = given.published if options.published else given.repeats
    sites = "OHH" if potential is TIP4P_ICE else "O"
    temperature = given.temperature if options.temperature is None else options.temperature
    pressure = _PRESSURE if options.pressure is None else options.pressure
    steps, every = frame_steps(
        options.length or (given.published_length if options.published else given.length),
        options.interval or (given.published_interval if options.published else given.interval),
        potential,
    )
    stages = (
        Minimise(),
        Dynamics(
            "relax",
            steps_of(given.settle, potential),
            temperature=temperature,
            pressure=pressure,
            coupling="aniso",
            velocities=temperature,
        ),
        Dynamics(
            "melt",
            steps_of(given.melt, potential),
            temperature=given.hot,
            velocities=given.hot,
            held=_CRYSTAL,
        ),
        Dynamics(
            "cool",
            steps_of(given.melt / 2, potential),
            temperature=given.hot,
            temperature_end=temperature,
            held=_CRYSTAL,
        ),
        # The melt takes its density along the normal of the interface alone: the crystal is free
        # of stress as it is.
        Dynamics(
            "settle",
            steps_of(given.settle, potential),
            temperature=temperature,
            pressure=pressure,
            coupling="z",
            velocities=temperature,
        ),
        Dynamics(
            "produce",
            steps,
            temperature=temperature,
            pressure=pressure,
            coupling="z",
            every=every,
        ),
    )
    molecules = given.unit * repeats[0] * repeats[1] * repeats[2]
    phase = f"{given.phase}-water"
    return Job(
        recipe="ice-water",
        system=system,
        start=Start(
            "ice",
            {"phase": given.phase, "repeats": repeats, "seed": options.seed, "sites": sites},
        ),
        n_atoms=molecules * len(sites),
        potential=potential,
        stages=stages,
        seed=options.seed,
        labels={
            "phase": phase,
            "temperature": temperature,
            "pressure": pressure,
            "model": potential.name,
            "seed": options.seed,
        },
        check=Check("coexistence", {"phase": phase, "crystal": given.phase}),
        reference=_REFERENCE,
    )


RECIPE = Recipe(
    name="ice-water",
    summary="Ih, Ic or the empty clathrate sI in contact with liquid near melting; TIP4P/Ice, and "
    "mW for Ih",
    systems={system: partial(slab, system) for system in SLABS},
    default=("Ih", "Ih-mW"),
    reference=_REFERENCE,
)
