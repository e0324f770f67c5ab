"""Time and memory of some blocks of a lazy Dataset, measured in a process like a worker.

    python -m icedask.hpc.measure FOLDER LAUNCHED

is that process: the folder holds the pickled blocks to compute, the first of them to warm up with;
LAUNCHED is the monotonic clock at its start. The result is a file in the folder.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import dask

# A worker holds the modules of distributed, and its configuration the environment of workers.
import distributed  # noqa: F401
import numpy as np
import xarray as xr
from dask.local import get_sync

from icedask.core.provenance import Record
from icedask.errors import ComputeError, IcedaskError
from icedask.hpc.profiles import MEMORY
from icedask.store.blocks import Target, block_waves, lazy_variables
from icedask.store.integrity import shard_path
from icedask.store.root import completion_bytes, create_root
from icedask.store.run_writing import begin_run, run_path
from icedask.store.runs import bytes_on_disk
from icedask.tasks.graphs import Wave

_WAVES, _RESULT = "waves.pickle", "measured.json"
# Seconds of a block beyond which no further one is measured.
_LONG = 30.0


@dataclass(frozen=True)
class MeasuredBlock:
    """A block that was computed and written."""

    index: tuple[int, ...]  # Number of the block along frame and atom
    # Time to read, compute and write it.
    seconds: float
    cpu_seconds: float
    # Size of its values, in memory and on disk.
    bytes: int
    written_bytes: int


@dataclass(frozen=True)
class Measured:
    """Result of the measuring process."""

    blocks: tuple[MeasuredBlock, ...]
    startup_seconds: float  # Time to start a process, import, and compile the kernels or load them
    peak_memory_bytes: int  # Largest memory of the process
    fixed_bytes: int  # Size of the run on disk, without its blocks
    tasks_per_block: int  # Number of tasks in the graph of one block


def measure(
    ds: xr.Dataset, record: Record, precision: int | None, chosen: Sequence[tuple[int, ...]]
) -> Measured:
    """Compute and write the chosen blocks of a Dataset into a temporary store.

    The Dataset is in the blocks of `save`. Of the chosen indices of blocks the most representative
    comes first: where a block takes long, the others are left out. `precision` is the number of
    bits of mantissa to keep.
    """
    with tempfile.TemporaryDirectory(prefix="icedask-plan-") as name:
        store = Path(name, "measured.zarr")
        create_root(store)
        begin_run(ds, record, store, precision)
        group = store / run_path(record)
        fixed = bytes_on_disk(group) + completion_bytes(group)
        target = Target(ds, group, precision)
        waves = block_waves(target, chosen)
        # The first one twice: to warm up, and to be measured.
        result = _run_child(Path(name), [waves[0], *waves])
        blocks = tuple(
            MeasuredBlock(index, **times, **_sizes(target, index))
            for index, times in zip(chosen, result.pop("blocks"), strict=False)
        )
    return Measured(blocks, **result, fixed_bytes=fixed, tasks_per_block=len(waves[0].graph))


def _sizes(target: Target, index: tuple[int, ...]) -> dict[str, int]:
    values = written = 0
    for name, array in lazy_variables(target.ds).items():
        whole = (*index, *(0,) * (array.ndim - len(index)))
        shape = array.data.blocks[whole].shape
        values += int(np.prod(shape)) * array.dtype.itemsize
        written += shard_path(target.group / name, whole).stat().st_size
    return {"bytes": values, "written_bytes": written}


def _run_child(folder: Path, waves: Sequence[Wave]) -> dict:
    (folder / _WAVES).write_bytes(cloudpickle.dumps(waves))
    environment = {
        **os.environ,
        **{k: str(v) for k, v in dask.config.get("distributed.nanny.pre-spawn-environ").items()},
        **{k: str(v) for k, v in MEMORY.items()},
        # The module search path of this process.
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    # -P: a random.py in the current folder is not the module of that name.
    command = [sys.executable, "-P", "-m", "icedask.hpc.measure", str(folder)]
    ended = subprocess.run(
        [*command, str(time.monotonic())],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if ended.returncode < 0:
        raise ComputeError(
            f"plan: the process that computed a block was killed (signal {-ended.returncode}), "
            "most often for want of memory: run plan where one worker has more of it"
        )
    if ended.returncode:
        messages = ended.stderr.strip().splitlines() or ["no message"]
        raise ComputeError(f"plan: a block could not be computed: {messages[-1]}")
    return json.loads((folder / _RESULT).read_text())


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far.

    Not from getrusage: there a process inherits the value of the one that started it.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])


def _timed(wave: Wave) -> dict[str, float]:
    """Compute a block in this thread, and return its times."""
    wall, cpu = time.perf_counter(), time.process_time()
    get_sync(dict(wave.graph), list(wave.tasks))
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def _measure_waves(waves: Sequence[Wave], launched: float) -> dict[str, object]:
    """Compute the first block to compile kernels or load them, then time the others."""
    warm = _timed(waves[0])["seconds"]
    ready = time.monotonic() - launched
    blocks: list[dict[str, float]] = []
    for wave in waves[1:]:
        blocks.append(_timed(wave))
        if max(warm, blocks[-1]["seconds"]) > _LONG:
            break
    # The start does not include the work itself on the first block.
    startup = ready - min(warm, blocks[0]["seconds"])
    return {"startup_seconds": startup, "peak_memory_bytes": peak_bytes(), "blocks": blocks}


def main() -> None:
    """Measure the blocks of a folder, or exit with a message of one line."""
    folder, launched = Path(sys.argv[1]), float(sys.argv[2])
    waves = pickle.loads((folder / _WAVES).read_bytes())
    try:
        result = _measure_waves(waves, launched)
    except (IcedaskError, OSError) as error:
        sys.exit(str(error))
    (folder / _RESULT).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
