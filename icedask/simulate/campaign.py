"""Replicas of the systems of a recipe: one Dask task each, with progress and a table of results."""

from __future__ import annotations

import inspect
import logging
import math
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from icedask.core.options import (
    MAX_SEED,
    Option,
    checked,
    documented,
    parameters_of,
    plain_signature,
)
from icedask.errors import InputError
from icedask.simulate.dump import write_dump
from icedask.simulate.job import Job
from icedask.simulate.recipe import (
    Interval,
    Length,
    Options,
    Pressure,
    Published,
    Recipe,
    Temperature,
)
from icedask.simulate.recipes import recipe_named, recipes
from icedask.simulate.replica import Outcome, progress_of, run_replica
from icedask.simulate.stages import Minimise
from icedask.store.lock import Wait, present_wait
from icedask.store.runs import open_trajectory
from icedask.tasks.run import active_client, wait_for

logger = logging.getLogger("icedask")

_POLL_SECONDS = 2.0
# Without a progress bar: a message at each tenth of a replica.
_TENTHS = 10


class _Replica(NamedTuple):
    name: str
    job: Job
    store: Path


def _as_list(value: Any, where: str) -> list[str]:
    """Return names of systems; a string is one name."""
    names = [value] if isinstance(value, str) else list(value)
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"{where}: expected names of systems, found {value!r}")
    return names


