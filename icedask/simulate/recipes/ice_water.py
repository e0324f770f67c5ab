"""A crystal in contact with its melt near the melting point: interfaces, growth and melting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from icedask.simulate.job import Check, Job, Start
from icedask.simulate.potentials import MW, TIP4P_ICE, Potential
from icedask.simulate.recipe import Options, Recipe, make_job, steps_of
from icedask.simulate.stages import Dynamics, Held, Minimise, Stage

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
    box = SLABS[system]
    potential = box.potential
    repeats = options.sized(box.repeats, box.published)
    sites = "OHH" if potential is TIP4P_ICE else "O"
    start = {"phase": box.phase, "repeats": repeats, "seed": options.seed, "sites": sites}
    phase = f"{box.phase}-water"
    return make_job(
        ("ice-water", system),
        Start("ice", start),
        len(sites) * box.unit * math.prod(repeats),
        potential,
        _stages(box, options),
        options,
        _REFERENCE,
        phase=phase,
        check=Check("coexistence", {"phase": phase, "crystal": box.phase}),
    )


def _stages(box: Slab, options: Options) -> Sequence[Stage]:
    temperature, pressure = options.state(box.temperature, _PRESSURE)
    length = options.sized(box.length, box.published_length)
    interval = options.sized(box.interval, box.published_interval)
    steps, every = options.frames(length, interval, box.potential)
    melting, cooling, settling = (
        steps_of(time, box.potential) for time in (box.melt, box.melt / 2, box.settle)
    )
    melt = partial(Dynamics, temperature=box.hot, held=_CRYSTAL)
    dynamics = partial(Dynamics, temperature=temperature, pressure=pressure)
    return (
        Minimise(),
        dynamics("relax", settling, coupling="aniso", velocities=temperature),
        melt("melt", melting, velocities=box.hot),
        melt("cool", cooling, temperature_end=temperature),
        # The melt takes its density along the normal of the interface alone: the crystal is free
        # of stress as it is.
        dynamics("settle", settling, coupling="z", velocities=temperature),
        dynamics("produce", steps, coupling="z", every=every),
    )


RECIPE = Recipe(
    name="ice-water",
    summary="Ih, Ic or the empty clathrate sI in contact with liquid near melting; TIP4P/Ice, and "
    "mW for Ih",
    systems={system: partial(slab, system) for system in SLABS},
    default=("Ih", "Ih-mW"),
    reference=_REFERENCE,
)
