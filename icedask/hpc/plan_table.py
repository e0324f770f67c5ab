"""A plan as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icedask.hpc.plan import Plan


def table(plan: Plan) -> str:
    """Return a plan as lines: its blocks, what was measured, what follows, what to ask for."""
    spread = f"{_seconds(plan.block_seconds_min)} to {_seconds(plan.block_seconds_max)}"
    frames = ", ".join(_span(block["frames"]) for block in plan.measured)
    sections = {
        f"{plan.run_id}: {plan.frames:,} frames of {plan.atoms:,} atoms": {
            "blocks": f"{plan.blocks:,}, of {plan.block_frames:,} frames x "
            f"{plan.block_atoms:,} atoms",
            "blocks per worker": f"{plan.blocks_per_worker:,.3g} ({plan.workers:,} workers)",
        },
        f"Measured on {plan.cpu}": {
            "blocks": f"{len(plan.measured)}, in frames {frames}",
            "time of a block": f"{_seconds(plan.block_seconds)} ({spread}); "
            f"CPU {_seconds(plan.block_cpu_seconds)}",
            "start of a worker": _seconds(plan.startup_seconds),
            "peak memory": _bytes(plan.peak_memory_bytes),
            "compression": f"{plan.compression_ratio:.2f}",
        },
        "Extrapolated": {
            "total time": f"{_seconds(plan.total_seconds)}; {plan.workers:,} workers that compute "
            f"{plan.efficiency:.0%} of it; jobs that wait or start are not in it",
            "time of one core": _seconds(3600 * plan.core_hours),
            "store": _bytes(plan.store_bytes),
            "scheduler": f"{plan.scheduler_tasks:,} tasks, {_bytes(plan.scheduler_memory_bytes)}",
        },
        "To ask for": {
            "memory": f"{_bytes(plan.worker_memory_bytes)} for each worker: a profile's memory is "
            f"that of all workers of a job ({_bytes(plan.job_memory_bytes)} with what watches over "
            "one, where you write the script yourself)",
            "walltime": f"{_clock(plan.walltime_seconds)} for everything in one job each; with "
            f"shorter jobs, which icedask replaces, {_clock(plan.least_walltime_seconds)} or more",
        },
    }
    lines = []
    for title, rows in sections.items():
        lines += [title, *(f"  {key:18s} {value}" for key, value in rows.items()), ""]
    return "\n".join([*lines, *(f"Note: {note}" for note in plan.notes)])


def _span(span: list[int]) -> str:
    first, end = span
    return f"{first}" if end == first + 1 else f"{first}-{end - 1}"


def _seconds(value: float) -> str:
    for unit, size in (("d", 172800.0), ("h", 5400.0), ("min", 90.0)):
        if value >= size:
            return f"{value / {'d': 86400, 'h': 3600, 'min': 60}[unit]:.3g} {unit}"
    return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"


def _bytes(value: int) -> str:
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if value >= size:
            return (
                f"{value / size:.3g} {unit}"
                if value < 1000 * size
                else f"{value / size:.0f} {unit}"
            )
    return f"{value / 2**10:.3g} KiB"


def _clock(seconds: int) -> str:
    """Return hours, minutes and seconds as batch systems read them."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
