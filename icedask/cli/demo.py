"""The command that shows the main job."""

from __future__ import annotations

import json
from pathlib import Path

import click

import icedask
from icedask.cli.common import common


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default="demo")
@common
def demo(folder: Path, profile: str, jobs: str | None, as_json: bool) -> None:
    """Run the main job on the shipped trajectory; results go to FOLDER (default: demo)."""
    from icedask.workflows.demo import demo as run_demo

    with icedask.connect(profile, jobs=jobs):
        result = run_demo(folder)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "store": str(result.store),
                    "figures": [str(path) for path in result.figures],
                    "states": result.table.to_dict(orient="index"),
                    "agreement": result.agreement,
                }
            )
        )
        return
    click.echo("\nStates of neighbour-averaged SOAP and their CHILL+ composition\n")
    formats = dict.fromkeys(result.table.columns, "{:.3f}".format)
    click.echo(result.table.to_string(formatters=formats))
    if result.agreement is not None:
        click.echo(
            f"\n{result.variance:.1%} of the variance in the latent space; labels of "
            f"{result.agreement['n']} held-out molecules agree with a fit that includes them: "
            f"adjusted Rand index {result.agreement['adjusted_rand']:.2f}"
        )
    click.echo("\nfigures  " + "\n         ".join(str(path) for path in result.figures))
    click.echo(f"store    {result.store}\n\nOpen it in Python:\n")
    click.echo("    import icedask as ice")
    click.echo(f'    states = ice.open_run("{result.store}", "states")')
    click.echo(f'    ice.list_runs("{result.store}")')
