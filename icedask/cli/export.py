"""The command that writes a trajectory and results for other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import xarray as xr

from icedask.cli.common import common
from icedask.cli.folders import Outcome
from icedask.cli.options import STORE, command_of
from icedask.errors import InputError
from icedask.hpc.client import connect
from icedask.store.members import is_folder_of_stores, member_paths
from icedask.store.runs import open_run, open_trajectory
from icedask.writers.checks import member_targets, refuse
from icedask.writers.export import PARAMETERS, planned


@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    help="New file: .extxyz, .lammpstrj, .csv (each also with .gz) or .parquet. Of a folder of "
    "stores with a star for the name of the member, such as 'out/*.extxyz'.",
)
@common
def _export(
    store: Path,
    runs: tuple[str, ...],
    target: Path,
    profile: str,
    jobs: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    named = _named(runs)
    if is_folder_of_stores(store):
        here = profile == "local" and jobs is None
        with nullcontext() if here else connect(profile, jobs=jobs):
            outcome = _export_members(store, named, target, options)
        files = {
            name: f"{done['path']}: {done['frames']} frames, {done['rows']} rows: "
            f"{', '.join(done['columns'])}"
            for name, done in outcome.members.items()
        }
        outcome.show(files, as_json=as_json)
        outcome.end("mend these, and give --overwrite to write all again")
        return
    # Before the imports of what reads and writes.
    refuse(store.resolve(), named, target.absolute(), **options)
    job = planned(open_trajectory(store), target, _results(store, named), **options)
    # What takes seconds in the threads of this process needs no workers.
    here = profile == "local" and jobs is None
    with nullcontext() if here else connect(profile, jobs=jobs):
        done = job.run()
    if as_json:
        click.echo(json.dumps({**done._asdict(), "path": str(done.path)}))
        return
    click.echo(f"{target}: {done.frames} frames, {done.rows} rows: {', '.join(done.columns)}")


def _export_members(
    folder: Path,
    named: Sequence[tuple[str | None, str]],
    pattern: Path,
    options: Mapping[str, Any],
) -> Outcome:
    """Write a file for each member, after the options are checked for all."""
    stores, _ = member_paths(folder)
    targets = member_targets(pattern, list(stores))
    checked, outcome = Outcome(folder), Outcome(folder)

    def check(name: str, store: Path) -> Path:
        refuse(store, named, targets[name], **options)
        return store

    def write(name: str, store: Path) -> dict[str, Any]:
        job = planned(open_trajectory(store), targets[name], _results(store, named), **options)
        done = job.run()
        return {**done._asdict(), "path": str(done.path)}

    checked.call(check, stores)
    outcome.failed |= checked.failed
    outcome.call(write, checked.members)
    return outcome


def _named(runs: Sequence[str]) -> list[tuple[str | None, str]]:
    """Return the runs with their names, if names are given as NAME=RUN."""
    parts = [run.partition("=") for run in runs]
    with_name = [name for name, equals, _ in parts if equals]
    if not with_name:
        return [(None, run) for run in runs]
    if len(with_name) < len(parts):
        raise InputError(
            f"export: expected a name for each run or for none, found {' '.join(runs)}; write "
            "NAME=RUN for each"
        )
    if "" in with_name or len(set(with_name)) < len(with_name):
        raise InputError(f"export: expected a different NAME=RUN for each, found {' '.join(runs)}")
    return [(name, run) for name, _, run in parts]


def _results(
    store: Path, named: Sequence[tuple[str | None, str]]
) -> list[xr.Dataset] | dict[str, xr.Dataset]:
    """Return the runs, by name if they have names."""
    by_name = {name: open_run(store, run) for name, run in named if name is not None}
    return by_name or [open_run(store, run) for _, run in named]


export = command_of(
    "export",
    _export,
    "Write the trajectory of STORE, with the results RUNS (ids or labels, or NAME=RUN) of its "
    "atoms as columns, into a file that ASE, OVITO, MDAnalysis, LAMMPS or pandas reads. Of a "
    "folder of stores: a file for each member.",
    PARAMETERS,
    [click.Argument(["store"], type=STORE), click.Argument(["runs"], nargs=-1)],
    {"columns": "--column"},
)
