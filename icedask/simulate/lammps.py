"""The LAMMPS engine: commands of stages, and segments between restart files.

It runs in the child process, because MPI and a failing LAMMPS can end their process. More cores
are threads: processes that wait for each other by spinning would stand still as soon as they share
a core with anything.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import ase
import numpy as np
import numpy.typing as npt

from icedask.errors import InputError
from icedask.readers.units import lammps_units
from icedask.simulate.job import Job, SimulationFailed, check_finite
from icedask.simulate.potentials import Potential
from icedask.simulate.stages import Dynamics, Held, Minimise, Segment, Stage
from icedask.store.frame_block import FrameBlock, join_blocks

LOG = "lammps.log"

# A restart file begins and ends with it.
_RESTART_MARK = b"LammpS RestartT\0"

_BAR_IN_ATM = 1 / 1.01325
# Damping times in time steps: usual for Nose-Hoover chains, and gentle for velocity rescaling.
_THERMOSTAT, _BAROSTAT = 100, 500
_SKIN = 1.5
_PIECES = 20
# Room around a system without a cell, angstrom: what evaporates further is lost, and reported.
_ROOM = 30.0


def start_commands(job: Job, atoms: ase.Atoms) -> list[str]:
    """Return the commands for the empty box of a start structure with a lower triangular cell."""
    (xx, _, _), (xy, yy, _), (xz, yz, zz) = _box(atoms).tolist()
    low = _low(atoms)
    edges = " ".join(
        f"{start!r} {start + edge!r}"
        for start, edge in zip(low.tolist(), (xx, yy, zz), strict=True)
    )
    masses = [
        f"mass {number + 1} {mass!r}" for number, mass in enumerate(job.potential.masses.values())
    ]
    return [
        f"units {job.potential.units}",
        "atom_style atomic",
        "atom_modify map array",
        "boundary " + " ".join("p" if periodic else "f" for periodic in atoms.pbc),
        "box tilt large",
        f"region box prism {edges} {xy!r} {xz!r} {yz!r}",
        f"create_box {len(masses)} box",
        *masses,
    ]


def _box(atoms: ase.Atoms) -> npt.NDArray[np.float64]:
    """Return the cell, and edges with room on both sides where there is none."""
    cell = np.asarray(atoms.cell.array, np.float64).copy()
    extent = np.ptp(atoms.positions, axis=0)
    for axis in range(3):
        if not cell[axis].any():
            cell[axis, axis] = extent[axis] + 2 * _ROOM
    return cell


def _low(atoms: ase.Atoms) -> npt.NDArray[np.float64]:
    lowest = atoms.positions.min(axis=0) - _ROOM
    return np.where(atoms.cell.array.any(axis=1), 0.0, lowest)


def force_commands(potential: Potential) -> list[str]:
    """Return the commands of the interactions and of all stages."""
    timestep = potential.timestep if potential.units == "real" else potential.timestep * 1e-3
    return [
        f"pair_style {potential.style}",
        f"pair_coeff * * {potential.coefficients.format(file=potential.file)}",
        f"neighbor {_SKIN} bin",
        f"timestep {timestep!r}",
        "compute energy all pe/atom",
    ]


def stage_commands(
    job: Job, stage: Stage, random: np.random.Generator, *, first: bool
) -> list[str]:
    """Return the commands that set up a stage.

    At its first segment velocities are drawn and layers chosen.
    """
    if isinstance(stage, Minimise):
        relax = "" if stage.box == "fixed" else f"{stage.box} {_pressure(job, stage.pressure)!r}"
        return [
            "min_style cg",
            *([f"fix relax all box/relax {relax} vmax 0.001"] if relax else []),
        ]
    if not isinstance(stage, Dynamics):
        raise InputError(
            f"stage {stage.name}: shears are made with TIP4P/Ice, found {job.potential.name}"
        )
    seeds = random.integers(1, 900_000_000, size=2).tolist()
    commands = []
    if first:
        commands.append("reset_timestep 0")
        if stage.held is not None:
            commands += _hold(stage.held, _mobile(job, stage))
        if stage.velocities is not None:
            spin = "no" if job.periodic else "yes"
            commands.append(
                f"velocity all create {stage.velocities!r} {seeds[0]} mom yes rot {spin} "
                "dist gaussian"
            )
    return commands + _integrator(job, stage, seeds[1])


def _mobile(job: Job, stage: Dynamics) -> str:
    """Return the group of the atoms that move in a stage; restart files keep groups by name."""
    return "all" if stage.held is None else f"mobile{job.stages.index(stage)}"


def _hold(held: Held, mobile: str) -> list[str]:
    axis = "xyz"[held.axis]
    bounds = ["INF INF"] * 3
    bounds[held.axis] = f"$({axis}lo+{held.low!r}*l{axis}) $({axis}lo+{held.high!r}*l{axis})"
    return [
        f"region held block {' '.join(bounds)}",
        f"group un{mobile} region held",
        f"group {mobile} subtract all un{mobile}",
    ]


def _pressure(job: Job, bar: float) -> float:
    return bar * _BAR_IN_ATM if job.potential.units == "real" else bar


def _integrator(job: Job, stage: Dynamics, seed: int) -> list[str]:
    unit = 1.0 if job.potential.units == "real" else 1e-3
    step = job.potential.timestep * unit
    group = _mobile(job, stage)
    start, end = stage.temperature_at(0), stage.temperature_at(stage.steps)
    if stage.pressure is None:
        return [
            f"fix motion {group} nve",
            f"fix heat {group} temp/csvr {start!r} {end!r} {_THERMOSTAT * step!r} {seed}",
        ]
    pressures = [stage.pressure_at(0), stage.pressure_at(stage.steps)]
    low, high = [_pressure(job, bar) for bar in pressures if bar is not None]
    return [
        f"fix motion {group} npt temp {start!r} {end!r} {_THERMOSTAT * step!r} "
        f"{stage.coupling} {low!r} {high!r} {_BAROSTAT * step!r}"
    ]


def input_text(job: Job, atoms: ase.Atoms) -> str:
    """Return a job with its start structure as a LAMMPS input script, for the record."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in job.start.options.items())
    lines = [
        f"# {job.recipe}, {job.system}; seed {job.seed}",
        *start_commands(job, atoms),
        f"# here create_atoms: the {len(atoms)} atoms of {job.start.function}({arguments})",
        *force_commands(job.potential),
    ]
    segments = job.segments()
    for number, stage in enumerate(job.stages):
        pieces = [segment for segment in segments if segment.stage == number]
        commands = stage_commands(job, stage, job.random(pieces[0].index), first=True)
        lines += [f"# stage {stage.name}", *commands]
        lines += _MINIMISE if isinstance(stage, Minimise) else [f"run {getattr(stage, 'steps', 0)}"]
        if len(pieces) > 1:
            lines.append(
                f"# done in {len(pieces)} parts of {pieces[0].steps} steps, each from the restart "
                "file of the one before and with a seed of its own"
            )
        lines += _undo(commands)
    return "\n".join(lines) + "\n"


