"""The head of a cluster: a process with the scheduler and the control of the jobs.

    python -m icedask.hpc.head SETTINGS

In a process of its own the scheduler is not blocked by a notebook or a script, and may outlive it:
a cluster with a name continues after its client has ended, one without ends with the client.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distributed import Scheduler
from distributed.security import Security

from icedask.errors import IcedaskError
from icedask.hpc.folders import (
    CONNECTION,
    FAILURE,
    LOCK,
    SECRETS,
    remove_folder,
    write_private,
)
from icedask.hpc.jobs import Jobs
from icedask.hpc.pages import close_pages
from icedask.hpc.profiles import Profile, parse_jobs

# Number of workers that a task may lose: jobs end for many reasons that are not the task's.
_ALLOWED_FAILURES = 10

# Exit status where another head has the folder.
TAKEN = 3

logger = logging.getLogger("icedask.hpc")


def make_security(folder: Path) -> Security:
    """Write temporary credentials into a private folder, and return their `Security`."""
    temporary = Security.temporary()
    texts = {"ca": temporary.tls_ca_file, "key": temporary.tls_client_key}
    for name, text in texts.items():
        write_private(folder / SECRETS[name], text)
    return security_of(folder)


def security_of(folder: Path) -> Security:
    """Return the `Security` with the credentials in the folder of a cluster.

    One key serves the three roles: access to the folder is access to the cluster.
    """
    ca, key = str(folder / SECRETS["ca"]), str(folder / SECRETS["key"])
    roles = {
        f"tls_{role}_{part}": value
        for role in ("client", "scheduler", "worker")
        for part, value in (("cert", ca), ("key", key))
    }
    return Security(require_encryption=True, tls_ca_file=ca, **roles)


class Head:
    """Scheduler and jobs of a cluster.

    The folder is private, and all nodes see it; `idle` is the time, seconds, without work after
    which the cluster ends, None for never. `profile_name` is the user's name or file of the
    profile.
    """

    def __init__(
        self, profile: Profile, profile_name: str, folder: Path, idle: float | None
    ) -> None:
        self.profile = profile
        self.profile_name = profile_name
        self.folder = folder
        self.idle = idle
        self.ended = asyncio.Event()
        # Whether the client has ended in good order, or an idle cluster by itself; and whether any
        # job was lost: else the logs are of no more use.
        self.good_end = False
        self.lost_jobs = False

    async def run(self) -> None:
        """Start, write the connection file, and serve until the end."""
        security = make_security(self.folder)
        # Other users of the machine reach the port of the pages, but do not know their path.
        prefix = secrets.token_urlsafe(16)
        options = {
            "port": 0,
            "dashboard_address": "127.0.0.1:0",
            "interface": self.profile.section["interface"],
            **(self.profile.section["scheduler-options"] or {}),
        }
        if "host" in options:
            del options["interface"]
        async with Scheduler(
            protocol="tls://",
            security=security,
            allowed_failures=_ALLOWED_FAILURES,
            idle_timeout=self.idle,
            **{**options, "http_prefix": f"/{prefix}"},
        ) as scheduler:
            close_pages(scheduler, prefix)
            jobs = Jobs(scheduler, self.profile, self.folder, security)
            self._serve(scheduler, jobs)
            keeper = None
            try:
                await jobs.start()
                self._announce(scheduler, prefix)
                keeper = asyncio.ensure_future(jobs.run())
                await self._until_end(scheduler)
            finally:
                if keeper is not None:
                    keeper.cancel()
                self.lost_jobs = jobs.any_lost
                await jobs.close()

    def _serve(self, scheduler: Scheduler, jobs: Jobs) -> None:
        async def scale(low: int, high: int) -> None:
            jobs.scale(*parse_jobs((low, high)))

        async def status() -> dict[str, Any]:
            return jobs.status()

        async def end() -> None:
            self.good_end = True
            # The client that asks has time to close.
            asyncio.get_running_loop().call_later(0.5, self.ended.set)

        scheduler.handlers |= {
            "icedask_scale": scale,
            "icedask_status": status,
            "icedask_end": end,
        }

    def _announce(self, scheduler: Scheduler, prefix: str) -> None:
        port = getattr(scheduler.http_server, "port", None)
        connection = {
            "address": scheduler.address,
            "dashboard_port": port,
            "dashboard_path": f"/{prefix}/status",
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "profile_name": self.profile_name,
            "profile": self.profile.plain(),
            "started": time.time(),
        }
        write_private(self.folder / CONNECTION, json.dumps(connection, indent=1))

    async def _until_end(self, scheduler: Scheduler) -> None:
        finished = asyncio.ensure_future(scheduler.finished())
        ended = asyncio.ensure_future(self.ended.wait())
        await asyncio.wait({finished, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not self.ended.is_set():
            # Closed for having been idle.
            self.good_end = True
        ended.cancel()


async def _main(values: Mapping[str, Any]) -> None:
    folder = Path(values["folder"])
    for name in (CONNECTION, FAILURE):
        (folder / name).unlink(missing_ok=True)
    profile = Profile.from_plain(values["profile"])
    head = Head(profile, values["profile_name"], folder, values["idle"])
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, head.ended.set)
    # The client handles an interrupt from the keyboard, and then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not values["keep"]:
        loop.add_reader(sys.stdin.fileno(), _read, head)
    try:
        await head.run()
    except IcedaskError as error:
        write_private(folder / FAILURE, str(error))
        raise SystemExit(1) from error
    finally:
        if head.good_end and not head.lost_jobs and not profile.system.copies_output:
            remove_folder(folder)
        for name in (*SECRETS.values(), CONNECTION):
            (folder / name).unlink(missing_ok=True)


def main(path: Path) -> None:
    """Run the head with the settings of a file, unless its folder is taken."""
    values = json.loads(path.read_text())
    path.unlink()
    with (Path(values["folder"]) / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(TAKEN)
        asyncio.run(_main(values))


def _read(head: Head) -> None:
    # A client that ends in good order says so; the end of the file is the end of the client.
    if os.read(sys.stdin.fileno(), 1024):
        head.good_end = True
        return
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    head.ended.set()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    os.umask(0o077)
    main(Path(sys.argv[1]))
