"""Measure some blocks of a lazy Dataset in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import dask
import numpy as np
import xarray as xr

from icedask.core.provenance import Record
from icedask.errors import ComputeError
from icedask.hpc.environment import MEMORY
from icedask.hpc.measure_child import RESULT, WAVES
from icedask.store.arrays import shard_path
from icedask.store.blocks import Target, block_waves, lazy_variables
from icedask.store.root import create_root
from icedask.store.runs import bytes_on_disk
from icedask.store.save import begin_run, run_path
from icedask.tasks.graphs import Wave


@dataclass(frozen=True)
class MeasuredBlock:
    """One block that was computed and written.

    Attributes
    ----------
    index
        Of the block along frame and atom.
    seconds, cpu_seconds
        To read, compute and write it.
    bytes, written_bytes
        Of its values, in memory and on disk.
    """

    index: tuple[int, ...]
    seconds: float
    cpu_seconds: float
    bytes: int
    written_bytes: int


@dataclass(frozen=True)
class Measured:
    """What the measuring process found.

    Attributes
    ----------
    blocks
        Those that were measured.
    startup_seconds
        To start a process, import, and compile the kernels or load them.
    peak_memory_bytes
        Of the process.
    fixed_bytes
        Of the run on disk, without its blocks.
    tasks_per_block
        Tasks of the graph of one block.
    """

    blocks: tuple[MeasuredBlock, ...]
    startup_seconds: float
    peak_memory_bytes: int
    fixed_bytes: int
    tasks_per_block: int


def measure(
    ds: xr.Dataset, record: Record, precision: int | None, chosen: Sequence[tuple[int, ...]]
) -> Measured:
    """Compute and write the chosen blocks of a Dataset into a temporary store.

    Parameters
    ----------
    ds
        In the blocks in which it is written.
    record
        Its record.
    precision
        Bits of mantissa to keep.
    chosen
        Indices of blocks, the most telling one first: where a block takes long, the others are
        left out.
    """
    with tempfile.TemporaryDirectory(prefix="icedask-plan-") as name:
        store = Path(name, "measured.zarr")
        create_root(store)
        begin_run(ds, record, store, precision)
        group = store / run_path(record)
        fixed = bytes_on_disk(group)
        target = Target(ds, group, precision)
        waves = block_waves(target, chosen)
        # The first one twice: to warm up, and to be measured.
        found = _run_child(Path(name), [waves[0], *waves])
        blocks = tuple(
            MeasuredBlock(index, **times, **_sizes(target, index))
            for index, times in zip(chosen, found.pop("blocks"), strict=False)
        )
    return Measured(blocks, **found, fixed_bytes=fixed, tasks_per_block=len(waves[0].graph))


def _sizes(target: Target, index: tuple[int, ...]) -> dict[str, int]:
    values = written = 0
    for name, array in lazy_variables(target.ds).items():
        whole = (*index, *(0,) * (array.ndim - len(index)))
        shape = array.data.blocks[whole].shape
        values += int(np.prod(shape)) * array.dtype.itemsize
        written += shard_path(target.group / name, whole).stat().st_size
    return {"bytes": values, "written_bytes": written}


def _run_child(folder: Path, waves: Sequence[Wave]) -> dict:
    import distributed  # noqa: F401  its configuration holds the environment of workers

    (folder / WAVES).write_bytes(cloudpickle.dumps(waves))
    environment = {
        **os.environ,
        **{k: str(v) for k, v in dask.config.get("distributed.nanny.pre-spawn-environ").items()},
        **{k: str(v) for k, v in MEMORY.items()},
        # The modules of this process.
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    # -P: a random.py in the current folder is not the module of that name.
    command = [sys.executable, "-P", "-m", "icedask.hpc.measure_child", str(folder)]
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
        said = ended.stderr.strip().splitlines() or ["no message"]
        raise ComputeError(f"plan: a block could not be computed: {said[-1]}")
    return json.loads((folder / RESULT).read_text())
