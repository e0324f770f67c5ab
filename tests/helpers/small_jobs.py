"""Simulations of seconds, in a module of their own so that other processes can import them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from icedask.simulate.job import Job, Start
from icedask.simulate.potentials import MW
from icedask.simulate.recipe import Options
from icedask.simulate.recipes.amorphous import RECIPE
from icedask.simulate.replica import run_replica
from icedask.simulate.stages import Dynamics, Stage


def small_stages(steps: int = 1200, every: int = 100, **options: Any) -> tuple[Stage, ...]:
    return (
        Dynamics("melt", 200, temperature=300.0, pressure=1.0, velocities=400.0),
        Dynamics("keep", steps, temperature=300.0, pressure=1.0, every=every, **options),
    )


def small_job(stages: Sequence[Stage] | None = None, n: int = 216, **options: Any) -> Job:
    """Return the job of a little liquid mW water."""
    fields: dict[str, Any] = {
        "recipe": "test",
        "system": "mW",
        "start": Start("liquid", {"n": n, "density": 0.98, "seed": 3, "sites": "O"}),
        "n_atoms": n,
        "potential": MW,
        "stages": tuple(small_stages() if stages is None else stages),
        "seed": 5,
        "segment_steps": 250,
        "labels": {"phase": "liquid", "model": "mW", "seed": 5},
    }
    return Job(**fields | options)


def exploding_job() -> Job:
    """Return a simulation that explodes: its time step is a hundred times too long."""
    return small_job(potential=replace(MW, timestep=1500.0))


def run_small(cores: int, store: str) -> None:
    """Run the small job; a process that runs this can be killed at any moment."""
    assert run_replica(small_job(), store, cores).status == "complete"


def short_glass(system: str) -> Job:
    """Return the job of an amorphous ice with all its stages, each a small part as long."""
    job = RECIPE.systems[system](Options(seed=4, length=0.5, interval=0.1))
    stages: list[Stage] = []
    for stage in job.stages:
        if isinstance(stage, Dynamics):
            longest = 100 if stage.every == 0 else stage.every * 4
            stages.append(replace(stage, steps=min(stage.steps, longest)))
        else:
            stages.append(stage)
    return replace(job, stages=tuple(stages))


def run_glass(system: str, store: str) -> None:
    """Run the shortened job of an amorphous ice."""
    outcome = run_replica(short_glass(system), store, 1)
    assert outcome.status == "complete", outcome.message
