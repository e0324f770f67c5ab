"""Tests of jobs: tasks on workers, and the state of the queue."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

# One worker process in a small job.
SMALL = {"cores": 1, "memory": "700MiB", "walltime": "00:10:00"}


def traced(number: int, seconds: float, folder: str) -> int:
    """Sleep, and record the start and the end of each attempt in files."""
    trace = Path(folder) / f"{number}-{os.getpid()}-{time.monotonic_ns()}"
    trace.with_suffix(".begun").touch()
    time.sleep(seconds)
    trace.with_suffix(".ended").touch()
    return number * number


def worker_threads() -> Any:
    """Return a context with the number of threads of a worker, on which last bits depend."""
    return threadpool_limits(int(os.environ.get("OMP_NUM_THREADS", 1)))


def attempts(folder: Path) -> tuple[int, int]:
    """Return the numbers of started and of ended attempts."""
    return len(list(folder.glob("*.begun"))), len(list(folder.glob("*.ended")))


def queued(job_id: str) -> str:
    """Return the state of a job in the queue, empty if it is gone."""
    done = subprocess.run(
        ["squeue", "--noheader", "--format=%T", f"--jobs={job_id}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip().replace("COMPLETING", "")


def cancel(*job_ids: str) -> None:
    """Cancel jobs."""
    subprocess.run(["scancel", *job_ids], check=True)


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition, and fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no success within {seconds} s"
        time.sleep(0.1)
