"""Dask clients of local workers, of a running cluster, or of jobs of a batch system."""

from __future__ import annotations

import ast
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import dask

from icedask.errors import ComputeError, InputError
from icedask.hpc.folders import cluster_folder, connection
from icedask.hpc.profiles import MEMORY, load_profile, parse_jobs
from icedask.hpc.systems import SYSTEMS

logger = logging.getLogger("icedask")

_LOG_TOPIC = "icedask-log"


def connect(
    profile: str = "local",
    *,
    jobs: int | str | tuple[int, int] | None = None,
    name: str | None = None,
    **overrides: Any,
) -> Any:
    """Start workers or connect to a running cluster, and make the client the active one.

    Parameters
    ----------
    profile : str
        Place of the workers:

        - "local": one single-threaded worker process for each core that this process may use;
        - a batch system ({systems}), the name of another section of `jobqueue` in Dask's
          configuration, or a YAML file with one: jobs of a batch system;
        - the name of a cluster that was started with a name;
        - an address ("tcp://host:8786", "tls://...") or the path of a scheduler file (.json).
    jobs : int or pair of int, optional
        For a batch system: number of jobs, or the fewest and the most, between which the number
        follows the work. The profile's by default (0 to 4).
    name : str, optional
        For a batch system: name of a cluster that outlives this process. The same call connects to
        it again; `client.jobs.close()` ends it, as does an hour without work. A cluster without a
        name ends with the client.
    **overrides
        Settings of the profile in the names of dask-jobqueue (cores, processes, memory, walltime,
        queue, account, interface, local_directory, job_script_prologue, python, ...); for
        "local" those of `distributed.LocalCluster` (n_workers, memory_limit, ...); for an address
        those of `distributed.Client`.

    Returns
    -------
    distributed.Client
        To be closed by the caller, or used in a `with` block. That of a batch system has
        `jobs`: `client.jobs.scale(8)`, `client.jobs.scale(0, 8)`, `client.jobs.status()`.

    Raises
    ------
    InputError
        If the profile is not known, or a setting is not valid.
    ComputeError
        If workers cannot start; with the message of the batch system, if it refuses the jobs.
    """
    if profile == "local":
        _refuse(profile, jobs=jobs, name=name)
        return _local(overrides)
    if "://" in profile:
        from distributed import Client

        _refuse(profile, jobs=jobs, name=name)
        return Client(profile, **overrides)
    if profile.endswith(".json"):
        _refuse(profile, jobs=jobs, name=name)
        return _from_file(Path(profile), overrides)
    from icedask.hpc.cluster import attach, is_alive, start

    if name is None and _is_cluster(profile):
        _refuse(profile, jobs=jobs)
        return attach(cluster_folder(profile), **overrides)
    if name is not None and is_alive(cluster_folder(name)):
        return _join(cluster_folder(name), profile, jobs)
    return start(profile, jobs=jobs, name=name, **overrides)


connect.__doc__ = (connect.__doc__ or "").replace(
    "{systems}", ", ".join(f'"{system}"' for system in SYSTEMS)
)


def check_profile(profile: str, jobs: int | str | tuple[int, int] | None = None) -> None:
    """Raise InputError where `connect` would for such arguments; starts and asks nothing."""
    if profile == "local" or "://" in profile or profile.endswith(".json"):
        _refuse(profile, jobs=jobs)
        if profile.endswith(".json") and "://" not in profile:
            _scheduler_file(Path(profile))
    elif _is_cluster(profile):
        _refuse(profile, jobs=jobs)
    else:
        load_profile(profile, jobs=None if jobs is None else parse_jobs(jobs))


def dask_setup(worker: Any) -> None:
    """Set up a local worker process; `distributed` calls it where this module is a preload."""
    # The client handles the keyboard's interrupt, and ends its workers in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # It warns of every task that is cancelled, and has a traceback for a scheduler that has ended
    # and for errors of tasks, which the client raises.
    distributed = logging.getLogger("distributed.worker")
    distributed.setLevel(logging.ERROR)
    distributed.addFilter(_is_news)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(_ToClient(worker))


