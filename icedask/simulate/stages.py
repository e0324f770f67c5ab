"""What a simulation does, stage by stage, and how its stages are cut into restartable segments.

Nothing here knows an engine: lengths are in angstrom, times in femtosecond, temperatures in kelvin,
pressures in bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from icedask.errors import InputError

Coupling = Literal["iso", "aniso", "tri", "z"]

# A segment is what a crash can cost: well under a minute of one core for most potentials.
SEGMENT_ATOM_STEPS = 12_000_000


@dataclass(frozen=True)
class Held:
    """A layer of the cell whose atoms do not move.

    Attributes
    ----------
    axis
        Cell vector along which the layer is cut: 0, 1 or 2.
    low, high
        Bounds in fractions of that vector; of molecules the first atom counts.
    """

    axis: int
    low: float
    high: float


@dataclass(frozen=True)
class Minimise:
    """Go down to the next minimum of the potential energy.

    Attributes
    ----------
    box
        How the cell may change on the way: "iso" (shape kept), "aniso", or not at all.
    pressure
        Pressure on the cell, bar.
    """

    name: str = "minimise"
    box: Literal["fixed", "iso", "aniso"] = "fixed"
    pressure: float = 0.0


@dataclass(frozen=True)
class Dynamics:
    """Molecular dynamics at constant or linearly changing temperature and pressure.

    Attributes
    ----------
    steps
        Number of time steps.
    temperature
        K, at the start, and at the end where `temperature_end` is not given.
    pressure
        bar; None keeps the cell as it is.
    coupling
        How the cell follows the pressure: "iso" scales it, "aniso" each edge by itself, "z" the
        third edge alone, "tri" edges and angles.
    every
        Steps between the frames that are kept, the last step of the stage being a multiple of it;
        0 keeps none.
    velocities
        Draw velocities anew at this temperature, K, before the first step.
    held
        Atoms that do not move.
    """

    name: str
    steps: int
    temperature: float
    temperature_end: float | None = None
    pressure: float | None = None
    pressure_end: float | None = None
    coupling: Coupling = "iso"
    every: int = 0
    velocities: float | None = None
    held: Held | None = None

    def temperature_at(self, step: int) -> float:
        """Return the temperature at a step of the stage, K."""
        end = self.temperature if self.temperature_end is None else self.temperature_end
        return self.temperature + (end - self.temperature) * step / self.steps

    def pressure_at(self, step: int) -> float | None:
        """Return the pressure at a step of the stage, bar."""
        if self.pressure is None:
            return None
        end = self.pressure if self.pressure_end is None else self.pressure_end
        return self.pressure + (end - self.pressure) * step / self.steps


@dataclass(frozen=True)
class Shear:
    """Shift layers of the crystal rigidly past each other, again and again, and let it relax.

    Attributes
    ----------
    cycles
        Number of shears; each moves one layer of random place, thickness and direction, and is
        followed by a minimisation and `steps` of dynamics.
    steps
        Time steps after each shear.
    temperature, pressure
        K and bar, of the dynamics.
    """

    name: str
    cycles: int
    steps: int
    temperature: float
    pressure: float
    coupling: Coupling = "aniso"
    every: int = 0


Stage = Minimise | Dynamics | Shear


@dataclass(frozen=True)
class Segment:
    """What runs between two restart files.

    Attributes
    ----------
    index
        Number of the segment in the simulation.
    stage
        Index of its stage.
    start, steps
        Steps of the stage before the segment, and in it; for `Shear` one cycle.
    first_frame
        Index of its first kept frame in the trajectory.
    frames
        Steps of the stage at which a frame is kept.
    time
        Picoseconds at the start of the segment; the first stage that keeps frames starts at 0.
    """

    index: int
    stage: int
    start: int
    steps: int
    first_frame: int
    frames: tuple[int, ...]
    time: float


def steps(stage: Stage) -> int:
    """Return the time steps of a stage."""
    if isinstance(stage, Minimise):
        return 0
    return stage.steps * (stage.cycles if isinstance(stage, Shear) else 1)


def check_stages(stages: Sequence[Stage]) -> None:
    """Raise InputError if a stage cannot be run, or none keeps frames."""
    for stage in stages:
        if isinstance(stage, Minimise):
            continue
        if isinstance(stage, Dynamics):
            if stage.steps < 1:
                raise InputError(f"stage {stage.name}: expected at least one step, found none")
            if stage.every and (stage.every < 0 or stage.steps < stage.every):
                raise InputError(
                    f"stage {stage.name}: expected frames at most {stage.steps} steps apart, found "
                    f"{stage.every}; make it longer, or keep frames more often"
                )
        if stage.temperature <= 0:
            raise InputError(
                f"stage {stage.name}: expected a temperature above 0 K, found {stage.temperature}"
            )
    if not count_frames(stages):
        raise InputError("stages: expected one that keeps frames, found none")


def default_segment_steps(n_atoms: int) -> int:
    """Return the steps between restart files: the larger the system, the fewer."""
    return max(100, SEGMENT_ATOM_STEPS // max(n_atoms, 1) // 100 * 100)


def cut(stages: Sequence[Stage], longest: int, timestep: float) -> list[Segment]:
    """Cut stages into segments.

    Parameters
    ----------
    stages
        In their order.
    longest
        Time steps of a segment, at most.
    timestep
        fs.

    Returns
    -------
    list of Segment
        The same for the same simulation on any machine: a simulation that was interrupted goes
        through the same restarts as one that was not, and ends with the same trajectory.
    """
    segments: list[Segment] = []
    n_frames, time, started = 0, 0.0, False
    for number, stage in enumerate(stages):
        if isinstance(stage, Minimise):
            segments.append(Segment(len(segments), number, 0, 0, n_frames, (), time))
            continue
        if not started and stage.every:
            started, time = True, 0.0
        total = steps(stage)
        # Of one length, the last but for it: a longer stage begins with the same segments.
        length = stage.steps if isinstance(stage, Shear) else longest
        bounds = [*range(0, total, length), total]
        for start, stop in pairwise(bounds):
            frames = tuple(
                range((start // stage.every + 1) * stage.every, stop + 1, stage.every)
                if stage.every
                else ()
            )
            here = time + start * timestep * 1e-3
            segments.append(
                Segment(len(segments), number, start, stop - start, n_frames, frames, here)
            )
            n_frames += len(frames)
        time += total * timestep * 1e-3
    return segments


def count_frames(stages: Sequence[Stage]) -> int:
    """Count the frames that a simulation keeps."""
    return sum(
        steps(stage) // stage.every
        for stage in stages
        if not isinstance(stage, Minimise) and stage.every
    )
