"""The public function: from a lazy Dataset to what computing all of it would take."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil, prod
from operator import attrgetter
from pathlib import Path
from statistics import fmean
from typing import Any

import xarray as xr

from icedask.core.provenance import record_of
from icedask.errors import InputError
from icedask.hpc.measure import Measured, MeasuredBlock, measure
from icedask.store.blocks import lazy_variables
from icedask.store.save import as_written, check_precision, with_precision
from icedask.tasks.graphs import WAVE_TASKS

# Share of their time that workers compute; the rest goes to the scheduler, to data on its way
# between workers, and to cores that share memory and caches.
EFFICIENCY = 0.9
# Dask writes results to disk where a worker holds 0.7 of its memory: the peak stays below.
MEMORY_MARGIN = 1.5
# Results that wait in a worker to be written while it computes the next one; seen in real runs.
WAITING_BLOCKS = 2
MEMORY_STEP = 2**29
# The process that watches over the workers of a job, and what the job's shell holds.
NANNY_BYTES = 2**29
# What the scheduler, and about as much the client, hold at all times and for one task.
SCHEDULER_BYTES, SCHEDULER_BYTES_PER_TASK = 250e6, 20e3
# Of the blocks, the scheduler knows the wave that is computed and half of the next.
KNOWN_BLOCKS = 3 * WAVE_TASKS // 2
# Nodes differ, and share disks with others.
WALLTIME_MARGIN = 2.0
WALLTIME_STEP = 300
# Wall time over CPU time from which on something else than the computation takes the time.
BUSY = 1.3
# A job that ends loses at most the block in hand: one in so many.
BLOCKS_PER_JOB = 20


@dataclass(frozen=True)
class Plan:
    """What a computation would take; `print` shows it as a table.

    Attributes
    ----------
    run_id : str
        Id that the run would have.
    frames, atoms : int
        Sizes of the result.
    blocks, block_frames, block_atoms : int
        Number of blocks, each one task that writes one file, and the size of a whole one.
    workers : int
        Single-threaded worker processes.
    blocks_per_worker : float
        Mean number of blocks of a worker.
    measured : list of dict
        The blocks that were computed: their frames and atoms (first, one past the last), seconds,
        cpu_seconds and written_bytes.
    block_seconds, block_seconds_min, block_seconds_max, block_cpu_seconds : float
        Mean time of a block (read, compute, write), the shortest and the longest, and the mean
        time of the processor.
    startup_seconds : float
        Measured: a process starts, imports, and compiles the kernels or loads them.
    peak_memory_bytes : int
        Measured: high-water mark of a process that computes one block after another.
    compression_ratio : float
        Measured: bytes of values over bytes on disk.
    total_seconds : float
        Extrapolated: wall time with all workers, without waiting in a queue.
    efficiency : float
        Assumed, from runs: share of their time that workers compute.
    core_hours : float
        Extrapolated: time of all blocks on one core.
    store_bytes : int
        Extrapolated: bytes of the run on disk.
    scheduler_tasks, scheduler_memory_bytes : int
        Extrapolated: tasks in all, at most, and the memory of the scheduler, which knows a part
        of them at a time.
    worker_memory_bytes : int
        To ask for: memory of one worker.
    job_memory_bytes : int
        To ask for: memory of a job with one worker; each further worker adds worker_memory_bytes.
    walltime_seconds : int
        To ask for: walltime of jobs that compute everything without being replaced.
    least_walltime_seconds : int
        To ask for: walltime below which a job computes too few blocks to be worth its start.
    cpu : str
        Processor that the blocks were measured on.
    notes : list of str
        What to know before submitting.
    """

    run_id: str
    frames: int
    atoms: int
    blocks: int
    block_frames: int
    block_atoms: int
    workers: int
    blocks_per_worker: float
    measured: list[dict[str, Any]]
    block_seconds: float
    block_seconds_min: float
    block_seconds_max: float
    block_cpu_seconds: float
    startup_seconds: float
    peak_memory_bytes: int
    compression_ratio: float
    total_seconds: float
    efficiency: float
    core_hours: float
    store_bytes: int
    scheduler_tasks: int
    scheduler_memory_bytes: int
    worker_memory_bytes: int
    job_memory_bytes: int
    walltime_seconds: int
    least_walltime_seconds: int
    cpu: str
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes by name; those with a unit have it in their name."""
        return asdict(self)

    def __str__(self) -> str:
        from icedask.hpc.plan_table import table

        return table(self)


