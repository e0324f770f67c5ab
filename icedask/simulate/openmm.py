"""The OpenMM engine: rigid TIP4P/Ice, on a GPU where there is one."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ase
import numpy as np

from icedask.core.files import load_npz
from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.simulate.job import Job, SimulationFailed, check_finite
from icedask.simulate.molecules import in_layer, shear, wrap
from icedask.simulate.stages import Coupling, Dynamics, Minimise, Segment, Shear, Stage
from icedask.simulate.tip4p_ice import (
    CUTOFF,
    EWALD_TOLERANCE,
    SITES,
    choose_cutoff,
    make_system,
    molecules_of,
)
from icedask.store.frame_block import FrameBlock

_NM = 0.1
_FRICTION = 1.0
# Steps at one temperature and pressure of a ramp; 0.2 ps at 4 fs.
_PIECE = 50
_CONSTRAINT_TOLERANCE = 1e-6
# Root mean square force at which a minimisation ends, kJ/mol/nm; after a shear it only has to be
# below the thermal forces of the dynamics that follow.
_FORCE_TOLERANCE = 10.0
_SHEAR_TOLERANCE = 100.0
_TICK_SECONDS = 1.0
# Steps between the trial changes of the cell by a barostat. Their size adapts in each segment,
# which takes some 100 trials where all six numbers of the cell change at once.
_BAROSTAT_STEPS: Mapping[Coupling, int] = {"iso": 10, "aniso": 10, "z": 10, "tri": 5}


@dataclass(frozen=True)
class State:
    """State at the start of a segment."""

    positions: FloatArray  # (n_molecules, 4, 3), nm: sites O, H, H, M of whole molecules
    velocities: FloatArray  # (n_molecules, 4, 3), nm/ps
    cell: FloatArray  # (3, 3), nm: lower triangular and reduced
    cutoff: float  # Angstrom, chosen once, for the start structure

    @classmethod
    def load(cls, path: str) -> State:
        """Read a restart file."""
        saved = load_npz(Path(path))
        return cls(saved["positions"], saved["velocities"], saved["cell"], float(saved["cutoff"]))

    def save(self, path: str) -> None:
        """Write a restart file."""
        with open(path, "wb") as file:  # noqa: PTH123 - savez adds a suffix to names
            np.savez(file, **asdict(self))


class OpenMMEngine:
    """OpenMM engine of TIP4P/Ice: Langevin dynamics and Monte Carlo barostats.

    On the CPU platform, with the same number of cores, the same restart file leads to the same
    following one, bit by bit; on a GPU as far as its platform is deterministic. A restart file of
    one platform continues on any other.

    Parameters
    ----------
    job
        The simulation; its potential must be TIP4P/Ice.
    cores
        Number of threads of the CPU platform, without effect on a GPU.
    progress
        Function called about every second with the step of the segment.

    Raises
    ------
    InputError
        If OpenMM is not installed, or cannot run a stage.

    References
    ----------
    Eastman et al., J. Phys. Chem. B 128, 109 (2024), doi:10.1021/acs.jpcb.3c06662; middle scheme:
    Zhang et al., J. Phys. Chem. A 123, 6056 (2019), doi:10.1021/acs.jpca.9b02771
    """

    def __init__(self, job: Job, cores: int, progress: Callable[[int], None]) -> None:
        self._openmm = import_openmm()
        _check_stages(job)
        self._job = job
        self._progress = progress
        self._platform, self._properties = choose_platform(self._openmm, cores)
        self.platform: str = self._platform.getName()
        self.version: str = self._openmm.Platform.getOpenMMVersion()

    def begin(self, atoms: ase.Atoms, restart: str) -> None:
        """Write the restart file of the start structure: molecules O, H, H in a wide cell."""
        molecules, cell = molecules_of(atoms)
        positions = np.zeros((len(molecules), SITES, 3))
        positions[:, :3] = molecules * _NM
        # The virtual sites follow from the others.
        positions[:, 3] = positions[:, 0]
        state = State(positions, np.zeros_like(positions), cell * _NM, choose_cutoff(cell))
        self._state(self._context(state), state.cutoff).save(restart)

    def run(self, segment: Segment, restart: str, following: str) -> FrameBlock | None:
        """Run a segment from its restart file, write the following one, return the frames kept."""
        stage = self._job.stages[segment.stage]
        state = State.load(restart)
        random = self._job.random(segment.index)
        block = None
        try:
            if isinstance(stage, Minimise):
                state = self._minimise(state, _FORCE_TOLERANCE)
            elif isinstance(stage, Shear):
                moved = shear(state.positions / _NM, state.cell / _NM, random) * _NM
                state = self._minimise(replace(state, positions=moved), _SHEAR_TOLERANCE)
            if not isinstance(stage, Minimise):
                state, block = self._dynamics(stage, segment, state, random)
        except self._openmm.OpenMMException as error:
            raise _failed(stage, segment.start, error) from error
        state.save(following)
        return block

    def _minimise(self, state: State, tolerance: float) -> State:
        context = self._context(state)
        self._openmm.LocalEnergyMinimizer.minimize(context, tolerance)
        return self._state(context, state.cutoff)

    def _dynamics(
        self,
        stage: Dynamics | Shear,
        segment: Segment,
        state: State,
        random: np.random.Generator,
    ) -> tuple[State, FrameBlock | None]:
        context = self._context(state, stage, random)
        if isinstance(stage, Shear):
            context.setVelocitiesToTemperature(stage.temperature, _seed(random))
        elif stage.velocities is not None and segment.start == 0:
            context.setVelocitiesToTemperature(stage.velocities, _seed(random))
        run = _Stepper(context, stage, segment, self._progress)
        end = segment.start + segment.steps
        kept: list[State] = []
        try:
            for frame in segment.frames:
                run.to(frame)
                kept.append(self._state(context, state.cutoff, frame))
            run.to(end)
        except self._openmm.OpenMMException as error:
            raise _failed(stage, run.step, error) from error
        return self._state(context, state.cutoff, end), self._block(segment, kept)

    def _context(
        self,
        state: State,
        stage: Dynamics | Shear | None = None,
        random: np.random.Generator | None = None,
    ) -> Any:
        """Return a Context in a state, with the thermostat and barostat of a stage."""
        openmm = self._openmm
        mobile = np.ones(len(state.positions), bool)
        if isinstance(stage, Dynamics) and stage.held is not None:
            held = stage.held
            mobile = ~in_layer(state.positions, state.cell, held.axis, held.low, held.high)
        system = make_system(openmm, self._job.potential, state.cell / _NM, state.cutoff, mobile)
        # In OpenMM's unit, as the restart file has it to the last bit.
        system.setDefaultPeriodicBoxVectors(*state.cell)
        integrator = openmm.LangevinMiddleIntegrator(
            0.0 if stage is None else stage.temperature,
            _FRICTION,
            self._job.potential.timestep * 1e-3,
        )
        integrator.setConstraintTolerance(_CONSTRAINT_TOLERANCE)
        if stage is not None and random is not None:
            integrator.setRandomNumberSeed(_seed(random))
            if stage.pressure is not None:
                system.addForce(make_barostat(openmm, stage, _seed(random)))
        context = openmm.Context(system, integrator, self._platform, self._properties)
        context.setPositions(state.positions.reshape(-1, 3))
        context.setVelocities(state.velocities.reshape(-1, 3))
        if stage is None:
            # Structures from elsewhere, or moved by hand.
            context.applyConstraints(_CONSTRAINT_TOLERANCE)
            context.computeVirtualSites()
        return context

    def _state(self, context: Any, cutoff: float, step: int = 0) -> State:
        """Return the state of a Context, molecules wrapped as a whole."""
        state = context.getState(positions=True, velocities=True, energy=True)
        positions = self._plain(state.getPositions(asNumpy=True)).reshape(-1, SITES, 3)
        velocities = self._plain(state.getVelocities(asNumpy=True)).reshape(-1, SITES, 3)
        cell = self._plain(state.getPeriodicBoxVectors(asNumpy=True))
        check_finite(self._plain(state.getPotentialEnergy()), "potential energies", step)
        check_finite(positions, "positions", step)
        check_finite(velocities, "velocities", step)
        return State(wrap(positions, cell), velocities, cell, cutoff)

    def _plain(self, quantity: Any) -> FloatArray:
        """Return a quantity in OpenMM's units as an array."""
        return np.array(quantity.value_in_unit_system(self._openmm.unit.md_unit_system), float)

    def _block(self, segment: Segment, kept: list[State]) -> FrameBlock | None:
        if not kept:
            return None
        timestep = self._job.potential.timestep * 1e-3
        moments = segment.time + (np.array(segment.frames) - segment.start) * timestep
        return FrameBlock(
            np.array([state.positions[:, :3].reshape(-1, 3) / _NM for state in kept], np.float32),
            np.array([state.cell / _NM for state in kept]),
            np.ones(3, bool),
            moments,
            np.round(moments / timestep).astype(np.int64),
        )


