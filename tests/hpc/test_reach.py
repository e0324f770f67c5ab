"""Clients that cannot connect: one sentence of error, and nothing left behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Security, get_client

import icedask as ice
from icedask.errors import ComputeError, InputError
from icedask.hpc.cluster import attach
from icedask.hpc.folders import CONNECTION, SECRETS, make_folder


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, Any]]:
    """Addresses of a scheduler with keys, a worker, a silent program, one of the web, and none."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        socket.create_server(("127.0.0.1", 0)) as web,
        ice.connect(n_workers=1, memory_limit="1GB", set_as_default=False) as client,
    ):
        threading.Thread(target=_answer, args=(web,), daemon=True).start()
        yield {
            "keys": client.security,
            "tls": client.scheduler.address,
            "tcp": client.scheduler.address.replace("tls", "tcp"),
            "worker": next(iter(client.nthreads())),
            "silent": f"tcp://127.0.0.1:{silent.getsockname()[1]}",
            "web": f"tcp://127.0.0.1:{web.getsockname()[1]}",
            "nothing": "tcp://127.0.0.1:1",
            "no host": "tcp://no-such-host.invalid:8786",
            "no port": "tcp://127.0.0.1",
        }
        web.shutdown(socket.SHUT_RDWR)


def _answer(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" + b"x" * 100)


def active() -> Any:
    try:
        return get_client()
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("place", "keys", "message"),
    [
        ("nothing", None, "refused.*: see that it runs"),
        ("no host", None, "[Nn]ame.*: see that it runs"),
        ("no port", None, "see that it runs"),
        ("silent", None, "no answer|[Tt]imed out"),
        ("web", None, "see that it runs|something else listens"),
        ("tcp", None, "(closed|reset).*a scheduler with keys, of tls://127"),
        ("tls", None, "asks for its keys: give them"),
        ("tls", "others", "that the keys are its own"),
        ("worker", "own", "what answered is no scheduler"),
    ],
)
def test_failures_leave_nothing(
    places: dict[str, Any], place: str, keys: str | None, message: str
) -> None:
    settings: dict[str, Any] = {"timeout": "1 s"}
    if keys is not None:
        settings["security"] = places["keys"] if keys == "own" else Security.temporary()
    client, scheduler = active(), dask.config.get("scheduler", None)
    begun = time.monotonic()
    with pytest.raises(ComputeError, match=f"no Dask scheduler answered at .*{message}") as error:
        ice.connect(places[place], **settings)
    assert time.monotonic() - begun < 3
    assert "\n" not in str(error.value) and "<" not in str(error.value)
    assert active() is client and dask.config.get("scheduler", None) == scheduler
    assert dask.delayed(int)(3).compute() == 3


def test_the_client_of_a_scheduler_that_answers(places: dict[str, Any]) -> None:
    before = dask.config.get("scheduler", None)
    with ice.connect(places["tls"], security=places["keys"]) as client:
        assert active() is client and client.submit(int, 3).result() == 3
    assert active() is not client and dask.config.get("scheduler", None) == before


def test_settings_of_an_address() -> None:
    with pytest.raises(InputError, match=r"settings of distributed.Client .* found n_workers"):
        ice.connect("tcp://127.0.0.1:1", n_workers=2)
    with pytest.raises(InputError, match="timeout: expected a time such as '30 s', found 'soon'"):
        ice.connect("tcp://127.0.0.1:1", timeout="soon")


def test_a_failure_within_the_client(
    places: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is the active one already when it fails."""
    monkeypatch.setattr("icedask.hpc.reach.ask_scheduler", lambda *_: None)
    client = active()
    with dask.config.set(scheduler="threads"):
        for settings in ({}, {"security": Security.temporary()}):
            with pytest.raises(ComputeError, match="no Dask scheduler answered"):
                ice.connect(places["tls"], timeout="1 s", **settings)
            assert active() is client and dask.config.get("scheduler") == "threads"


def test_local_workers_that_cannot_start(tmp_path: Path) -> None:
    client, scheduler = active(), dask.config.get("scheduler", None)
    with pytest.raises(ComputeError, match="could not start"):
        ice.connect(n_workers=1, local_directory="/proc/nothing")
    assert active() is client and dask.config.get("scheduler", None) == scheduler
    assert dask.delayed(int)(3).compute() == 3


@pytest.mark.parametrize("has_keys", [True, False])
def test_a_cluster_that_does_not_answer(
    places: dict[str, Any], monkeypatch: pytest.MonkeyPatch, has_keys: bool
) -> None:
    monkeypatch.setattr("icedask.hpc.cluster.CONNECT_SECONDS", 1)
    folder = make_folder("clusters", "mine")
    values = {"address": places["tls"], "host": os.uname().nodename, "pid": os.getpid()}
    (folder / CONNECTION).write_text(json.dumps({**values, "dashboard_port": None}))
    if has_keys:
        others = Security.temporary()
        for name, text in {"ca": others.tls_ca_file, "key": others.tls_client_key}.items():
            (folder / SECRETS[name]).write_text(text)
    client = active()
    with pytest.raises(ComputeError, match="mine: its scheduler does not answer"):
        attach(folder)
    assert active() is client and dask.delayed(int)(3).compute() == 3


def test_the_process_ends_at_once() -> None:
    """After a failure within the client, too."""
    script = (
        "import time, dask, icedask\n"
        "for where in ('tcp://127.0.0.1:1', 'tls://127.0.0.1:1', 'inproc://none'):\n"
        "    try:\n"
        "        icedask.connect(where, timeout=0.5)\n"
        "    except icedask.errors.ComputeError as error:\n"
        "        print(dask.delayed(int)(3).compute())\n"
        "print(time.time())\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    ended = time.time()
    *answers, last = done.stdout.split()
    assert answers == ["3"] * 3, done.stderr
    assert ended - float(last) < 3 and "Traceback" not in done.stderr
