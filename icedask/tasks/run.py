"""Run waves of Dask tasks, on the active client or in this process."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

import dask
from dask.callbacks import Callback
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.utils import parse_timedelta

from icedask.errors import ComputeError, InputError
from icedask.tasks.graphs import Wave
from icedask.tasks.progress import stage

logger = logging.getLogger("icedask")

_WORKER_TIMEOUT = "5 minutes"
# seconds.
_LOOK_SECONDS = 0.05
_CHECK_SECONDS = 1.0
# Interval at which the scheduler is asked for its workers, and the time it has to answer.
_ASK_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
# Time without a worker after which the user is informed.
_INFORM_SECONDS = 30.0

_here: ContextVar[bool] = ContextVar("icedask_here", default=False)
_on_demand: ContextVar[_OnDemand | None] = ContextVar("icedask_on_demand", default=None)


class _OnDemand:
    """Workers that start when they are first needed."""

    def __init__(
        self, start: Callable[[], AbstractContextManager[Any]], tasks_here: int, ends: ExitStack
    ) -> None:
        self._start = start
        self._tasks_here = tasks_here
        self._ends = ends
        self._client: Any | None = None

    def client_of(self, n_tasks: int) -> Any | None:
        """Return the client, started if this is the first time that so many tasks need it."""
        if self._client is None and n_tasks > self._tasks_here:
            self._client = self._ends.enter_context(self._start())
        return self._client


@contextmanager
def workers_on_demand(
    start: Callable[[], AbstractContextManager[Any]], tasks_here: int = 1
) -> Iterator[None]:
    """Start the client of this block when a computation first needs it, and end it with the block.

    Computations of at most `tasks_here` tasks run in this process until then: to start workers
    takes longer than one block. Whatever is checked before the first computation waits for none.
    """
    with ExitStack() as ends:
        token = _on_demand.set(_OnDemand(start, tasks_here, ends))
        try:
            yield
        finally:
            _on_demand.reset(token)


@contextmanager
def computed_here() -> Iterator[None]:
    """Compute in this thread, without the active client.

    For tasks that hold their workers until all of them are done: computations on the cluster
    would wait for these workers.
    """
    token = _here.set(True)
    try:
        with dask.config.set(scheduler="sync"):
            yield
    finally:
        _here.reset(token)


def active_client(n_tasks: int = 0) -> Any | None:
    """Return the active Dask client, if there is one, or one is started on demand of the tasks."""
    if _here.get():
        return None
    workers = _on_demand.get()
    if workers is not None:
        return workers.client_of(n_tasks)
    # distributed is slow to import; there is no client unless it was imported.
    if "distributed" not in sys.modules:
        return None
    import distributed

    try:
        return distributed.get_client()
    except ValueError:
        return None


def check_cluster(client: Any) -> None:
    """Raise ComputeError if the cluster of `client` has failed for good."""
    check = getattr(client, "check", None)
    if callable(check):
        check()


class WorkerWatch:
    """Check that a cluster has workers, repeated while tasks are waited for.

    A cluster whose scheduler does not answer, or that has had no worker for the time of
    `icedask.worker-timeout` in Dask's configuration (5 minutes), is an error; jobs that wait in the
    queue of a batch system may wait.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._limit = worker_timeout()
        self._seen = time.monotonic()
        self._checked = self._asked = 0.0
        self._informed = False

    def check(self) -> None:
        """Raise ComputeError if the cluster has failed, or has been without a worker too long."""
        now = time.monotonic()
        if now - self._checked < _CHECK_SECONDS:
            return
        self._checked = now
        check_cluster(self._client)
        if now - self._asked < min(_ASK_SECONDS, self._limit / 4):
            return
        missing = self._missing()
        self._asked = time.monotonic()
        if missing is None:
            self._seen, self._informed = self._asked, False
            return
        silent = self._asked - self._seen
        if silent > self._limit:
            raise ComputeError(
                f"{missing} for {silent:.0f} s; finished blocks are kept: start workers, and rerun "
                "the same command to resume. Where workers take longer to come, set "
                "DASK_ICEDASK__WORKER_TIMEOUT='2 hours'"
            )
        if silent > _INFORM_SECONDS and not self._informed:
            self._informed = True
            logger.warning("%s for %.0f s; waiting for up to %.0f s", missing, silent, self._limit)

    def _missing(self) -> str | None:
        """Return what the cluster lacks, None if there are workers or they wait in a queue."""
        client = self._client
        if client.status != "running":
            # The connection is lost, and being made again.
            return "the scheduler could not be reached"
        try:
            if client.sync(client.scheduler.ncores, callback_timeout=_ANSWER_SECONDS):
                return None
            in_queue = getattr(client, "any_job", None)
            if in_queue is not None and in_queue(_ANSWER_SECONDS):
                return None
        except (TimeoutError, OSError):
            return "the scheduler has not answered"
        return "the cluster has had no worker"


