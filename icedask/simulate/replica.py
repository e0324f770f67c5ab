"""A replica, the work of one Dask task: its child process, and its frames in the store."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import xarray as xr

from icedask.core.trajectory import trajectory
from icedask.errors import ComputeError, StoreError
from icedask.simulate.child import (
    DISK_FULL,
    ENGINE,
    ERROR_MARK,
    JOB,
    PROGRESS,
    START,
    frames_name,
    load_frames,
    load_start,
    segments_done,
)
from icedask.simulate.job import Job, engine_module
from icedask.simulate.lammps import LOG
from icedask.simulate.stages import ramp_rates
from icedask.store.arrays import remove_partial_files, update_attrs
from icedask.store.folder import make_folder
from icedask.store.frame_block import FrameBlock, join_blocks
from icedask.store.integrity import group_attrs, read_metadata
from icedask.store.lock import Wait
from icedask.store.root import writing
from icedask.store.run_writing import versions
from icedask.store.sidecars import STAGING, load_sidecar, sidecar
from icedask.store.stored import StoredArray
from icedask.store.trajectory import (
    TRAJECTORY,
    TrajectoryPlan,
    begin,
    conclude,
    encode_block,
    existing_status,
    finalise,
    is_stored,
)

if TYPE_CHECKING:
    from icedask.simulate.checks import Verdict

logger = logging.getLogger("icedask")

FOLDER = "simulation"
_LOG_LINES = 12
# Longest parameter file in the record; tables of embedded-atom potentials have a checksum only.
_SHOWN_TEXT = 10_000
# A child that dies without a message (killed, out of memory, a machine in trouble) is started again
# from its restart file, up to this number of times in the same segment.
_DEATHS = 3


@dataclass(frozen=True)
class Outcome:
    """Result of a replica."""

    store: str  # Path of the store
    status: str  # "complete" or "failed"
    labels: Mapping[str, Any]  # Labels of the trajectory
    message: str  # The error, or the measures by which the phase was checked
    seconds: float  # Time of this call


def run_replica(job: Job, store: str, cores: int, wait: Wait = False) -> Outcome:
    """Run the remaining part of a simulation into its store; errors become failed outcomes.

    `wait` is how long to wait where another process writes to the store, in seconds; True is for
    ever.
    """
    start = time.monotonic()
    status, labels = "failed", dict(job.labels)
    try:
        attrs = _run(job, Path(store), cores, wait)
        status, labels = "complete", attrs["labels"]
        message = attrs["simulation"].get("verdict", {}).get("reason", "")
    except (ComputeError, StoreError, OSError, ValueError) as error:
        message = str(error)
    except (BadZipFile, EOFError) as error:  # NumPy's errors for files that are not whole
        message = (
            f"{store}: a file of the unfinished simulation is damaged ({error}); delete this store "
            "and run the same command again"
        )
    return Outcome(store, status, labels, message, time.monotonic() - start)


def progress_of(store: Path) -> float:
    """Return the share of a simulation that is done, 0 to 1; NaN where it is not known."""
    folder = store / STAGING / FOLDER
    try:
        return float(json.loads((folder / PROGRESS).read_text())["share"])
    except (OSError, ValueError, KeyError):
        complete = (store / TRAJECTORY / "zarr.json").exists() and not folder.exists()
        return 1.0 if complete else float("nan")


def _run(job: Job, store: Path, cores: int, wait: Wait) -> dict[str, Any]:
    identity = job.describe()
    if is_stored(store, identity):
        return group_attrs(store / TRAJECTORY)
    make_folder(store)
    with writing(store, "simulate", [TRAJECTORY], wait=wait):
        status = existing_status(store, identity, overwrite=True)
        if status == "other":
            stored = group_attrs(store / TRAJECTORY)["identity"]
            changed = [key for key in identity if stored.get(key) != _plain(identity[key])]
            raise StoreError(
                f"{store}: holds another trajectory (other {', '.join(changed) or 'source'}); give "
                "another path, or the same options to continue it"
            )
        if status == "absent":
            # Files of an attempt that ended before its trajectory began, maybe of other options.
            shutil.rmtree(store / STAGING, ignore_errors=True)
        if status != "complete":
            folder = store / STAGING / FOLDER
            folder.mkdir(parents=True, exist_ok=True)
            remove_partial_files(folder)
            (folder / JOB).write_bytes(pickle.dumps(job))
            _Replica(job, store, folder, cores).complete()
        conclude(store)
        return group_attrs(store / TRAJECTORY)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


class _Replica:
    """A running simulation: a child process that writes frames, and their encoding in blocks."""

    def __init__(self, job: Job, store: Path, folder: Path, cores: int) -> None:
        self.job, self.store, self.folder, self.cores = job, store, folder, cores
        self.segments = [segment for segment in job.segments() if segment.frames]

    def complete(self) -> None:
        if not (self.folder / START).exists():
            self._child("build", lambda: None)
        plan = self._plan()
        if not (self.store / TRAJECTORY / "zarr.json").exists():
            begin(self.store, plan)
        if segments_done(self.folder) != len(self.job.segments()):
            self._child("run", lambda: self._encode(plan))
        self._encode(plan)
        verdict = self._verdict(plan)
        self._describe(verdict)
        finalise(self.store, plan, "simulated")

    def _plan(self) -> TrajectoryPlan:
        start = load_start(self.folder / START)
        elements, masses = start.get_chemical_symbols(), self.job.potential.masses
        atoms: dict[str, Any] = {
            "element": np.array(elements),
            "atom": np.arange(len(start)),
            "mass": np.array([masses[element] for element in elements]),
        }
        if "molecule" in start.arrays:
            atoms["molecule"] = start.arrays["molecule"].astype(np.int64)
        return TrajectoryPlan(
            n_frames=self.job.n_frames,
            atoms=atoms,
            columns=engine_module(self.job).columns(self.job),
            identity=self.job.describe(),
            attrs={"source": f"icedask simulate {self.job.recipe} ({self.job.system})"},
        )

    def _encode(self, plan: TrajectoryPlan) -> None:
        """Write the blocks whose frames are complete, and delete the files of written frames."""
        for index in range(plan.n_blocks):
            if sidecar(self.store, index).exists():
                continue
            frames = plan.block(index)
            parts = [
                segment
                for segment in self.segments
                if segment.first_frame < frames.stop
                and segment.first_frame + len(segment.frames) > frames.start
            ]
            files = [self.folder / frames_name(segment.index) for segment in parts]
            if not all(file.exists() for file in files):
                return
            joined = join_blocks([load_frames(file) for file in files])
            start = frames.start - parts[0].first_frame
            block = _part(joined, slice(start, start + len(frames)))
            pbc = block.pbc.tolist()
            encode_block(block, str(self.store), index, frames.start, pbc, "the simulation")
            for segment, file in zip(parts, files, strict=True):
                if segment.first_frame + len(segment.frames) <= frames.stop:
                    file.unlink()

    def _verdict(self, plan: TrajectoryPlan) -> Verdict | None:
        if self.job.check is None:
            return None
        from icedask.simulate import checks

        function: Callable[..., Verdict] = getattr(checks, self.job.check.function)
        return function(ending(self.store, plan, 10), **self.job.check.options)

    def _describe(self, verdict: Verdict | None) -> None:
        """Write labels and provenance, before the trajectory counts as complete."""
        labels, start = dict(self.job.labels), load_start(self.folder / START)
        record: dict[str, Any] = {
            **self.job.describe(),
            "engine": json.loads((self.folder / ENGINE).read_text()),
            "input": engine_module(self.job).input_text(self.job, start),
            "origin": start.info["origin"],
            "published": self.job.reference,
            "rates": ramp_rates(self.job.stages, self.job.potential.timestep),
            "versions": versions(),
        }
        text = self.job.potential.text()
        if len(text) <= _SHOWN_TEXT:
            record["potential"]["text"] = text
        if verdict is not None:
            labels["phase"] = verdict.phase
            record["verdict"] = {"reason": verdict.reason, "values": dict(verdict.values)}
        update_attrs(self.store / TRAJECTORY, {"labels": labels, "simulation": _plain(record)})

    def _child(self, mode: str, meanwhile: Callable[[], None]) -> None:
        """Run the child to its end, restarting it where it died without a message."""
        deaths, reached = 0, segments_done(self.folder)
        while True:
            status, lines = self._attempt(mode, meanwhile)
            if status == 0:
                return
            done = segments_done(self.folder)
            deaths = 1 if done != reached else deaths + 1
            reached = done
            error = next((line for line in reversed(lines) if line.startswith(ERROR_MARK)), None)
            if status == DISK_FULL:
                raise StoreError(
                    f"{self.store}: the disk is full or over quota; written files stay valid: "
                    "free space and run the same command again to resume"
                )
            if error is not None or deaths >= _DEATHS:
                raise ComputeError(self._failure(status, error, lines))
            logger.warning(
                "%s: the simulation died (status %d) and continues from its restart file",
                self.store,
                status,
            )

    def _failure(self, status: int, error: str | None, lines: list[str]) -> str:
        reason = (
            f"died {_DEATHS} times in the same segment (status {status})"
            if error is None
            else json.loads(error.removeprefix(ERROR_MARK))
        )
        log = self.folder / LOG
        # Messages of a crash are on standard error, those of LAMMPS in its log.
        from_log = log.exists() and not (error is None and lines)
        tail = log.read_text(errors="replace").splitlines() if from_log else lines
        shown = "\n".join(f"    {line}" for line in tail[-_LOG_LINES:] if ERROR_MARK not in line)
        return f"{self.job.recipe} {self.job.system}: {reason}" + (
            f"\n  last lines of its {'log' if from_log else 'messages'}:\n{shown}" if shown else ""
        )

    def _attempt(self, mode: str, meanwhile: Callable[[], None]) -> tuple[int, list[str]]:
        # -P: a lammps.py or random.py in the current folder is not the module of that name.
        command = [sys.executable, "-P", "-m", "icedask.simulate.child", str(self.folder), mode]
        command.append(str(self.cores))
        environment = {
            **os.environ,
            # The module search path of this process.
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OMP_NUM_THREADS": str(self.cores),
            # Threads that spin while they wait take the core from those that work.
            "OMP_WAIT_POLICY": "PASSIVE",
            "OPENBLAS_NUM_THREADS": "1",
        }
        # The child ends at the end of its standard input: with this process.
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            # An interrupt from the keyboard reaches the client only.
            start_new_session=True,
        )
        lines: deque[str] = deque(maxlen=50)
        assert child.stderr is not None and child.stdin is not None
        reader = threading.Thread(target=lines.extend, args=(child.stderr,), daemon=True)
        reader.start()
        try:
            while child.poll() is None:
                time.sleep(0.2)
                meanwhile()
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
            reader.join(timeout=5)
            child.stdin.close()
            child.stderr.close()
        return child.returncode, [line.rstrip() for line in lines]


def _part(block: FrameBlock, frames: slice) -> FrameBlock:
    return replace(
        block,
        positions=block.positions[frames],
        cell=block.cell[frames],
        time=block.time[frames],
        step=block.step[frames],
        columns={name: values[frames] for name, values in block.columns.items()},
    )


def ending(store: Path, plan: TrajectoryPlan, n_frames: int) -> xr.Dataset:
    """Return the last frames of a trajectory whose blocks are all written, in memory."""
    first = max(plan.n_frames - n_frames, 0)
    parts = [
        load_sidecar(store, index)
        for index in range(plan.n_blocks)
        if plan.block(index).stop > first
    ]
    kept = plan.n_frames - first
    joined = {
        name: np.concatenate([part[name] for part in parts])[-kept:]
        for name in ("cell", "time", "step")
    }
    atoms = dict(plan.atoms)
    path = store / TRAJECTORY / "positions"
    positions = StoredArray(path, read_metadata(path), complete=True)[first:]
    return trajectory(
        np.asarray(positions),
        element=atoms.pop("element"),
        cell=joined["cell"],
        pbc=parts[0]["pbc"],
        time=joined["time"],
        step=joined["step"],
        atoms=atoms,
    )
