"""Clients of clusters whose workers are jobs: start, connect, scale, stop."""

from __future__ import annotations

import contextvars
import json
import logging
import os
import secrets
import subprocess
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from dask.utils import parse_timedelta
from distributed import Client

from icedask.errors import ComputeError, InputError
from icedask.hpc.folders import (
    CONNECT_SECONDS,
    CONNECTION,
    FAILURE,
    SECRETS,
    cluster_folder,
    connection,
    home,
    is_own,
    make_folder,
    open_private,
    running,
    running_cluster,
    sweep,
    unused_name,
    write_private,
)
from icedask.hpc.head import TAKEN, security_of
from icedask.hpc.jobs import TOPIC
from icedask.hpc.profiles import load_profile, parse_jobs, profile_names
from icedask.hpc.reach import ask_scheduler, open_client, reason

logger = logging.getLogger("icedask")

# seconds.
_HEAD_STARTS = 120
_HEAD_ENDS = 30
_KEPT_IDLE = 3600
# Written to a head by a client that ends without an error.
_GOOD_END = b"end\n"

# Heads that this process started and that may outlive it, by folder.
_kept: dict[Path, subprocess.Popen[bytes]] = {}


class JobsClient(Client):
    """Client of a cluster whose workers are jobs.

    Attributes
    ----------
    jobs : JobControl
        Control of the jobs.
    failure : str or None
        Reason for which the cluster submits no more jobs.
    """

    def __init__(
        self, address: str, folder: Path, head: subprocess.Popen[bytes] | None, **options: Any
    ) -> None:
        self.jobs = JobControl(self, folder)
        self._head = head
        self._failed = False
        self.failure: str | None = None
        super().__init__(address, **options)
        self.subscribe_topic(TOPIC, self._log_event)
        # Of events before the subscription.
        self.failure = self.jobs.ask("status")["failure"]

    def _log_event(self, event: tuple[float, dict[str, str]]) -> None:
        level, message = event[1]["level"], event[1]["message"]
        if level == "failure":
            self.failure = message
        (logger.info if level == "info" else logger.warning)(message)

    @property
    def dashboard_link(self) -> str:
        """Address of the dashboard: on the machine of the scheduler, else behind `jobs.tunnel`."""
        head = connection(self.jobs.folder) or {}
        if head.get("host") == os.uname().nodename:
            return f"http://127.0.0.1:{head['dashboard_port']}{head['dashboard_path']}"
        return _tunnel_link(self.jobs.folder)

    def check(self) -> None:
        """Raise ComputeError if the cluster submits no more jobs."""
        if self.failure is not None:
            raise ComputeError(self.failure)

    def any_job(self, timeout: float) -> bool:
        """Return whether jobs are submitted; TimeoutError without an answer in time."""
        return bool(self.jobs.ask("status", callback_timeout=timeout)["jobs"])

    def wait_for_workers(self, n_workers: int, timeout: float | None = None) -> None:
        """Wait for a number of workers; raise ComputeError if their jobs fail."""
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while True:
            try:
                super().wait_for_workers(n_workers, timeout=1)
                return
            except TimeoutError:
                self.check()
                if time.monotonic() > deadline:
                    raise

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> None:
        """Close the client; after an error, the logs of the jobs are kept."""
        self._failed = kind is not None
        super().__exit__(kind, value, traceback)

    def close(self, timeout: Any = None) -> None:
        """Close the client; a cluster without a name ends with it."""
        # In a context without a current client: within its own `with` block, a client that is
        # closed would leave Dask's configuration behind, which names it as the scheduler.
        contextvars.Context().run(super().close)
        if self._head is not None:
            # The head ends at the end of its standard input.
            assert self._head.stdin is not None
            with suppress(BrokenPipeError):
                if not self._failed and not self._head.stdin.closed:
                    self._head.stdin.write(_GOOD_END)
                self._head.stdin.close()
            try:
                self._head.wait(_HEAD_ENDS)
            except subprocess.TimeoutExpired:
                self._head.kill()
                self._head.wait()


