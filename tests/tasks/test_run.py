"""Waves on a cluster: finished tasks released, results in order, interrupts and lost clusters."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import pytest

from icedask.errors import ComputeError, InputError
from icedask.tasks import graphs
from icedask.tasks import run as compute
from icedask.tasks.graphs import Wave


def test_finished_tasks_are_released(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "WAVE_TASKS", 10)
    most = []

    def waves() -> Iterator[Wave]:
        for first in range(0, 200, 10):
            most.append(len(client.futures))
            keys = [f"small-{n}" for n in range(first, first + 10)]
            yield Wave({key: graphs.Task(key, int, n) for n, key in enumerate(keys)}, keys)

    compute.run_tasks(waves(), 200, "small")
    assert len(most) == 20
    assert max(most) <= 20
    deadline = time.monotonic() + 30  # the last are let go of by another thread
    while any(key.startswith("small-") for key in map(str, client.futures)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_results_come_in_order(client: Any) -> None:
    def waves() -> Iterator[Wave]:
        for number in range(4):
            key = f"slow-{number}"
            yield Wave({key: graphs.Task(key, later, number, 0.2 / (1 + number))}, [key], [key])

    assert compute.run_tasks(waves(), 4, "slow") == [0, 1, 2, 3]


def later(value: int, seconds: float) -> int:
    time.sleep(seconds)
    return value


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Where the shell started the tests with interrupts ignored, Python would not raise any."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupt_cancels_what_is_in_flight(client: Any) -> None:
    def waves() -> Iterator[Wave]:
        keys = [f"long-{n}" for n in range(6)]
        yield Wave({key: graphs.Task(key, time.sleep, 5) for key in keys}, keys)

    # As Ctrl-C, but for handlers that libraries of other tests may have left in this process.
    threading.Timer(1.0, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        compute.run_tasks(waves(), 6, "long")
    # All six would take two workers fifteen seconds.
    deadline = time.monotonic() + 8
    while any(client.processing().values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(client.processing().values())


def test_failed_cluster_is_an_error(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        raise ComputeError("no job could start")

    monkeypatch.setattr(client, "check", check, raising=False)
    wave = Wave({"nap": graphs.Task("nap", time.sleep, 5)}, ["nap"])
    with pytest.raises(ComputeError, match="no job could start"):
        compute.run_tasks([wave], 1, "nap")


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A scheduler and a worker in processes of their own."""
    file = tmp_path / "scheduler.json"
    common = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                f"distributed.cli.dask_{kind}",
                "--scheduler-file",
                str(file),
                "--no-dashboard",
                *more,
            ],
            env=environment,
            **common,
        )
        for kind, more in (
            ("scheduler", ["--port", "0", "--host", "127.0.0.1"]),
            ("worker", ["--nthreads", "1", "--no-nanny", "--death-timeout", "60"]),
        )
    ]
    try:
        yield started[0], str(file)
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_lost_scheduler(
    scheduler: tuple[subprocess.Popen[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    process, file = scheduler
    with Client(scheduler_file=file, set_as_default=False, timeout="5s") as client:
        client.wait_for_workers(1, timeout=60)
        monkeypatch.setattr(compute, "active_client", lambda *_: client)
        threading.Timer(1.0, process.kill).start()
        wave = Wave({"long": graphs.Task("long", time.sleep, 300)}, ["long"])
        with pytest.raises(ComputeError, match="lost the scheduler"):
            compute.run_tasks([wave], 1, "long")


def test_no_worker_is_an_error(
    scheduler: tuple[subprocess.Popen[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only worker of a scheduler at an address is killed, before and while a task waits."""
    from distributed import Client

    _, file = scheduler
    with Client(scheduler_file=file, set_as_default=False, timeout="5s") as client:
        client.wait_for_workers(1, timeout=60)
        monkeypatch.setattr(compute, "active_client", lambda *_: client)
        (pid,) = client.run(os.getpid).values()
        threading.Timer(1.0, os.kill, (pid, signal.SIGKILL)).start()
        wave = Wave({"long": graphs.Task("long", time.sleep, 300)}, ["long"])
        with dask.config.set({"icedask.worker-timeout": "3 s"}):
            with pytest.raises(
                ComputeError, match=r"the cluster has had no worker for \d s; .*'2 h"
            ):
                compute.run_tasks([wave], 1, "long")
            future = client.submit(int, 1)
            with pytest.raises(ComputeError, match="the cluster has had no worker"):
                compute.wait_for(client, future)
            # Jobs that wait in a queue may do so.
            monkeypatch.setattr(client, "any_job", lambda timeout: True, raising=False)
            watch = compute.WorkerWatch(client)
            deadline = time.monotonic() + 6
            while time.monotonic() < deadline:
                watch.check()
                time.sleep(0.2)


def test_a_scheduler_that_does_not_answer_is_an_error(
    scheduler: tuple[subprocess.Popen[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    process, file = scheduler
    monkeypatch.setattr(compute, "_ANSWER_SECONDS", 0.5)
    client = Client(scheduler_file=file, set_as_default=False, timeout="5s")
    try:
        monkeypatch.setattr(compute, "active_client", lambda *_: client)
        threading.Timer(1.0, process.send_signal, (signal.SIGSTOP,)).start()
        wave = Wave({"long": graphs.Task("long", time.sleep, 300)}, ["long"])
        with (
            dask.config.set({"icedask.worker-timeout": "3 s"}),
            pytest.raises(ComputeError, match="the scheduler has not answered for"),
        ):
            compute.run_tasks([wave], 1, "long")
    finally:
        process.send_signal(signal.SIGCONT)
        client.close()


@pytest.mark.parametrize("value", ["soon", "0 s", "-1 s", ""])
def test_bad_worker_timeouts(value: str) -> None:
    with (
        dask.config.set({"icedask.worker-timeout": value}),
        pytest.raises(InputError, match=r"icedask.worker-timeout: expected a time such as"),
    ):
        compute.worker_timeout()


def single(name: str, value: int) -> Wave:
    return Wave({name: graphs.Task(name, int, value)}, [name], [name])


def test_workers_start_when_they_are_needed(workers: Any) -> None:
    started = []

    @contextmanager
    def start() -> Iterator[Any]:
        started.append("start")
        yield workers
        started.append("end")

    with compute.workers_on_demand(start):
        assert compute.run_tasks([single("a", 1)], 1, "one") == [1]
        assert compute.active_client() is None and not started
        assert compute.run_tasks([single("b", 2), single("c", 3)], 2, "two") == [2, 3]
        assert compute.active_client() is workers
        assert compute.run_tasks([single("d", 4)], 1, "one more") == [4]
        assert started == ["start"]
    assert started == ["start", "end"]
    with compute.workers_on_demand(start, tasks_here=0):
        assert compute.active_client() is None
        assert compute.run_tasks([single("e", 5)], 1, "elsewhere") == [5]
    assert started == ["start", "end"] * 2
