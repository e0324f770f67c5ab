"""Jobs of simulations: start structure, potential, stages, labels; the protocol of engines."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import ase
import numpy as np
import numpy.typing as npt

from icedask.simulate.potentials import Potential
from icedask.simulate.stages import (
    Minimise,
    Segment,
    Stage,
    check_stages,
    count_frames,
    cut,
    default_segment_steps,
    steps,
)
from icedask.store.frame_block import FrameBlock


@dataclass(frozen=True)
class Start:
    """Start structure: a function of `icedask.simulate.structures`, and its arguments."""

    function: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> ase.Atoms:
        """Return the structure."""
        from icedask.simulate import structures

        atoms: ase.Atoms = getattr(structures, self.function)(**self.options)
        return atoms


@dataclass(frozen=True)
class Check:
    """Check of the phase at the end: a function of `icedask.simulate.checks`, and its arguments."""

    function: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One simulation of one system, the work of one Dask task."""

    recipe: str
    system: str
    # The start structure, and its number of atoms.
    start: Start
    n_atoms: int
    potential: Potential  # The interactions, with engine and time step
    stages: tuple[Stage, ...]
    seed: int  # Seed of all random numbers
    # Labels of the trajectory: phase, temperature (K), pressure (bar), model, ...
    labels: Mapping[str, Any] = field(default_factory=dict)
    periodic: bool = True  # Whether there is a cell: False for a cluster in empty space
    # Time steps between restart files, the most that a crash can cost.
    segment_steps: int | None = None
    check: Check | None = None  # Condition on which the label of the phase stays
    reference: str = ""  # The publication that the recipe follows

    def __post_init__(self) -> None:
        check_stages(self.stages)

    @property
    def n_frames(self) -> int:
        """Number of frames that are kept."""
        return count_frames(self.stages)

    def kept_picoseconds(self) -> float:
        """Return the length of the stages that keep frames, ps."""
        kept = [s for s in self.stages if not isinstance(s, Minimise) and s.every]
        return sum(steps(stage) for stage in kept) * self.potential.timestep * 1e-3

    def core_seconds(self) -> float:
        """Return the predicted time of one core, from the measured speed of the potential."""
        total = sum(steps(stage) for stage in self.stages)
        return total * self.n_atoms / (self.potential.speed * 1e6)

    def segments(self) -> list[Segment]:
        """Return the segments between restart files."""
        longest = self.segment_steps or default_segment_steps(self.n_atoms)
        return cut(self.stages, longest, self.potential.timestep)

    def random(self, segment: int) -> np.random.Generator:
        """Return the random number generator of a segment, the same in each run."""
        return np.random.default_rng([self.seed, segment])

    def describe(self) -> dict[str, Any]:
        """Return the identity of the trajectory as plain values."""
        return {
            "recipe": self.recipe,
            "system": self.system,
            "start": asdict(self.start),
            "potential": self.potential.describe(),
            "stages": [{"kind": type(stage).__name__, **asdict(stage)} for stage in self.stages],
            "segment_steps": self.segment_steps,
            "seed": self.seed,
        }


class Engine(Protocol):
    """Simulation engine inside its child process.

    An engine keeps its whole state in restart files. Every segment starts from one, also where
    the one before has just ended, so that an interrupted simulation and an unbroken one give the
    same trajectory.

    Attributes
    ----------
    version
        Release of the engine.
    platform
        CPU or type of GPU.
    """

    @property
    def version(self) -> str: ...  # noqa: D102

    @property
    def platform(self) -> str: ...  # noqa: D102

    def begin(self, atoms: ase.Atoms, restart: str) -> None:
        """Write the restart file of the start structure."""
        ...

    def run(self, segment: Segment, restart: str, following: str) -> FrameBlock | None:
        """Run a segment from its restart file, write the following one, return the frames kept.

        Raises SimulationFailed if the system exploded.
        """
        ...


def engine_module(job: Job) -> Any:
    """Return the module of a job's engine: its class `ENGINE`, `columns` and `input_text`."""
    return importlib.import_module(f"icedask.simulate.{job.potential.engine}")


class SimulationFailed(Exception):
    """Error of an engine: lost atoms, NaN, or a message of its own."""


def check_finite(values: npt.NDArray[Any], name: str, step: int) -> None:
    """Raise SimulationFailed unless all values are finite."""
    if not np.isfinite(values).all():
        raise SimulationFailed(f"{name} are not finite at step {step}: the system exploded")