def _is_news(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return "heartbeat" not in message and not message.startswith("Compute Failed")


class _ToClient(logging.Handler):
    """Handler of the log of a worker process, whose records go to the client."""

    def __init__(self, worker: Any) -> None:
        super().__init__()
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        self._worker.log_event(_LOG_TOPIC, (record.levelno, record.getMessage()))


class _FromWorkers:
    """Function that logs what workers logged, each message once."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, event: tuple[float, tuple[int, str]]) -> None:
        level, message = event[1]
        if message not in self._seen:
            self._seen.add(message)
            logger.log(level, "%s", message)


def _join(folder: Path, profile: str, jobs: Any) -> Any:
    """Connect to the cluster that an earlier call started."""
    from icedask.hpc.cluster import attach

    runs_as = (connection(folder) or {}).get("profile_name", profile)
    if runs_as != profile:
        raise InputError(
            f"name: expected one that no other cluster has, found {folder.name!r}, which runs with "
            f"the profile {runs_as!r}; end it with icedask cluster stop {folder.name}"
        )
    limits = None if jobs is None else parse_jobs(jobs)
    client = attach(folder)
    logger.info("connected to the running cluster %s; its settings stay", folder.name)
    if limits is not None:
        client.jobs.scale(*limits)
    return client


def _refuse(profile: str, **arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise InputError(
                f"{name}: expected it for the profile of a batch system only, found it for "
                f"{profile!r}"
            )


def _is_cluster(name: str) -> bool:
    try:
        return connection(cluster_folder(name)) is not None
    except InputError:
        return False


def _local(overrides: dict[str, Any]) -> Any:
    from distributed import Client

    section = dask.config.get("jobqueue.local", None) or {}
    configured = {str(key).replace("-", "_"): value for key, value in section.items()}
    settings = {
        "n_workers": len(os.sched_getaffinity(0)),
        "threads_per_worker": 1,
        "processes": True,
        # Loopback only: a dashboard is a way into the process.
        "dashboard_address": "127.0.0.1:0",
        "preload": "icedask.hpc.client",
        **{
            key: configured[key]
            for key in ("n_workers", "memory_limit", "local_directory")
            if configured.get(key) is not None
        },
        **overrides,
    }
    _check_guard()
    number = settings["n_workers"]
    logger.info("starting %d worker%s", number, "" if number == 1 else "s")
    before_start = {
        f"distributed.nanny.pre-spawn-environ.{key}": value for key, value in MEMORY.items()
    }
    try:
        # Without an address the client starts a LocalCluster of its own, and ends it on close.
        with dask.config.set(before_start), _silent(logging.getLogger("distributed.nanny")):
            client = Client(**settings)
    except (RuntimeError, OSError) as error:
        # Its long chain adds nothing to the reason.
        raise ComputeError(
            f"the worker processes could not start: {_reason(error)}; see that this process may "
            "make processes, local connections and files in its temporary folder"
        ) from None
    client.subscribe_topic(_LOG_TOPIC, _FromWorkers())
    return client


@contextmanager
def _silent(silenced: logging.Logger) -> Iterator[None]:
    """Keep the messages of a logger back, but critical ones."""
    level = silenced.level
    silenced.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        silenced.setLevel(level)


def _reason(error: BaseException) -> str:
    """Return the message of the first error in a chain, which is that of the worker."""
    messages = []
    step: BaseException | None = error
    while step is not None:
        lines = str(step).strip().splitlines()
        messages += [f"{type(step).__name__}: {lines[-1]}"] if lines else []
        step = step.__cause__ or step.__context__
    return messages[-1] if messages else type(error).__name__


def _check_guard() -> None:
    """Raise InputError if a script starts workers outside of `if __name__ == "__main__"`.

    Each worker imports the script, and would start workers of its own.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None and (
        frame.f_code.co_name != "<module>" or frame.f_globals.get("__name__") != "__main__"
    ):
        frame = frame.f_back
    if frame is None or not Path(frame.f_code.co_filename).is_file():
        return
    try:
        script = ast.parse(Path(frame.f_code.co_filename).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    line = frame.f_lineno
    for statement in script.body:
        if statement.lineno <= line <= (statement.end_lineno or line):
            names = [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
            if isinstance(statement, ast.If) and "__name__" in names:
                return
            raise InputError(
                f'connect: expected the call under `if __name__ == "__main__":`, because '
                f"workers import the script, found line {line} of {frame.f_code.co_filename} "
                "outside of it; indent what the script does under that line"
            )


def _from_file(path: Path, overrides: dict[str, Any]) -> Any:
    from distributed import Client

    if "dashboard_port" in _scheduler_file(path):
        from icedask.hpc.cluster import attach

        return attach(path.parent, **overrides)
    return Client(scheduler_file=str(path), **overrides)


def _scheduler_file(path: Path) -> dict[str, Any]:
    """Return the content of a scheduler file; raise InputError if there is none."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"profile {str(path)!r}: no such scheduler file") from error
    except ValueError as error:
        raise InputError(f"profile {str(path)!r}: expected a scheduler file, {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"profile {str(path)!r}: expected a scheduler file, found {content!r:.60}")
    return content
