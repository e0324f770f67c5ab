"""The jobs of a cluster: as many as are wanted, replaced before their walltime and when lost.

One loop compares what is wanted with what the scheduler and the queue show, and acts on the
difference. It runs in the process of the scheduler, on its event loop.
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
# A nanny starts a worker that died anew; only then are the job's workers gone.
_NANNY = 5.0
# From a job's start until its workers are there, at least: the clock of the walltime runs then.
_STARTING = 15.0
# Jobs whose workers never came, one after another, until the cluster is given up.
_STILLBORN = 2
_LAST_LINES = 15


@dataclass
class Submitted:
    """One job, from its submission on."""

    name: str
    job_id: str
    number: int
    submitted: float
    started: float | None = None
    seen: float = 0.0
    queued: Queued | None = None
    retiring: bool = False


class Jobs:
    """Keeps as many jobs as are wanted.

    Parameters
    ----------
    scheduler
        A running distributed.Scheduler.
    profile
        How to submit.
    folder
        Where scripts and logs go; all nodes see it.
    security
        distributed.Security with files for the workers, or None.
    """

    def __init__(self, scheduler: Any, profile: Profile, folder: Path, security: Any) -> None:
        self.scheduler = scheduler
        self.profile = profile
        self.folder = folder
        self.security = security
        self.limits = profile.jobs
        self.jobs: dict[str, Submitted] = {}
        self.failure: str | None = None
        self._wanted = profile.jobs[0]
        self._count = 0
        self._lost = 0
        self._stillborn = 0
        self._waits: list[float] = []
        self._idle_since: float | None = None
        self._queue_seen = 0.0
        self._retry_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    # What is wanted

    def scale(self, low: int, high: int) -> None:
        """Ask for a number of jobs between these, by the work that there is."""
        self.limits = (low, high)
        self._wanted = min(max(self._wanted, low), high)
        self.failure = None
        self._stillborn = self._lost = 0

    def _decide(self, now: float) -> None:
        """Set the wanted number of jobs: up at once, down when there was no work for a while."""
        low, high = self.limits
        target = min(max(self._jobs_for_work(), low), high)
        if target >= self._wanted:
            self._wanted, self._idle_since = target, None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > self.profile.idle:
            self._wanted, self._idle_since = target, None

    def _jobs_for_work(self) -> int:
        # A minute of work for each worker is worth a job; Dask's own five seconds are not.
        workers = self.scheduler.adaptive_target(target_duration="60s")
        return -(-workers // self.profile.processes)

    # What there is

    def workers_of(self, job: Submitted) -> list[Any]:
        """Return the scheduler's workers that run in a job."""
        names = {job.name, *(f"{job.name}-{n}" for n in range(self.profile.processes))}
        return [ws for ws in self.scheduler.workers.values() if str(ws.name) in names]

    def _expires(self, job: Submitted) -> float:
        """Return the time at which a job's replacement should be begun."""
        if job.started is None or math.isinf(self.profile.walltime):
            return math.inf
        walltime = self.profile.walltime - _STARTING
        # Jobs that began together do not all end together.
        return job.started + walltime - self._margin() - 0.2 * walltime * (job.number % 4) / 4

    def _margin(self) -> float:
        """Seconds before the walltime at which a job is replaced: a third, or 10 minutes.

        More where jobs are known to wait longer in the queue.
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
            With the batch system's own words, if it refuses them.
        """
        for _ in range(self._wanted):
            await self._submit()

    async def run(self) -> None:
        """Keep the jobs, until cancelled."""
        while True:
            try:
                await self.step()
            except Exception:
                logger.exception("the jobs of this cluster could not be looked after")
            await asyncio.sleep(_TICK)

    async def step(self) -> None:
        """Compare what is wanted with what there is, once."""
        now = time.monotonic()
        self._see_workers(now)
        if self._is_queue_due(now):
            await self._see_queue(now)
        self._decide(now)
        if self.failure is None and now >= self._retry_at:
            await self._submit_missing(now)
        self._retire_surplus(now)

    def _see_workers(self, now: float) -> None:
        for job in self.jobs.values():
            if not self.workers_of(job):
                continue
            job.seen = now
            if job.started is None:
                job.started = now
                self._stillborn = 0
                self._waits.append(now - job.submitted)
                self.tell(f"job {job.job_id} works, {now - job.submitted:.0f} s after submission")

    def _is_queue_due(self, now: float) -> bool:
        looked_for = any(
            now - max(job.seen, job.submitted) > _NANNY
            for job in self.jobs.values()
            if not job.retiring
        )
        return looked_for and now - self._queue_seen > _QUEUE_EVERY

    async def _see_queue(self, now: float) -> None:
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
                await self._bury(job)
            elif job.started is not None and unseen > 12 * _NANNY:
                # The job is there, but what it should run has ended.
                await asyncio.to_thread(self.profile.system.cancel, [job.job_id])
                await self._bury(job)

    async def _bury(self, job: Submitted) -> None:
        """Take a job that ended by itself off the books."""
        del self.jobs[job.name]
        log = self.log(job.job_id)
        if job.started is None:
            self._stillborn += 1
            self.tell(f"job {job.job_id} died at its start\n{log}", level="warning")
            if self.scheduler.workers:
                # Others work: a bad node, say.
                self._lost += 1
            elif self._stillborn >= _STILLBORN:
                self._give_up(
                    f"{self._stillborn} jobs one after another died at their start; mend the "
                    f"profile (python, prologue, interface, memory); the last one's log:\n{log}"
                )
            return
        self._lost += 1
        self.tell(f"job {job.job_id} was lost ({self._lost} so far)", level="warning")
        if self._lost > self.profile.resubmissions and not self.scheduler.workers:
            self._give_up(f"{self._too_many_lost()}; the last one's log:\n{log}")

    def _too_many_lost(self) -> str:
        return (
            f"{self._lost} jobs were lost, more than the {self.profile.resubmissions} that the "
            "profile replaces (resubmissions)"
        )

    def _give_up(self, reason: str) -> None:
        self.failure = reason
        self.tell(reason, level="failure")

    async def _submit_missing(self, now: float) -> None:
        if self._lost > self.profile.resubmissions:
            # The others were given back since: nobody is left to work.
            if self._wanted and not self.jobs:
                self._give_up(self._too_many_lost())
            return
        lasting = [
            job for job in self.jobs.values() if not job.retiring and now < self._expires(job)
        ]
        for _ in range(self._wanted - len(lasting)):
            try:
                await self._submit()
            except ComputeError as error:
                self._retry_at = now + 30
                self.tell(f"{error}; tried again in 30 s", level="warning")
                if not self.jobs:
                    self._give_up(str(error))
                return

    async def _submit(self) -> None:
        self._count += 1
        name = f"{self.folder.name}-{self._count}"
        job = self.profile.job(
            self.scheduler.address,
            name,
            self.folder / "logs",
            protocol="tls://" if self.security else None,
            security=self.security,
        )
        script = self.folder / "jobs" / f"{name}.sh"
        script.parent.mkdir(exist_ok=True)
        script.write_text(job.job_script())
        job_id = await asyncio.to_thread(self.profile.system.submit, script)
        self.jobs[name] = Submitted(name, job_id, self._count, time.monotonic())
        self.tell(f"job {job_id} submitted")

    # Giving jobs back

    def _retire_surplus(self, now: float) -> None:
        working = [job for job in self.jobs.values() if job.started and not job.retiring]
        due = sorted((j for j in working if now >= self._expires(j)), key=self._expires)
        # One after another: the others work while the data of one moves.
        if len(working) > self._wanted and not any(job.retiring for job in self.jobs.values()):
            for job in due[:1]:
                self._begin_retiring(job, "before its walltime")
        for job in working:
            if now > self._closes(job):
                self._begin_retiring(job, "at its walltime")
        staying = [job for job in self.jobs.values() if not job.retiring]
        # Those that are due have, or will have, a replacement.
        for job in self._dispensable(len(staying) - len(due) - self._wanted):
            self._begin_retiring(job, "no longer needed")

    def _closes(self, job: Submitted) -> float:
        """Return the time at which a job is closed, even with no other to follow."""
        if job.started is None:
            return -math.inf
        last = min(self._margin() / 2, 60.0)
        return job.started + self.profile.walltime - _STARTING - last

    def _dispensable(self, number: int) -> list[Submitted]:
        if number <= 0:
            return []
        jobs = [job for job in self.jobs.values() if not job.retiring]
        waiting = [job for job in jobs if job.started is None]
        idle = [
            job
            for job in jobs
            if job.started and not any(ws.processing for ws in self.workers_of(job))
        ]
        fewest = jobs if self.limits[0] == self.limits[1] else idle
        return [*waiting, *idle, *(job for job in fewest if job not in (*waiting, *idle))][:number]

    def _begin_retiring(self, job: Submitted, reason: str) -> None:
        if job.retiring:
            return
        job.retiring = True
        self.tell(f"job {job.job_id} is given back: {reason}")
        task = asyncio.ensure_future(self._retire(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _retire(self, job: Submitted) -> None:
        """Let what runs in a job end, move what it holds to others, and end it."""
        try:
            emptied = await asyncio.wait_for(self._empty(job), min(self._margin(), 600.0))
        except TimeoutError:
            emptied = False
            self.tell(f"job {job.job_id} still worked when it had to end", level="warning")
        if not emptied and time.monotonic() < self._closes(job):
            # Nobody could take what it holds.
            job.retiring = False
            return
        await asyncio.to_thread(self.profile.system.cancel, [job.job_id])
        self.jobs.pop(job.name, None)

    async def _empty(self, job: Submitted) -> bool:
        """Return whether the workers of a job hold nothing any more and are closed."""
        addresses = [ws.address for ws in self.workers_of(job)]
        # No new tasks from here on; results move while the last tasks run.
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

    # What others may know

    def tell(self, message: str, *, level: str = "info") -> None:
        """Log what happened, here and to every client."""
        (logger.info if level == "info" else logger.warning)(message)
        self.scheduler.log_event(TOPIC, {"level": level, "message": message})

    def log(self, job_id: str) -> str:
        """Return the path and the end of a job's log."""
        where = Path(self.profile.section["log-directory"] or self.folder / "logs")
        found = sorted(where.glob(f"*{job_id}*"), key=lambda path: path.stat().st_size)
        if not found:
            return f"no log of job {job_id} in {where}"
        lines = found[-1].read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join([f"{found[-1]}:", *(f"  {line}" for line in lines)])

    def status(self) -> dict[str, Any]:
        """Return what is known of every job, as plain values."""
        now = time.monotonic()
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
            "wanted": self._wanted,
            "limits": list(self.limits),
            "lost": self._lost,
            "failure": self.failure,
        }
