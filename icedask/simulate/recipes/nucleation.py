"""Homogeneous freezing of supercooled water, for structural motifs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from icedask.errors import InputError
from icedask.simulate.job import Job, Start
from icedask.simulate.potentials import ML_BOP, MW, Potential
from icedask.simulate.recipe import Options, Recipe, frame_steps, make_job, steps_of
from icedask.simulate.stages import Dynamics, Minimise, Stage

_N = 4096
_PRESSURE = 1.0


def _start(
    potential: Potential, temperature: float, pressure: float, options: Options
) -> tuple[Start, list[Stage]]:
    """Return a start, and the stages that bring it to a temperature.

    Published: random molecules; else the shipped frame with a nucleus.
    """
    dynamics = partial(Dynamics, pressure=pressure)
    if not options.published:
        steps = steps_of(5, potential)
        settle = dynamics("settle", steps, temperature=temperature, velocities=temperature)
        return Start("shipped_frame", {"frame": 49}), [settle]
    start = Start("liquid", {"n": _N, "density": 0.98, "seed": options.seed, "sites": "O"})
    return start, [
        Minimise(),
        dynamics("melt", steps_of(20, potential), temperature=300.0, velocities=300.0),
        dynamics("cool", steps_of(50, potential), temperature=300.0, temperature_end=temperature),
    ]


def mw(options: Options) -> Job:
    """Return the job for mW: growth from a nucleus, or as published freezing from the liquid."""
    grow, pressure = options.state(218.0, _PRESSURE)
    supercooled, _ = options.state(options.sized(218.0, 200.0), _PRESSURE)
    start, stages = _start(MW, supercooled, pressure, options)
    interval = options.interval or options.sized(10.0, 80.0)
    growth = 800.0 if options.published else options.length or 500.0
    if options.published:
        wait = 4000.0 if options.length is None else options.length - growth
        if options.length is not None and wait < interval:
            raise InputError(
                f"length: expected at least {growth + interval:g} ps, because the published growth "
                f"at {grow:g} K takes {growth:g} ps of it, found {options.length:g} ps"
            )
        stages.append(_production("nucleate", MW, wait, interval, supercooled, pressure))
    produce = _production("grow", MW, growth, interval, grow, pressure)
    return _job("mW", MW, start, (*stages, produce), options)


def ml_bop(options: Options) -> Job:
    """Return the job for ML-BOP at 210 K."""
    temperature, pressure = options.state(210.0, _PRESSURE)
    start, stages = _start(ML_BOP, temperature, pressure, options)
    length = options.length or options.sized(300.0, 20_000.0)
    interval = options.interval or options.sized(10.0, 100.0)
    produce = _production("freeze", ML_BOP, length, interval, temperature, pressure)
    return _job("ML-BOP", ML_BOP, start, (*stages, produce), options)


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
    state: dict[str, Any] = {
        "temperature": temperature,
        "pressure": pressure,
        "velocities": temperature,
    }
    return Dynamics(name, steps, every=every, **state)


def _job(
    system: str,
    potential: Potential,
    start: Start,
    stages: Sequence[Stage],
    options: Options,
) -> Job:
    return make_job(
        ("nucleation", system),
        start,
        _N,
        potential,
        stages,
        options,
        potential.reference,
        phase="freezing",
    )


RECIPE = Recipe(
    name="nucleation",
    summary="supercooled water freezes: mW from a shipped frame with a nucleus (published: from "
    "the liquid, 200 K then 218 K), ML-BOP at 210 K; potential energy of each molecule",
    systems={"mW": mw, "ML-BOP": ml_bop},
    default=("mW",),
    reference="doi:10.1038/s41467-018-08222-6",
)
