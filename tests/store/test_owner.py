"""The lock of file systems without flock: owners, heartbeats, takeovers; by simulation."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk

import icedask as ice
from icedask.errors import StoreError
from icedask.store import lock, owner
from icedask.store.lock import lock_holder, locked

_CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture(params=["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def no_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    number = getattr(errno, request.param)

    def flock(*args: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


def refusal(store: Path) -> str:
    try:
        with locked(store):
            return ""
    except StoreError as error:
        return str(error)


def started(function: Callable[..., Any], *args: Any) -> Any:
    process = _CONTEXT.Process(target=function, args=args)
    process.start()
    return process


def hold(store: Path, ready: Any, release: Any) -> None:
    with locked(store, ["a-00000000"], work="save"):
        ready.set()
        release.wait(30)


def test_one_owner_at_a_time(no_flock: None, tmp_path: Path) -> None:
    ready, release = _CONTEXT.Event(), _CONTEXT.Event()
    process = started(hold, tmp_path, ready, release)
    assert ready.wait(30)
    holder = str(lock_holder(tmp_path))
    assert f"process {process.pid} on" in holder and "save; it writes a-00000000" in holder
    assert refusal(tmp_path).startswith(f"{tmp_path}: another process is writing to this store (")
    release.set()
    process.join()
    assert lock_holder(tmp_path) is None
    with locked(tmp_path), locked(tmp_path, ["b-00000000"]), ThreadPoolExecutor(1) as pool:
        assert lock_holder(tmp_path).writes == ("b-00000000",)  # type: ignore[union-attr]
        assert "another call of this process" in pool.submit(refusal, tmp_path).result()
    assert refusal(tmp_path) == ""


def test_the_lock_of_a_killed_process_is_free(no_flock: None, tmp_path: Path) -> None:
    ready, release = _CONTEXT.Event(), _CONTEXT.Event()
    process = started(hold, tmp_path, ready, release)
    assert ready.wait(30)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert lock_holder(tmp_path) is None
    with locked(tmp_path) as held:
        # What it wrote is to be swept.
        assert held.left == ["a-00000000"]


def count(store: Path, errors: Any, rounds: int) -> None:
    """Add to a file without any other protection than the lock."""
    file = store / "count"
    for _ in range(rounds):
        with locked(store, wait=True):
            value = int(file.read_text())
            time.sleep(0.001)
            file.write_text(str(value + 1))


@pytest.mark.parametrize("kill", [False, True])
def test_many_takers(
    no_flock: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: bool
) -> None:
    monkeypatch.setattr(lock, "_POLL_SECONDS", 0.002)
    (tmp_path / "count").write_text("0")
    if kill:
        ready = _CONTEXT.Event()
        process = started(hold, tmp_path, ready, _CONTEXT.Event())
        assert ready.wait(30)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    takers = [started(count, tmp_path, None, 10) for _ in range(4)]
    for taker in takers:
        taker.join(60)
        assert taker.exitcode == 0
    assert (tmp_path / "count").read_text() == "40"
    assert len(os.listdir(tmp_path / owner.FOLDER)) == 2


def elsewhere(store: Path, age: float) -> Path:
    """Make the lock that of a process on another host, with a heartbeat of some age."""
    (store / owner.FOLDER).mkdir()
    file = store / owner.FOLDER / "7"
    file.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": "now", "writes": []}))
    os.utime(file, (time.time() - age,) * 2)
    return file


def test_owners_on_other_hosts(no_flock: None, tmp_path: Path) -> None:
    file = elsewhere(tmp_path, 0)
    assert "process 1 on elsewhere since now" in refusal(tmp_path)
    file.write_text("")
    assert "a process that is not known" in refusal(tmp_path)
    os.utime(file, (time.time() - owner.STALE_SECONDS - 9,) * 2)
    assert lock_holder(tmp_path) is None
    assert refusal(tmp_path) == ""
    assert sorted(os.listdir(tmp_path / owner.FOLDER)) == ["8", "time"]


def test_a_link_in_the_place_of_the_owners(no_flock: None, tmp_path: Path) -> None:
    store, outside = tmp_path / "store", tmp_path / "outside"
    store.mkdir()
    outside.mkdir()
    (store / owner.FOLDER).symlink_to(outside)
    assert "cannot be written to" in refusal(store)
    assert not list(outside.iterdir())


def test_flock_minds_an_owner_of_a_host_without(tmp_path: Path) -> None:
    elsewhere(tmp_path, 0)
    assert "process 1 on elsewhere" in refusal(tmp_path)
    assert "process 1 on elsewhere" in str(lock_holder(tmp_path))


def test_a_reused_process_id_is_no_owner() -> None:
    record = owner.this_process()
    assert not owner.has_ended(record)
    assert owner.has_ended({**record, "started": 1})
    assert owner.has_ended({**record, "pid": 2**22 + 1})
    for other in ({"host": "elsewhere"}, {"boot": "another"}, {"namespace": "pid:[1]"}):
        assert not owner.has_ended({**record, "pid": 2**22 + 1, **other})


def test_the_heartbeat_is_renewed(
    no_flock: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "BEAT_SECONDS", 0.02)
    with locked(tmp_path):
        file = tmp_path / owner.FOLDER / "1"
        os.utime(file, (0, 0))
        deadline = time.monotonic() + 10
        while file.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert time.time() - file.stat().st_mtime < 60
    assert not [thread for thread in threading.enumerate() if thread.name == "icedask-lock"]


@pytest.mark.parametrize("kind", ["flock", "owner"])
def test_a_holder_that_lost_the_lock_stops(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    store = tmp_path / "cu.zarr"
    trj = ice.save(ice.from_ase(bulk("Cu", cubic=True) * (2, 2, 2)), store)
    if kind == "owner":
        monkeypatch.setattr(
            fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, ""))
        )
    monkeypatch.setattr(lock, "_LOOK_SECONDS", 0.0)
    lazy = ice.coordination(trj, r_cut=3.0)
    with pytest.raises(StoreError, match="lost the lock"), ice.hold(store):
        if kind == "owner":
            (store / owner.FOLDER / "2").write_text("{}")
        else:
            (store / lock.LOCK_FILE).unlink()
        ice.save(lazy, store)
    assert not list(store.glob("descriptors/*/*"))


def test_waiting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ready, release = _CONTEXT.Event(), _CONTEXT.Event()
    process = started(hold, tmp_path, ready, release)
    assert ready.wait(30)
    caplog.set_level("INFO", "icedask")
    with pytest.raises(StoreError, match=r"after 1 s of waiting \(process"):  # noqa: SIM117
        with locked(tmp_path, wait=0.6):
            pass
    threading.Timer(0.5, release.set).start()
    with locked(tmp_path, wait=True):
        pass
    process.join()
    assert f"{tmp_path}: waiting for process {process.pid} on" in caplog.text
    for wrong in (-1, float("nan"), "1"):
        with (
            pytest.raises(ice.InputError, match="wait: expected seconds"),
            locked(tmp_path, wait=wrong),
        ):  # type: ignore[arg-type]
            pass


def test_the_command_line_waits(tmp_path: Path) -> None:
    store = tmp_path / "cu.zarr"
    ice.save(ice.from_ase(bulk("Cu", cubic=True) * (2, 2, 2)), store)
    ready, release = _CONTEXT.Event(), _CONTEXT.Event()
    process = started(hold, store, ready, release)
    assert ready.wait(30)
    command = [sys.executable, "-m", "icedask", "describe", str(store), "coordination"]
    command += ["--r-cut", "3"]

    def call(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], capture_output=True, text=True, check=False)

    refused = call()
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"icedask: {store}: another process is writing to this store")
    assert "waiting for process" in call("--wait", "0.1").stderr
    assert "expected seconds" in call("--wait", "soon").stderr
    threading.Timer(1, release.set).start()
    done = call("--wait")
    process.join()
    assert done.returncode == 0, done.stderr
