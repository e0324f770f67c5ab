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
    """A box of ice, of which one half is melted; TIP4P/Ice by default."""

    phase: str  # The crystal
    # Unit cells of GenIce2 along each cell vector, for minutes and as published.
    repeats: tuple[int, int, int]
    published_repeats: tuple[int, int, int]
    unit: int  # Molecules in a unit cell
    potential: Potential = TIP4P_ICE  # TIP4P/Ice or mW
    # Temperatures of the production, and of the melt at the volume of the crystal, K.
    temperature: float = 268.0
    hot: float = 440.0
    # Times at the temperature of the melt (half of it for the cooling), and at constant pressure
    # before the production, ps.
    melt: float = 20.0
    settle: float = 10.0
    # Length of the production and interval of frames, ps, for minutes and as published.
    frames: tuple[float, float] = (20.0, 1.0)
    published_frames: tuple[float, float] = (50_000.0, 100.0)


# Published: 2,048 molecules, slabs of 24,000 and of 37,260 atoms, and the like for mW.
SLABS = {
    "Ih": Slab("Ih", (3, 3, 6), (4, 4, 8), 16),
    "Ic": Slab("Ic", (3, 3, 9), (10, 10, 10), 8),
    "sI": Slab("sI", (2, 2, 4), (5, 6, 9), 46),
    "Ih-mW": Slab(
        "Ih",
        (4, 4, 8),
        (10, 10, 15),
        16,
        MW,
        hot=390.0,
        melt=40.0,
        settle=40.0,
        frames=(100.0, 1.0),
        published_frames=(10_000.0, 10.0),
    ),
}


def slab(system: str, options: Options) -> Job:
    """Return the job of a crystal and its melt."""
    box = SLABS[system]
    potential = box.potential
    repeats = options.sized(box.repeats, box.published_repeats)
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
    steps, every = options.frames(*options.sized(box.frames, box.published_frames), box.potential)
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
