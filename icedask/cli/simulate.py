"""The command that makes trajectories."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

import icedask
from icedask.cli.common import common


def _list_simulations(as_json: bool) -> None:
    table = icedask.simulate.table()
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
    click.echo("* made unless --system says otherwise; times are of one core")


def _duration(minutes: float) -> str:
    if minutes < 90:
        return f"{minutes:.2g} min"
    return f"{minutes / 60:.2g} h" if minutes < 48 * 60 else f"{minutes / 1440:.2g} days"


@click.command()
@click.argument("recipe", required=False)
@click.argument("out", type=click.Path(path_type=Path), required=False)
@click.option("--list", "show", is_flag=True, help="Say what can be simulated, and its cost.")
@click.option("--system", "systems", multiple=True, help="System of the recipe; may be repeated.")
@click.option("--published", is_flag=True, help="Published size and length, not minutes.")
@click.option("--replicas", type=int, default=1, show_default=True, help="Of each system.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first replica.")
@click.option("--temperature", type=float, help="In place of the recipe's. [K]")
@click.option("--pressure", type=float, help="In place of the recipe's. [bar]")
@click.option(
    "--length", type=float, help="Of the stage that keeps frames, or the way to a glass. [ps]"
)
@click.option("--interval", type=float, help="Between frames. [ps]")
@click.option("--cores", type=int, default=1, show_default=True, help="For each replica.")
@click.option("--dump", is_flag=True, help="Leave a LAMMPS text dump beside each store.")
@common
def simulate(
    recipe: str | None,
    out: Path | None,
    show: bool,
    systems: tuple[str, ...],
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
        raise click.UsageError("expected RECIPE and OUT, or --list to see what there is")
    workers = _workers(profile, max(options["cores"], 1))
    with icedask.connect(profile, jobs=jobs, **workers):
        table = icedask.simulate.run(recipe, out, systems=list(systems) or None, **options)
    failed = table[table["status"] != "complete"]
    if as_json:
        click.echo(table.rename_axis("replica").reset_index().to_json(orient="records"))
    else:
        click.echo(table.drop(columns="message").to_string())
        for name, message in table["message"].items():
            if message:
                click.echo(f"\n{name}: {message}", err=True)
    if len(failed):
        raise icedask.ComputeError(
            f"{len(failed)} of {len(table)} replicas failed: {', '.join(failed.index)}; the same "
            "command runs these again from their last restart files; delete "
            "the store of one to start it anew"
        )


def _workers(profile: str, cores: int) -> dict[str, Any]:
    """Return the settings by which each worker has as many cores as a replica takes."""
    if profile == "local":
        return {"n_workers": max(1, len(os.sched_getaffinity(0)) // cores)}
    if cores == 1 or "://" in profile or profile.endswith(".json"):
        return {}
    from icedask.hpc.profiles import load_profile, profile_names

    if profile not in profile_names() and not profile.endswith((".yaml", ".yml")):
        return {}
    section = load_profile(profile).section
    one_at_a_time = ["--nthreads", "1"]
    return {
        "processes": max(1, section["cores"] // cores),
        "worker_extra_args": [*section["worker-extra-args"], *one_at_a_time],
    }
