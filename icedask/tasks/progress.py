"""Progress of computations: bars, log lines, and reports written into the store."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from tqdm import tqdm

logger = logging.getLogger("icedask")

FOLDER = ".progress"
KEPT_REPORTS = 20
WRITE_SECONDS = 1.0
# Heartbeat while nothing changes.
BEAT_SECONDS = 10.0
_RATE_SECONDS = 60.0
_LOG_SECONDS = 60.0
# Of numbers in reports.
_LARGEST = 1e15
_JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")

_active: ContextVar[_Report | None] = ContextVar("icedask_report", default=None)


class Stage:
    """One progress bar: tasks done of a total."""

    def __init__(self, description: str, total: int) -> None:
        self.description = description
        self.total = total
        self.done = 0
        self.started = self.updated = time.time()
        self._seen: deque[tuple[float, int]] = deque([(self.started, 0)])

    def add(self, number: int) -> None:
        """Count finished tasks."""
        self.done += number
        self.updated = time.time()
        if self.updated - self._seen[-1][0] >= 1:
            self._seen.append((self.updated, self.done))
        while len(self._seen) > 2 and self.updated - self._seen[1][0] > _RATE_SECONDS:
            self._seen.popleft()

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of a report; the rate is that of the last minute, 1/s."""
        since, before = self._seen[0]
        elapsed = self.updated - since
        return {
            "description": self.description,
            "done": self.done,
            "total": self.total,
            "started": self.started,
            "updated": self.updated,
            "rate": (self.done - before) / elapsed if elapsed > 0 else None,
        }


class _Report(threading.Thread):
    """Thread that writes the stages of a computation into its store, while it runs.

    It never disturbs the computation: a report that cannot be written is left out.
    """

    def __init__(self, store: Path, what: str) -> None:
        super().__init__(daemon=True, name="icedask-progress")
        self._store = store
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self._path = store / FOLDER / f"{stamp}-{os.getpid()}-{uuid4().hex[:4]}.json"
        job = next((os.environ[name] for name in _JOB_VARIABLES if name in os.environ), None)
        self._head = {
            "id": self._path.stem,
            "what": what,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "job": job,
            "started": time.time(),
        }
        self._stages: list[Stage] = []
        self._ended = threading.Event()

    def begin(self, new: Stage) -> None:
        """Add a stage; the first one starts the thread."""
        self._stages.append(new)
        if len(self._stages) == 1:
            self._write("running")
            self.start()

    def run(self) -> None:
        """Write changes, or a heartbeat, until the end."""
        written = time.time()
        while not self._ended.wait(WRITE_SECONDS):
            changed = self._stages[-1].updated > written
            if changed or time.time() - written > BEAT_SECONDS:
                written = time.time()
                self._write("running")

    def end(self, state: str, error: str | None = None) -> None:
        """Write the last state, if anything was computed."""
        if not self._stages:
            return
        self._ended.set()
        self.join()
        self._write(state, error)

    def _write(self, state: str, error: str | None = None) -> None:
        content = {
            **self._head,
            "state": state,
            "updated": time.time(),
            "stages": [stage.as_dict() for stage in self._stages],
            "error": error,
        }
        partial = self._path.with_suffix(".tmp")
        with suppress(OSError):
            if self._path.parent.is_symlink():
                return
            if not self._path.parent.exists():
                # Without parents: a store that was removed is not made again.
                self._path.parent.mkdir(mode=0o700)
            if not self._path.exists():
                self._drop_old()
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(content, file)
            partial.replace(self._path)

    def _drop_old(self) -> None:
        for path in sorted(self._path.parent.glob("*.json"))[: -(KEPT_REPORTS - 1)]:
            path.unlink(missing_ok=True)


_REPORT = {
    **dict.fromkeys(("id", "what", "host", "state"), str),
    "pid": int,
    "started": float,
    "updated": float,
    "stages": list,
}
_TIMES = dict.fromkeys(("started", "updated", "rate"), float)
_STAGE = {"description": str, "done": int, "total": int}


def checked_report(report: Any) -> dict[str, Any]:
    """Return the content of a report; raise ValueError if it is none."""
    checked = _checked(report, _REPORT, {"job": str, "error": str})
    stages = [_checked(stage, _STAGE, _TIMES) for stage in checked["stages"]]
    return {**checked, "stages": stages}


def _checked(
    content: Any, required: Mapping[str, type], optional: Mapping[str, type]
) -> dict[str, Any]:
    """Return the known entries of a part of a report; raise ValueError if one is of no use."""
    if not isinstance(content, dict):
        raise ValueError(f"expected entries, found {type(content).__name__}")
    checked: dict[str, Any] = {}
    for name, kind in {**required, **optional}.items():
        value = content.get(name)
        if value is None and name in optional:
            checked[name] = None
            continue
        numbers = (int, float) if kind is float else kind
        if not isinstance(value, numbers) or isinstance(value, bool):
            raise ValueError(f"{name}: expected {kind.__name__}, found {type(value).__name__}")
        if isinstance(value, int | float) and not abs(value) < _LARGEST:
            raise ValueError(f"{name}: out of range")
        checked[name] = value
    return checked


@contextmanager
def reporting(store: Path, what: str) -> Iterator[None]:
    """Write the progress of the computations in this block into `store`, if it can be written to.

    Nested blocks belong to the report of the outermost one, whose function is `what`.
    """
    if _active.get() is not None:
        yield
        return
    report = _Report(store, what)
    token = _active.set(report)
    state, text = "complete", None
    try:
        yield
    except Exception as error:
        state, text = "failed", "\n".join(str(error).splitlines()[:5]) or type(error).__name__
        raise
    except BaseException:
        state = "interrupted"
        raise
    finally:
        _active.reset(token)
        report.end(state, text)


@contextmanager
def stage(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of `total` tasks; yields the function that counts finished ones.

    As a bar on a terminal, else as lines of the log; and in the active report.
    """
    report = _active.get()
    current = Stage(description, total)
    if report is not None:
        report.begin(current)
    with tqdm(total=total, desc=description, disable=None, unit="task", file=sys.stderr) as bar:
        log = _Log(current) if bar.disable else None

        def advance(number: int) -> None:
            current.add(number)
            bar.update(number)
            if log is not None:
                log.look()

        yield advance


class _Log:
    """Log lines of a stage: one for each tenth and each minute, none within the first second.

    A stage with a line gets one for its end.
    """

    def __init__(self, of: Stage) -> None:
        self._stage = of
        self._tenth = 0
        self._began = False
        self._last = time.monotonic()

    def look(self) -> None:
        """Log a line if it is due."""
        stage, waited = self._stage, time.monotonic() - self._last
        tenth = 10 * stage.done // max(stage.total, 1)
        ends = tenth == 10 and self._began
        if (tenth > self._tenth and (waited > 1 or ends)) or waited > _LOG_SECONDS:
            self._began = True
            self._tenth = tenth
            self._last = time.monotonic()
            logger.info(
                "%s: %d of %d tasks, %d %%",
                stage.description,
                stage.done,
                stage.total,
                100 * stage.done // max(stage.total, 1),
            )
