"""Local workers: closed to other users, and started again when they are lost."""

from __future__ import annotations

import os
import shutil
import signal
import socket
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
from icedask.tasks import graphs
from icedask.tasks import run as compute
from icedask.tasks.graphs import Wave


@pytest.fixture(scope="module")
def closed() -> Iterator[Any]:
    with ice.connect(n_workers=1, memory_limit="1GB", set_as_default=False) as client:
        yield client


def listening(pids: set[int]) -> set[tuple[str, int]]:
    """Return the addresses at which processes listen."""
    import psutil

    return {
        (c.laddr.ip, c.laddr.port)
        for pid in pids
        for c in psutil.Process(pid).net_connections("inet")
        if c.status == "LISTEN"
    }


def test_clients_without_the_key_are_refused(closed: Any) -> None:
    from distributed import Client
    from distributed.security import Security

    address = closed.scheduler.address
    assert address.startswith("tls://127.0.0.1:")
    assert all(a.startswith("tls://127.0.0.1:") for a in closed.nthreads())
    plain = address.replace("tls://", "tcp://")
    for where, security in ((plain, None), (address, Security.temporary())):
        with pytest.raises((OSError, TypeError)):
            Client(where, security=security, timeout=3, set_as_default=False)
    assert closed.submit(int, 3).result() == 3


def test_every_port_asks_for_the_key(closed: Any) -> None:
    """No port of scheduler, nannies and workers answers to a request without the key."""
    (worker,) = closed.run(os.getpid).values()
    own = {int(address.rpartition(":")[2]) for address in closed.nthreads()}
    own.add(int(closed.scheduler.address.rpartition(":")[2]))
    ports = listening({worker}) | {place for place in listening({os.getpid()}) if place[1] in own}
    assert {port for _, port in ports} == own and {host for host, _ in ports} == {"127.0.0.1"}
    assert closed.dashboard_link == ""
    for place in ports:
        with socket.create_connection(place, timeout=5) as connection:
            connection.sendall(b"GET /status HTTP/1.0\r\n\r\n")
            connection.settimeout(5)
            try:
                assert b"200" not in connection.recv(4096)
            except OSError:
                continue


def test_the_key_is_in_no_file_argument_or_environment(closed: Any) -> None:
    (worker,) = closed.run(os.getpid).values()
    for pid in (worker, os.getpid()):
        for name in ("cmdline", "environ"):
            assert b"PRIVATE KEY" not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert "\n" in closed.security.tls_client_key


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="takes two users of the machine"
)
def test_another_user_is_refused(closed: Any) -> None:
    """Another user offers a key of its own, and none."""
    script = (
        "import sys, distributed\n"
        "from distributed.security import Security\n"
        "address = sys.argv[1]\n"
        "for where, key in ((address, Security.temporary()),\n"
        "                   (address.replace('tls', 'tcp'), None)):\n"
        "    try:\n"
        "        client = distributed.Client(where, security=key, timeout=3)\n"
        "        print('ran', client.submit(int, 5).result())\n"
        "    except (OSError, TypeError) as error:\n"
        "        print('refused')\n"
    )
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable]
    done = subprocess.run(
        [*command, "-", closed.scheduler.address],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if "Permission denied" in done.stderr:
        pytest.skip("another user cannot read this Python")
    assert done.stdout.split() == ["refused"] * 2, done.stderr


def test_dashboard_on_request() -> None:
    from urllib.request import urlopen

    with ice.connect(n_workers=1, dashboard_address="127.0.0.1:0", set_as_default=False) as client:
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        with urlopen(client.dashboard_link, timeout=30) as page:
            assert page.status == 200


def test_workers_in_this_process() -> None:
    with ice.connect(n_workers=1, processes=False, set_as_default=False) as client:
        assert client.scheduler.address.startswith("inproc://")
        assert client.submit(int, 3).result() == 3


def kill_all(client: Any) -> None:
    for pid in client.run(os.getpid).values():
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("given_up", [False, True])
def test_lost_workers_are_started_again(given_up: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the cluster gives their nannies up before the replacements are there."""
    settings = {"icedask.worker-timeout": "60 s"}
    if given_up:
        settings["distributed.deploy.lost-worker-timeout"] = "10 ms"
    with (
        dask.config.set(settings),
        ice.connect(n_workers=2, memory_limit="1GB", set_as_default=False) as client,
    ):
        monkeypatch.setattr(compute, "active_client", lambda *_: client)
        kill_all(client)
        wave = Wave({"one": graphs.Task("one", int, 1)}, ["one"], ["one"])
        if given_up:
            wait_until(lambda: len(client.cluster.workers) < 2, 30)
        assert compute.run_tasks([wave], 1, "one") == [1]
        wait_until(lambda: len(client.nthreads()) == 2, 60)


def test_workers_that_do_not_come_back_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from icedask.errors import ComputeError

    with (
        dask.config.set({"icedask.worker-timeout": "4 s"}),
        ice.connect(n_workers=1, memory_limit="1GB", set_as_default=False) as client,
    ):
        monkeypatch.setattr(compute, "active_client", lambda *_: client)
        client.cluster.scale(0)
        wait_until(lambda: not client.nthreads(), 30)
        wave = Wave({"one": graphs.Task("one", int, 1)}, ["one"], ["one"])
        begun = time.monotonic()
        with pytest.raises(ComputeError, match="no worker for"):
            compute.run_tasks([wave], 1, "one")
        assert time.monotonic() - begun < 20