def _undo(commands: list[str]) -> list[str]:
    """Return the commands that delete fixes and regions, which the next stage defines again."""
    words = [command.split() for command in commands]
    fixes = [f"unfix {name}" for kind, name, *_ in words if kind == "fix"]
    return fixes + [f"region {name} delete" for kind, name, *_ in words if kind == "region"]


_MINIMISE = ["minimize 1e-12 1e-10 10000 100000"] * 3


def load_lammps() -> Any:
    """Return the module of LAMMPS, with the MPI library that it needs.

    Raises InputError if LAMMPS or MPI is not installed.
    """
    library = Path(sys.prefix) / "lib" / "libmpi.so.12"
    if library.exists():
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    try:
        import lammps
    except ImportError as error:
        raise InputError(
            f"LAMMPS: cannot be imported ({error}); pip install icedask[simulate]"
        ) from error
    return lammps


class LammpsEngine:
    """LAMMPS in this process; the current folder holds restart files, potential and log.

    `cores` is the number of threads; `progress` is called with the steps of the segment that are
    done.
    """

    def __init__(self, job: Job, cores: int, progress: Callable[[int], None]) -> None:
        module = load_lammps()
        self.job, self.progress = job, progress
        self.version, self.platform = metadata.version("lammps"), "CPU"
        self.units = lammps_units(job.potential.units)
        try:
            threads = ["-sf", "omp", "-pk", "omp", str(cores)] if cores > 1 else []
            arguments = ["-screen", "none", "-log", LOG, "-nocite", *threads]
            self.lmp = module.lammps(cmdargs=arguments)
        except OSError as error:
            raise InputError(
                f"LAMMPS does not find the MPI library ({error}); pip install icedask[simulate]"
            ) from error
        Path(job.potential.file).write_text(job.potential.text())

    def begin(self, atoms: ase.Atoms, restart: str) -> None:
        """Write the restart file of the start structure."""
        self._commands(start_commands(self.job, atoms))
        elements = list(self.job.potential.masses)
        made = self.lmp.create_atoms(
            len(atoms),
            None,
            [elements.index(symbol) + 1 for symbol in atoms.get_chemical_symbols()],
            atoms.positions.ravel().tolist(),
            shrinkexceed=True,
        )
        total = self.lmp.get_natoms()
        if total != len(atoms):
            raise SimulationFailed(f"LAMMPS took {total} of {len(atoms)} atoms ({made})")
        self._commands([*force_commands(self.job.potential), "run 0 post no"])
        self._write_restart(restart)

    def run(self, segment: Segment, restart: str, following: str) -> FrameBlock | None:
        """Run a segment from its restart file and write the following one."""
        stage = self.job.stages[segment.stage]
        # A log for each segment: that of a long run would fill the disk.
        self._commands(
            [f"log {LOG}", "clear", f"read_restart {restart}", *force_commands(self.job.potential)]
        )
        random = self.job.random(segment.index)
        commands = stage_commands(self.job, stage, random, first=segment.start == 0)
        self._commands(["thermo_style custom step temp pe press density", *commands])
        frames: list[FrameBlock] = []
        if isinstance(stage, Dynamics):
            frames = self._dynamics(stage, segment)
        else:
            self._commands(_MINIMISE)
        energy = self.lmp.get_thermo("pe")
        check_finite(np.array([energy]), "energies", segment.start + segment.steps)
        self._write_restart(following)
        return join_blocks(frames) if frames else None

    def _dynamics(self, stage: Dynamics, segment: Segment) -> list[FrameBlock]:
        if stage.every:
            # An average over one step: the energies of atoms, computed when a frame is due.
            self._commands([f"fix atoms all ave/atom 1 1 {stage.every} c_energy"])
        end = segment.start + segment.steps
        stops = {round(x) for x in np.linspace(segment.start, end, _PIECES + 1)[1:].tolist()}
        frames = []
        here = segment.start
        self._commands([f"thermo {max(segment.steps // 10, 1)}"])
        for stop in sorted(stops | set(segment.frames)):
            # The first piece sets up, the others continue as if there were no pieces.
            setup = "" if here == segment.start else "pre no "
            self._commands([f"run {stop - here} {setup}post no start 0 stop {stage.steps}"])
            here = stop
            if stop in segment.frames:
                frames.append(self._frame(stage, segment, stop))
            self.progress(stop - segment.start)
        return frames

    def _frame(self, stage: Dynamics, segment: Segment, step: int) -> FrameBlock:
        low, high, xy, yz, xz, periodicity, _ = self.lmp.extract_box()
        periodic = np.array(periodicity, bool)
        cell = np.diag(np.subtract(high, low))
        cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
        n_atoms = self.lmp.get_natoms()
        positions = np.array(self.lmp.gather_atoms("x", 1, 3)).reshape(n_atoms, 3)
        energy = np.array(self.lmp.gather("f_atoms", 1, 1))
        check_finite(positions, "positions", step)
        check_finite(energy, "energies", step)
        columns: dict[str, npt.NDArray[Any]] = {
            "potential_energy": (energy * self.units.energy).astype(np.float32)[None]
        }
        if self.job.periodic:
            image = np.array(self.lmp.gather_atoms("image", 0, 3), np.int32)
            columns["image"] = image.reshape(1, n_atoms, 3)
        else:
            cell[:] = 0
        time = segment.time + (step - segment.start) * self.job.potential.timestep * 1e-3
        return FrameBlock(
            positions=(positions - np.where(periodic, low, 0.0)).astype(np.float32)[None],
            cell=cell[None],
            pbc=periodic,
            time=np.array([time]),
            step=np.array([round(time * 1e3 / self.job.potential.timestep)]),
            columns=columns,
        )

    def _write_restart(self, name: str) -> None:
        try:
            self._commands([f"write_restart {name}"])
        except SimulationFailed as error:
            if "I/O error" not in str(error):
                raise
            raise OSError(errno.ENOSPC, str(error)) from error
        # LAMMPS does not notice a full disk when it closes the file.
        with Path(name).open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - len(_RESTART_MARK), 0))
            if file.read(len(_RESTART_MARK)) != _RESTART_MARK:
                raise OSError(errno.ENOSPC, f"{name} is not whole")

    def _commands(self, commands: list[str]) -> None:
        try:
            for command in commands:
                self.lmp.command(command)
        except Exception as error:  # the class of LAMMPS' errors differs between its versions
            raise SimulationFailed(f"LAMMPS: {str(error).strip()}") from error


def columns(job: Job) -> dict[str, tuple[int, np.dtype]]:
    """Return dimensions and dtype of the per-atom variables of a frame."""
    image = {"image": (3, np.dtype(np.int32))} if job.periodic else {}
    return {"potential_energy": (2, np.dtype(np.float32)), **image}


ENGINE = LammpsEngine
