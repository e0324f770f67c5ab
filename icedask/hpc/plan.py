"""Predicted time, memory and disk of a lazy Dataset, from a few measured blocks."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil, prod
from operator import attrgetter
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, get_args, get_type_hints

import xarray as xr
from dask.utils import format_bytes, format_time

from icedask.core.provenance import record_of
from icedask.errors import InputError
from icedask.hpc.measure import Measured, MeasuredBlock, measure
from icedask.store.blocks import lazy_variables
from icedask.store.run_writing import as_written, check_precision, with_precision
from icedask.tasks.graphs import WAVE_TASKS

# Share of their time that workers compute; the rest goes to the scheduler, to data on its way
# between workers, and to cores that share memory and caches.
EFFICIENCY = 0.9
# Dask writes results to disk where a worker holds 0.7 of its memory: the peak stays below.
MEMORY_MARGIN = 1.5
# Results that wait in a worker to be written while it computes the next one, as in real runs.
WAITING_BLOCKS = 2
MEMORY_STEP = 2**29
# Memory of the nanny of a job's workers and of the job's shell.
NANNY_BYTES = 2**29
# Memory of the scheduler, and about that of the client: at all times, and for one task.
SCHEDULER_BYTES, SCHEDULER_BYTES_PER_TASK = 250e6, 20e3
# The scheduler knows the wave of blocks that is computed and half of the next.
KNOWN_BLOCKS = 3 * WAVE_TASKS // 2
# Nodes differ, and share disks with others.
WALLTIME_MARGIN = 2.0
WALLTIME_STEP = 300
# Ratio of wall time to CPU time above which the machine is busy or its disk slow.
BUSY = 1.3
# Blocks of the shortest sensible job: where it ends it loses at most one.
BLOCKS_PER_JOB = 20


@dataclass(frozen=True)
class Plan:
    """Predicted cost of a computation; `print` shows it as a table."""

    run_id: Annotated[str, "Id of the run."]
    frames: Annotated[int, "Number of frames of the result."]
    atoms: Annotated[int, "Number of atoms of the result."]
    blocks: Annotated[int, "Number of blocks, each one task that writes one file."]
    block_frames: Annotated[int, "Frames of a whole block."]
    block_atoms: Annotated[int, "Atoms of a whole block."]
    workers: Annotated[int, "Single-threaded worker processes."]
    blocks_per_worker: Annotated[float, "Mean number of blocks of a worker."]
    measured: Annotated[
        list[dict[str, Any]],
        "The measured blocks: frames and atoms (first, one past the last), seconds, cpu_seconds "
        "and written_bytes.",
    ]
    block_seconds: Annotated[float, "Measured: mean time of a block (read, compute, write)."]
    block_seconds_min: Annotated[float, "Measured: shortest time of a block."]
    block_seconds_max: Annotated[float, "Measured: longest time of a block."]
    block_cpu_seconds: Annotated[float, "Measured: mean CPU time of a block."]
    startup_seconds: Annotated[
        float, "Measured: start of a process, with imports and compilation or loading of kernels."
    ]
    peak_memory_bytes: Annotated[
        int, "Measured: largest memory of a process that computes one block after another."
    ]
    compression_ratio: Annotated[float, "Measured: bytes of values over bytes on disk."]
    total_seconds: Annotated[
        float, "Extrapolated: wall time with all workers, without waiting in a queue."
    ]
    efficiency: Annotated[float, "Assumed, from runs: share of computation in the workers' time."]
    core_hours: Annotated[float, "Extrapolated: time of all blocks on one core."]
    store_bytes: Annotated[int, "Extrapolated: bytes of the run on disk."]
    scheduler_tasks: Annotated[int, "Extrapolated: largest number of tasks."]
    scheduler_memory_bytes: Annotated[
        int, "Extrapolated: memory of the scheduler, which knows a part of the tasks at a time."
    ]
    worker_memory_bytes: Annotated[int, "To ask for: memory of one worker."]
    job_memory_bytes: Annotated[
        int,
        "To ask for: memory of a job with one worker; each further worker adds "
        "worker_memory_bytes.",
    ]
    walltime_seconds: Annotated[
        int, "To ask for: walltime of jobs that compute everything without being replaced."
    ]
    least_walltime_seconds: Annotated[
        int,
        "To ask for: walltime below which a job computes too few blocks to be worth its start.",
    ]
    cpu: Annotated[str, "Model of the processor on which the blocks were measured."]
    notes: Annotated[list[str], "Warnings."]

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes by name; units are part of the names."""
        return asdict(self)

    def __str__(self) -> str:
        return _table(self)


Plan.__doc__ = "\n".join(
    [
        f"{Plan.__doc__}\n\nAttributes\n----------",
        *(
            f"{name} : {get_args(hint)[0].__name__}\n    {get_args(hint)[1]}"
            for name, hint in get_type_hints(Plan, include_extras=True).items()
        ),
    ]
)


