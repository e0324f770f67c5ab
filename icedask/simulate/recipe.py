"""What a recipe is: systems that are simulated for one purpose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from icedask.errors import InputError
from icedask.simulate.job import Job
from icedask.simulate.potentials import Potential


@dataclass(frozen=True)
class Options:
    """What a user may change in every recipe.

    Attributes
    ----------
    published
        The published size and length, in place of minutes on two cores.
    seed
        Of everything random; replicas differ in it.
    temperature, pressure
        K and bar; the recipe's own by default.
    length, interval
        Picoseconds of the stage that keeps frames (in `amorphous` of the way to the glass), and
        between frames; the recipe's by default.

    Raises
    ------
    InputError
        If one of them cannot be.
    """

    published: bool = False
    seed: int = 0
    temperature: float | None = None
    pressure: float | None = None
    length: float | None = None
    interval: float | None = None

    def __post_init__(self) -> None:
        for name, unit in (("temperature", "K"), ("length", "ps"), ("interval", "ps")):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name}: expected more than 0 {unit}, found {value:g}")
        if self.pressure is not None and not math.isfinite(self.pressure):
            raise InputError(f"pressure: expected a number of bar, found {self.pressure:g}")
        if self.seed < 0:
            raise InputError(f"seed: expected 0 or more, found {self.seed}")


@dataclass(frozen=True)
class Recipe:
    """Systems that are simulated for one purpose.

    Attributes
    ----------
    name
        As on the command line.
    summary
        What its trajectories are for, in one line.
    systems
        Name of each system, and what makes its job from the options.
    default
        The systems that are made unless others are named.
    reference
        The publication that it follows.
    """

    name: str
    summary: str
    systems: Mapping[str, Callable[[Options], Job]]
    default: tuple[str, ...]
    reference: str


def steps_of(picoseconds: float, potential: Potential) -> int:
    """Return a length of time in steps of a potential, one at least."""
    return max(1, round(picoseconds * 1e3 / potential.timestep))


def frame_steps(length: float, interval: float, potential: Potential) -> tuple[int, int]:
    """Return the steps of a stage that keeps frames, and the steps between these.

    Parameters
    ----------
    length, interval
        Picoseconds; the stage ends with a frame, the length is that of the nearest whole number
        of intervals.
    potential
        For the time step.

    Raises
    ------
    InputError
        If they are not positive, or the interval is the longer one or shorter than a time step.
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
    # Of the interval in whole steps: a rounded one, many times, would be another length.
    return max(1, round(steps_of(length, potential) / every)) * every, every
