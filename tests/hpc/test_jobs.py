"""Control of jobs with a simulated queue, scheduler and clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from icedask.errors import ComputeError
from icedask.hpc import jobs as jobs_module
from icedask.hpc.jobs import Jobs
from icedask.hpc.profiles import load_profile
from icedask.hpc.systems import SYSTEMS, Queued


class Queue:
    """Simulated batch system in which jobs wait until `World.let_in`."""

    name = "slurm"
    quotes_paths = True
    id_variable = "SLURM_JOB_ID"

    def describe_nodes(self) -> str:
        return "4 cores and 8000 MB (2 in debug, up to infinite)"

    def unfit(self, script: str) -> None:
        return None

    def __init__(self) -> None:
        self.jobs: dict[str, Queued] = {}
        self.count = 0
        self.refuses: str | None = None
        self.answers = True
        self.cancelled: list[str] = []

    def job(self) -> Any:
        return SYSTEMS["slurm"].job()

    def seconds(self, walltime: str) -> float:
        return SYSTEMS["slurm"].seconds(walltime)

    def queue(self) -> dict[str, Queued] | None:
        return dict(self.jobs) if self.answers else None

    def submit(self, script: Path) -> str:
        if self.refuses:
            raise ComputeError(self.refuses)
        self.count += 1
        self.jobs[str(self.count)] = Queued("pending", "Resources")
        return str(self.count)

    def cancel(self, job_ids: list[str]) -> None:
        self.cancelled += job_ids
        for job_id in job_ids:
            self.jobs.pop(job_id, None)


class Scheduler:
    address = "tls://10.0.0.1:1"

    def __init__(self) -> None:
        self.workers: dict[str, Any] = {}
        self.target = 0
        self.stuck = False

    def adaptive_target(self, target_duration: str) -> int:
        return self.target

    def log_event(self, topic: str, message: dict[str, str]) -> None:
        pass

    async def retire_workers(
        self, workers: list[str], close_workers: bool, remove: bool
    ) -> dict[str, Any]:
        if self.stuck:
            return {}
        if remove:
            for address in workers:
                self.workers.pop(address, None)
        return dict.fromkeys(workers)


class World:
    """Simulated cluster: the jobs, the queue, the scheduler and the clock."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.now = 1000.0
        self.queue = Queue()
        self.scheduler = Scheduler()
        options = {"cores": 1, "memory": "1GiB", "walltime": "01:00:00", "jobs": 2, **settings}
        profile = replace(load_profile("slurm", **options), system=self.queue)  # type: ignore[arg-type]
        self.control = Jobs(self.scheduler, profile, folder, None)

    def let_in(self, *job_ids: str) -> None:
        """Start the workers of jobs."""
        for job in self.control.jobs.values():
            if job.job_id in (job_ids or tuple(self.queue.jobs)) and job.started is None:
                self.queue.jobs[job.job_id] = Queued("running")
                self.scheduler.workers[job.name] = SimpleNamespace(
                    name=job.name, address=job.name, processing={}, executing={}, host="n1"
                )

    def lose(self, job_id: str) -> None:
        self.queue.jobs.pop(job_id, None)
        for job in self.control.jobs.values():
            if job.job_id == job_id:
                self.scheduler.workers.pop(job.name, None)

    async def pass_by(self, seconds: float, steps: int = 1) -> None:
        for _ in range(steps):
            self.now += seconds / steps
            await self.control.step()
            # Tasks that the step started.
            while self.control._tasks:
                await asyncio.sleep(0.01)

    @property
    def ids(self) -> list[str]:
        return [job.job_id for job in self.control.jobs.values()]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    def make(**settings: Any) -> World:
        made = World(tmp_path, **settings)
        clock = SimpleNamespace(monotonic=lambda: made.now)
        monkeypatch.setattr(jobs_module, "time", clock)
        return made

    return make


def run(story: Any) -> None:
    asyncio.run(story)