def plan(lazy: xr.Dataset, *, workers: int = 1, precision: int | None = None) -> Plan:
    """Predict time, memory and disk of computing and saving a lazy result; computes some blocks.

    One to three blocks, spread over the trajectory, are computed one after another in a process
    of their own and written into a temporary folder (in TMPDIR), as by `save`. Where a block takes
    more than half a minute, one is measured. Times are those of this machine: run the function on
    a node of the kind that will do the work.

    Parameters
    ----------
    lazy : xarray.Dataset
        Lazy result of a descriptor or of another function of lazy Datasets.
    workers : int, default 1
        Number of single-threaded worker processes that share the work.
    precision : int, optional
        Bits of mantissa to keep, as for `save`.

    Returns
    -------
    Plan
        Measured and extrapolated numbers; `print` shows a table.

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
    measured = measure(ds, record, precision, choose_blocks(grid))
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


def choose_blocks(grid: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Return the indices of a middle, an early and a late block; fewer where there are fewer."""
    spread = [_spread(chunks) for chunks in grid]
    return list(dict.fromkeys(zip(*spread, strict=True)))


def _spread(chunks: Sequence[int]) -> tuple[int, int, int]:
    # Only whole blocks are representative. The last one, too, may take less: windows end with the
    # trajectory.
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
    total = start + busiest_worker(grid, workers) * mean / EFFICIENCY
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
        core_hours=busiest_worker(grid, 1) * mean / 3600,
        store_bytes=measured.fixed_bytes + round(values / ratio),
        scheduler_tasks=blocks * measured.tasks_per_block,
        scheduler_memory_bytes=round(SCHEDULER_BYTES + known * SCHEDULER_BYTES_PER_TASK),
        worker_memory_bytes=memory,
        job_memory_bytes=memory + NANNY_BYTES,
        walltime_seconds=walltime,
        least_walltime_seconds=min(least, walltime),
        cpu=_cpu(),
        notes=_notes(blocks, workers, measured, len(choose_blocks(grid))),
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


def busiest_worker(grid: Sequence[Sequence[int]], workers: int) -> float:
    """Return the work of the busiest worker, in units of the time of a whole block.

    The last blocks along the frames may be shorter: they cost as much less, and fill the gaps that
    the whole blocks leave.
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
            "disk slow; on a quiet one the work takes as much less"
        )
    return notes


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _table(plan: Plan) -> str:
    """Return a plan as lines: blocks, measured, extrapolated and recommended values, notes."""
    spread = f"{format_time(plan.block_seconds_min)} to {format_time(plan.block_seconds_max)}"
    frames = ", ".join(_span(*block["frames"]) for block in plan.measured)
    sections = {
        f"{plan.run_id}: {plan.frames:,} frames of {plan.atoms:,} atoms": {
            "blocks": f"{plan.blocks:,}, of {plan.block_frames:,} frames x "
            f"{plan.block_atoms:,} atoms",
            "blocks per worker": f"{plan.blocks_per_worker:,.3g} ({plan.workers:,} workers)",
        },
        f"Measured on {plan.cpu}": {
            "blocks": f"{len(plan.measured)}, in frames {frames}",
            "time of a block": f"{format_time(plan.block_seconds)} ({spread}); "
            f"CPU {format_time(plan.block_cpu_seconds)}",
            "start of a worker": format_time(plan.startup_seconds),
            "peak memory": format_bytes(plan.peak_memory_bytes),
            "compression": f"{plan.compression_ratio:.2f}",
        },
        "Extrapolated": {
            "total time": f"{format_time(plan.total_seconds)}, at {plan.workers:,} workers and "
            f"{plan.efficiency:.0%} efficiency; without the waiting and starting of jobs",
            "time of one core": format_time(3600 * plan.core_hours),
            "store": format_bytes(plan.store_bytes),
            "scheduler": f"{plan.scheduler_tasks:,} tasks, "
            f"{format_bytes(plan.scheduler_memory_bytes)}",
        },
        "To ask for": {
            "memory": f"{format_bytes(plan.worker_memory_bytes)} for each worker: a profile's "
            f"memory is that of all workers of a job ({format_bytes(plan.job_memory_bytes)} with "
            "the nanny of one, where you write the script yourself)",
            "walltime": f"{_clock(plan.walltime_seconds)} for everything in one job each; with "
            f"shorter jobs, which icedask replaces, {_clock(plan.least_walltime_seconds)} or more",
        },
    }
    lines = []
    for title, rows in sections.items():
        lines += [title, *(f"  {key:18s} {value}" for key, value in rows.items()), ""]
    return "\n".join([*lines, *(f"Note: {note}" for note in plan.notes)])


def _span(first: int, end: int) -> str:
    return f"{first}" if end == first + 1 else f"{first}-{end - 1}"


def _clock(seconds: int) -> str:
    """Return hours, minutes and seconds in the form of batch systems."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
