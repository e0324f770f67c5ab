"""Run one function as the ranks of a process group, one on each worker of a cluster.

If a worker is lost, all ranks end and restart, from the last checkpoint of the function.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Concatenate, NamedTuple, TypeVar
from uuid import uuid4

import torch.distributed

from icedask.core.options import Option, takes_options
from icedask.errors import ComputeError, InputError
from icedask.nn.process_group import (
    Group,
    Key,
    Place,
    RankLate,
    RankLost,
    connect_store,
    joined,
    new_key,
    serve_store,
    single_rank,
)
from icedask.tasks.run import active_client, check_cluster, computed_here, scheduler_lost

T = TypeVar("T")

logger = logging.getLogger("icedask")

_LOOK_SECONDS = 0.05
_CHECK_SECONDS = 1.0
# Wait for the cause of a lost connection.
_EXPLAIN_SECONDS = 10.0
# Least time for a worker to import torch, and most to list its tasks.
_LOAD_SECONDS = 120.0
_ANSWER_SECONDS = 10.0

# Stores of the groups whose rank 0 is about to begin in this process, by the group's name.
_stores: dict[str, torch.distributed.TCPStore] = {}


class _Member(NamedTuple):
    """Argument of the task of a rank."""

    group: str
    rank: int
    size: int
    host: str
    port: int
    timeout_s: float
    key: Key


@takes_options(
    "function : callable\n"
    "    Called as ``function(group, *args)`` on each rank, with a `Group`. It computes Dask\n"
    "    collections within the rank, and is called again after the loss of a worker.",
    "*args\n    Sent to each rank: names of stores rather than large arrays.",
)
def run_ranks(
    function: Callable[Concatenate[Group, ...], T],
    n_ranks: Annotated[int, Option("Number of ranks, each on a worker.", at_least=1)],
    *args: Any,
    restarts: Annotated[int, Option("Largest number of restarts.", at_least=0)] = 3,
    timeout_s: Annotated[
        float,
        Option("Longest wait for other ranks between collective operations.", "second", above=0),
    ] = 120.0,
) -> T:
    """Run a function as the ranks of one group, on workers of the active client.

    {parameters}

    Returns
    -------
    Any
        The value of rank 0.

    Raises
    ------
    InputError
        If there are fewer workers than ranks.
    ComputeError
        If ranks were late, or workers were lost more than `restarts` times.
    Exception
        Any error of the function on any rank; the other ranks end, too.
    """
    if n_ranks == 1:
        return function(single_rank(), *args)
    client = active_client(n_ranks)
    if client is None:
        raise InputError(
            f"run_ranks: expected {n_ranks} workers for {n_ranks} ranks, found no client: "
            f"ice.connect(n_workers={n_ranks}) first, or ask for one rank"
        )
    if (n_workers := len(_workers(client))) < n_ranks:
        raise InputError(
            f"run_ranks: expected {n_ranks} workers for {n_ranks} ranks, found {n_workers}: start "
            f"more of them, client.wait_for_workers({n_ranks}) if they are on their way, or ask "
            "for fewer ranks"
        )
    for restart in range(restarts + 1):
        workers = _wait_for_workers(client, n_ranks, timeout_s)
        try:
            result: T = _Ranks(client, workers, timeout_s).run(function, args)
            return result
        except RankLost as error:
            lost = error
            if restart < restarts:
                logger.warning(
                    "%s; all %d ranks restart (%d of %d times)",
                    *(error, n_ranks, restart + 1, restarts),
                )
    raise ComputeError(
        f"ranks were lost {restarts + 1} times, at last because {lost}; the checkpoint is kept. "
        "If workers die, most often for lack of memory, give each more, or use fewer, and rerun "
        "the same command to resume; all ranks must call all_reduce_mean and broadcast equally "
        "often"
    ) from lost


def _workers(client: Any) -> list[str]:
    """Return the addresses of running workers, idle ones first."""
    check_cluster(client)
    workers = client.scheduler_info(n_workers=-1)["workers"]
    running = [address for address, about in workers.items() if about["status"] == "running"]
    tasks = client.processing(running) if running else {}
    return sorted(running, key=lambda address: (len(tasks.get(address, ())), address))


def _wait_for_workers(client: Any, n_ranks: int, timeout_s: float) -> list[str]:
    deadline = time.monotonic() + timeout_s
    while len(workers := _workers(client)) < n_ranks:
        if time.monotonic() > deadline:
            raise ComputeError(
                f"workers were lost, and after {timeout_s:g} s there are {len(workers)} for "
                f"{n_ranks} ranks; the checkpoint is kept: start more workers, and rerun the same "
                "command to resume"
            )
        time.sleep(_CHECK_SECONDS)
    return workers[:n_ranks]


class _Ranks:
    """One attempt: a task for each rank, watched until all have ended."""

    def __init__(self, client: Any, workers: Sequence[str], timeout_s: float) -> None:
        self._client = client
        self._workers = workers
        self._timeout_s = timeout_s
        self._name = f"ranks-{uuid4().hex}"
        self._key = new_key()
        self._futures: list[Any] = []
        self._checked = 0.0

    def run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run the ranks; all have ended when it returns."""
        try:
            self._send(function, args)
            return self._watch()
        except Exception:
            self._end()
            raise
        except BaseException:
            # An interrupt does not wait: cancelled ranks end at the next collective operation.
            self._cancel()
            raise

    def _send(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        # Imports first, so that they do not count as waiting.
        self._ask_all(self._workers, _load)
        host, port = self._ask_all(self._workers[:1], _serve, self._name, self._timeout_s)
        for rank, worker in enumerate(self._workers):
            member = _Member(
                self._name, rank, len(self._workers), host, port, self._timeout_s, self._key
            )
            self._futures.append(
                self._client.submit(
                    _rank,
                    *(function, args, member),
                    key=f"{self._name}-{rank}",
                    workers=[worker],
                    allow_other_workers=False,
                    pure=False,
                    retries=0,
                )
            )

    def _watch(self) -> Any:
        """Wait for all ranks; return the value of rank 0."""
        result = None
        left = set(range(len(self._futures)))
        lost: list[ComputeError] = []
        deadline = math.inf
        while left:
            for rank in sorted(left):
                future = self._futures[rank]
                status = future.status
                if status == "pending":
                    continue
                left.discard(rank)
                if status == "finished":
                    # At once: its worker may die before the other ranks end.
                    result = self._fetch(future) if rank == 0 else result
                else:
                    lost.append(self._failure(future))
            self._check_workers(left)
            for error in lost:
                if isinstance(error, RankLate):
                    raise error
            if lost:
                # The error of another rank that caused it may be on its way.
                deadline = min(deadline, time.monotonic() + _EXPLAIN_SECONDS)
                if not left or time.monotonic() > deadline:
                    raise lost[0]
            if left:
                time.sleep(_LOOK_SECONDS)
        return result

    def _fetch(self, future: Any) -> Any:
        from distributed.client import FutureCancelledError

        try:
            return future.result(timeout=self._timeout_s)
        except TimeoutError as error:
            raise RankLost("the worker with the result of rank 0 is lost") from error
        except FutureCancelledError as error:
            raise scheduler_lost() from error

    def _failure(self, future: Any) -> ComputeError:
        """Return the error of a lost rank; raise one of its function."""
        from distributed.scheduler import KilledWorker

        if future.status == "error":
            try:
                future.result()
            except (RankLost, RankLate) as error:
                return error
            except KilledWorker as error:
                return RankLost(f"the worker of a rank was killed ({error})")
        if future.status == "lost":
            return RankLost("the worker of a rank is lost")
        raise scheduler_lost()

    def _check_workers(self, left: set[int]) -> None:
        """Raise RankLost if the worker of a running rank is lost."""
        now = time.monotonic()
        if now - self._checked < _CHECK_SECONDS or self._client.status != "running":
            return
        self._checked = now
        check_cluster(self._client)
        there = self._client.ncores()
        for rank in sorted(left):
            if self._workers[rank] not in there:
                raise RankLost(f"the worker {self._workers[rank]} of rank {rank} is lost")

    def _cancel(self) -> None:
        # A lost scheduler takes no messages.
        if self._futures and self._client.status == "running":
            self._client.cancel(self._futures)

    def _end(self) -> None:
        """Cancel the ranks and wait for their end; restart workers that still run one."""
        self._cancel()
        deadline = time.monotonic() + self._timeout_s
        pause = _LOOK_SECONDS
        while busy := self._busy_workers():
            if time.monotonic() > deadline:
                self._restart(busy)
                return
            time.sleep(pause)
            pause = min(2 * pause, _CHECK_SECONDS)

    def _busy_workers(self) -> list[str]:
        """Return the workers that still run a rank of this attempt, or do not answer."""
        if not self._futures or self._client.status != "running":
            return []
        keys = [future.key for future in self._futures]
        there = self._client.ncores()
        seconds = min(self._timeout_s, _ANSWER_SECONDS)
        busy = []
        for worker in self._workers:
            if worker in there:
                try:
                    answers = self._ask([worker], seconds, _has_any, keys)
                except TimeoutError:
                    answers = {worker: True}
                if answers[worker] is True:
                    busy.append(worker)
        return busy

    def _restart(self, workers: list[str]) -> None:
        logger.warning(
            "ranks on %s did not end within %g s; restarting their processes",
            *(", ".join(workers), self._timeout_s),
        )
        for worker in workers:
            try:
                self._client.restart_workers([worker], raise_for_error=False)
            except KeyError:
                # It has ended.
                continue
            except ValueError as error:
                logger.warning("%s cannot be restarted, end it by hand: %s", worker, error)

    def _ask_all(self, workers: Sequence[str], function: Callable[..., T], *args: Any) -> T:
        """Call a function on workers, beside their tasks; return the answer of the first."""
        seconds = max(self._timeout_s, _LOAD_SECONDS)
        try:
            answers = self._ask(workers, seconds, function, *args)
        except TimeoutError as error:
            raise RankLate(
                f"one of the workers {', '.join(workers)} did not answer within {seconds:g} s"
            ) from error
        for worker, answer in answers.items():
            if isinstance(answer, ComputeError):
                raise answer
            if isinstance(answer, Exception):
                raise RankLost(f"the worker {worker} is lost ({answer})")
        result: T = answers[workers[0]]
        return result

    def _ask(
        self, workers: Sequence[str], seconds: float, function: Callable[..., Any], *args: Any
    ) -> dict[str, Any]:
        """Return the answers of workers, or their errors; raise TimeoutError if one is silent."""
        answers: dict[str, Any] = self._client.sync(
            self._client._run,
            function,
            *args,
            workers=list(workers),
            on_error="return",
            callback_timeout=seconds,
        )
        return answers


def _load() -> None:
    """Do nothing but import this module."""


def _has_any(keys: Sequence[str], dask_worker: Any) -> bool:
    return any(key in dask_worker.state.tasks for key in keys)


def _host(worker: Any) -> str:
    from distributed.comm import get_address_host

    return str(get_address_host(worker.address))


def _serve(name: str, timeout_s: float, dask_worker: Any) -> tuple[str, int]:
    """Start the store of a group in this worker; return its host and port."""
    host = _host(dask_worker)
    store = serve_store(host, timeout_s)
    _stores[name] = store
    # Not kept for a rank 0 that never begins.
    dask_worker.loop.call_later(timeout_s, _stores.pop, name, None)
    return host, store.port


def _rank(function: Callable[..., Any], args: tuple[Any, ...], member: _Member) -> Any:
    """Run the function as one rank."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def is_active() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state in ("executing", "long-running")

    host = _host(worker)
    place = Place(member.rank, member.size, host, member.timeout_s, is_active, member.key)
    with computed_here(), joined(_store(member), place) as group:
        result = function(group, *args)
    return result if member.rank == 0 else None


def _store(member: _Member) -> torch.distributed.TCPStore:
    if member.rank > 0:
        return connect_store(member.host, member.port, member.timeout_s)
    store = _stores.pop(member.group, None)
    if store is None:
        raise RankLate(
            f"rank 0 of {member.size} did not begin within {member.timeout_s:g} s: its worker was "
            "busy; wait until the cluster has less to do, or give a longer timeout_s"
        )
    return store
