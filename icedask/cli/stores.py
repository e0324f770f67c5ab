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
from icedask.cli.folder_info import show_folder
from icedask.cli.folders import Outcome, refuse_folder
from icedask.cli.options import STORE, command_of
from icedask.core.text import printable
from icedask.errors import NotFoundError
from icedask.readers.ingest import PARAMETERS
from icedask.readers.ingest import ingest as read_trajectory
from icedask.store.members import is_folder_of_stores, stores_of
from icedask.store.runs import iter_runs, remove_run, run_table, trajectory_summary
from icedask.store.status import (
    folder_progress,
    folder_progress_text,
    progress,
    progress_text,
)


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
    refuse_folder(store, "ingest", "give the path of a store in it, such as FOLDER/NAME.zarr")
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
    """Show the trajectory and the runs of STORE, or the members of a folder of stores."""
    if is_folder_of_stores(store):
        show_folder(store, as_json=as_json)
        return
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
    """Delete the run RUN (id or label) from STORE, or from each member of a folder that has it."""
    if is_folder_of_stores(store):
        _remove_from_members(store, run)
        return
    remove_run(store, run)
    echo(f"{store}: removed {run}")


def _remove_from_members(folder: Path, run: str) -> None:
    outcome, absent = Outcome(folder), {}

    def remove_one(name: str, store: Path) -> bool:
        try:
            remove_run(store, run)
        except NotFoundError as error:
            absent[name] = error
            return False
        return True

    outcome.call(remove_one, stores_of(folder))
    removed = [name for name, was_there in outcome.members.items() if was_there]
    if not removed and not outcome.failed:
        raise next(iter(absent.values()))
    for name in removed:
        echo(f"{name}: removed {run}")
    outcome.end("mend this, and the same command removes the rest")


@click.command()
@click.argument("store", type=STORE)
@click.option(
    "--repair",
    is_flag=True,
    help="Set aside what is damaged; the command that wrote it then computes it again.",
)
@common
def verify(store: Path, profile: str, jobs: str | None, as_json: bool, repair: bool) -> None:
    """Compare everything in STORE, or in the stores of a folder, with its checksums.

    Exit status 1 if something is damaged.
    """
    from icedask.store.verify import verify_stores

    is_folder = is_folder_of_stores(store)
    stores = stores_of(store) if is_folder else {"": store.resolve()}
    with workers(profile, jobs):
        results = verify_stores(stores, repair=repair)
    values = {
        name: {
            "store": str(result.store if is_folder else store),
            "files": result.files,
            "bytes": result.bytes,
            "unprotected": result.unprotected,
            "damage": result.damage,
        }
        for name, result in results.items()
    }
    if as_json:
        click.echo(json.dumps({"members": values} if is_folder else values[""]))
    else:
        click.echo("\n".join(map(str, results.values())))
    if any(result.damage for result in results.values()):
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
    """Show the progress of the computations of STORE, from any host that has it.

    Of a folder of stores that of all its members.
    """
    is_folder = is_folder_of_stores(store)
    with suppress(KeyboardInterrupt) if follow else nullcontext():
        while True:
            if is_folder:
                content: Any = folder_progress(store) if as_json else folder_progress_text(store)
            else:
                content = progress(store) if as_json else progress_text(store)
            text = json.dumps(content) if as_json else content
            if follow and sys.stdout.isatty():
                click.clear()
            echo(text)
            if not follow:
                return
            time.sleep(follow)