def test_replaced_one_after_another_before_the_walltime(world: Callable[..., World]) -> None:
    async def story() -> None:
        w = world()
        await w.control.start()
        w.let_in()
        await w.pass_by(10)
        await w.pass_by(2000, steps=100)
        assert w.ids == ["1", "2"] and w.queue.count == 2
        # Ten minutes before the end, or more for the second, replacements are in the queue.
        await w.pass_by(950, steps=100)
        assert w.queue.count == 4 and w.queue.cancelled == []
        w.let_in("3")
        await w.pass_by(2, steps=4)
        assert len(w.queue.cancelled) == 1
        w.let_in("4")
        await w.pass_by(2, steps=4)
        assert sorted(w.queue.cancelled) == ["1", "2"] and w.ids == ["3", "4"]

    run(story())


def test_closed_in_time_without_a_replacement(world: Callable[..., World]) -> None:
    async def story() -> None:
        w = world()
        await w.control.start()
        w.let_in()
        await w.pass_by(10)
        await w.pass_by(3550, steps=500)
        assert sorted(w.queue.cancelled) == ["1", "2"]
        assert w.ids == ["3", "4"]

    run(story())


def test_jobs_that_wait_long_are_replaced_earlier(world: Callable[..., World]) -> None:
    async def story() -> None:
        w = world(jobs=1)
        await w.control.start()
        await w.pass_by(900, steps=90)
        w.let_in()
        await w.pass_by(1)
        # A wait of 15 minutes: half as much again before the end.
        await w.pass_by(3600 - 15 - 1300, steps=100)
        assert w.queue.count == 2

    run(story())


def test_no_replacement_without_a_walltime(world: Callable[..., World]) -> None:
    async def story() -> None:
        w = world(walltime="")
        await w.control.start()
        w.let_in()
        await w.pass_by(1e6, steps=50)
        assert w.queue.count == 2 and w.queue.cancelled == []

    run(story())


def test_lost_jobs_are_replaced_up_to_the_limit(world: Callable[..., World]) -> None:
    async def story() -> None:
        w = world(jobs=1, resubmissions=2)
        await w.control.start()
        for number in range(1, 4):
            assert w.ids == [str(number)] and w.control.failure is None
            w.let_in()
            await w.pass_by(10, steps=10)
            w.lose(str(number))
            await w.pass_by(20, steps=20)
        assert w.ids == [] and w.control.failure is not None
        assert "3 jobs were lost, more than the 2" in w.control.failure

    run(story())


def test_failure_where_no_job_is_left_after_too_many_were_lost(
    world: Callable[..., World],
) -> None:
    async def story() -> None:
        w = world(jobs=(0, 2), resubmissions=0, idle="1 s")
        w.scheduler.target = 2
        await w.pass_by(1)
        w.let_in()
        await w.pass_by(10, steps=10)
        w.lose("1")
        await w.pass_by(20, steps=20)
        w.scheduler.target = 0
        await w.pass_by(20, steps=20)
        assert w.ids == [] and w.control.failure is None
        w.scheduler.target = 1
        await w.pass_by(1)
        assert w.control.failure is not None and "1 jobs were lost" in w.control.failure
        w.control.scale(1, 1)
        await w.pass_by(1)
        assert w.ids == ["3"] and w.control.failure is None

    run(story())


def test_jobs_that_die_at_their_start(world: Callable[..., World], tmp_path: Path) -> None:
    async def story() -> None:
        w = world(jobs=1)
        (tmp_path / "logs").mkdir()
        await w.control.start()
        (tmp_path / "logs" / "icedask-2.err").write_text("no such python\n")
        for number in ("1", "2"):
            w.lose(number)
            await w.pass_by(20, steps=20)
        assert w.control.failure is not None and "no such python" in w.control.failure
        assert w.queue.count == 2
        # A new request submits again.
        w.control.scale(1, 1)
        await w.pass_by(1)
        assert w.queue.count == 3 and w.control.failure is None

    run(story())


def test_a_bad_node_does_not_end_the_cluster(world: Callable[..., World]) -> None:
    async def story() -> None:
        w = world(jobs=2, resubmissions=3)
        await w.control.start()
        w.let_in("1")
        await w.pass_by(1)
        for number in range(2, 6):
            assert w.ids == ["1", str(number)]
            w.lose(str(number))
            await w.pass_by(20, steps=20)
        assert w.ids == ["1"] and w.control.failure is None and w.queue.count == 5

    run(story())


