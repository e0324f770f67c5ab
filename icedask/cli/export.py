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
from icedask.store.runs import find_run, open_run, open_trajectory, trajectory_attrs
from icedask.writers.export import PARAMETERS, format_of, planned


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
    # Before the imports of what reads and writes.
    format_of(target.absolute())
    trajectory_attrs(store.resolve())
    for run in runs:
        find_run(store.resolve(), run.partition("=")[2] or run)
    job = planned(open_trajectory(store), target, _results(store, runs), **options)
    # What takes seconds in the threads of this process needs no workers.
    here = profile == "local" and jobs is None
    with nullcontext() if here else connect(profile, jobs=jobs):
        done = job.run()
    if as_json:
        click.echo(json.dumps({**done._asdict(), "path": str(done.path)}))
        return
    click.echo(f"{target}: {done.frames} frames, {done.rows} rows: {', '.join(done.columns)}")


def _results(store: Path, runs: Sequence[str]) -> list[xr.Dataset] | dict[str, xr.Dataset]:
    """Return the runs, by name if names are given as NAME=RUN."""
    named = [run.partition("=") for run in runs]
    whole = [(name, equals, run) for name, equals, run in named if equals]
    if not whole:
        return [open_run(store, run) for run in runs]
    if len(whole) < len(named):
        raise InputError(
            f"export: expected a name for each run or for none, found {' '.join(runs)}; write "
            "NAME=RUN for each"
        )
    names = [name for name, _, _ in whole]
    if "" in names or len(set(names)) < len(names):
        raise InputError(f"export: expected a different NAME=RUN for each, found {' '.join(runs)}")
    return {name: open_run(store, run) for name, _, run in whole}


export = command_of(
    "export",
    _export,
    "Write the trajectory of STORE, with the results RUNS (ids or labels, or NAME=RUN) of its "
    "atoms as columns, into a file that ASE, OVITO, MDAnalysis, LAMMPS or pandas reads.",
    PARAMETERS,
    [click.Argument(["store"], type=STORE), click.Argument(["runs"], nargs=-1)],
    {"columns": "--column"},
)
