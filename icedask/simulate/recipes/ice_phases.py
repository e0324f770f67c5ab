"""Phases of water, each where TIP4P/Ice keeps it, to train and test classifiers of phases."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from icedask.simulate.job import Check, Job, Start
from icedask.simulate.lattices import Lattice
from icedask.simulate.potentials import TIP4P_ICE
from icedask.simulate.recipe import Options, Recipe, make_job, steps_of
from icedask.simulate.stages import Coupling, Dynamics, Minimise, Stage

# The model's phase diagram.
_REFERENCE = "doi:10.1063/1.1931662"
_MOLECULES = 512
# Some 10,000 molecules of each phase, as sets on which methods are tested have them.
_TIMES = 3


@dataclass(frozen=True)
class State:
    """State at which a phase lasts, and its crystal."""

    # Temperature, K, and pressure, bar.
    temperature: float
    pressure: float
    # Unit cells along each cell vector, and molecules in a cell.
    repeats: tuple[int, int, int]
    unit: int
    coupling: Coupling = "aniso"  # "tri" where the crystal is not orthorhombic


STATES = {
    "Ih": State(250.0, 1.0, (3, 3, 3), 16),
    "Ic": State(250.0, 1.0, (4, 4, 4), 8),
    "II": State(200.0, 3_000.0, (3, 3, 4), 12, "tri"),
    "III": State(250.0, 3_000.0, (4, 3, 3), 12),
    "IV": State(250.0, 5_000.0, (2, 2, 2), 128, "tri"),
    "V": State(250.0, 5_000.0, (2, 3, 3), 28, "tri"),
    "VI": State(270.0, 10_000.0, (3, 3, 4), 10),
    "VII": State(300.0, 50_000.0, (3, 3, 3), 16),
    "XII": State(250.0, 5_000.0, (3, 3, 3), 24),
    "XVII": State(200.0, 1.0, (4, 2, 4), 12),
    "sI": State(250.0, 1.0, (2, 2, 2), 46),
    "sII": State(250.0, 1.0, (2, 2, 1), 136),
    "sH": State(250.0, 1.0, (2, 2, 2), 68, "tri"),
}
_DEFAULT = ("Ih", "Ic", "II", "III", "V", "VI", "VII", "sI", "water")
_PLASTIC = State(450.0, 80_000.0, (5, 5, 5), 4)
# Not bcc, in which the oxygens of ice VII are. The density is that of the state, g/cm3.
_PLASTIC_LATTICE: Lattice = "fcc"
_PLASTIC_DENSITY = 1.64


def crystal(phase: str, options: Options) -> Job:
    """Return the job of an ice, or of an empty clathrate."""
    state = STATES[phase]
    repeats = repeated(state.repeats, options.sized(1, _TIMES))
    arguments = {"phase": phase, "repeats": repeats, "seed": options.seed, "sites": "OHH"}
    return _solid(
        phase, state, Start("ice", arguments), options, Check("crystal", {"phase": phase})
    )


def plastic(options: Options) -> Job:
    """Return the job of a plastic crystal: oxygens on a lattice, on which molecules turn."""
    repeats = repeated(_PLASTIC.repeats, options.sized(1, _TIMES))
    arguments = {"lattice": _PLASTIC_LATTICE, "density": _PLASTIC_DENSITY, "repeats": repeats}
    start = Start("plastic", {**arguments, "seed": options.seed})
    check = Check("plastic", {"phase": "plastic", "lattice": _PLASTIC_LATTICE})
    return _solid("plastic", _PLASTIC, start, options, check)


def water(options: Options, settle: float = 12.0) -> Job:
    """Return the job of the liquid, equilibrated for `settle` ps, in the published size for 200."""
    n = _MOLECULES * options.sized(1, _TIMES**3)
    temperature, pressure = options.state(300.0, 1.0)
    start, stages = liquid(n, options.seed, options.sized(settle, 200.0), temperature, pressure)
    dynamics = partial(Dynamics, temperature=temperature, pressure=pressure)
    return _job(
        "water", start, 3 * n, stages, dynamics, options, Check("liquid", {"phase": "water"})
    )


def liquid(
    n: int, seed: int, settle: float, temperature: float, pressure: float
) -> tuple[Start, tuple[Stage, ...]]:
    """Return a random start of n molecules, and the stages that bring it to a state (K, bar).

    `settle` is the time at the state, ps.
    """
    start = Start("liquid", {"n": n, "density": 1.0, "seed": seed, "sites": "OHH"})
    return start, (
        Minimise(),
        # So hot, the liquid forgets its random start within picoseconds.
        Dynamics("mix", steps_of(8.0, TIP4P_ICE), temperature=440.0, velocities=440.0),
        Dynamics(
            "equilibrate",
            steps_of(settle, TIP4P_ICE),
            temperature=temperature,
            pressure=pressure,
            velocities=temperature,
        ),
    )


def repeated(repeats: tuple[int, int, int], times: int) -> tuple[int, int, int]:
    """Return numbers of unit cells, each multiplied."""
    a, b, c = repeats
    return times * a, times * b, times * c


def _solid(system: str, state: State, start: Start, options: Options, check: Check) -> Job:
    """Return the job of a solid that starts as a crystal."""
    temperature, pressure = options.state(state.temperature, state.pressure)
    dynamics = partial(
        Dynamics, temperature=temperature, pressure=pressure, coupling=state.coupling
    )
    settling = steps_of(options.sized(6.0, 50.0), TIP4P_ICE)
    stages = (Minimise(), dynamics("equilibrate", settling, velocities=temperature))
    n_atoms = 3 * state.unit * math.prod(start.options["repeats"])
    return _job(system, start, n_atoms, stages, dynamics, options, check)


def _job(
    system: str,
    start: Start,
    n_atoms: int,
    stages: tuple[Stage, ...],
    dynamics: Callable[..., Dynamics],
    options: Options,
    check: Check,
) -> Job:
    """Return the job that ends with a production stage."""
    steps, every = options.frames(options.sized(12.0, 100.0), 1.0, TIP4P_ICE)
    return make_job(
        ("ice-phases", system),
        start,
        n_atoms,
        TIP4P_ICE,
        (*stages, dynamics("produce", steps, every=every)),
        options,
        _REFERENCE,
        phase=system,
        check=check,
    )


RECIPE = Recipe(
    name="ice-phases",
    summary="ices, empty clathrates, a plastic crystal and liquid water, each at a state where it "
    "lasts; TIP4P/Ice, O and H",
    systems={
        **{phase: partial(crystal, phase) for phase in STATES},
        "plastic": plastic,
        "water": water,
    },
    default=_DEFAULT,
    reference=_REFERENCE,
)
