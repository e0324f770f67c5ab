"""Amorphous ices at 80 K and 1 bar, made at the rates that make them, and liquid water.

`Options.length` is the length of the way to the glass, in picoseconds. A shorter way is a
demonstration: most often it ends in something else, and the check takes the label away.
"""

from __future__ import annotations

from dataclasses import replace

from icedask.simulate.job import Check, Job, Start
from icedask.simulate.potentials import TIP4P_ICE
from icedask.simulate.recipe import Options, Recipe, frame_steps, steps_of
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
    """Return the job of medium-density amorphous ice: Ih, sheared again and again."""
    temperature, pressure = _state(options)
    cycles = _SHEARS
    if options.length is not None:
        cycles = max(1, round(options.length / _SHEAR_PICOSECONDS))
    start, n_atoms = _ih((3, 3, 3), options)
    shear = Shear(
        "shear",
        cycles,
        steps_of(_SHEAR_PICOSECONDS, TIP4P_ICE),
        temperature=temperature,
        pressure=pressure,
        coupling="aniso",
    )
    return _job("MDA", start, n_atoms, (Minimise(), shear), options)


def lda(options: Options) -> Job:
    """Return the job of low-density amorphous ice: liquid, cooled slowly."""
    temperature, pressure = _state(options)
    n = 3456 if options.published else 432
    start, stages = ice_phases.liquid(n, options.seed, 20.0, _QUENCH_FROM, pressure)
    quench = Dynamics(
        "quench",
        steps_of(options.length or _QUENCH, TIP4P_ICE),
        temperature=_QUENCH_FROM,
        temperature_end=temperature,
        pressure=pressure,
    )
    return _job("LDA", start, 3 * n, (*stages, quench), options)


def hda(options: Options) -> Job:
    """Return the job of high-density amorphous ice: Ih, compressed until it collapses, released."""
    temperature, pressure = _state(options)
    steps = steps_of((options.length or _COMPRESS_AND_RELEASE) / 2, TIP4P_ICE)
    # Wide enough to stay wider than twice the cutoff when it collapses.
    start, n_atoms = _ih((3, 4, 3), options)
    equilibrate = Dynamics(
        "equilibrate",
        steps_of(6.0, TIP4P_ICE),
        temperature=temperature,
        pressure=pressure,
        coupling="aniso",
        velocities=temperature,
    )
    compress = Dynamics(
        "compress",
        steps,
        temperature=temperature,
        pressure=pressure,
        pressure_end=_COMPRESSED,
        coupling="aniso",
    )
    release = replace(
        compress, name="release", pressure=compress.pressure_end, pressure_end=pressure
    )
    stages = (Minimise(), equilibrate, compress, release)
    return _job("HDA", start, n_atoms, stages, options)


def water(options: Options) -> Job:
    """Return the job of the liquid."""
    return replace(ice_phases.water(options), recipe="amorphous")


def _state(options: Options) -> tuple[float, float]:
    """Return temperature and pressure of the glass."""
    return (
        _TEMPERATURE if options.temperature is None else options.temperature,
        _PRESSURE if options.pressure is None else options.pressure,
    )


def _ih(repeats: tuple[int, int, int], options: Options) -> tuple[Start, int]:
    """Return hexagonal ice, and the number of its atoms."""
    times = 2 if options.published else 1
    a, b, c = (times * number for number in repeats)
    given = {"phase": "Ih", "repeats": (a, b, c), "seed": options.seed, "sites": "OHH"}
    return Start("ice", given), 3 * 16 * a * b * c


def _job(
    system: str, start: Start, n_atoms: int, stages: tuple[Stage, ...], options: Options
) -> Job:
    """Return the job whose last stage holds the glass and keeps frames."""
    temperature, pressure = _state(options)
    interval = options.interval or 1.0
    steps, every = frame_steps(_FRAMES * interval, interval, TIP4P_ICE)
    settle = Dynamics(
        "settle",
        steps_of(10.0, TIP4P_ICE),
        temperature=temperature,
        pressure=pressure,
        coupling="aniso",
    )
    return Job(
        recipe="amorphous",
        system=system,
        start=start,
        n_atoms=n_atoms,
        potential=TIP4P_ICE,
        stages=(*stages, settle, replace(settle, name="produce", steps=steps, every=every)),
        seed=options.seed,
        labels={
            "phase": system,
            "temperature": temperature,
            "pressure": pressure,
            "model": TIP4P_ICE.name,
            "seed": options.seed,
        },
        check=Check("amorphous", {"phase": system}),
        reference=_REFERENCE,
    )


RECIPE = Recipe(
    name="amorphous",
    summary="amorphous ices at 80 K: MDA by shearing Ih (80 shears), LDA by cooling the liquid at "
    "10 K/ns, HDA by compressing Ih at 100 MPa/ns and releasing it; and liquid water",
    systems={"MDA": mda, "LDA": lda, "HDA": hda, "water": water},
    default=("MDA", "water"),
    reference=_REFERENCE,
)