class JobControl:
    """Control of the jobs of a cluster from its client."""

    def __init__(self, client: JobsClient, folder: Path) -> None:
        self._client = client
        self.folder = folder

    def ask(self, operation: str, **values: Any) -> Any:
        """Return the answer of the head to an operation."""
        return self._client.sync(getattr(self._client.scheduler, f"icedask_{operation}"), **values)

    def scale(self, jobs: int | str, most: int | None = None) -> None:
        """Set the number of jobs, or bounds between which it follows the work.

        Parameters
        ----------
        jobs : int or str
            Number of jobs, from 1; the fewest, where `most` is given; or both as "0:8".
        most : int, optional
            Largest number of jobs.

        Raises
        ------
        InputError
            If the numbers are not valid.
        """
        low, high = parse_jobs(jobs if most is None else (jobs, most))
        self._client.failure = None
        self.ask("scale", low=low, high=high)

    def status(self) -> pd.DataFrame:
        """Return the table of jobs: state, reason of waiting, workers, tasks, age (s), hosts."""
        columns = ["job", "state", "reason", "workers", "tasks", "age_s", "hosts"]
        return pd.DataFrame(self.ask("status")["jobs"], columns=columns).set_index("job")

    def events(self) -> list[str]:
        """Return the messages about the jobs so far, each after its local date and time."""
        return [
            f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S} {event['message']}"
            for seconds, event in self._client.get_events(TOPIC)
        ]

    def tunnel(self) -> str | None:
        """Return the ssh command that forwards the dashboard to `tunnel_link`."""
        return _tunnel(self.folder)

    def tunnel_link(self) -> str:
        """Return the address of the dashboard behind the tunnel, which other users do not know."""
        return _tunnel_link(self.folder)

    def close(self) -> None:
        """End the jobs, the cluster and this client."""
        self.ask("end")
        self._client.close()
        _wait_for_end(self.folder)


def _tunnel(folder: Path) -> str | None:
    head = connection(folder) or {}
    if not head.get("dashboard_port"):
        return None
    return f"ssh -N -L 8787:127.0.0.1:{head['dashboard_port']} {head['host']}"


def _tunnel_link(folder: Path) -> str:
    return f"http://localhost:8787{(connection(folder) or {}).get('dashboard_path', '')}"


def start(
    profile: str, *, jobs: Any = None, name: str | None = None, **overrides: Any
) -> JobsClient:
    """Start the head of a new cluster and connect to it.

    Raises ComputeError if the batch system refuses the jobs, or the head cannot start.
    """
    loaded = load_profile(profile, jobs=parse_jobs(jobs) if jobs is not None else None, **overrides)
    if name in ("local", *profile_names()):
        raise InputError(f"name: expected one that no profile has, found {name!r}")
    sweep_clusters()
    folder = make_folder("clusters", cluster_folder(name or unused_name(loaded.name)).name)
    values = {
        "folder": str(folder),
        "profile": loaded.plain(),
        "profile_name": profile,
        "keep": name is not None,
        "idle": _KEPT_IDLE if name is not None else None,
    }
    settings = folder / f"head-{secrets.token_hex(4)}.json"
    write_private(settings, json.dumps(values))
    with open(folder / "logs" / "head.log", "ab", opener=open_private) as log:
        head = subprocess.Popen(
            [sys.executable, "-m", "icedask.hpc.head", str(settings)],
            stdin=subprocess.DEVNULL if name else subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(),
            # Neither the keyboard's interrupt nor the end of the terminal reaches it.
            start_new_session=True,
        )
    try:
        _wait_for_start(head, folder)
        client = _client_of(folder, None if name else head)
        if name and head.poll() is None:
            _kept[folder] = head
    except BaseException:
        if head.stdin is not None:
            head.stdin.close()
        head.terminate()
        head.wait()
        raise
    tunnel = _tunnel(folder)
    logger.info("cluster %s: jobs of %s; logs in %s", folder.name, loaded.name, folder / "logs")
    if tunnel:
        logger.info("dashboard: %s, then %s", tunnel, _tunnel_link(folder))
    return client


