"""Amorphous ices at 80 K and 1 bar, made at rates that reach them, and liquid water.

`Options.length` is the length of the quench (cooling, compression and release, or shearing),
ps. A shorter one is a demonstration: most often it ends in another structure, and the check
removes the label.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from icedask.simulate.job import Check, Job, Start
from icedask.simulate.potentials import TIP4P_ICE
from icedask.simulate.recipe import Options, Recipe, frame_steps, make_job, steps_of
from icedask.simulate.recipes import ice_phases
from icedask.simulate.stages import Dynamics, Minimise, Shear, Stage

_REFERENCE = "doi:10.1126/science.abq2105"
_TEMPERATURE, _PRESSURE = 80.0, 1.0
_SHEARS, _SHEAR_PICOSECONDS = 80, 1.0
# From 300 K to 80 K at 10 K/ns.
_QUENCH_FROM, _QUENCH = 300.0, 22_000.0
# To 2 GPa and back at 100 MPa/ns.
_COMPRESSED, _COMPRESS_AND_RELEASE = 20_000.0, 40_000.0
_FRAMES = 20


def mda(options: Options) -> Job:
    """Return the job of medium-density amorphous ice: repeatedly sheared Ih."""
    temperature, pressure = options.state(_TEMPERATURE, _PRESSURE)
    cycles = max(1, round((options.length or _SHEARS * _SHEAR_PICOSECONDS) / _SHEAR_PICOSECONDS))
    steps = steps_of(_SHEAR_PICOSECONDS, TIP4P_ICE)
    shear = Shear("shear", cycles, steps, temperature=temperature, pressure=pressure)
    return _glass("MDA", _ih((3, 3, 3), options), (Minimise(), shear), options)


def lda(options: Options) -> Job:
    """Return the job of low-density amorphous ice: slowly cooled liquid."""
    temperature, pressure = options.state(_TEMPERATURE, _PRESSURE)
    n = options.sized(432, 3456)
    start, stages = ice_phases.liquid(n, options.seed, 20.0, _QUENCH_FROM, pressure)
    quench = Dynamics(
        "quench",
        steps_of(options.length or _QUENCH, TIP4P_ICE),
        temperature=_QUENCH_FROM,
        temperature_end=temperature,
        pressure=pressure,
    )
    return _glass("LDA", (start, 3 * n), (*stages, quench), options)


def hda(options: Options) -> Job:
    """Return the job of high-density amorphous ice: Ih, compressed until it collapses, released."""
    temperature, pressure = options.state(_TEMPERATURE, _PRESSURE)
    steps = steps_of((options.length or _COMPRESS_AND_RELEASE) / 2, TIP4P_ICE)
    dynamics = partial(Dynamics, temperature=temperature, coupling="aniso")
    stages = (
        Minimise(),
        dynamics(
            "equilibrate", steps_of(6.0, TIP4P_ICE), pressure=pressure, velocities=temperature
        ),
        dynamics("compress", steps, pressure=pressure, pressure_end=_COMPRESSED),
        dynamics("release", steps, pressure=_COMPRESSED, pressure_end=pressure),
    )
    # Wide enough to stay wider than twice the cutoff when it collapses.
    return _glass("HDA", _ih((3, 4, 3), options), stages, options)


def water(options: Options) -> Job:
    """Return the job of the liquid."""
    return replace(ice_phases.water(options), recipe="amorphous")


def _ih(repeats: tuple[int, int, int], options: Options) -> tuple[Start, int]:
    """Return hexagonal ice, and the number of its atoms."""
    repeats = ice_phases.repeated(repeats, options.sized(1, 2))
    arguments = {"phase": "Ih", "repeats": repeats, "seed": options.seed, "sites": "OHH"}
    return Start("ice", arguments), 3 * 16 * math.prod(repeats)


def _glass(
    system: str, start: tuple[Start, int], stages: tuple[Stage, ...], options: Options
) -> Job:
    """Return the job whose last stage holds the glass and keeps frames."""
    temperature, pressure = options.state(_TEMPERATURE, _PRESSURE)
    interval = options.interval or 1.0
    steps, every = frame_steps(_FRAMES * interval, interval, TIP4P_ICE)
    dynamics = partial(Dynamics, temperature=temperature, pressure=pressure, coupling="aniso")
    settle = dynamics("settle", steps_of(10.0, TIP4P_ICE))
    return make_job(
        ("amorphous", system),
        *start,
        TIP4P_ICE,
        (*stages, settle, dynamics("produce", steps, every=every)),
        options,
        _REFERENCE,
        phase=system,
        check=Check("amorphous", {"phase": system}),
    )


RECIPE = Recipe(
    name="amorphous",
    summary="amorphous ices at 80 K: MDA by shearing Ih (80 shears), LDA by cooling the liquid at "
    "10 K/ns, HDA by compressing Ih at 100 MPa/ns and releasing it; and liquid water",
    systems={"MDA": mda, "LDA": lda, "HDA": hda, "water": water},
    default=("MDA", "water"),
    reference=_REFERENCE,
)
