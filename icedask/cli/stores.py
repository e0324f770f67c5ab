"""Commands that make, show and tidy stores."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import click
import numpy as np

from icedask.cli.common import common
from icedask.cli.options import STORE, command_of
from icedask.hpc.client import connect
from icedask.readers.ingest import PARAMETERS
from icedask.readers.ingest import ingest as read_trajectory
from icedask.store.runs import iter_runs, list_runs, open_trajectory, remove_run
from icedask.store.status import progress, progress_text


@common
def _ingest(
    source: tuple[str, ...],
    store: Path,
    profile: str,
    jobs: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    with connect(profile, jobs=jobs):
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


def _trajectory_summary(store: Path) -> dict[str, Any]:
    ds = open_trajectory(store)
    elements, counts = np.unique(ds["element"].values, return_counts=True)
    time = ds["time"].values
    return {
        "source": ds.attrs["source"],
        **({"labels": ds.attrs["labels"]} if "labels" in ds.attrs else {}),
        "frames": ds.sizes["frame"],
        "atoms": ds.sizes["atom"],
        "elements": {str(e): int(n) for e, n in zip(elements, counts, strict=True)},
        "time_ps": None if np.isnan(time).any() else [float(time[0]), float(time[-1])],
        "pbc": ds["pbc"].values.tolist(),
        "cell_angstrom": ds["cell"].values[0].tolist(),
        "variables": [str(name) for name in ds.data_vars],
    }


@click.command()
@click.argument("store", type=STORE)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def info(store: Path, as_json: bool) -> None:
    """Show the trajectory and the runs of STORE."""
    summary = _trajectory_summary(store)
    runs = list_runs(store).reset_index()
    if as_json:
        click.echo(
            json.dumps({"trajectory": summary, "runs": json.loads(runs.to_json(orient="records"))})
        )
        return
    for key, value in summary.items():
        click.echo(f"{key:14s} {value}")
    click.echo(f"\n{len(runs)} runs")
    if len(runs):
        shown = runs[["run_id", "group", "label", "status", "created", "bytes"]]
        click.echo(shown.fillna("").to_string(index=False))
        click.echo()
        for _, attrs in iter_runs(store):
            options = [
                f"{k}={value}" for k, value in attrs["parameters"].items() if value is not None
            ]
            click.echo(f"{attrs['run_id']}: {', '.join(options) or 'no options'}")


@click.command()
@click.argument("store", type=STORE)
@click.argument("run")
def remove(store: Path, run: str) -> None:
    """Delete the run RUN (id or label) from STORE."""
    remove_run(store, run)
    click.echo(f"{store}: removed {run}")


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
            click.echo(text)
            if not follow:
                return
            time.sleep(follow)
