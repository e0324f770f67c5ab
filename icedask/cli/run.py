"""The commands that run a published analysis, and the demo of one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from icedask.cli.common import common, wait_option, workers
from icedask.cli.options import STORE, RegistryGroup
from icedask.store.outline import Outline
from icedask.store.runs import open_trajectory
from icedask.workflows.workflow import Workflow, check_outputs, find, registry

# Columns of text and of tables.
_WIDTH = 100


class Workflows(RegistryGroup):
    """The workflows as subcommands."""

    kind = "workflow"
    arguments = (click.Argument(["store"], type=STORE),)

    @staticmethod
    def entries() -> Mapping[str, Workflow[Any, Any]]:
        """Return every workflow by name."""
        return registry()

    def find(self, name: str) -> Workflow[Any, Any] | None:
        """Return a workflow by its name; the modules of others are not imported for it."""
        return find(name.replace("_", "-")) or super().find(name)


def _run_and_show(workflow: Workflow[Any, Any]) -> Callable[..., None]:
    @click.option("--figures", type=click.Path(path_type=Path), help="Folder for figures, as PNG.")
    @click.option(
        "--report",
        type=click.Path(path_type=Path),
        help="File for figures, tables, settings and provenance, as HTML.",
    )
    @wait_option
    @common
    def run(
        store: Path,
        profile: str,
        jobs: str | None,
        as_json: bool,
        figures: Path | None,
        report: Path | None,
        **options: Any,
    ) -> None:
        # Before the first of many computations, and the imports for it.
        workflow.refuse(Outline(store.resolve()), options)
        check_outputs(figures, report)
        trj = open_trajectory(store)
        with workers(profile, jobs):
            result = workflow.function(trj, store, **options)
            sections = workflow.present(result, trj, figures=figures, report=report)
        if as_json:
            tables = {part.title: _records(part.tables) for part in sections}
            click.echo(json.dumps({"store": str(store), "label": workflow.name, "tables": tables}))
            return
        # Settings and provenance are for the report: too wide for a terminal.
        for section in (part for part in sections if not part.parameters):
            click.echo("\n".join(["", section.title, "=" * len(section.title)]))
            if section.text:
                click.echo(f"\n{click.wrap_text(section.text, _WIDTH, preserve_paragraphs=True)}")
            for caption, table in section.tables.items():
                text = table.to_string(float_format="{:.4g}".format, line_width=_WIDTH)
                click.echo(f"\n{click.wrap_text(caption, _WIDTH)}\n\n{text}")
        click.echo(f"\nstore    {store}, the main result: ice.open_run(store, {workflow.name!r})")
        for name, path in (("figures", figures), ("report", report)):
            if path is not None:
                click.echo(f"{name:8s} {path}")

    return run


def _records(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {
        caption: json.loads(table.reset_index().to_json(orient="records"))
        for caption, table in tables.items()
    }


@click.group(cls=Workflows, action=_run_and_show)
def run() -> None:
    """Run a published analysis of a trajectory, to its tables and figures."""


@click.command()
@click.argument("folder", type=STORE, default="demo")
@wait_option
@common
def demo(folder: Path, profile: str, jobs: str | None, as_json: bool) -> None:
    """Run the main job on the shipped trajectory; results go to FOLDER (default: demo)."""
    from icedask.workflows.demo import demo as run_demo

    with workers(profile, jobs):
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