def run(
    recipe: str,
    out: str | os.PathLike[str],
    *,
    systems: Annotated[
        Sequence[str] | None,
        Option(
            "System of the recipe, or several; by default as marked in the table.", check=_as_list
        ),
    ] = None,
    replicas: Annotated[
        int, Option("Number of independent simulations of each system.", at_least=1)
    ] = 1,
    seed: Annotated[
        int,
        Option("Seed of the first replica; the others follow.", at_least=0, at_most=MAX_SEED),
    ] = 0,
    published: Published = False,
    temperature: Temperature = None,
    pressure: Pressure = None,
    length: Length = None,
    interval: Interval = None,
    cores: Annotated[int, Option("Number of cores of each replica.", at_least=1)] = 1,
    dump: Annotated[
        bool,
        Option("Write a gzipped LAMMPS text dump beside each store, unless it is there."),
    ] = False,
) -> pd.DataFrame:
    """Make trajectories by molecular dynamics; computes, writes a store for each replica.

    Each replica is one task of the active Dask client (or of this process, one after another)
    and one child process. A replica that was interrupted continues from its last restart file by
    the same call, a complete one is not run again, and one that fails does not stop the others.

    {parameters}

    Returns
    -------
    pandas.DataFrame
        A row for each replica: store, status ("complete" or "failed"), its labels (phase,
        temperature in K, pressure in bar, model, seed, the name of its start structure, and for
        glasses route and rates in K/ns and GPa/ns), seconds of this call, and a message:
        the error, or the measures by which its phase was checked.

    Raises
    ------
    InputError
        If the recipe, a system or an option is not known or possible, or an engine is not
        installed.
    """
    arguments = locals()
    values = checked("", PARAMETERS, {p.name: arguments[p.name] for p in PARAMETERS})
    cores, dump = values["cores"], values["dump"]
    options = Options(**{field.name: values[field.name] for field in fields(Options)})
    plan = _replicas(
        recipe_named(recipe), Path(out), values["systems"], values["replicas"], options
    )
    for engine in sorted({replica.job.potential.engine for replica in plan}):
        _check_installed(engine)
    # Replicas differ in nothing but their seeds: one warning is enough.
    for job in {replica.job.system: replica.job for replica in plan}.values():
        _warn_out_of_range(job)
    if dump:
        _check_dumps(plan)
    _announce(plan)
    outcomes = _run_all(plan, cores)
    rows: dict[str, dict[str, Any]] = {}
    for replica, outcome in zip(plan, outcomes, strict=True):
        if outcome.status == "complete":
            if outcome.labels.get("phase", "") is None:
                logger.warning("%s: no phase label: %s", replica.name, outcome.message)
            if dump and not dump_path(replica.store).exists():
                write_dump(open_trajectory(replica.store), dump_path(replica.store))
        rows[replica.name] = {
            "store": outcome.store,
            "status": outcome.status,
            **outcome.labels,
            "seconds": round(outcome.seconds, 1),
            "message": outcome.message,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


PARAMETERS = parameters_of(run)
run.__signature__ = plain_signature(  # type: ignore[attr-defined]
    inspect.signature(run), PARAMETERS, "pandas.DataFrame"
)
run.__doc__ = documented(
    run.__doc__,
    PARAMETERS,
    "recipe : str\n    Name of a recipe that `table` lists.",
    "out : path\n    Store ending in .zarr for a single replica; else a folder, which gets a store "
    "for each.",
)


def dump_path(store: Path) -> Path:
    """Return the path of the text dump of a store."""
    return store.with_suffix(".lammpstrj.gz")


def table() -> pd.DataFrame:
    """Return the table of recipes: a row for each system of each recipe.

    Returns
    -------
    pandas.DataFrame
        Indexed by recipe and system: atoms, length (ns) and cost (minutes of one core), of the
        default and of the published size, purpose, and source.
    """
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
    listing = pd.DataFrame.from_dict(rows, orient="index")
    listing.index.names = ["recipe", "system"]
    return listing


def _announce(plan: Sequence[_Replica]) -> None:
    """Log sizes and costs: the first progress may take a minute."""
    jobs = {replica.job.system: replica.job for replica in plan}
    for system, job in jobs.items():
        count = sum(replica.job.system == system for replica in plan)
        logger.info(
            f"{job.recipe} {system}: {count} x {job.n_atoms} atoms of {job.potential.name}, "
            f"{job.n_frames} frames, about {job.core_seconds() / 60:.2g} minutes of one core each"
        )


def _replicas(
    recipe: Recipe, out: Path, systems: Sequence[str] | None, replicas: int, options: Options
) -> list[_Replica]:
    # Without duplicates: replicas of a system named twice would meet in one store.
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
        for seed in range(options.seed, options.seed + replicas):
            job = recipe.systems[system](replace(options, seed=seed))
            name = f"{system}-{seed}" if replicas > 1 else system
            store = out if single else out / f"{name.replace('/', '-')}.zarr"
            plan.append(_Replica(name, job, store.resolve()))
    return plan


def _check_installed(engine: str) -> None:
    # The name of an engine is that of its module.
    if find_spec(engine) is None:
        raise InputError(
            f"{engine}: this recipe needs it, and it is not installed; "
            "pip install icedask[simulate]"
        )


def _check_dumps(plan: Sequence[_Replica]) -> None:
    """Raise InputError if a dump would overwrite a file that does not belong to its store."""
    for replica in plan:
        path = dump_path(replica.store)
        if path.exists() and not replica.store.exists():
            raise InputError(
                f"{path}: expected no file where the text dump goes, found one; move it, or give "
                "another path"
            )


def _warn_out_of_range(job: Job) -> None:
    for stage in job.stages:
        if isinstance(stage, Minimise):
            continue
        for name, unit in (("temperature", "K"), ("pressure", "bar")):
            low, high = getattr(job.potential, name)
            for value in (getattr(stage, name), getattr(stage, f"{name}_end", None)):
                if value is not None and not low <= value <= high:
                    logger.warning(
                        f"{job.system}: {name} {value:g} {unit} in stage {stage.name} is outside "
                        f"the range of {job.potential.name}, {low:g} to {high:g} {unit}"
                    )


def _run_all(plan: Sequence[_Replica], cores: int) -> list[Outcome]:
    client, wait = active_client(len(plan)), present_wait()
    watch = _Watch(plan)
    watch.start()
    try:
        if client is None:
            return [run_replica(replica.job, str(replica.store), cores, wait) for replica in plan]
        return _run_on(client, plan, cores, wait)
    finally:
        watch.stop()


def _run_on(client: Any, plan: Sequence[_Replica], cores: int, wait: Wait) -> list[Outcome]:
    futures = [
        client.submit(run_replica, replica.job, str(replica.store), cores, wait, pure=False)
        for replica in plan
    ]
    outcomes = []
    try:
        for replica, future in zip(plan, futures, strict=True):
            wait_for(client, future)
            try:
                outcomes.append(future.result())
            except Exception as error:  # the worker died again and again: the others go on
                message = f"the worker of this replica failed: {error or type(error).__name__}"
                labels = dict(replica.job.labels)
                outcomes.append(Outcome(str(replica.store), "failed", labels, message, math.nan))
        return outcomes
    finally:
        if unfinished := [future for future in futures if not future.done()]:
            client.cancel(unfinished)


class _Watch(threading.Thread):
    """Progress of each replica, from the files that its process writes into its store."""

    def __init__(self, plan: Sequence[_Replica]) -> None:
        super().__init__(daemon=True)
        self._plan = plan
        self._ended = threading.Event()
        self._tenths: dict[str, int] = {}

    def run(self) -> None:
        """Show progress until stopped."""
        with tqdm(
            total=100 * len(self._plan), desc="simulate", unit="%", disable=None, file=sys.stderr
        ) as bar:
            while not self._ended.wait(_POLL_SECONDS):
                self._show(bar)
            self._show(bar)

    def _show(self, bar: Any) -> None:
        shares = {replica.name: progress_of(replica.store) for replica in self._plan}
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
