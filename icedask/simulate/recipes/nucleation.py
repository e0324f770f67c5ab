"""Homogeneous freezing of supercooled water, as structural motifs are found in it."""

from __future__ import annotations

from icedask.errors import InputError
from icedask.simulate.job import Job, Start
from icedask.simulate.potentials import ML_BOP, MW, Potential
from icedask.simulate.recipe import Options, Recipe, frame_steps, steps_of
from icedask.simulate.stages import Dynamics, Minimise, Stage

_N = 4096
_PRESSURE = 1.0


def _from_random(
    potential: Potential, seed: int, temperature: float, pressure: float
) -> tuple[Start, list[Stage]]:
    """Return the start of a liquid, and the stages that bring it to a temperature."""
    start = Start("liquid", {"n": _N, "density": 0.98, "seed": seed, "sites": "O"})
    stages: list[Stage] = [
        Minimise(),
        Dynamics(
            "melt",
            steps_of(20, potential),
            temperature=300.0,
            pressure=pressure,
            velocities=300.0,
        ),
        Dynamics(
            "cool",
            steps_of(50, potential),
            temperature=300.0,
            temperature_end=temperature,
            pressure=pressure,
        ),
    ]
    return start, stages


def _from_nucleus(
    potential: Potential, temperature: float, pressure: float
) -> tuple[Start, list[Stage]]:
    """Return the shipped frame with a nucleus, and the stage that brings it to a temperature."""
    start = Start("shipped_frame", {"frame": 49})
    settle = Dynamics(
        "settle",
        steps_of(5, potential),
        temperature=temperature,
        pressure=pressure,
        velocities=temperature,
    )
    return start, [settle]


def mw(options: Options) -> Job:
    """Return the job for mW: growth from a nucleus, or as published freezing from the liquid."""
    pressure = _PRESSURE if options.pressure is None else options.pressure
    grow = 218.0 if options.temperature is None else options.temperature
    if options.published:
        supercooled = 200.0 if options.temperature is None else options.temperature
        start, stages = _from_random(MW, options.seed, supercooled, pressure)
        wait, growth, interval = 4000.0, 800.0, options.interval or 80.0
        if options.length is not None:
            wait = options.length - growth
            if wait < interval:
                raise InputError(
                    f"length: expected at least {growth + interval:g} ps, because the published "
                    f"growth at {grow:g} K takes {growth:g} ps of it, found {options.length:g} ps"
                )
        stages.append(_production("nucleate", MW, wait, interval, supercooled, pressure))
    else:
        start, stages = _from_nucleus(MW, grow, pressure)
        growth, interval = options.length or 500.0, options.interval or 10.0
    stages.append(_production("grow", MW, growth, interval, grow, pressure))
    return _job("mW", MW, start, stages, options, grow, pressure)


def ml_bop(options: Options) -> Job:
    """Return the job for ML-BOP at 210 K."""
    temperature = 210.0 if options.temperature is None else options.temperature
    pressure = _PRESSURE if options.pressure is None else options.pressure
    if options.published:
        start, stages = _from_random(ML_BOP, options.seed, temperature, pressure)
        length, interval = options.length or 20_000.0, options.interval or 100.0
    else:
        start, stages = _from_nucleus(ML_BOP, temperature, pressure)
        length, interval = options.length or 300.0, options.interval or 10.0
    stages.append(_production("freeze", ML_BOP, length, interval, temperature, pressure))
    return _job("ML-BOP", ML_BOP, start, stages, options, temperature, pressure)


def _production(
    name: str,
    potential: Potential,
    length: float,
    interval: float,
    temperature: float,
    pressure: float,
) -> Dynamics:
    steps, every = frame_steps(length, interval, potential)
    # New velocities: the stage before ended at another temperature.
    return Dynamics(
        name,
        steps,
        temperature=temperature,
        pressure=pressure,
        every=every,
        velocities=temperature,
    )


def _job(
    system: str,
    potential: Potential,
    start: Start,
    stages: list[Stage],
    options: Options,
    temperature: float,
    pressure: float,
) -> Job:
    return Job(
        recipe="nucleation",
        system=system,
        start=start,
        n_atoms=_N,
        potential=potential,
        stages=tuple(stages),
        seed=options.seed,
        labels={
            "phase": "freezing",
            "temperature": temperature,
            "pressure": pressure,
            "model": potential.name,
            "seed": options.seed,
        },
        reference=potential.reference,
    )


RECIPE = Recipe(
    name="nucleation",
    summary="supercooled water freezes: mW from a shipped frame with a nucleus (published: from "
    "the liquid, 200 K then 218 K), ML-BOP at 210 K; potential energy of each molecule",
    systems={"mW": mw, "ML-BOP": ml_bop},
    default=("mW",),
    reference="doi:10.1038/s41467-018-08222-6",
)
