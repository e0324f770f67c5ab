"""Commands that make, show and tidy stores."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import click

import icedask
from icedask.cli.common import common


def _pairs(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str | None]:
    result: dict[str, str | None] = {}
    for value in values:
        for pair in value.split(","):
            key, equals, target = pair.partition("=")
            if not equals or not key:
                raise click.BadParameter(f"expected KEY=VALUE, found {pair!r}")
            result[key] = target or None
    return result


def _elements(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | dict[str, str | None] | None:
    if value is None or "=" not in value:
        return value
    return _pairs(context, parameter, (value,))


def _pbc(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[bool, bool, bool] | None:
    if value is None:
        return None
    if value != "none" and set(value) - set("xyz"):
        raise click.BadParameter(f"expected directions such as xyz or xy, or none, found {value!r}")
    return ("x" in value, "y" in value, "z" in value)


@click.command()
@click.argument("source", nargs=-1, required=True)
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--topology", help="File with the atoms (tpr, gro, psf, ...).")
@click.option("--select", help='Atoms to keep, for example "element O".')
@click.option("--frames", help="Frames to keep, start:stop:step.")
@click.option("--units", help="Units of a LAMMPS dump: real, metal or lj.")
@click.option(
    "--timestep",
    type=float,
    help="Time step of a LAMMPS dump: femtoseconds in units real, picoseconds in metal, tau in lj.",
)
@click.option("--frame-interval", type=float, help="Picoseconds between frames, other formats.")
@click.option("--elements", callback=_elements, help="O for all atoms, or 1=O,2=H by type or name.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    callback=_pairs,
    help="Name for a per-atom column, c_e=potential_energy; c_e= drops it.",
)
@click.option("--pbc", callback=_pbc, help="Periodic directions, xyz, xy, ... or none.")
@click.option("--lj-sigma", type=float, help="Length of units lj, angstrom.")
@click.option("--lj-epsilon", type=float, help="Energy of units lj, eV.")
@click.option("--lj-tau", type=float, help="Time of units lj, picosecond.")
@click.option("--overwrite", is_flag=True, help="Replace a store that holds something else.")
@common
def ingest(
    source: tuple[str, ...],
    store: Path,
    profile: str,
    jobs: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Read trajectory files SOURCE into the new Zarr store STORE."""
    options["columns"] = options["columns"] or None
    with icedask.connect(profile, jobs=jobs):
        ds = icedask.ingest(list(source), store, **options)
    sizes = {"store": str(store), "frames": ds.sizes["frame"], "atoms": ds.sizes["atom"]}
    time = f", {ds['time'].values[0]:g} to {ds['time'].values[-1]:g} ps"
    click.echo(
        json.dumps(sizes)
        if as_json
        else f"{store}: {sizes['frames']} frames of {sizes['atoms']} atoms{time}"
    )


def _trajectory_summary(store: Path) -> dict[str, Any]:
    import numpy as np

    ds = icedask.open_trajectory(store)
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
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def info(store: Path, as_json: bool) -> None:
    """Show the trajectory and the runs of STORE."""
    from icedask.store.runs import iter_runs

    summary = _trajectory_summary(store)
    runs = icedask.list_runs(store).reset_index()
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
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("run")
def remove(store: Path, run: str) -> None:
    """Delete the run RUN (id or label) from STORE."""
    icedask.remove_run(store, run)
    click.echo(f"{store}: removed {run}")


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--follow", type=float, help="Show it again so often, until interrupted. [s]")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def watch(store: Path, follow: float | None, as_json: bool) -> None:
    """Show how far the computations of STORE are, from anywhere that sees it."""
    from icedask.store.status import progress_text

    with suppress(KeyboardInterrupt) if follow else nullcontext():
        while True:
            text = json.dumps(icedask.progress(store)) if as_json else progress_text(store)
            if follow and sys.stdout.isatty():
                click.clear()
            click.echo(text)
            if not follow:
                return
            time.sleep(follow)
