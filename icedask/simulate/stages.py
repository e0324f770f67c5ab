"""Stages of a simulation, and the segments between restart files.

Independent of engines: lengths are in angstrom, times in femtosecond, temperatures in kelvin,
pressures in bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from icedask.errors import InputError

Coupling = Literal["iso", "aniso", "tri", "z"]

# Cost of a segment, the most that a crash can cost: well under a minute of one core for most
# potentials.
SEGMENT_ATOM_STEPS = 12_000_000

_BAR_IN_GPA = 10_000.0


@dataclass(frozen=True)
class Held:
    """Layer of the cell whose atoms do not move."""

    axis: int  # Cell vector along which the layer is cut: 0, 1 or 2
    # Bounds in fractions of that vector; of molecules the first atom counts.
    low: float
    high: float


@dataclass(frozen=True)
class Minimise:
    """Minimisation of the potential energy."""

    name: str = "minimise"
    # Changes of the cell: "iso" (shape kept), "aniso", or none.
    box: Literal["fixed", "iso", "aniso"] = "fixed"
    pressure: float = 0.0  # Pressure on the cell, bar


@dataclass(frozen=True)
class Dynamics:
    """Molecular dynamics at constant or linearly changing temperature and pressure."""

    name: str
    steps: int
    temperature: float  # K, at the start, and at the end where `temperature_end` is not given
    temperature_end: float | None = None
    pressure: float | None = None  # bar; None keeps the cell as it is
    pressure_end: float | None = None
    # Changes of the cell: "iso" scales it, "aniso" each edge by itself, "z" the third edge alone,
    # "tri" edges and angles.
    coupling: Coupling = "iso"
    # Steps between kept frames, of which the last step of the stage is a multiple; 0 keeps none.
    every: int = 0
    # Temperature, K, at which velocities are drawn before the first step.
    velocities: float | None = None
    held: Held | None = None  # Atoms that do not move

    def temperature_at(self, step: int) -> float:
        """Return the temperature at a step of the stage, K."""
        return self._ramp(self.temperature, self.temperature_end, step)

    def pressure_at(self, step: int) -> float | None:
        """Return the pressure at a step of the stage, bar."""
        if self.pressure is None:
            return None
        return self._ramp(self.pressure, self.pressure_end, step)

    def _ramp(self, start: float, end: float | None, step: int) -> float:
        return start + ((start if end is None else end) - start) * step / self.steps


@dataclass(frozen=True)
class Shear:
    """Repeated rigid shifts of layers of the crystal, each with relaxation."""

    name: str
    # Number of shears; each moves a layer of random position, thickness and direction, and is
    # followed by a minimisation and `steps` of dynamics.
    cycles: int
    steps: int  # Time steps after each shear
    # Temperature, K, and pressure, bar, of the dynamics.
    temperature: float
    pressure: float
    coupling: Coupling = "aniso"
    every: int = 0


Stage = Minimise | Dynamics | Shear


@dataclass(frozen=True)
class Segment:
    """Part of a simulation between two restart files."""

    index: int  # Index of the segment in the simulation
    stage: int  # Index of its stage
    # Steps of the stage before the segment, and in it; for `Shear` one cycle.
    start: int
    steps: int
    first_frame: int  # Index of its first kept frame in the trajectory
    frames: tuple[int, ...]  # Steps of the stage at which a frame is kept
    # Picoseconds at the start of the segment; the first stage that keeps frames starts at 0.
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
    """Cut stages into segments of at most `longest` time steps (of `timestep`, fs).

    They are the same on any machine: an interrupted simulation goes through the same restarts as an
    unbroken one, and ends with the same trajectory.
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
        # Of one length, except the last: a longer stage begins with the same segments.
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


def ramp_rates(stages: Sequence[Stage], timestep: float) -> dict[str, dict[str, float]]:
    """Return the rates of the stages that change temperature or pressure, by name.

    For each a mapping with "temperature" in K/ns and "pressure" in GPa/ns, where it changes:
    negative where it falls. The time step is in fs.
    """
    rates: dict[str, dict[str, float]] = {}
    for stage in stages:
        if not isinstance(stage, Dynamics):
            continue
        nanoseconds = stage.steps * timestep * 1e-6
        own = {}
        if stage.temperature_end is not None:
            own["temperature"] = (stage.temperature_end - stage.temperature) / nanoseconds
        if stage.pressure is not None and stage.pressure_end is not None:
            own["pressure"] = (stage.pressure_end - stage.pressure) / _BAR_IN_GPA / nanoseconds
        if own:
            rates[stage.name] = own
    return rates


def count_frames(stages: Sequence[Stage]) -> int:
    """Count the frames that a simulation keeps."""
    return sum(
        steps(stage) // stage.every
        for stage in stages
        if not isinstance(stage, Minimise) and stage.every
    )
