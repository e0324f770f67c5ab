"""Child process of one simulation: builds the start structure, then runs segment by segment.

    python -m icedask.simulate.child FOLDER build|run CORES

The folder holds the pickled job. `build` writes the start structure, `run` a file of frames for
each segment that keeps some, and the restart file of the next segment. Files appear whole under
their final names: a repeated child continues an interrupted one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pickle
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ase
import numpy as np

from icedask.core.files import load_npz, rename_synced
from icedask.errors import InputError
from icedask.simulate.job import Engine, Job, SimulationFailed, engine_module
from icedask.store.frame_block import FrameBlock
from icedask.store.integrity import crc32c, damaged

JOB, START, PROGRESS, ENGINE = "job.pickle", "start.npz", "progress.json", "engine.json"
ERROR_MARK = "icedask-simulation-error: "
DISK_FULL = 75


def restart_name(segment: int) -> str:
    """Return the name of the restart file from which a segment starts."""
    return f"restart-{segment}"


def _checksum_file(segment: int) -> Path:
    return Path(f"checksum-{segment}")


def keep_restart(segment: int) -> None:
    """Rename the restart file of a segment into place, which has its checksum in another file."""
    partial = Path(f"{restart_name(segment)}.partial")
    _checksum_file(segment).write_text(f"{crc32c(partial.read_bytes()):08x}")
    rename_synced(partial, Path(restart_name(segment)))


def check_restart(segment: int) -> None:
    """Raise InputError if the restart file of a segment is not what was written."""
    file, checksum = Path(restart_name(segment)), _checksum_file(segment)
    # Interrupted simulations of before have no checksum.
    if checksum.exists() and checksum.read_text() != f"{crc32c(file.read_bytes()):08x}":
        raise InputError(
            f"{file.resolve()}: the restart file is damaged (its checksum differs); restore it "
            "from a copy, or remove the store and simulate again"
        )


def frames_name(segment: int) -> str:
    """Return the name of the file with the frames of a segment."""
    return f"frames-{segment}.npz"


def segments_done(folder: Path) -> int | None:
    """Return the number of finished segments; None before the first restart file."""
    restarts = [path for path in folder.glob("restart-*") if path.suffix != ".partial"]
    return max((int(path.name.removeprefix("restart-")) for path in restarts), default=None)


def _save(path: Path, **arrays: Any) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    rename_synced(partial, path)


def save_start(atoms: ase.Atoms, path: Path) -> None:
    """Write a start structure, rotated so that its cell is lower triangular."""
    turned = atoms.copy()
    if atoms.cell.rank == 3:
        turned.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    _save(
        path,
        numbers=turned.numbers,
        positions=turned.positions,
        cell=turned.cell.array,
        pbc=turned.pbc,
        molecule=turned.arrays.get("molecule", np.zeros(0, np.int64)),
        origin=str(atoms.info.get("origin", "")),
    )


def _load(path: Path) -> dict[str, Any]:
    """Return the arrays of a file; raise StoreError if it is damaged."""
    try:
        return load_npz(path)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise damaged(
            path,
            f"a file of an unfinished simulation is damaged ({error})",
            "restore it from a copy, or remove the store and simulate again",
        ) from error


def load_start(path: Path) -> ase.Atoms:
    """Read a start structure."""
    saved = _load(path)
    atoms = ase.Atoms(
        **{name: saved[name] for name in ("numbers", "positions", "cell", "pbc")},
        info={"origin": str(saved["origin"])},
    )
    if len(saved["molecule"]):
        atoms.set_array("molecule", saved["molecule"])
    return atoms


def save_frames(block: FrameBlock, path: Path) -> None:
    """Write the frames of a segment."""
    columns = {f"column_{name}": values for name, values in block.columns.items()}
    fixed = ("positions", "cell", "pbc", "time", "step")
    _save(path, **{name: getattr(block, name) for name in fixed}, **columns)


def load_frames(path: Path) -> FrameBlock:
    """Read the frames of a segment."""
    arrays = _load(path)
    columns = {
        name.removeprefix("column_"): arrays.pop(name)
        for name in list(arrays)
        if name.startswith("column_")
    }
    return FrameBlock(**arrays, columns=columns)


def build(job: Job) -> None:
    """Make the start structure."""
    atoms = job.start.build()
    if len(atoms) != job.n_atoms:
        raise InputError(
            f"{job.start.function}: expected {job.n_atoms} atoms, found {len(atoms)}; correct "
            "n_atoms of the recipe"
        )
    save_start(atoms, Path(START))


def run(job: Job, cores: int) -> None:
    """Run the segments that are left."""
    segments = job.segments()
    done = segments_done(Path())
    reporter = _Progress(len(segments))
    engine: Engine = engine_module(job).ENGINE(job, cores, reporter)
    record = {"name": job.potential.engine, "version": engine.version, "platform": engine.platform}
    Path(ENGINE).write_text(json.dumps({**record, "cores": cores}))
    if done is None:
        engine.begin(load_start(Path(START)), f"{restart_name(0)}.partial")
        keep_restart(0)
        done = 0
    check_restart(done)
    for segment in segments[done:]:
        here, following = restart_name(segment.index), restart_name(segment.index + 1)
        reporter.begin(segment.index, segment.steps)
        block = engine.run(segment, here, f"{following}.partial")
        if block is not None:
            save_frames(block, Path(frames_name(segment.index)))
        # Last: the restart file of the next segment marks this one as done.
        keep_restart(segment.index + 1)
        for file in (Path(here), _checksum_file(segment.index)):
            file.unlink(missing_ok=True)


class _Progress:
    """Writer of the share of the simulation that is done, to a file."""

    def __init__(self, n_segments: int) -> None:
        self.n_segments = n_segments
        self.segment, self.steps, self.written = 0, 1, 0.0

    def begin(self, segment: int, steps: int) -> None:
        self.segment, self.steps = segment, max(steps, 1)
        self(0)

    def __call__(self, done: int) -> None:
        if time.monotonic() - self.written < 1:
            return
        self.written = time.monotonic()
        share = (self.segment + done / self.steps) / self.n_segments
        partial = Path(f"{PROGRESS}.partial")
        partial.write_text(json.dumps({"share": share}))
        partial.replace(PROGRESS)


def _end_with_parent() -> None:
    """End this process at the end of its parent, which holds the pipe to its standard input."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(folder: str, mode: str, cores: str) -> int:
    """Run one mode in a folder; return the exit status."""
    os.chdir(folder)
    _end_with_parent()
    with Path("child.lock").open("w") as lock:
        # Wait for the end of a child whose parent has just died.
        fcntl.flock(lock, fcntl.LOCK_EX)
        job: Job = pickle.loads(Path(JOB).read_bytes())
        try:
            if mode == "build":
                build(job)
            else:
                run(job, int(cores))
        except (InputError, SimulationFailed) as error:
            return _failed(str(error), 1)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            return _failed(str(error), DISK_FULL if full else 1)
    return 0


def _failed(message: str, status: int) -> int:
    print(ERROR_MARK + json.dumps(message), file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
