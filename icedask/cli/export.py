"""The command that writes a trajectory and results for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import xarray as xr

from icedask.cli.common import common
from icedask.cli.options import STORE, command_of
from icedask.errors import InputError
from icedask.hpc.client import connect
from icedask.store.runs import open_run, open_trajectory
from icedask.writers.checks import refuse
from icedask.writers.export import PARAMETERS, planned


@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    help="New file: .extxyz, .lammpstrj, .csv (each also with .gz) or .parquet.",
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
    "atoms as columns, into a file that ASE, OVITO, MDAnalysis, LAMMPS or pandas reads.",
    PARAMETERS,
    [click.Argument(["store"], type=STORE), click.Argument(["runs"], nargs=-1)],
    {"columns": "--column"},
)
