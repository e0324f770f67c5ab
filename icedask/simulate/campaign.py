"""Many replicas at once: one Dask task each, followed to their ends."""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from icedask.errors import InputError
from icedask.simulate.dump import write_dump
from icedask.simulate.job import Job
from icedask.simulate.recipe import Options, Recipe
from icedask.simulate.recipes import recipe_named
from icedask.simulate.replica import Outcome, progress_of, run_replica
from icedask.simulate.stages import Minimise
from icedask.store.runs import open_trajectory
from icedask.tasks.run import active_client

logger = logging.getLogger("icedask")

_LOOK_SECONDS = 2.0
# Where nobody watches a bar: a line when a replica has passed each tenth.
_TENTHS = 10


class _Replica(NamedTuple):
    name: str
    job: Job
    store: Path


def run(
    recipe: str,
    out: str | os.PathLike[str],
    *,
    systems: Sequence[str] | None = None,
    replicas: int = 1,
    seed: int = 0,
    published: bool = False,
    temperature: float | None = None,
    pressure: float | None = None,
    length: float | None = None,
    interval: float | None = None,
    cores: int = 1,
    dump: bool = False,
) -> pd.DataFrame:
    """Make trajectories by molecular dynamics; computes, writes a store for each replica.

    Each replica is one task of the active Dask client (or of this process, one after another)
    and one child process. One that is interrupted is continued from its last restart file by the
    same call, one that is complete is not run again, and one that fails does not stop the others.

    Parameters
    ----------
    recipe : str
        What to simulate: a name that `table` lists.
    out : path
        A store ending in .zarr for a single replica; a folder else, which gets a store for each.
    systems : str or sequence of str, optional
        Systems of the recipe; its default ones if not given.
    replicas : int
        Independent simulations of each system, with the seeds seed, seed + 1, ...
    seed : int
        Of everything random in the first replica.
    published : bool
        The published size and length, in place of minutes on two cores.
    temperature, pressure : float, optional
        K and bar, in place of the recipe's.
    length, interval : float, optional
        Picoseconds of the stage that keeps frames (in `amorphous` of the way to the glass), and
        between frames.
    cores : int
        Cores for each replica.
    dump : bool
        Leave a gzipped LAMMPS text dump beside each store, too; one that is there stays.

    Returns
    -------
    pandas.DataFrame
        A row for each replica: store, status ("complete" or "failed"), its labels (phase,
        temperature in K, pressure in bar, model, seed), seconds of this call, and a message:
        why it failed, or what its phase was judged by.

    Raises
    ------
    InputError
        If the recipe, a system or an option is not known or possible, or an engine is not
        installed.
    """
    options = Options(
        published=published,
        temperature=temperature,
        pressure=pressure,
        length=length,
        interval=interval,
    )
    if isinstance(systems, str):
        systems = [systems]
    for name, value in (("replicas", replicas), ("cores", cores)):
        if value < 1:
            raise InputError(f"{name}: expected 1 or more, found {value}")
    plan = _plan(recipe_named(recipe), Path(out), systems, replicas, seed, options)
    for engine in sorted({replica.job.potential.engine for replica in plan}):
        _check_installed(engine)
    # Replicas differ in nothing but their seeds: one warning is enough.
    for one in {one.job.system: one for one in plan}.values():
        _warn_out_of_range(one.job)
    if dump:
        _check_dumps(plan)
    _announce(plan)
    outcomes = _run_all(plan, cores)
    for one, outcome in zip(plan, outcomes, strict=True):
        if outcome.status == "complete":
            if outcome.labels.get("phase", "") is None:
                logger.warning("%s: no phase label: %s", one.name, outcome.message)
            if dump and not dump_path(one.store).exists():
                write_dump(open_trajectory(one.store), dump_path(one.store))
    rows = {
        one.name: {
            "store": outcome.store,
            "status": outcome.status,
            **outcome.labels,
            "seconds": round(outcome.seconds, 1),
            "message": outcome.message,
        }
        for one, outcome in zip(plan, outcomes, strict=True)
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def dump_path(store: Path) -> Path:
    """Return where the text dump of a store goes."""
    return store.with_suffix(".lammpstrj.gz")


def table() -> pd.DataFrame:
    """Return what can be simulated: a row for each system of each recipe.

    Returns
    -------
    pandas.DataFrame
        Indexed by recipe and system: atoms, length (ns) and cost (minutes of one core), of the
        default and of the published size, what it is for, and its source.
    """
    from icedask.simulate.recipes import recipes

    rows = {}
    for recipe in recipes().values():
        for system, make in recipe.systems.items():
            row: dict[str, Any] = {}
            for prefix, published in (("", False), ("published_", True)):
                job = make(Options(published=published))
                row |= {
                    f"{prefix}atoms": job.n_atoms,
                    f"{prefix}frames": job.n_frames,
                    f"{prefix}length_ns": round(job.kept_picoseconds() * 1e-3, 3),
                    f"{prefix}core_minutes": round(job.core_seconds() / 60, 1),
                }
            row |= {
                "model": job.potential.name,
                "default": system in recipe.default,
                "summary": recipe.summary,
                "source": recipe.reference,
            }
            rows[recipe.name, system] = row
    found = pd.DataFrame.from_dict(rows, orient="index")
    found.index.names = ["recipe", "system"]
    return found


def _announce(plan: Sequence[_Replica]) -> None:
    """Say what is to come; the first sign of progress may be a minute away."""
    jobs = {one.job.system: one.job for one in plan}
    for system, job in jobs.items():
        count = sum(one.job.system == system for one in plan)
        logger.info(
            "%s %s: %d x %d atoms of %s, %d frames, about %.2g minutes of one core each",
            job.recipe,
            system,
            count,
            job.n_atoms,
            job.potential.name,
            job.n_frames,
            job.core_seconds() / 60,
        )


def _plan(
    recipe: Recipe,
    out: Path,
    systems: Sequence[str] | None,
    replicas: int,
    seed: int,
    options: Options,
) -> list[_Replica]:
    # A system named twice is one: its replicas would meet in one store.
    chosen = list(dict.fromkeys(recipe.default if systems is None else systems))
    unknown = [system for system in chosen if system not in recipe.systems]
    if unknown or not chosen:
        raise InputError(
            f"recipe {recipe.name}: expected the systems {', '.join(recipe.systems)}, found "
            f"{', '.join(unknown) or 'none'}"
        )
    single = out.suffix == ".zarr"
    if single and len(chosen) * replicas > 1:
        raise InputError(
            f"{out}: expected a folder for {len(chosen) * replicas} replicas, found the path of "
            "one store; leave out .zarr, or ask for one system and one replica"
        )
    plan = []
    for system in chosen:
        for number in range(replicas):
            job = recipe.systems[system](replace(options, seed=seed + number))
            name = f"{system}-{seed + number}" if replicas > 1 else system
            store = out if single else out / f"{name.replace('/', '-')}.zarr"
            plan.append(_Replica(name, job, store.resolve()))
    return plan


def _check_installed(engine: str) -> None:
    # Engines are called as their modules are.
    if find_spec(engine) is None:
        raise InputError(
            f"{engine}: this recipe needs it, and it is not installed; "
            "pip install icedask[simulate]"
        )


def _check_dumps(plan: Sequence[_Replica]) -> None:
    """Raise InputError if a dump would take the place of a file that is not of its store."""
    for one in plan:
        path = dump_path(one.store)
        if path.exists() and not one.store.exists():
            raise InputError(
                f"{path}: expected no file where the text dump goes, found one; move it, or give "
                "another path"
            )


def _warn_out_of_range(job: Job) -> None:
    potential = job.potential
    for stage in job.stages:
        if isinstance(stage, Minimise):
            continue
        states = {
            "temperature": (
                [stage.temperature, getattr(stage, "temperature_end", None)],
                potential.temperature,
                "K",
            ),
            "pressure": (
                [stage.pressure, getattr(stage, "pressure_end", None)],
                potential.pressure,
                "bar",
            ),
        }
        for name, (values, (low, high), unit) in states.items():
            for value in values:
                if value is not None and not low <= value <= high:
                    logger.warning(
                        "%s: %s %g %s in stage %s is outside the range of %s, %g to %g %s",
                        job.system,
                        name,
                        value,
                        unit,
                        stage.name,
                        potential.name,
                        low,
                        high,
                        unit,
                    )


def _run_all(plan: Sequence[_Replica], cores: int) -> list[Outcome]:
    client = active_client()
    watch = _Watch(plan)
    watch.start()
    try:
        if client is None:
            return [run_replica(one.job, str(one.store), cores) for one in plan]
        return _run_on(client, plan, cores)
    finally:
        watch.stop()


def _run_on(client: Any, plan: Sequence[_Replica], cores: int) -> list[Outcome]:
    futures = [
        client.submit(run_replica, one.job, str(one.store), cores, pure=False) for one in plan
    ]
    outcomes = []
    try:
        for one, future in zip(plan, futures, strict=True):
            try:
                outcomes.append(future.result())
            except Exception as error:  # the worker died again and again: the others go on
                message = f"the worker of this replica failed: {error or type(error).__name__}"
                labels = dict(one.job.labels)
                outcomes.append(Outcome(str(one.store), "failed", labels, message, math.nan))
        return outcomes
    finally:
        if left := [future for future in futures if not future.done()]:
            client.cancel(left)


class _Watch(threading.Thread):
    """Shows how far each replica is, from what their processes leave in their stores."""

    def __init__(self, plan: Sequence[_Replica]) -> None:
        super().__init__(daemon=True)
        self._plan = plan
        self._ended = threading.Event()
        self._tenths: dict[str, int] = {}

    def run(self) -> None:
        """Look until stopped."""
        with tqdm(
            total=100 * len(self._plan), desc="simulate", unit="%", disable=None, file=sys.stderr
        ) as bar:
            while not self._ended.wait(_LOOK_SECONDS):
                shares = {one.name: progress_of(one.store) for one in self._plan}
                self._show(shares, bar)
            self._show({one.name: progress_of(one.store) for one in self._plan}, bar)

    def _show(self, shares: Mapping[str, float], bar: Any) -> None:
        known = {name: share for name, share in shares.items() if not math.isnan(share)}
        if not bar.disable:
            bar.n = round(sum(known.values()) * 100, 1)
            running = [f"{name} {share:.0%}" for name, share in known.items() if share < 1]
            bar.set_postfix_str(", ".join(running[:4]) + (" ..." if len(running) > 4 else ""))
            return
        for name, share in known.items():
            tenth = int(share * _TENTHS)
            if tenth > self._tenths.get(name, 0):
                self._tenths[name] = tenth
                logger.info("%s: %d %% done", name, tenth * 100 // _TENTHS)

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self.join()
