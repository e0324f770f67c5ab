"""Run one function as the ranks of a group on the workers of a cluster, one on each.

What one process trains in a day, several train in less: each takes a part of the rows, and all
step along the mean of their gradients. A group is only whole while all its workers live; if one
is lost, all ranks end and begin anew, from where the function has written a checkpoint.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, NamedTuple, TypeVar
from uuid import uuid4

import torch.distributed

from icedask.core.features import whole_number
from icedask.errors import ComputeError, InputError
from icedask.nn.process_group import Group, Place, RankLate, RankLost, alone, find, joined, serve
from icedask.tasks.run import active_client, check_cluster, computed_here

T = TypeVar("T")

logger = logging.getLogger("icedask")

_LOOK_SECONDS = 0.05
_CHECK_SECONDS = 1.0
# How long a lost connection may wait for its explanation.
_EXPLAIN_SECONDS = 10.0
# How long a worker may at least take to import torch, and at most to say what it holds.
_LOAD_SECONDS = 120.0
_ANSWER_SECONDS = 10.0

# Of groups whose rank 0 is about to begin in this process, by the group's name.
_stores: dict[str, torch.distributed.TCPStore] = {}


class _Member(NamedTuple):
    """What the task of a rank is told."""

    group: str
    rank: int
    size: int
    host: str
    port: int
    timeout_s: float


def run_ranks(
    function: Callable[Concatenate[Group, ...], T],
    n_ranks: int,
    *args: Any,
    restarts: int = 3,
    timeout_s: float = 120.0,
) -> T:
    """Run a function as the ranks of one group, on workers of the active client.

    Parameters
    ----------
    function : callable
        Called as ``function(group, *args)`` on each rank, with a `Group`. What it computes with
        Dask is computed within the rank. It runs again from its start after the loss of a worker:
        rank 0 writes a checkpoint from time to time, and all begin with what
        ``group.shared(checkpoint)`` says.
    n_ranks : int
        How many, each on a worker of its own. One rank runs here, without workers.
    *args
        Sent to each rank: names of stores rather than large arrays.
    restarts : int
        How often all ranks may begin anew, because a worker was lost.
    timeout_s : float
        How long ranks wait for others, seconds; what a rank computes between two calls of `mean`
        or `shared` takes less.

    Returns
    -------
    Any
        What rank 0 returned.

    Raises
    ------
    InputError
        If there are not as many workers as ranks.
    ComputeError
        If ranks did not come together in time, or workers were lost more than `restarts` times.
    Exception
        What the function raises on any rank, as it is; the other ranks end, too.
    """
    n_ranks = whole_number(n_ranks, "run_ranks: n_ranks", at_least=1)
    restarts = whole_number(restarts, "run_ranks: restarts", at_least=0)
    if not 0 < timeout_s < math.inf:
        raise InputError(f"run_ranks: timeout_s: expected a number of seconds, found {timeout_s!r}")
    if n_ranks == 1:
        return function(alone(), *args)
    client = active_client()
    if client is None:
        raise InputError(
            f"run_ranks: expected {n_ranks} workers for {n_ranks} ranks, found no client: "
            f"ice.connect(n_workers={n_ranks}) first, or ask for one rank"
        )
    if (found := len(_workers(client))) < n_ranks:
        raise InputError(
            f"run_ranks: expected {n_ranks} workers for {n_ranks} ranks, found {found}: start "
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
                    "%s; all %d ranks begin anew (%d of %d times)",
                    *(error, n_ranks, restart + 1, restarts),
                )
    raise ComputeError(
        f"ranks were lost {restarts + 1} times, at last because {lost}; what is written is kept. "
        "If workers die, most often for want of memory, give each more, or use fewer, and run the "
        "same command again; all ranks must call mean and shared equally often"
    ) from lost


def _workers(client: Any) -> list[str]:
    """Return the addresses of workers that take tasks: those with nothing to do first."""
    check_cluster(client)
    found = client.scheduler_info(n_workers=-1)["workers"]
    running = [address for address, about in found.items() if about["status"] == "running"]
    tasks = client.processing(running) if running else {}
    return sorted(running, key=lambda address: (len(tasks.get(address, ())), address))


def _wait_for_workers(client: Any, n_ranks: int, timeout_s: float) -> list[str]:
    deadline = time.monotonic() + timeout_s
    while len(found := _workers(client)) < n_ranks:
        if time.monotonic() > deadline:
            raise ComputeError(
                f"workers were lost, and after {timeout_s:g} s there are {len(found)} for "
                f"{n_ranks} ranks; what is written is kept: start more workers, and run the same "
                "command again"
            )
        time.sleep(_CHECK_SECONDS)
    return found[:n_ranks]


class _Ranks:
    """One attempt: a task for each rank, and the watch over them."""

    def __init__(self, client: Any, workers: Sequence[str], timeout_s: float) -> None:
        self._client = client
        self._workers = workers
        self._timeout_s = timeout_s
        self._name = f"ranks-{uuid4().hex}"
        self._futures: list[Any] = []
        self._checked = 0.0

    def run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run the ranks, and end them all before returning, whatever happens."""
        try:
            self._send(function, args)
            return self._watch()
        except Exception:
            self._end()
            raise
        except BaseException:
            # An interrupt is not to wait: the ranks end when they next look for one another.
            self._cancel()
            raise

    def _send(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        # What each must import is imported before anybody waits for it.
        self._ask_all(self._workers, _load)
        host, port = self._ask_all(self._workers[:1], _serve, self._name, self._timeout_s)
        for rank, worker in enumerate(self._workers):
            member = _Member(self._name, rank, len(self._workers), host, port, self._timeout_s)
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
        """Wait for all ranks; return what rank 0 returned."""
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
                    # At once: the worker that has it may not live as long as the other ranks.
                    result = self._fetch(future) if rank == 0 else result
                else:
                    lost.append(self._failure(future))
            self._look(left)
            for error in lost:
                if isinstance(error, RankLate):
                    raise error
            if lost:
                # An error of another rank that explains it is on its way, or the news of a death.
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
            raise RankLost("the worker with the result of rank 0 is gone") from error
        except FutureCancelledError as error:
            raise _gone() from error

    def _failure(self, future: Any) -> ComputeError:
        """Return why a rank was lost; raise what its function raised."""
        from distributed.scheduler import KilledWorker

        if future.status == "error":
            try:
                future.result()
            except (RankLost, RankLate) as error:
                return error
            except KilledWorker as error:
                return RankLost(f"the worker of a rank was killed ({error})")
        if future.status == "lost":
            return RankLost("the worker of a rank is gone")
        raise _gone()

    def _look(self, left: set[int]) -> None:
        """Raise RankLost if the worker of a rank that runs is gone."""
        now = time.monotonic()
        if now - self._checked < _CHECK_SECONDS or self._client.status != "running":
            return
        self._checked = now
        check_cluster(self._client)
        there = self._client.ncores()
        for rank in sorted(left):
            if self._workers[rank] not in there:
                raise RankLost(f"the worker {self._workers[rank]} of rank {rank} is gone")

    def _cancel(self) -> None:
        # Where the scheduler is gone there is nobody to tell.
        if self._futures and self._client.status == "running":
            self._client.cancel(self._futures)

    def _end(self) -> None:
        """Cancel the ranks, and wait until none runs; a worker that holds one is restarted."""
        self._cancel()
        deadline = time.monotonic() + self._timeout_s
        pause = _LOOK_SECONDS
        while held := self._held():
            if time.monotonic() > deadline:
                self._restart(held)
                return
            time.sleep(pause)
            pause = min(2 * pause, _CHECK_SECONDS)

    def _held(self) -> list[str]:
        """Return the workers that still have a rank of this attempt, or do not say."""
        if not self._futures or self._client.status != "running":
            return []
        keys = [future.key for future in self._futures]
        there = self._client.ncores()
        seconds = min(self._timeout_s, _ANSWER_SECONDS)
        held = []
        for worker in self._workers:
            if worker in there:
                try:
                    found = self._ask([worker], seconds, _has_any, keys)
                except TimeoutError:
                    found = {worker: True}
                if found[worker] is True:
                    held.append(worker)
        return held

    def _restart(self, workers: list[str]) -> None:
        logger.warning(
            "ranks on %s did not end within %g s; restarting their processes",
            *(", ".join(workers), self._timeout_s),
        )
        for worker in workers:
            try:
                self._client.restart_workers([worker], raise_for_error=False)
            except KeyError:
                # It has gone by itself.
                continue
            except ValueError as error:
                logger.warning("%s cannot be restarted, end it by hand: %s", worker, error)

    def _ask_all(self, workers: Sequence[str], function: Callable[..., T], *args: Any) -> T:
        """Run a function beside the tasks of workers that begin; return what the first says."""
        seconds = max(self._timeout_s, _LOAD_SECONDS)
        try:
            found = self._ask(workers, seconds, function, *args)
        except TimeoutError as error:
            raise RankLate(
                f"one of the workers {', '.join(workers)} did not answer within {seconds:g} s"
            ) from error
        for worker, answer in found.items():
            if isinstance(answer, ComputeError):
                raise answer
            if isinstance(answer, Exception):
                raise RankLost(f"the worker {worker} is gone ({answer})")
        result: T = found[workers[0]]
        return result

    def _ask(
        self, workers: Sequence[str], seconds: float, function: Callable[..., Any], *args: Any
    ) -> dict[str, Any]:
        """Return what workers say, or why they do not; raise TimeoutError if one is silent."""
        found: dict[str, Any] = self._client.sync(
            self._client._run,
            function,
            *args,
            workers=list(workers),
            on_error="return",
            callback_timeout=seconds,
        )
        return found


def _gone() -> ComputeError:
    return ComputeError(
        "the scheduler is gone, or somebody cancelled the ranks; what is written is kept: run the "
        "same command again"
    )


def _load() -> None:
    """Do nothing, in a worker that has imported this module."""


def _has_any(keys: Sequence[str], dask_worker: Any) -> bool:
    return any(key in dask_worker.state.tasks for key in keys)


def _host(worker: Any) -> str:
    from distributed.comm import get_address_host

    return str(get_address_host(worker.address))


def _serve(name: str, timeout_s: float, dask_worker: Any) -> tuple[str, int]:
    """Keep a store for a group in this worker; return where the other ranks find it."""
    host = _host(dask_worker)
    store = serve(host, timeout_s)
    _stores[name] = store
    # Nobody waits longer for a rank 0 that never begins.
    dask_worker.loop.call_later(timeout_s, _stores.pop, name, None)
    return host, store.port


def _rank(function: Callable[..., Any], args: tuple[Any, ...], member: _Member) -> Any:
    """Be one rank."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state in ("executing", "long-running")

    place = Place(member.rank, member.size, _host(worker), member.timeout_s, wanted)
    with computed_here(), joined(_store(member), place) as group:
        result = function(group, *args)
    return result if member.rank == 0 else None


def _store(member: _Member) -> torch.distributed.TCPStore:
    if member.rank > 0:
        return find(member.host, member.port, member.timeout_s)
    store = _stores.pop(member.group, None)
    if store is None:
        raise RankLate(
            f"rank 0 of {member.size} did not begin within {member.timeout_s:g} s: its worker was "
            "busy; wait until the cluster has less to do, or give a longer timeout_s"
        )
    return store
