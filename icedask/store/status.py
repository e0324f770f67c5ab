"""Status of the computations of a store: progress reports and incomplete runs."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, overload

from dask.utils import format_time

from icedask.core.collection import Collection
from icedask.core.text import printable
from icedask.errors import StoreError
from icedask.store.blocks import shards_done
from icedask.store.lock import lock_holder, status_of
from icedask.store.members import stores_of
from icedask.store.root import check_format
from icedask.store.runs import iter_runs
from icedask.store.sidecars import blocks_done
from icedask.store.trajectory import TRAJECTORY, trajectory_group_attrs
from icedask.tasks.progress import FOLDER, checked_report

_SILENT_SECONDS = 60.0
_DAY_SECONDS = 86400.0
_BAR_WIDTH = 30


Progress = dict[str, list[dict[str, Any]]]


@overload
def progress(store: str | os.PathLike[str]) -> Progress: ...


@overload
def progress(store: Collection) -> dict[str, Progress]: ...


def progress(
    store: str | os.PathLike[str] | Collection,
) -> Progress | dict[str, Progress]:
    """Return the progress of all computations of a store, or of many, on any host.

    Parameters
    ----------
    store : path or Collection
        The store, or a collection with stores.

    Returns
    -------
    dict
        reports: the last computations, newest first, with id, what, host, pid, job (of a batch
        system), started and updated (seconds since 1970), age (seconds since the last sign of
        life), state (running, complete, failed; interrupted, also where its process on this host
        has ended; silent if it was running and there was no sign of life for a minute), error, and
        stages, each with description, done, total, rate (tasks per second in the last minute) and
        eta (seconds left, None if not known).
        unfinished: the trajectory and the runs that are incomplete, with id, state (running, or
        interrupted where no process writes them, damaged where arrays of them are), done and total:
        the blocks on disk.

        Damaged reports are left out. Of a collection such a dict for each store, by the name of the
        member; "collection" has the computations over all members.

    Raises
    ------
    StoreError
        If there is no store at the path, or one of another format version.
    """
    if isinstance(store, Collection):
        return {name: progress(path) for name, path in stores_of(store).items()}
    root = Path(store).resolve()
    check_format(root)
    now = time.time()
    reports = []
    for path in sorted((root / FOLDER).glob("*.json"), reverse=True):
        # It may be replaced or dropped while it is read, and anybody may have written it.
        with suppress(OSError, ValueError, RecursionError):
            reports.append(_judged(checked_report(json.loads(path.read_text())), now))
    return {"reports": reports, "unfinished": list(_unfinished(root))}


def _judged(report: dict[str, Any], now: float) -> dict[str, Any]:
    age = max(0.0, now - report["updated"])
    running = report["state"] == "running"
    state = report["state"]
    if running and report["host"] == socket.gethostname() and not _process_lives(report["pid"]):
        state = "interrupted"
    elif running and age > _SILENT_SECONDS:
        state = "silent"
    for stage in report["stages"]:
        known = state == "running" and stage["rate"]
        stage["eta"] = (stage["total"] - stage["done"]) / stage["rate"] if known else None
    return {**report, "age": age, "state": state}


def _process_lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _unfinished(root: Path) -> Iterator[dict[str, Any]]:
    holder = lock_holder(root)
    if (root / TRAJECTORY / "zarr.json").exists():
        attrs = trajectory_group_attrs(root)
        if attrs["status"] == "running":
            state = status_of(TRAJECTORY, "running", holder)
            done = blocks_done(root)
            yield {"id": TRAJECTORY, "state": state, "done": done, "total": attrs["blocks"]}
    for path, attrs in iter_runs(root):
        if attrs["status"] == "running":
            try:
                done, total = shards_done(path)
            except StoreError:
                # It does not hide the others.
                yield {"id": attrs["run_id"], "state": "damaged", "done": 0, "total": 0}
                continue
            state = status_of(attrs["run_id"], "running", holder)
            yield {"id": attrs["run_id"], "state": state, "done": done, "total": total}


_NOTHING = "nothing was computed in the last day, and nothing is incomplete"


def progress_text(store: str | os.PathLike[str]) -> str:
    """Return the reports of the last day and the incomplete runs as text."""
    return _text(progress(store)) or _NOTHING


def folder_progress(folder: str | os.PathLike[str]) -> dict[str, Progress]:
    """Return the progress of all stores of a folder that can be opened, by name."""
    each = {}
    for name, path in stores_of(folder).items():
        with suppress(StoreError):
            each[name] = progress(path)
    return each


def folder_progress_text(folder: str | os.PathLike[str]) -> str:
    """Return the reports and incomplete runs of the stores of a folder that have any, as text."""
    texts = {name: _text(status) for name, status in folder_progress(folder).items()}
    return "\n\n".join(f"{name}\n{text}" for name, text in texts.items() if text) or _NOTHING


def _text(status: Progress) -> str:
    blocks = [_report_text(report) for report in status["reports"] if report["age"] < _DAY_SECONDS]
    if status["unfinished"]:
        lines = [f"  {_bar(run)}  {run['id']}, {run['state']}" for run in status["unfinished"]]
        blocks.append("\n".join(["incomplete, blocks on disk:", *lines]))
    return "\n\n".join(blocks)


def _report_text(report: dict[str, Any]) -> str:
    where = f"process {report['pid']} on {printable(report['host'])}"
    if report["job"]:
        where += f", job {printable(report['job'])}"
    state = report["state"]
    lasted = format_time(report["updated"] - report["started"])
    if state in ("running", "silent"):
        when = f"for {lasted}, last sign of life {format_time(report['age'])} ago"
    else:
        when = f"after {lasted}, {format_time(report['age'])} ago"
    lines = [f"{printable(report['what'])}: {state} {when}", f"  {where}"]
    for stage in report["stages"]:
        line = f"  {_bar(stage)}  {printable(stage['description'])}"
        if stage["rate"] and state == "running" and stage["done"] < stage["total"]:
            line += f", {stage['rate']:.3g}/s"
        if stage["eta"] and stage["done"] < stage["total"]:
            line += f", {format_time(stage['eta'])} left"
        lines.append(line)
    if report["error"]:
        lines += [f"  {printable(line)}" for line in report["error"].splitlines()]
    return "\n".join(lines)


def _bar(part: dict[str, Any]) -> str:
    share = min(1.0, max(0.0, part["done"] / part["total"])) if part["total"] else 1.0
    full = int(share * _BAR_WIDTH)
    bar = "#" * full + "-" * (_BAR_WIDTH - full)
    return f"[{bar}] {part['done']}/{part['total']} ({int(100 * share)} %)"