def _environment() -> dict[str, str]:
    """Return the environment of the head, with the module search path of this process.

    Tasks refer to functions by their modules, which the scheduler imports too.
    """
    prefixes = (sys.prefix, sys.base_prefix)
    own = [path for path in sys.path if path and not path.startswith(prefixes)]
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = dict.fromkeys(path for path in (*inherited, *own) if path)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _wait_for_start(head: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _HEAD_STARTS
    # Where another process starts a cluster of this name, its head has the folder, and ours ends.
    while (connection(folder) or {}).get("pid") != head.pid:
        if head.poll() == TAKEN and connection(folder) is not None:
            return
        if head.poll() not in (None, TAKEN):
            failure = folder / FAILURE
            if failure.exists():
                raise ComputeError(failure.read_text())
            log = folder / "logs" / "head.log"
            lines = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
            raise ComputeError(
                "the scheduler could not start; the end of its log "
                f"({log}):\n" + "\n".join(f"  {line}" for line in lines)
            )
        if time.monotonic() > deadline:
            raise ComputeError(
                f"the scheduler did not start within {_HEAD_STARTS} s; see {folder / 'logs'}"
            )
        time.sleep(0.05)


def attach(folder: Path, **options: Any) -> JobsClient:
    """Connect to a cluster that runs.

    Raises ComputeError if it does not answer.
    """
    if not is_alive(folder):
        raise ComputeError(
            f"cluster {folder.name}: its scheduler was killed; start it again, or forget it: "
            f"icedask cluster stop {folder.name}"
        )
    try:
        return _client_of(folder, None, **options)
    except OSError as error:
        raise ComputeError(
            f"cluster {folder.name}: its scheduler does not answer ({reason(error)}); if it was "
            f"killed, delete {folder / CONNECTION} and start it again"
        ) from None


def _client_of(folder: Path, head: subprocess.Popen[bytes] | None, **options: Any) -> JobsClient:
    """Return a client of the cluster of a folder, once its scheduler has answered."""
    address = (connection(folder) or {}).get("address")
    if address is None:
        raise ComputeError(f"{folder}: no cluster runs here any more; start it again")
    options = {"timeout": CONNECT_SECONDS, "security": security_of(folder), **options}
    ask_scheduler(address, options["security"], float(parse_timedelta(options["timeout"])))
    return open_client(JobsClient, address, folder, head, **options)


def is_alive(folder: Path) -> bool:
    """Return whether a cluster runs, as far as its connection file and its process show."""
    if folder in _kept and _kept[folder].poll() is not None:
        del _kept[folder]
    head = connection(folder)
    if head is None:
        return False
    if head["host"] != os.uname().nodename:
        return True
    try:
        os.kill(head["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def sweep_clusters() -> None:
    """Delete keys of clusters whose scheduler was killed, and logs that are a month old."""
    for file in (home() / "clusters").glob(f"*/{CONNECTION}"):
        if is_own(file.parent) and not is_alive(file.parent):
            _delete_keys(file.parent)
    sweep("clusters", lambda folder: not is_alive(folder))


def _delete_keys(folder: Path) -> None:
    for name in SECRETS.values():
        (folder / name).unlink(missing_ok=True)


def clusters() -> pd.DataFrame:
    """List the clusters of this user that have a connection file.

    Returns
    -------
    pandas.DataFrame
        Indexed by name: profile, host, address, started, alive.
    """
    rows = []
    for folder in running():
        head = connection(folder)
        if head is not None:
            rows.append(
                {
                    "name": folder.name,
                    "profile": head["profile"]["name"],
                    "host": head["host"],
                    "address": head["address"],
                    "started": pd.Timestamp(head["started"], unit="s").floor("s"),
                    "alive": is_alive(folder),
                }
            )
    columns = ["name", "profile", "host", "address", "started", "alive"]
    return pd.DataFrame(rows, columns=columns).set_index("name")


def _wait_for_end(folder: Path) -> None:
    deadline = time.monotonic() + _HEAD_ENDS
    while connection(folder) is not None:
        if time.monotonic() > deadline:
            raise ComputeError(f"cluster {folder.name} did not end within {_HEAD_ENDS} s")
        time.sleep(0.05)
    if folder in _kept:
        _kept.pop(folder).wait(_HEAD_ENDS)


def attach_by_name(name: str) -> JobsClient:
    """Connect to a cluster by name, with a client that is not the active one."""
    return attach(running_cluster(name), set_as_default=False)


def stop(name: str) -> None:
    """End a cluster and its jobs; raise InputError if there is none of this name."""
    folder = running_cluster(name)
    if not is_alive(folder):
        _delete_keys(folder)
        (folder / CONNECTION).unlink(missing_ok=True)
        return
    with attach_by_name(name) as client:
        client.jobs.close()