def worker_timeout() -> float:
    """Return the longest time without any worker, seconds."""
    value = dask.config.get("icedask.worker-timeout", _WORKER_TIMEOUT)
    try:
        seconds = float(parse_timedelta(value))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        seconds = 0.0
    if not seconds > 0:
        raise InputError(
            f"icedask.worker-timeout: expected a time such as '5 minutes', found {value!r}; "
            "correct it in Dask's configuration or DASK_ICEDASK__WORKER_TIMEOUT"
        )
    return seconds


def wait_for(client: Any, future: Any) -> None:
    """Wait for a future; raise ComputeError if no worker computes it, or the scheduler is lost."""
    watch = WorkerWatch(client)
    while not future.done():
        watch.check()
        time.sleep(_LOOK_SECONDS)
    if future.status == "cancelled":
        raise scheduler_lost()


def run_tasks(waves: Iterable[Wave], total: int, description: str) -> list[Any]:
    """Compute waves of `total` tasks with a progress bar; returns their results, in order.

    Waves are built one by one, so that this process and the scheduler hold two of them at most.
    Raises ComputeError if workers died repeatedly, or the scheduler was lost.
    """
    return [value for values in wave_results(waves, total, description) for value in values]


def wave_results(waves: Iterable[Wave], total: int, description: str | None) -> Iterator[list[Any]]:
    """Compute as `run_tasks` does, and yield the results of each wave; None for no bar."""
    client = active_client(total)
    quiet = nullcontext(lambda number: None)
    with quiet if description is None else stage(description, total) as advance:
        if client is None:
            yield from _run_here(waves, advance)
        else:
            yield from _Rolling(client, iter(waves), advance).results()


def _run_here(waves: Iterable[Wave], advance: Callable[[int], None]) -> Iterator[list[Any]]:
    compute = dask.base.get_scheduler() or dask.threaded.get
    for wave in waves:
        counted = set(wave.tasks)

        def count(key: Any, *_: Any, counted: set[Any] = counted) -> None:
            advance(key in counted)

        with Callback(posttask=count):
            values = compute(dict(wave.graph), [*(wave.results or wave.tasks)])
        yield list(values) if wave.results else []


