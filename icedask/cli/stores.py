"""Commands that make, show and tidy stores."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import click

from icedask.cli.common import common, echo, text_table, wait_option, workers
from icedask.cli.options import STORE, command_of
from icedask.core.text import printable
from icedask.readers.ingest import PARAMETERS
from icedask.readers.ingest import ingest as read_trajectory
from icedask.store.runs import iter_runs, remove_run, run_table, trajectory_summary
from icedask.store.status import progress, progress_text


@wait_option
@common
def _ingest(
    source: tuple[str, ...],
    store: Path,
    profile: str,
    jobs: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    with workers(profile, jobs):
        ds = read_trajectory(list(source), store, **options)
    sizes = {"store": str(store), "frames": ds.sizes["frame"], "atoms": ds.sizes["atom"]}
    time = f", {ds['time'].values[0]:g} to {ds['time'].values[-1]:g} ps"
    click.echo(
        json.dumps(sizes)
        if as_json
        else f"{store}: {sizes['frames']} frames of {sizes['atoms']} atoms{time}"
    )


ingest = command_of(
    "ingest",
    _ingest,
    "Read trajectory files SOURCE into the new Zarr store STORE.",
    PARAMETERS,
    [click.Argument(["source"], nargs=-1, required=True), click.Argument(["store"], type=STORE)],
    {"columns": "--column"},
)


@click.command()
@click.argument("store", type=STORE)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def info(store: Path, as_json: bool) -> None:
    """Show the trajectory and the runs of STORE."""
    summary, runs = trajectory_summary(store), run_table(store)
    if as_json:
        click.echo(json.dumps({"trajectory": summary, "runs": runs}))
        return
    for key, value in summary.items():
        echo(f"{key:14s} {printable(value)}")
    click.echo(f"\n{len(runs)} runs")
    if runs:
        columns = ["run_id", "group", "label", "status", "created", "bytes"]
        click.echo(f"{text_table(runs, columns)}\n")
        for _, attrs in iter_runs(store):
            options = [
                f"{k}={value}" for k, value in attrs["parameters"].items() if value is not None
            ]
            echo(f"{attrs['run_id']}: {printable(', '.join(options) or 'no options')}")


@click.command()
@click.argument("store", type=STORE)
@click.argument("run")
@wait_option
def remove(store: Path, run: str) -> None:
    """Delete the run RUN (id or label) from STORE."""
    remove_run(store, run)
    echo(f"{store}: removed {run}")


@click.command()
@click.argument("store", type=STORE)
@click.option(
    "--repair",
    is_flag=True,
    help="Set aside what is damaged; the command that wrote it then computes it again.",
)
@common
def verify(store: Path, profile: str, jobs: str | None, as_json: bool, repair: bool) -> None:
    """Compare everything in STORE with its checksums; exit status 1 if something is damaged."""
    from icedask.store.verify import verify as verify_store

    with workers(profile, jobs):
        result = verify_store(store, repair=repair)
    if as_json:
        values = {"files": result.files, "bytes": result.bytes, "unprotected": result.unprotected}
        click.echo(json.dumps({"store": str(store), **values, "damage": result.damage}))
    else:
        click.echo(str(result))
    if result.damage:
        sys.exit(1)


@click.command()
@click.argument("store", type=STORE)
@click.option(
    "--follow",
    type=float,
    help="Interval of repeated display. [s]",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def watch(store: Path, follow: float | None, as_json: bool) -> None:
    """Show the progress of the computations of STORE, from any host that has it."""
    with suppress(KeyboardInterrupt) if follow else nullcontext():
        while True:
            text = json.dumps(progress(store)) if as_json else progress_text(store)
            if follow and sys.stdout.isatty():
                click.clear()
            echo(text)
            if not follow:
                return
            time.sleep(follow)