class _Stepper:
    """Integration of a segment, with the temperature and pressure of its ramp.

    `step` is the current step of the stage.
    """

    def __init__(
        self,
        context: Any,
        stage: Dynamics | Shear,
        segment: Segment,
        progress: Callable[[int], None],
    ) -> None:
        self._context, self._stage, self._segment = context, stage, segment
        self._progress = progress
        self.step = segment.start
        self._reported = time.monotonic()

    def to(self, end: int) -> None:
        """Run until a step of the stage."""
        while self.step < end:
            piece = min(end, (self.step // _PIECE + 1) * _PIECE)
            self._set_ramp((self.step + piece) // 2)
            self._context.getIntegrator().step(piece - self.step)
            self.step = piece
            if time.monotonic() - self._reported > _TICK_SECONDS:
                self._reported = time.monotonic()
                self._progress(self.step - self._segment.start)

    def _set_ramp(self, step: int) -> None:
        if not isinstance(self._stage, Dynamics):
            return
        context = self._context
        temperature, pressure = self._stage.temperature_at(step), self._stage.pressure_at(step)
        context.getIntegrator().setTemperature(temperature)
        for name in context.getParameters():
            if "Temperature" in name:
                context.setParameter(name, temperature)
            elif "Pressure" in name:
                context.setParameter(name, pressure)


def columns(job: Job) -> dict[str, tuple[int, np.dtype[Any]]]:
    """Return the per-atom variables of a frame: none."""
    return {}


def input_text(job: Job, start: ase.Atoms | None = None) -> str:
    """Return all settings of a job as text, for the record."""
    stages = [f"  {type(stage).__name__} {asdict(stage)}" for stage in job.stages]
    return "\n".join(
        [
            f"{job.potential.name}, {job.potential.reference}:",
            *(f"  {line}" for line in job.potential.text().splitlines()),
            "  rigid molecules of sites O, H, H and M, M a virtual site between them",
            f"cutoff: {CUTOFF} angstrom, less in narrow cells; particle-mesh Ewald beyond, error "
            f"tolerance {EWALD_TOLERANCE}; long-range correction of dispersion",
            f"integrator: LangevinMiddleIntegrator, {job.potential.timestep} fs, friction "
            f"{_FRICTION} / ps, constraint tolerance {_CONSTRAINT_TOLERANCE}",
            "barostats: iso MonteCarloBarostat; aniso MonteCarloAnisotropicBarostat; z the same, "
            "third axis only; tri MonteCarloFlexibleBarostat; steps from a trial to the next: "
            f"{dict(_BAROSTAT_STEPS)}",
            f"ramps: in pieces of {_PIECE} steps",
            f"minimiser: L-BFGS to a root mean square force of {_FORCE_TOLERANCE} kJ/mol/nm, after "
            f"a shear {_SHEAR_TOLERANCE}",
            f"seed {job.seed}",
            "stages (steps, K, bar):",
            *stages,
            "",
        ]
    )


def import_openmm() -> Any:
    """Return the module openmm.

    Raises InputError if it is not installed.
    """
    try:
        return importlib.import_module("openmm")
    except ImportError as error:
        raise InputError(
            f"OpenMM: cannot be imported ({error}); pip install icedask[simulate]"
        ) from error


def choose_platform(openmm: Any, cores: int) -> tuple[Any, dict[str, str]]:
    """Return the fastest platform that works here, and its properties: deterministic if it can."""
    platforms = [openmm.Platform.getPlatform(i) for i in range(openmm.Platform.getNumPlatforms())]
    known = {platform.getName(): platform for platform in platforms}
    wanted = {"Precision": "mixed", "DeterministicForces": "true", "Threads": str(cores)}
    for name in ("CUDA", "OpenCL"):
        if name in known:
            properties = _supported(known[name], wanted)
            if _works(openmm, known[name], properties):
                return known[name], properties
    return known["CPU"], _supported(known["CPU"], wanted)


def _supported(platform: Any, properties: dict[str, str]) -> dict[str, str]:
    names = platform.getPropertyNames()
    return {name: value for name, value in properties.items() if name in names}


def _works(openmm: Any, platform: Any, properties: dict[str, str]) -> bool:
    """Return whether a platform finds a device."""
    system = openmm.System()
    system.addParticle(1.0)
    try:
        openmm.Context(system, openmm.VerletIntegrator(0.001), platform, properties)
    except openmm.OpenMMException:
        return False
    return True


def make_barostat(openmm: Any, stage: Dynamics | Shear, seed: int) -> Any:
    """Return the Monte Carlo barostat of a stage."""
    pressure, temperature = stage.pressure, stage.temperature
    every = _BAROSTAT_STEPS[stage.coupling]
    if stage.coupling == "iso":
        barostat = openmm.MonteCarloBarostat(pressure, temperature, every)
    elif stage.coupling == "tri":
        barostat = openmm.MonteCarloFlexibleBarostat(pressure, temperature, every)
    else:
        along_xy = stage.coupling == "aniso"
        barostat = openmm.MonteCarloAnisotropicBarostat(
            openmm.Vec3(pressure, pressure, pressure),
            temperature,
            along_xy,
            along_xy,
            True,
            every,
        )
    barostat.setRandomNumberSeed(seed)
    return barostat


def _failed(stage: Stage, step: int, error: Exception) -> SimulationFailed:
    return SimulationFailed(f"stage {stage.name}, after step {step}: OpenMM: {error}")


def _seed(random: np.random.Generator) -> int:
    # 0 would let OpenMM choose one.
    return int(random.integers(1, 2**31))


def _check_stages(job: Job) -> None:
    """Raise InputError if this engine cannot run a stage."""
    for stage in job.stages:
        if isinstance(stage, Minimise) and stage.box != "fixed":
            raise InputError(
                f"stage {stage.name}: expected box 'fixed', found {stage.box!r}: OpenMM minimises "
                "in a fixed cell; follow it by a short Dynamics stage with a pressure"
            )
        if isinstance(stage, Dynamics) and stage.held and stage.pressure is not None:
            raise InputError(
                f"stage {stage.name}: expected no pressure where molecules are held, found "
                f"{stage.pressure} bar: the barostat would move them; leave the pressure out"
            )


ENGINE = OpenMMEngine
