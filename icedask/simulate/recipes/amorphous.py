"""Amorphous ices at 80 K and 1 bar, by routes and at rates that reach them, and liquid water.

`Options.length` is the length of the quench (cooling, compression and release, or shearing), ps:
its parts keep their shares. A shorter one is a demonstration: most often it ends in another
structure, and the check removes the label. Labels and provenance have the route and its rates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from icedask.simulate.job import Check, Job, Start
from icedask.simulate.potentials import TIP4P_ICE
from icedask.simulate.recipe import Options, Recipe, frame_steps, make_job, steps_of
from icedask.simulate.recipes import ice_phases
from icedask.simulate.stages import Dynamics, Minimise, Shear, Stage, ramp_rates

_REFERENCE = "doi:10.1126/science.abq2105"
_TEMPERATURE, _PRESSURE = 80.0, 1.0
_FRAMES = 20
_SHEARS, _SHEAR_PICOSECONDS = 80, 1.0


class _Cooling(NamedTuple):
    """Part of a quench at a constant rate."""

    name: str
    picoseconds: float
    temperature: float | None  # At the end, K; None is that of the glass


# LDA: 62 K/ns from 220 to 180 K. One of two seeds became LDA.
_LDA_FROM, _LDA_MOLECULES = 280.0, 216
_LDA = (
    _Cooling("supercool", 60.0, 220.0),
    _Cooling("vitrify", 650.0, 180.0),
    _Cooling("cool", 60.0, None),
)
# Published: from 300 K to 80 K at 10 K/ns.
_LDA_PUBLISHED_FROM = 300.0
_LDA_PUBLISHED = (_Cooling("vitrify", 22_000.0, None),)


@dataclass(frozen=True)
class _Vitrified:
    """Liquid that is cooled under a pressure, which is released when it is a glass."""

    route: str
    molecules: int
    hot: float  # Temperature of the liquid, K
    pressure: float  # bar
    cooling: tuple[_Cooling, ...]
    release: float  # ps


# Released from 0.6 to 0.8 GPa it has 1.19 to 1.21 g/cm3. So wide that the cell under pressure is
# wider than twice the cutoff.
_HDA_VITRIFIED = _Vitrified(
    "cooling of the liquid under pressure",
    240,
    280.0,
    6_000.0,
    (
        _Cooling("supercool", 30.0, 210.0),
        _Cooling("vitrify", 100.0, 140.0),
        _Cooling("cool", 30.0, None),
    ),
    60.0,
)
# Under tension the liquid becomes tetrahedral at temperatures where its molecules move fast. With
# 0.15 GPa two of two seeds became LDA, with 0.1 GPa one of two.
_LDA_STRETCHED = _Vitrified(
    "cooling of the liquid under tension",
    216,
    280.0,
    -1_500.0,
    (
        _Cooling("supercool", 30.0, 240.0),
        _Cooling("vitrify", 200.0, 200.0),
        _Cooling("cool", 40.0, None),
    ),
    20.0,
)
# Published size: all of it twenty times as slow.
_SLOWER = 20.0

# HDA of Ih: pressure, bar, and picoseconds of compression, at the pressure, and of release.
_COMPRESSED, _COMPRESSION = 30_000.0, (100.0, 20.0, 100.0)
# Published: to 2 GPa and back at 100 MPa/ns.
_COMPRESSED_PUBLISHED, _COMPRESSION_PUBLISHED = 20_000.0, (20_000.0, 0.0, 20_000.0)


def mda(options: Options) -> Job:
    """Return the job of medium-density amorphous ice: repeatedly sheared Ih."""
    temperature, pressure = options.state(_TEMPERATURE, _PRESSURE)
    cycles = max(1, round((options.length or _SHEARS * _SHEAR_PICOSECONDS) / _SHEAR_PICOSECONDS))
    steps = steps_of(_SHEAR_PICOSECONDS, TIP4P_ICE)
    shear = Shear("shear", cycles, steps, temperature=temperature, pressure=pressure)
    labels = {"route": "shearing of Ih", "shears": cycles}
    return _glass("MDA", _ih((3, 3, 3), options), (Minimise(), shear), options, labels)


def lda(options: Options) -> Job:
    """Return the job of low-density amorphous ice: slowly cooled liquid."""
    _, pressure = options.state(_TEMPERATURE, _PRESSURE)
    n = options.sized(_LDA_MOLECULES, 3456)
    hot = options.sized(_LDA_FROM, _LDA_PUBLISHED_FROM)
    start, stages = ice_phases.liquid(n, options.seed, 20.0, hot, pressure)
    quench = options.sized(_LDA, _LDA_PUBLISHED)
    cooling = _cooled(quench, hot, pressure, _stretch(options, quench), options)
    labels = {"route": "cooling of the liquid"}
    return _glass("LDA", (start, 3 * n), (*stages, *cooling), options, labels)


def lda_stretched(options: Options) -> Job:
    """Return the job of low-density amorphous ice of the liquid, cooled under tension."""
    return _vitrified("LDA-stretched", _LDA_STRETCHED, options)


def hda_vitrified(options: Options) -> Job:
    """Return the job of high-density amorphous ice of the liquid, cooled under pressure.

    As Mishima and Suzuki, J. Chem. Phys. 115, 4199 (2001), made it of emulsified water.
    """
    return _vitrified("HDA-vitrified", _HDA_VITRIFIED, options)


def hda(options: Options) -> Job:
    """Return the job of high-density amorphous ice: Ih, compressed until it collapses, released."""
    temperature, pressure = options.state(_TEMPERATURE, _PRESSURE)
    peak = options.sized(_COMPRESSED, _COMPRESSED_PUBLISHED)
    times = options.sized(_COMPRESSION, _COMPRESSION_PUBLISHED)
    up, hold, down = ((options.length or sum(times)) / sum(times) * time for time in times)
    dynamics = partial(Dynamics, temperature=temperature, coupling="aniso")
    stages: list[Stage] = [
        Minimise(),
        dynamics(
            "equilibrate", steps_of(6.0, TIP4P_ICE), pressure=pressure, velocities=temperature
        ),
        dynamics("compress", steps_of(up, TIP4P_ICE), pressure=pressure, pressure_end=peak),
    ]
    if hold:
        stages.append(dynamics("hold", steps_of(hold, TIP4P_ICE), pressure=peak))
    stages.append(
        dynamics("release", steps_of(down, TIP4P_ICE), pressure=peak, pressure_end=pressure)
    )
    labels = {"route": "compression of Ih", "peak_pressure": peak}
    # Wide enough to stay wider than twice the cutoff when it collapses.
    return _glass("HDA", _ih((3, 3, 3), options), stages, options, labels)


def water(options: Options) -> Job:
    """Return the job of the liquid."""
    return replace(ice_phases.water(options), recipe="amorphous")


def _ih(repeats: tuple[int, int, int], options: Options) -> tuple[Start, int]:
    """Return hexagonal ice, and the number of its atoms."""
    repeats = ice_phases.repeated(repeats, options.sized(1, 2))
    arguments = {"phase": "Ih", "repeats": repeats, "seed": options.seed, "sites": "OHH"}
    return Start("ice", arguments), 3 * 16 * math.prod(repeats)


def _vitrified(system: str, schedule: _Vitrified, options: Options) -> Job:
    """Return the job of a liquid that is cooled under a pressure, and released."""
    temperature, pressure = options.state(_TEMPERATURE, _PRESSURE)
    n = options.sized(schedule.molecules, 3456)
    start, stages = ice_phases.liquid(n, options.seed, 20.0, schedule.hot, schedule.pressure)
    release = _Cooling("release", schedule.release, None)
    usual = options.sized(1.0, _SLOWER)
    stretch = usual * _stretch(options, (*schedule.cooling, release), usual)
    cooling = _cooled(schedule.cooling, schedule.hot, schedule.pressure, stretch, options)
    released = Dynamics(
        release.name,
        steps_of(stretch * release.picoseconds, TIP4P_ICE),
        temperature=temperature,
        pressure=schedule.pressure,
        pressure_end=pressure,
    )
    labels = {"route": schedule.route, "peak_pressure": schedule.pressure}
    return _glass(system, (start, 3 * n), (*stages, *cooling, released), options, labels)


def _stretch(options: Options, parts: Sequence[_Cooling], usual: float = 1.0) -> float:
    """Return the length that is asked for over the usual one."""
    total = usual * sum(part.picoseconds for part in parts)
    return (options.length or total) / total


def _cooled(
    parts: Sequence[_Cooling],
    temperature: float,
    pressure: float,
    stretch: float,
    options: Options,
) -> list[Stage]:
    """Return the stages of a quench from a temperature, K, at a pressure, bar."""
    final, _ = options.state(_TEMPERATURE, _PRESSURE)
    stages: list[Stage] = []
    for part in parts:
        end = final if part.temperature is None else part.temperature
        stages.append(
            Dynamics(
                part.name,
                steps_of(stretch * part.picoseconds, TIP4P_ICE),
                temperature=temperature,
                temperature_end=end,
                pressure=pressure,
            )
        )
        temperature = end
    return stages


def _rate_labels(stages: Sequence[Stage]) -> dict[str, float]:
    """Return the rate of cooling through the glass transition, K/ns, and of ramps, GPa/ns."""
    rates = ramp_rates(stages, TIP4P_ICE.timestep)
    wanted = {
        "cooling_rate": ("vitrify", "temperature"),
        "compression_rate": ("compress", "pressure"),
        "release_rate": ("release", "pressure"),
    }
    return {
        label: round(abs(rates[stage][quantity]), 4)
        for label, (stage, quantity) in wanted.items()
        if stage in rates
    }


def _glass(
    system: str,
    start: tuple[Start, int],
    stages: Sequence[Stage],
    options: Options,
    labels: Mapping[str, Any],
) -> Job:
    """Return the job whose last stage holds the glass and keeps frames."""
    temperature, pressure = options.state(_TEMPERATURE, _PRESSURE)
    interval = options.interval or 1.0
    steps, every = frame_steps(_FRAMES * interval, interval, TIP4P_ICE)
    dynamics = partial(Dynamics, temperature=temperature, pressure=pressure, coupling="aniso")
    settle = dynamics("settle", steps_of(10.0, TIP4P_ICE))
    phase = system.split("-")[0]
    return make_job(
        ("amorphous", system),
        *start,
        TIP4P_ICE,
        (*stages, settle, dynamics("produce", steps, every=every)),
        options,
        _REFERENCE,
        phase=phase,
        check=Check("amorphous", {"phase": phase}),
        labels={**labels, **_rate_labels(stages)},
    )


RECIPE = Recipe(
    name="amorphous",
    summary="amorphous ices at 80 K: MDA by shearing Ih (80 shears), LDA by cooling the liquid at "
    "62 K/ns from 220 to 180 K (published: 10 K/ns throughout) or under tension, HDA by "
    "compressing Ih and releasing it (published: 100 MPa/ns) or by cooling the liquid under "
    "pressure; and liquid water",
    systems={
        "MDA": mda,
        "LDA": lda,
        "LDA-stretched": lda_stretched,
        "HDA": hda,
        "HDA-vitrified": hda_vitrified,
        "water": water,
    },
    default=("MDA", "LDA-stretched", "HDA-vitrified", "water"),
    reference=_REFERENCE,
)
