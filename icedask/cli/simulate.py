"""Command that makes trajectories."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from icedask.cli.common import common, wait_option, workers
from icedask.cli.options import Command, parameter_option
from icedask.errors import ComputeError
from icedask.hpc.profiles import load_profile, profile_names
from icedask.simulate.campaign import PARAMETERS, run
from icedask.simulate.campaign import table as recipe_table


def _list_simulations(as_json: bool) -> None:
    table = recipe_table()
    if as_json:
        click.echo(json.dumps(json.loads(table.reset_index().to_json(orient="records"))))
        return
    for name, systems in table.groupby(level="recipe", sort=False):
        first = systems.iloc[0]
        click.echo(f"{name}: {first['summary']}\n  source {first['source']}")
        for (_, system), row in systems.iterrows():
            sizes = [
                f"{row[f'{kind}atoms']} atoms, {row[f'{kind}length_ns']:g} ns, "
                f"{_duration(row[f'{kind}core_minutes'])}"
                for kind in ("", "published_")
            ]
            mark = "*" if row["default"] else " "
            click.echo(f"  {mark} {system:6s} {row['model']:10s} {sizes[0]}; published {sizes[1]}")
        click.echo()
    click.echo("* default systems; times are of one core")


def _duration(minutes: float) -> str:
    if minutes < 90:
        return f"{minutes:.2g} min"
    return f"{minutes / 60:.2g} h" if minutes < 48 * 60 else f"{minutes / 1440:.2g} days"


class Simulate(Command):
    """Command with the options of `simulate.run`."""

    def __init__(self, *args: Any, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        # One name at a time: --system A --system B.
        named = [replace(p, name="system") if p.name == "systems" else p for p in PARAMETERS]
        # After the arguments and --list.
        self.params[3:3] = [parameter_option(parameter) for parameter in named]


@click.command(cls=Simulate)
@click.argument("recipe", required=False)
@click.argument("out", type=click.Path(path_type=Path), required=False)
@click.option("--list", "show", is_flag=True, help="Table of recipes, systems and costs.")
@wait_option
@common
def simulate(
    recipe: str | None,
    out: Path | None,
    show: bool,
    system: list[str] | None,
    profile: str,
    jobs: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make trajectories: RECIPE into OUT, a store ending in .zarr or a folder of stores."""
    if show:
        _list_simulations(as_json)
        return
    if recipe is None or out is None:
        raise click.UsageError("expected RECIPE and OUT, or --list to see recipes")
    with workers(profile, jobs, **worker_settings(profile, max(options["cores"], 1))):
        table = run(recipe, out, systems=system, **options)
    failed = table[table["status"] != "complete"]
    if as_json:
        click.echo(table.rename_axis("replica").reset_index().to_json(orient="records"))
    else:
        click.echo(table.drop(columns="message").to_string())
        for name, message in table["message"].items():
            if message:
                click.echo(f"\n{name}: {message}", err=True)
    if len(failed):
        raise ComputeError(
            f"{len(failed)} of {len(table)} replicas failed: {', '.join(failed.index)}; the same "
            "command continues these from their last restart files; delete the store of one to "
            "start it from the beginning"
        )


def worker_settings(profile: str, cores: int) -> dict[str, Any]:
    """Return settings of `connect` that give each worker the cores of a replica."""
    if profile == "local":
        return {"n_workers": max(1, len(os.sched_getaffinity(0)) // cores)}
    if cores == 1 or "://" in profile or profile.endswith(".json"):
        return {}
    if profile not in profile_names() and not profile.endswith((".yaml", ".yml")):
        return {}
    section = load_profile(profile).section
    one_at_a_time = ["--nthreads", "1"]
    return {
        "processes": max(1, section["cores"] // cores),
        "worker_extra_args": [*section["worker-extra-args"], *one_at_a_time],
    }