def plan(lazy: xr.Dataset, *, workers: int = 1, precision: int | None = None) -> Plan:
    """Measure a few blocks of a lazy result and say what computing and saving all would take.

    One to three blocks, spread over the trajectory, are computed one after another in a process
    of their own and written into a temporary folder (TMPDIR says where), as `save` would. Where a
    block takes more than half a minute, one is measured. Times are those of the machine that this
    runs on: run it on a node of the kind that will do the work.

    Parameters
    ----------
    lazy : xarray.Dataset
        What a descriptor, or another function that takes and returns lazy Datasets, returned.
    workers : int, default 1
        Single-threaded worker processes that will share the work.
    precision : int, optional
        Bits of mantissa to keep, as for `save`.

    Returns
    -------
    Plan
        Numbers, each with what it was measured on or extrapolated from; `print` shows a table.

    Raises
    ------
    InputError
        If `lazy` is not a lazy result, or a number is out of bounds.
    ComputeError
        If a block cannot be computed, for example for want of memory.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase([bulk("Cu", cubic=True) * (3, 3, 3)] * 4)
    >>> ice.plan(ice.coordination(trj, r_cut=3.0), workers=2).blocks
    1
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise InputError(f"workers: expected a number of processes, 1 or more, found {workers!r}")
    check_precision(precision)
    _check_lazy(lazy)
    record = with_precision(record_of(lazy), precision)
    ds = as_written(lazy)
    chunks = next(iter(lazy_variables(ds).values())).chunks or ()
    # As `save`: the blocks of a run are along frame and atom, the first two dimensions.
    grid = chunks[:2]
    measured = measure(ds, record, precision, _choose(grid))
    return _extrapolate(ds, record.run_id, grid, measured, workers)


def _check_lazy(lazy: object) -> None:
    if not isinstance(lazy, xr.Dataset):
        raise InputError(
            f"plan: expected a lazy Dataset, found {type(lazy).__name__}; pass what a descriptor "
            "returned"
        )
    if "function" not in lazy.attrs:
        raise InputError(
            "plan: expected a lazy result, found a Dataset that no icedask function computed; pass "
            "what a descriptor returned, not the trajectory"
        )
    variables = lazy_variables(lazy)
    if not variables:
        raise InputError(
            "plan: expected a lazy result, found one that is in memory already; pass what the "
            "descriptor returned, before load or compute"
        )
    if any(0 in array.shape for array in variables.values()):
        raise InputError("plan: expected a result with frames and atoms, found one without any")


def _choose(grid: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Return the indices of a middle, an early and a late block; fewer where there are fewer."""
    spread = [_spread(chunks) for chunks in grid]
    return list(dict.fromkeys(zip(*spread, strict=True)))


def _spread(chunks: Sequence[int]) -> tuple[int, int, int]:
    # Whole blocks alone tell what a block takes. The last one, too, may take less: windows end
    # with the trajectory.
    last = len(chunks) - 2 if chunks[-1] < chunks[0] or len(chunks) > 3 else len(chunks) - 1
    return last // 2, 0, last


