"""A cluster at an address whose workers are killed with the processes that restart them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from helpers.jobs import wait_until

import icedask as ice
from icedask.errors import ComputeError
from icedask.tasks import graphs
from icedask.tasks import run as compute
from icedask.tasks.graphs import Wave


class Cluster:
    """A scheduler and workers as commands of their own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        here = ("--host", "127.0.0.1", "--port", "0")
        self.scheduler = self._run("scheduler", *here, "--no-dashboard")
        wait_until(self.file.exists, 30)

    def _run(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", kind, "--scheduler-file", str(self.file)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([*command, *options], **quiet)  # type: ignore[call-overload, no-any-return]

    def start_worker(self) -> None:
        here = ("--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard")
        self.workers.append(self._run("worker", *here))

    def kill_workers(self) -> None:
        """Kill each nanny and its worker."""
        import psutil

        for worker in self.workers:
            children = psutil.Process(worker.pid).children(recursive=True)
            worker.send_signal(signal.SIGKILL)
            for child in children:
                child.send_signal(signal.SIGKILL)
            worker.wait()
        self.workers = []

    def end(self) -> None:
        self.kill_workers()
        self.scheduler.kill()
        self.scheduler.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    started = Cluster(tmp_path)
    started.start_worker()
    yield started
    started.end()


def wave(name: str) -> Wave:
    return Wave({name: graphs.Task(name, time.sleep, 0.1)}, [name], [name])


@pytest.mark.slow
def test_killed_with_their_nannies(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error after the time limit; with a new worker, the task ends."""
    client: Any
    with (
        dask.config.set({"icedask.worker-timeout": "3 s"}),
        ice.connect(str(cluster.file), set_as_default=False) as client,
    ):
        client.wait_for_workers(1, timeout=30)
        monkeypatch.setattr(compute, "active_client", lambda *_: client)
        cluster.kill_workers()
        begun = time.monotonic()
        with pytest.raises(ComputeError, match="the cluster has had no worker for"):
            compute.run_tasks([wave("lost")], 1, "sleep")
        assert time.monotonic() - begun < 15
        with dask.config.set({"icedask.worker-timeout": "60 s"}):
            cluster.start_worker()
            assert compute.run_tasks([wave("done")], 1, "sleep") == [None]
