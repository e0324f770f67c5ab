"""Recipes: systems that are simulated for one purpose, and the options that all of them have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from icedask.core.options import Option, Seed, checked, parameters_of
from icedask.errors import InputError
from icedask.simulate.job import Check, Job, Start
from icedask.simulate.potentials import Potential
from icedask.simulate.stages import Dynamics, Stage

T = TypeVar("T")

# The options of all recipes, declared once: for `Options`, `simulate.run` and the command line.
Published = Annotated[bool, Option("Published size and length, in place of minutes.")]
Temperature = Annotated[
    float | None, Option("Temperature; that of the recipe by default.", "K", above=0)
]
Pressure = Annotated[float | None, Option("Pressure; that of the recipe by default.", "bar")]
Length = Annotated[
    float | None,
    Option("Length of the production stage (amorphous: of the quench).", "ps", above=0),
]
Interval = Annotated[float | None, Option("Time between frames.", "ps", above=0)]


@dataclass(frozen=True)
class Options:
    """Options of all recipes, as documented in `icedask.simulate.run`.

    Raises InputError if one is out of bounds.
    """

    published: Published = False
    seed: Seed = 0
    temperature: Temperature = None
    pressure: Pressure = None
    length: Length = None
    interval: Interval = None

    def __post_init__(self) -> None:
        checked("", parameters_of(type(self)), vars(self))

    def sized(self, minutes: T, published: T) -> T:
        """Return the value for the size that is asked for."""
        return published if self.published else minutes

    def state(self, temperature: float, pressure: float) -> tuple[float, float]:
        """Return temperature (K) and pressure (bar), with these defaults."""
        return (
            temperature if self.temperature is None else self.temperature,
            pressure if self.pressure is None else self.pressure,
        )

    def frames(self, length: float, interval: float, potential: Potential) -> tuple[int, int]:
        """Return `frame_steps` of length and interval, with these defaults."""
        return frame_steps(self.length or length, self.interval or interval, potential)


@dataclass(frozen=True)
class Recipe:
    """Systems that are simulated for one purpose."""

    name: str  # Name on the command line
    summary: str  # Purpose of its trajectories, in one line
    # Function from the options to the job of each system.
    systems: Mapping[str, Callable[[Options], Job]]
    default: tuple[str, ...]  # Default systems
    reference: str  # The publication that it follows


def make_job(
    name: tuple[str, str],
    start: Start,
    n_atoms: int,
    potential: Potential,
    stages: Sequence[Stage],
    options: Options,
    reference: str,
    *,
    phase: str,
    element: str | None = None,
    check: Check | None = None,
    periodic: bool = True,
    labels: Mapping[str, Any] | None = None,
) -> Job:
    """Return the job of a system (recipe and name) with the labels of its phase and last stage.

    The label `start` names a start structure that is a draw of its own: trajectories that share it
    are not independent. `labels` are more of them, as how the phase is reached.
    """
    last = stages[-1]
    assert isinstance(last, Dynamics)
    own = {
        "phase": phase,
        "element": element,
        "temperature": last.temperature,
        "pressure": last.pressure,
        "model": potential.name,
        "seed": options.seed,
        "start": start_name(start),
    }
    return Job(
        recipe=name[0],
        system=name[1],
        start=start,
        n_atoms=n_atoms,
        potential=potential,
        stages=tuple(stages),
        seed=options.seed,
        labels={
            label: value for label, value in (own | dict(labels or {})).items() if value is not None
        },
        periodic=periodic,
        check=check,
        reference=reference,
    )


def start_name(start: Start) -> str | None:
    """Return the name of a start structure, the same for the same structure.

    None where all seeds begin with one ideal structure: their velocities alone are drawn.
    """
    options = {name: value for name, value in start.options.items() if name != "sites"}
    if not {"seed", "frame"} & options.keys():
        return None
    words = [start.function]
    for name, value in options.items():
        words += [name, "x".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return " ".join(words)


def steps_of(picoseconds: float, potential: Potential) -> int:
    """Return a length of time in steps of a potential, one at least."""
    return max(1, round(picoseconds * 1e3 / potential.timestep))


def frame_steps(length: float, interval: float, potential: Potential) -> tuple[int, int]:
    """Return the steps of a stage that keeps frames, and the steps between these.

    The stage ends with a frame: its length is that of the nearest whole number of intervals, ps.
    Raises InputError if they are not positive, or the interval is the longer one or shorter than a
    time step.
    """
    if not 0 < interval <= length:
        raise InputError(
            f"expected 0 < interval <= length, found an interval of {interval:g} ps and a length "
            f"of {length:g} ps"
        )
    if interval * 1e3 < potential.timestep:
        raise InputError(
            f"interval: expected at least the time step of {potential.name}, "
            f"{potential.timestep * 1e-3:g} ps, found {interval:g} ps"
        )
    every = steps_of(interval, potential)
    # A multiple of the interval in whole steps: the rounded interval would change the length.
    return max(1, round(steps_of(length, potential) / every)) * every, every