def _extrapolate(
    ds: xr.Dataset, run_id: str, grid: Sequence[Sequence[int]], measured: Measured, workers: int
) -> Plan:
    blocks = prod(len(chunks) for chunks in grid)
    seconds = [block.seconds for block in measured.blocks]
    mean = fmean(seconds)
    written = sum(block.written_bytes for block in measured.blocks)
    ratio = sum(block.bytes for block in measured.blocks) / written
    values = sum(array.nbytes for array in lazy_variables(ds).values())
    start = measured.startup_seconds
    total = start + _waves(grid, workers) * mean / EFFICIENCY
    walltime = _stepped(start + WALLTIME_MARGIN * (total - start), WALLTIME_STEP)
    least = _stepped(start + WALLTIME_MARGIN * BLOCKS_PER_JOB * max(seconds), WALLTIME_STEP)
    waiting = WAITING_BLOCKS * max(block.bytes for block in measured.blocks)
    memory = _stepped(MEMORY_MARGIN * (measured.peak_memory_bytes + waiting), MEMORY_STEP)
    known = min(blocks, KNOWN_BLOCKS) * measured.tasks_per_block
    sizes = [sum(chunks) for chunks in grid]
    whole = [max(chunks) for chunks in grid]
    return Plan(
        run_id=run_id,
        frames=sizes[0],
        atoms=sizes[1] if len(sizes) > 1 else 1,
        blocks=blocks,
        block_frames=whole[0],
        block_atoms=whole[1] if len(whole) > 1 else 1,
        workers=workers,
        blocks_per_worker=blocks / workers,
        measured=[
            _described(block, grid) for block in sorted(measured.blocks, key=attrgetter("index"))
        ],
        block_seconds=mean,
        block_seconds_min=min(seconds),
        block_seconds_max=max(seconds),
        block_cpu_seconds=fmean(block.cpu_seconds for block in measured.blocks),
        startup_seconds=start,
        peak_memory_bytes=measured.peak_memory_bytes,
        compression_ratio=ratio,
        total_seconds=total,
        efficiency=EFFICIENCY,
        core_hours=_waves(grid, 1) * mean / 3600,
        store_bytes=measured.fixed_bytes + round(values / ratio),
        scheduler_tasks=blocks * measured.tasks_per_block,
        scheduler_memory_bytes=round(SCHEDULER_BYTES + known * SCHEDULER_BYTES_PER_TASK),
        worker_memory_bytes=memory,
        job_memory_bytes=memory + NANNY_BYTES,
        walltime_seconds=walltime,
        least_walltime_seconds=min(least, walltime),
        cpu=_cpu(),
        notes=_notes(blocks, workers, measured, len(_choose(grid))),
    )


def _described(block: MeasuredBlock, grid: Sequence[Sequence[int]]) -> dict[str, Any]:
    spans = [
        [sum(chunks[:number]), sum(chunks[: number + 1])]
        for chunks, number in zip(grid, block.index, strict=True)
    ]
    return {
        "frames": spans[0],
        "atoms": spans[1] if len(spans) > 1 else [0, 1],
        "seconds": block.seconds,
        "cpu_seconds": block.cpu_seconds,
        "written_bytes": block.written_bytes,
    }


def _waves(grid: Sequence[Sequence[int]], workers: int) -> float:
    """Return for how many whole blocks' time the busiest worker works.

    The last blocks along the frames, where they hold fewer, cost as much less; they fill the gaps
    that the whole blocks leave.
    """
    frames, *rest = grid
    beside = prod(len(chunks) for chunks in rest)
    short = frames[-1] < frames[0]
    whole = (len(frames) - short) * beside
    waves = ceil(whole / workers)
    left = max(0, beside * short - (waves * workers - whole))
    return waves + ceil(left / workers) * frames[-1] / frames[0]


def _stepped(value: float, step: int) -> int:
    return ceil(value / step) * step


def _notes(blocks: int, workers: int, measured: Measured, chosen: int) -> list[str]:
    notes = ["measured on this machine: others differ; run plan on a node that will do the work"]
    if blocks < workers:
        notes.append(
            f"fewer blocks than workers: {workers - blocks} of {workers} workers would have "
            f"nothing to do; ask for {blocks}"
        )
    if len(measured.blocks) < chosen:
        notes.append(
            "a block takes more than half a minute: others than the measured ones may differ"
        )
    wall = sum(block.seconds for block in measured.blocks)
    cpu = sum(block.cpu_seconds for block in measured.blocks)
    if wall > BUSY * cpu:
        notes.append(
            f"the blocks took {wall / cpu:.2g} times their CPU time: this machine is busy or its "
            "disk slow, and where it is not, the work takes as much less"
        )
    return notes


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