class _Rolling:
    """Waves on a cluster: each is sent when half of the one before is left."""

    def __init__(self, client: Any, waves: Iterator[Wave], advance: Callable[[int], None]) -> None:
        self._client = client
        self._waves = waves
        self._advance = advance
        self._left: set[Any] = set()
        self._counted: set[Any] = set()
        self._results: deque[list[Any]] = deque()
        self._watch = WorkerWatch(client)

    def results(self) -> Iterator[list[Any]]:
        """Run all waves, and yield the results of each, in order."""
        more = True
        limit = 0
        try:
            while more or self._left or self._results:
                if more and len(self._left) <= limit:
                    wave = next(self._waves, None)
                    more = wave is not None
                    if wave is not None:
                        self._send(wave)
                        limit = len(wave.tasks) // 2
                self._look()
                while self._results and self._left.isdisjoint(self._results[0]):
                    yield self._gather(self._results.popleft())
                if self._left:
                    time.sleep(_LOOK_SECONDS)
        finally:
            # A lost scheduler takes no messages.
            if self._left and self._client.status == "running":
                self._client.cancel(list(self._left))

    def _send(self, wave: Wave) -> None:
        # A plain dict would be hashed task by task, which takes longer than all the rest.
        graph = HighLevelGraph({"wave": MaterializedLayer(dict(wave.graph))}, {"wave": set()})
        sent = self._client.get(graph, [[*wave.tasks], [*wave.results]], sync=False)
        self._left.update(*sent)
        self._counted.update(sent[0])
        self._results.append(list(sent[1]))

    def _look(self) -> None:
        """Drop finished futures, so that the scheduler frees their tasks."""
        self._watch.check()
        done = []
        for future in self._left:
            status = future.status
            if status == "finished":
                done.append(future)
            elif status == "error":
                _raise(future)
            elif status == "cancelled":
                raise scheduler_lost()
        self._left.difference_update(done)
        counted = self._counted.intersection(done)
        self._counted -= counted
        self._advance(len(counted))

    def _gather(self, futures: Sequence[Any]) -> list[Any]:
        if not futures:
            return []
        from distributed.client import FutureCancelledError

        try:
            return _gather(self._client, futures, self._watch)
        except (FutureCancelledError, OSError) as error:
            raise scheduler_lost() from error


def _gather(client: Any, futures: Sequence[Any], watch: WorkerWatch) -> list[Any]:
    """Fetch results, which are computed again where their workers are lost."""
    answer: Future[Any] = Future()

    def fetch() -> None:
        try:
            answer.set_result(client.gather(list(futures)))
        except BaseException as error:
            answer.set_exception(error)

    # In a thread of its own, which an error leaves behind: it may wait for ever.
    threading.Thread(target=fetch, name="icedask-gather", daemon=True).start()
    while not answer.done():
        wait([answer], timeout=_CHECK_SECONDS)
        watch.check()
    return list(answer.result())


def scheduler_lost() -> ComputeError:
    """Return the error of tasks that were cancelled."""
    return ComputeError(
        "lost the scheduler, or the tasks were cancelled; finished blocks are kept: rerun the same "
        "command to resume"
    )


def _raise(future: Any) -> None:
    from distributed.scheduler import KilledWorker

    try:
        future.result()
    except KilledWorker as error:
        raise ComputeError(
            "the worker processes that ran one of the tasks died repeatedly, most often for lack "
            "of memory; finished blocks are kept: give each worker more memory, or use fewer, and "
            "rerun the same command to resume"
        ) from error


class _TopicProgress:
    """Function for a task on a worker: sends the number of finished steps to the client."""

    def __init__(self, topic: str) -> None:
        self.topic = topic

    def __call__(self, done: int) -> None:
        from distributed import get_worker

        get_worker().log_event(self.topic, done)


@contextmanager
def reported_progress(
    description: str, total: int, *, from_worker: bool
) -> Iterator[Callable[[int], None]]:
    """Show the progress of one long task; yields the function that the task calls.

    Its argument is the number of finished steps. It can be sent to a worker of the active client.
    """
    with stage(description, total) as advance:
        done = 0

        def reach(number: int) -> None:
            nonlocal done
            # A task that is restarted repeats numbers.
            advance(max(number - done, 0))
            done = max(number, done)

        client = active_client(2) if from_worker else None
        if client is None:
            yield reach
        else:
            report = _TopicProgress(f"progress-{uuid4().hex}")
            client.subscribe_topic(report.topic, lambda event: reach(event[1]))
            try:
                yield report
            finally:
                client.unsubscribe_topic(report.topic)
        reach(total)
