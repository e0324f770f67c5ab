"""Run an action in a process that kills itself at its n-th change of the store's files."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest

_CONTEXT = multiprocessing.get_context("forkserver")
# Imported once in the server that the children fork from.
_CONTEXT.set_forkserver_preload(["distributed", "icedask.workflows.demo"])


def _child(action: Callable[..., None], args: tuple[Any, ...], at: int, total: Any) -> None:
    import zarr.storage._local as local

    count = 0
    store = str(args[-1])

    def strike(function: Callable[..., Any]) -> Callable[..., Any]:
        def struck(*a: Any, **k: Any) -> Any:
            nonlocal count
            # Other files change too: compilers keep caches, and only in the first run; reports of
            # progress are written by the clock.
            if any(store in str(path) and ".progress" not in str(path) for path in a[:2]):
                count += 1
                total.value = count
                if count == at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return function(*a, **k)

        return struck

    local._put = strike(local._put)
    os.rename, os.replace = strike(os.rename), strike(os.replace)
    shutil.rmtree = strike(shutil.rmtree)  # type: ignore[assignment]
    with dask.config.set(scheduler="sync"):
        action(*args)


def run(action: Callable[..., None], *args: Any, kill_at: int = 0) -> tuple[int, int]:
    """Return the exit code of the action's process and the number of changes it made.

    The last of the arguments is the store; what it moves beside it (`run.zarr.new`) counts.
    """
    total = _CONTEXT.Value("i", 0)
    process = _CONTEXT.Process(target=_child, args=(action, args, kill_at, total))
    process.start()
    process.join(120)
    assert process.exitcode is not None, "the child hangs"
    return process.exitcode, total.value


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a store, without times of creation and reports of progress."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".lock" and path.parent.name != ".progress":
            data = path.read_bytes()
            if path.name == "zarr.json":
                data = json.dumps(_timeless(json.loads(data))).encode()
            files[str(path.relative_to(folder))] = data
    return files


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in ("created", "history")}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def check_any_kill(
    action: Callable[..., None], source: Path, tmp_path: Path, start: Path | None, points: int
) -> None:
    """Kill the action at `points` moments, repeat it, and expect the store of an unbroken run."""

    def fresh(name: str) -> Path:
        store = tmp_path / name / "run.zarr"
        store.parent.mkdir()
        if start is not None:
            shutil.copytree(start, store)
        return store

    whole = fresh("whole")
    code, changes = run(action, source, whole)
    assert code == 0
    expected = contents(whole)
    moments = sorted({1 + i * (changes - 1) // (points - 1) for i in range(points)})
    for moment in moments:
        store = fresh(f"killed-{moment}")
        code, _ = run(action, source, store, kill_at=moment)
        assert code == -signal.SIGKILL
        code, _ = run(action, source, store)
        assert code == 0, f"cannot resume after a kill at change {moment} of {changes}"
        files = contents(store)
        if files != expected:
            different = [k for k in {*files, *expected} if files.get(k) != expected.get(k)]
            pytest.fail(f"killed at change {moment} of {changes}: {sorted(different)[:5]} differ")
