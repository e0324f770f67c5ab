"""Workers on this machine: started, kept running, and closed to other users."""

from __future__ import annotations

import ast
import inspect
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import dask
from distributed import Client, LocalCluster, Scheduler
from tornado.ioloop import PeriodicCallback

from icedask.errors import ComputeError, InputError
from icedask.hpc.profiles import MEMORY
from icedask.hpc.reach import open_client

logger = logging.getLogger("icedask")

_LOG_TOPIC = "icedask-log"
# seconds.
_LOOK = 1.0
_TRY_AGAIN = 5.0
# States of a nanny that watches no worker any more.
_GONE = ("closed", "failed")


def start_local(overrides: dict[str, Any]) -> Any:
    """Start worker processes on this machine, and return their client.

    Connections are encrypted and need a key, which is kept in the memory of these processes: other
    users of the machine can connect to none of them.

    Parameters
    ----------
    overrides : dict
        Settings of `distributed.LocalCluster`.

    Returns
    -------
    distributed.Client
        Client that ends the workers when it is closed.

    Raises
    ------
    ComputeError
        If they cannot start.
    """
    section = dask.config.get("jobqueue.local", None) or {}
    configured = {str(key).replace("-", "_"): value for key, value in section.items()}
    settings = {
        "n_workers": len(os.sched_getaffinity(0)),
        "threads_per_worker": 1,
        "processes": True,
        **{
            key: configured[key]
            for key in ("n_workers", "memory_limit", "local_directory")
            if configured.get(key) is not None
        },
        **overrides,
    }
    if settings.get("asynchronous"):
        raise InputError(
            "asynchronous: expected False for local workers, found True; start a "
            "distributed.LocalCluster for an asynchronous client"
        )
    _close_doors(settings)
    _check_guard()
    number = settings["n_workers"]
    logger.info("starting %d worker%s", number, "" if number == 1 else "s")
    before_start = {
        f"distributed.nanny.pre-spawn-environ.{key}": value for key, value in MEMORY.items()
    }
    try:
        with dask.config.set(before_start), _silent(logging.getLogger("distributed.nanny")):
            client = _start(settings)
    except (RuntimeError, OSError) as error:
        # Its long chain adds nothing to the reason.
        raise ComputeError(
            f"the worker processes could not start: {_reason(error)}; see that this process may "
            "make processes, local connections and files in its temporary folder"
        ) from None
    client.subscribe_topic(_LOG_TOPIC, _FromWorkers())
    _Keeper(client.cluster).start()
    return client


class LocalClient(Client):
    """Client of workers on this machine that end with it."""

    def close(self, timeout: Any = None) -> None:
        """Close the client and end its workers."""
        super().close()
        if self.cluster is not None:
            self.cluster.close()


def _start(settings: dict[str, Any]) -> LocalClient:
    """Start workers and their client, of which nothing is left where one fails."""
    own = set(inspect.signature(Client).parameters) - {"address", "kwargs", "loop", "security"}
    options = {key: settings[key] for key in own & set(settings)}
    # A client that starts a cluster by itself does not end one that fails.
    cluster = LocalCluster(**{key: settings[key] for key in set(settings) - own})
    try:
        return open_client(LocalClient, cluster, **options)
    except BaseException:
        cluster.close()
        raise


def _close_doors(settings: dict[str, Any]) -> None:
    """Complete the settings so that no other user can connect, unless the user chose otherwise."""
    if settings["processes"]:
        settings.setdefault("preload", "icedask.hpc.local")
        if "protocol" not in settings:
            # Keys in memory, passed to the workers through pipes.
            settings.setdefault("security", True)
    if settings.get("dashboard_address") is None:
        # A dashboard is open to whoever reaches it, and shows code and data: on request only.
        settings.pop("dashboard_address", None)
        scheduler = {
            "dashboard": False,
            "dashboard_address": "127.0.0.1:0",
            "preload": "icedask.hpc.local",
        }
        settings["scheduler_kwargs"] = {**scheduler, **(settings.get("scheduler_kwargs") or {})}


class _Keeper:
    """Watch that starts local workers again that were lost for good.

    A nanny starts its worker again, but the cluster gives up a nanny whose worker is not back
    within `distributed.deploy.lost-worker-timeout`.
    """

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._next = 0.0
        self._callback: PeriodicCallback | None = None

    def start(self) -> None:
        """Look every second, on the cluster's own event loop, until it ends."""
        self._cluster.loop.add_callback(self._begin)

    def _begin(self) -> None:
        self._callback = PeriodicCallback(self._look, 1000 * _LOOK)
        self._callback.start()

    def _look(self) -> None:
        cluster = self._cluster
        if cluster.status.name != "running":
            if self._callback is not None:
                self._callback.stop()
            return
        for name, nanny in list(cluster.workers.items()):
            if getattr(nanny, "status", None) is not None and nanny.status.name in _GONE:
                del cluster.workers[name]
        missing = len(cluster.worker_spec) - len(cluster.workers)
        if missing > 0 and time.monotonic() > self._next:
            self._next = time.monotonic() + _TRY_AGAIN
            logger.warning(
                "%d worker process%s lost; starting again",
                missing,
                " was" if missing == 1 else "es were",
            )
            # The number stays: those that are missing are opened.
            cluster.scale(len(cluster.worker_spec))


def dask_setup(server: Any) -> None:
    """Set up a local scheduler or worker; `distributed` calls it where this module is a preload."""
    # Its pages show code and data to every user of the machine.
    server.http_server.stop()
    server.services.pop("dashboard", None)
    if isinstance(server, Scheduler) or threading.current_thread() is not threading.main_thread():
        return
    # The client handles the keyboard's interrupt, and ends its workers in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # It warns of every task that is cancelled, and has a traceback for a scheduler that has ended
    # and for errors of tasks, which the client raises.
    distributed = logging.getLogger("distributed.worker")
    distributed.setLevel(logging.ERROR)
    distributed.addFilter(_is_news)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(_ToClient(server))


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
