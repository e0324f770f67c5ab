"""Jobs of a cluster: their number follows the work, and they are replaced in time and when lost.

One loop compares the target number with the jobs that the scheduler and the queue show, and
submits or ends jobs. It runs in the process of the scheduler, on its event loop.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icedask.errors import ComputeError
from icedask.hpc.profiles import Profile
from icedask.hpc.systems import Queued

TOPIC = "icedask-jobs"

logger = logging.getLogger("icedask.hpc")

# seconds.
_TICK = 0.5
_QUEUE_EVERY = 5.0
# A nanny restarts a worker that died: workers of a job count as gone only after this time.
_NANNY = 5.0
# Least time from the start of a job to that of its workers; the walltime counts it.
_STARTING = 15.0
# Jobs in a row whose workers never started, after which no more are submitted.
_FAILED_STARTS = 2
_LAST_LINES = 15


@dataclass
class Submitted:
    """A job from its submission on."""

    name: str
    job_id: str
    number: int
    submitted: float
    started: float | None = None
    seen: float = 0.0
    queued: Queued | None = None
    retiring: bool = False


class Jobs:
    """Control loop that keeps the number of jobs at its target.

    The scheduler is a running distributed.Scheduler, the folder of scripts and logs one that all
    nodes see; `security` is a distributed.Security with files for the workers, or None.
    """

    def __init__(self, scheduler: Any, profile: Profile, folder: Path, security: Any) -> None:
        self.scheduler = scheduler
        self.profile = profile
        self.folder = folder
        self.security = security
        self.limits = profile.jobs
        self.jobs: dict[str, Submitted] = {}
        self.failure: str | None = None
        self._target = profile.jobs[0]
        self._count = 0
        self._lost = 0
        self._failed_starts = 0
        self._waits: list[float] = []
        self._idle_since: float | None = None
        self._queue_seen = 0.0
        self._retry_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def any_lost(self) -> bool:
        """Whether a job was lost or died at its start, or no more are submitted."""
        return bool(self._lost or self._failed_starts or self.failure)

    # Target number

    def scale(self, low: int, high: int) -> None:
        """Set bounds of the number of jobs; between them it follows the work."""
        self.limits = (low, high)
        self._target = min(max(self._target, low), high)
        self.failure = None
        self._failed_starts = self._lost = 0

    def _decide(self, now: float) -> None:
        """Set the target number of jobs: up at once, down after an idle time."""
        low, high = self.limits
        target = min(max(self._jobs_for_work(), low), high)
        if target >= self._target:
            self._target, self._idle_since = target, None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > self.profile.idle:
            self._target, self._idle_since = target, None

    def _jobs_for_work(self) -> int:
        # A minute of work for each worker is worth a job; Dask's own five seconds are not.
        workers = self.scheduler.adaptive_target(target_duration="60s")
        return -(-workers // self.profile.processes)

    # Present jobs

    def workers_of(self, job: Submitted) -> list[Any]:
        """Return the workers of a job that the scheduler knows."""
        names = {job.name, *(f"{job.name}-{n}" for n in range(self.profile.processes))}
        return [ws for ws in self.scheduler.workers.values() if str(ws.name) in names]

    def _expires(self, job: Submitted) -> float:
        """Return the time at which the replacement of a job is submitted."""
        if job.started is None or math.isinf(self.profile.walltime):
            return math.inf
        walltime = self.profile.walltime - _STARTING
        # Staggered: jobs that started together do not all end together.
        return job.started + walltime - self._margin() - 0.2 * walltime * (job.number % 4) / 4

    def _margin(self) -> float:
        """Return the seconds before the walltime at which a job is replaced.

        A third of the walltime or 10 minutes; more where jobs wait longer in the queue.
        """
        walltime = self.profile.walltime - _STARTING
        usual = min(walltime / 3, 600.0)
        waited = 1.5 * max(self._waits[-5:], default=0.0)
        return min(max(usual, waited), walltime / 2)

    # The loop

    async def start(self) -> None:
        """Submit the first jobs.

        Raises
        ------
        ComputeError
            With the message of the batch system, if it refuses them, or if no node has what they
            ask for, also where none is needed yet.
        """
        await asyncio.to_thread(self.profile.check_nodes, self._script("first"))
        for _ in range(self._target):
            await self._submit()

    async def run(self) -> None:
        """Repeat the step until cancelled."""
        while True:
            try:
                await self.step()
            except Exception:
                logger.exception("a step of the control of the jobs failed")
            await asyncio.sleep(_TICK)

    async def step(self) -> None:
        """Compare the target with the present jobs once, and act on the difference."""
        now = time.monotonic()
        self._update_workers(now)
        if self._is_queue_due(now):
            await self._update_queue(now)
        self._decide(now)
        if self.failure is None and now >= self._retry_at:
            await self._submit_missing(now)
        self._retire_surplus(now)

    def _update_workers(self, now: float) -> None:
        for job in self.jobs.values():
            if not self.workers_of(job):
                continue
            job.seen = now
            if job.started is None:
                job.started = now
                self._failed_starts = 0
                self._waits.append(now - job.submitted)
                self._report(
                    f"job {job.job_id} works, {now - job.submitted:.0f} s after submission"
                )

    def _is_queue_due(self, now: float) -> bool:
        missing = any(
            now - max(job.seen, job.submitted) > _NANNY
            for job in self.jobs.values()
            if not job.retiring
        )
        return missing and now - self._queue_seen > _QUEUE_EVERY

    async def _update_queue(self, now: float) -> None:
        queue = await asyncio.to_thread(self.profile.system.queue)
        self._queue_seen = time.monotonic()
        if queue is None:
            return
        for job in list(self.jobs.values()):
            job.queued = queue.get(job.job_id)
            unseen = now - max(job.seen, job.submitted)
            if job.retiring or unseen < _NANNY or self.workers_of(job):
                continue
            if job.queued is None:
                await self._remove_ended(job)
            elif job.started is not None and unseen > 12 * _NANNY:
                # The job is in the queue, but its workers have ended.
                await asyncio.to_thread(self.profile.system.cancel, [job.job_id])
                await self._remove_ended(job)

    async def _remove_ended(self, job: Submitted) -> None:
        """Remove a job that ended by itself; fail if too many did."""
        del self.jobs[job.name]
        log = self.log(job.job_id)
        if job.started is None:
            self._failed_starts += 1
            self._report(f"job {job.job_id} died at its start\n{log}", level="warning")
            if self.scheduler.workers:
                # Other jobs work: the cause may be a bad node.
                self._lost += 1
            elif self._failed_starts >= _FAILED_STARTS:
                self._fail(
                    f"{self._failed_starts} jobs one after another died at their start; correct "
                    f"the profile (python, prologue, interface, memory); the last one's log:\n{log}"
                )
            return
        self._lost += 1
        self._report(f"job {job.job_id} was lost ({self._lost} so far)", level="warning")
        if self._lost > self.profile.resubmissions and not self.scheduler.workers:
            self._fail(f"{self._losses()}; the last one's log:\n{log}")

    def _losses(self) -> str:
        return (
            f"{self._lost} jobs were lost, more than the {self.profile.resubmissions} that the "
            "profile replaces (resubmissions)"
        )

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self._report(reason, level="failure")

    async def _submit_missing(self, now: float) -> None:
        if self._lost > self.profile.resubmissions:
            # The other jobs have been released since: none is left to work.
            if self._target and not self.jobs:
                self._fail(self._losses())
            return
        lasting = [
            job for job in self.jobs.values() if not job.retiring and now < self._expires(job)
        ]
        for _ in range(self._target - len(lasting)):
            try:
                await self._submit()
            except ComputeError as error:
                self._retry_at = now + 30
                self._report(f"{error}; tried again in 30 s", level="warning")
                if not self.jobs:
                    self._fail(str(error))
                return

    async def _submit(self) -> None:
        self._count += 1
        name = f"{self.folder.name}-{self._count}"
        text = self._script(name)
        script = self.folder / "jobs" / f"{name}.sh"
        script.parent.mkdir(exist_ok=True)
        script.write_text(text)
        job_id = await asyncio.to_thread(self.profile.submit, script)
        self.jobs[name] = Submitted(name, job_id, self._count, time.monotonic())
        self._report(f"job {job_id} submitted")

    def _script(self, name: str) -> str:
        """Return the script of a job."""
        return self.profile.worker_script(
            self.scheduler.address, name, self.folder / "logs", security=self.security
        )

    # Release

    def _retire_surplus(self, now: float) -> None:
        there = [job for job in self.jobs.values() if not job.retiring and not self._is_absent(job)]
        working = [job for job in there if job.started]
        due = sorted((j for j in working if now >= self._expires(j)), key=self._expires)
        # One at a time: the others work while its data moves.
        if len(working) > self._target and not any(job.retiring for job in self.jobs.values()):
            for job in due[:1]:
                self._start_retiring(job, "before its walltime")
        for job in working:
            if now > self._deadline(job):
                self._start_retiring(job, "at its walltime")
        staying = [job for job in there if not job.retiring]
        # Jobs that are due have, or will have, a replacement.
        for job in self._surplus(staying, len(staying) - len(due) - self._target):
            self._start_retiring(job, "no longer needed")

    def _deadline(self, job: Submitted) -> float:
        """Return the time at which a job is closed, even without a replacement."""
        if job.started is None:
            return -math.inf
        last = min(self._margin() / 2, 60.0)
        return job.started + self.profile.walltime - _STARTING - last

    def _is_absent(self, job: Submitted) -> bool:
        """Return whether a job worked and has no workers: the queue shows whether it was lost."""
        return job.started is not None and not self.workers_of(job)

    def _surplus(self, jobs: list[Submitted], number: int) -> list[Submitted]:
        if number <= 0:
            return []
        waiting = [job for job in jobs if job.started is None]
        idle = [
            job
            for job in jobs
            if job.started and not any(ws.processing for ws in self.workers_of(job))
        ]
        fewest = jobs if self.limits[0] == self.limits[1] else idle
        return [*waiting, *idle, *(job for job in fewest if job not in (*waiting, *idle))][:number]

    def _start_retiring(self, job: Submitted, reason: str) -> None:
        if job.retiring:
            return
        job.retiring = True
        self._report(f"job {job.job_id} is released: {reason}")
        task = asyncio.ensure_future(self._retire(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _retire(self, job: Submitted) -> None:
        """Wait for running tasks, move results to other workers, and cancel the job."""
        try:
            emptied = await asyncio.wait_for(self._empty(job), min(self._margin(), 600.0))
        except TimeoutError:
            emptied = False
            self._report(f"job {job.job_id} still worked when it had to end", level="warning")
        if not emptied and time.monotonic() < self._deadline(job):
            # No other worker could take its results.
            job.retiring = False
            return
        await asyncio.to_thread(self.profile.system.cancel, [job.job_id])
        self.jobs.pop(job.name, None)

    async def _empty(self, job: Submitted) -> bool:
        """Move the results of a job's workers and close them; return whether all are closed."""
        addresses = [ws.address for ws in self.workers_of(job)]
        # No new tasks; results move while the last tasks run.
        await self.scheduler.retire_workers(workers=addresses, close_workers=False, remove=False)
        while any(ws.executing for ws in self.workers_of(job)):
            await asyncio.sleep(_TICK)
        closed = await self.scheduler.retire_workers(
            workers=addresses, close_workers=True, remove=True
        )
        return len(closed) == len(addresses)

    async def close(self) -> None:
        """End all jobs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(
            self.profile.system.cancel, [job.job_id for job in self.jobs.values()]
        )
        self.jobs.clear()

    # Reports

    def _report(self, message: str, *, level: str = "info") -> None:
        """Log a message here and to every client."""
        (logger.info if level == "info" else logger.warning)(message)
        self.scheduler.log_event(TOPIC, {"level": level, "message": message})

    def log(self, job_id: str) -> str:
        """Return the path and the last lines of a job's log."""
        folder = Path(self.profile.section["log-directory"] or self.folder / "logs")
        logs = sorted(folder.glob(f"*{job_id}*"), key=lambda path: path.stat().st_size)
        if not logs:
            return f"no log of job {job_id} in {folder}"
        lines = logs[-1].read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join([f"{logs[-1]}:", *(f"  {line}" for line in lines)])

    def status(self) -> dict[str, Any]:
        """Return the state of every job as plain values."""
        now = time.monotonic()
        # A job that is shown as working has started: if it is cancelled next, it was lost.
        self._update_workers(now)
        rows = []
        for job in self.jobs.values():
            workers = self.workers_of(job)
            state = "retiring" if job.retiring else "working" if workers else "waiting"
            rows.append(
                {
                    "job": job.job_id,
                    "state": state,
                    "reason": job.queued.reason if job.queued and not workers else "",
                    "workers": len(workers),
                    "tasks": sum(len(ws.processing) for ws in workers),
                    "age_s": round(now - (job.started or job.submitted), 1),
                    "hosts": sorted({ws.host for ws in workers}),
                }
            )
        return {
            "jobs": rows,
            "target": self._target,
            "limits": list(self.limits),
            "lost": self._lost,
            "failure": self.failure,
        }
