"""Another user of the machine: no port of icedask's processes answers to one without the key."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.jobs import SMALL, wait_until

import icedask as ice
from icedask.hpc.folders import connection
from icedask.nn.ranks import run_ranks

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="takes two users of the machine"
)

# Prints the addresses that answered, and how.
_SCAN = """
import asyncio, json, sys, urllib.request
from concurrent.futures import ThreadPoolExecutor
from distributed.comm import connect
from distributed.core import send_recv
from distributed.security import Security

async def ask(address, security):
    arguments = security.get_connection_args("client")
    comm = await connect(address, timeout=1, deserialize=False, **arguments)
    return await send_recv(comm, op="identity")

def scan(place):
    host, port = place
    answers = []
    for scheme, security in (("tcp", Security()), ("tls", Security.temporary())):
        try:
            asyncio.run(asyncio.wait_for(ask(f"{scheme}://{host}:{port}", security), 1.5))
            answers.append([scheme, port])
        except (OSError, TypeError, ValueError, AssertionError, asyncio.TimeoutError):
            pass
    for path in ("/", "/status", "/json/identity.json", "/sitemap.json", "/metrics", "/info/main/"):
        try:
            urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=1).read()
            answers.append(["http", port, path])
        except TimeoutError:
            break
        except Exception as error:
            if "timed out" in str(error):
                break
    return answers

with ThreadPoolExecutor(16) as pool:
    print(json.dumps(sum(pool.map(scan, json.loads(sys.stdin.read())), [])))
"""


def listening(pids: set[int]) -> list[tuple[str, int]]:
    """Return the addresses at which processes and their children listen."""
    import psutil

    processes = set(pids)
    for pid in pids:
        processes |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
    return sorted(
        {
            (c.laddr.ip, c.laddr.port)
            for pid in processes
            for c in psutil.Process(pid).net_connections("inet")
            if c.status == "LISTEN"
        }
    )


def answers_to_another_user(places: list[tuple[str, int]]) -> list[Any]:
    """Return the places that answered another user, with the way of asking."""
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = subprocess.run(
        [*user, sys.executable, "-c", _SCAN],
        input=json.dumps(places),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=120,
    )
    if "Permission denied" in done.stderr:
        pytest.skip("another user cannot read this Python")
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers


def _wait(group: Any, folder: str) -> int:
    (Path(folder) / f"rank{group.rank}").touch()
    while not group.broadcast((Path(folder) / "end").exists()):
        time.sleep(0.05)
    return int(group.size)


@pytest.mark.slow
def test_local_workers_and_ranks(tmp_path: Path) -> None:
    # Of other tests in this process, whose workers may be open.
    others = set(listening({os.getpid()}))
    with ice.connect(n_workers=2, memory_limit="2GB"):
        ended: list[int] = []
        train = threading.Thread(
            target=lambda: ended.append(run_ranks(_wait, 2, str(tmp_path))), daemon=True
        )
        before = set(listening({os.getpid()}))
        train.start()
        wait_until(lambda: (tmp_path / "rank1").exists(), 60)
        places = [place for place in listening({os.getpid()}) if place not in others]
        # The store of addresses, and the listeners of the ranks.
        assert len(set(places) - before) >= 2
        assert {host for host, _ in places} == {"127.0.0.1"}
        assert answers_to_another_user(places) == []
        (tmp_path / "end").touch()
        train.join(60)
        assert ended == [2]


@pytest.mark.slow
@pytest.mark.usefixtures("fake_slurm")
def test_the_head_and_the_jobs_of_a_cluster(tmp_path: Path) -> None:
    with ice.connect("slurm", jobs=1, **SMALL) as client:
        client.wait_for_workers(1, timeout=60)
        head = connection(client.jobs.folder)
        assert head is not None
        workers = set(client.run(os.getpid).values()) | set(client.run(os.getppid).values())
        places = listening({head["pid"], *workers})
        assert len(places) >= 3
        assert answers_to_another_user(places) == []