def test_a_queue_without_answer_is_no_loss(world: Callable[..., World]) -> None:
    async def story() -> None:
        w = world(jobs=1)
        await w.control.start()
        w.queue.answers = False
        await w.pass_by(100, steps=50)
        assert w.ids == ["1"] and w.control.failure is None

    run(story())


def test_a_job_whose_workers_ended_is_cancelled(world: Callable[..., World]) -> None:
    async def story() -> None:
        w = world(jobs=1)
        await w.control.start()
        w.let_in()
        await w.pass_by(1)
        w.scheduler.workers.clear()
        await w.pass_by(120, steps=60)
        assert w.queue.cancelled == ["1"] and w.ids == ["2"]

    run(story())


def test_the_number_of_jobs_follows_the_work(world: Callable[..., World]) -> None:
    async def story() -> None:
        w = world(jobs=[0, 3], idle="60 s", cores=2)
        await w.control.start()
        assert w.ids == []
        w.scheduler.target = 3
        await w.pass_by(1)
        # Three workers are two jobs.
        assert len(w.ids) == 2
        w.scheduler.target = 100
        await w.pass_by(1)
        assert len(w.ids) == 3
        w.let_in("1", "2")
        w.scheduler.target = 0
        await w.pass_by(30, steps=10)
        assert len(w.ids) == 3
        await w.pass_by(40, steps=10)
        assert w.ids == [] and sorted(w.queue.cancelled) == ["1", "2", "3"]

    run(story())


def test_a_cancelled_job_is_lost_and_not_given_back(world: Callable[..., World]) -> None:
    async def story() -> None:
        w = world(jobs=[0, 2], idle="1 s")
        w.scheduler.target = 2
        await w.pass_by(1)
        w.let_in()
        for worker in w.scheduler.workers.values():
            worker.processing = {"task": 1}
        await w.pass_by(1)
        # While its tasks wait for a worker, less work seems to be left.
        w.lose("1")
        w.scheduler.target = 1
        await w.pass_by(4, steps=4)
        assert w.queue.cancelled == [] and w.ids == ["1", "2"]
        w.scheduler.target = 2
        await w.pass_by(10, steps=10)
        assert w.ids == ["2", "3"] and w.control.status()["lost"] == 1
        assert w.queue.cancelled == []

    run(story())


def test_a_job_that_was_shown_as_working_is_lost(world: Callable[..., World]) -> None:
    """Cancelled before the next step of the control has seen its workers."""

    async def story() -> None:
        w = world(jobs=1)
        await w.control.start()
        w.let_in()
        assert w.control.status()["jobs"][0]["state"] == "working"
        w.lose("1")
        await w.pass_by(20, steps=20)
        assert w.control.status()["lost"] == 1 and w.ids == ["2"]

    run(story())


def test_a_job_with_data_that_cannot_move_stays(world: Callable[..., World]) -> None:
    async def story() -> None:
        w = world(jobs=[0, 1], idle="10 s")
        w.scheduler.target = 1
        await w.control.start()
        await w.pass_by(1)
        w.let_in()
        await w.pass_by(1)
        w.scheduler.target = 0
        w.scheduler.stuck = True
        await w.pass_by(30, steps=10)
        assert w.ids == ["1"] and w.queue.cancelled == []

    run(story())


def test_a_later_refusal_is_retried(world: Callable[..., World]) -> None:
    async def story() -> None:
        w = world(jobs=2)
        await w.control.start()
        w.let_in()
        await w.pass_by(1)
        w.queue.refuses = "sbatch refused the job: try later"
        w.lose("1")
        await w.pass_by(20, steps=20)
        assert w.ids == ["2"] and w.control.failure is None
        w.queue.refuses = None
        await w.pass_by(31, steps=10)
        assert w.ids == ["2", "3"]

    run(story())


def test_a_refusal_at_first(world: Callable[..., World]) -> None:
    async def story() -> None:
        w = world()
        w.queue.refuses = "sbatch refused the job: no"
        message = (
            "sbatch refused the job: no; asked for: 1 cores, 1GiB of memory, walltime 01:00:00, "
            "the default queue; the nodes have 4 cores and 8000 MB"
        )
        with pytest.raises(ComputeError, match=message):
            await w.control.start()

    run(story())
