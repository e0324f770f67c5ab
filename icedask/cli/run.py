"""The commands that run a published analysis, and the demo of one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from icedask.cli.common import common, wait_option, workers
from icedask.cli.folders import Outcome
from icedask.cli.options import STORE, RegistryGroup
from icedask.errors import InputError, StoreError
from icedask.store.collections import open_collection
from icedask.store.members import is_folder_of_stores, member_paths
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
    @click.option(
        "--labels",
        type=click.Path(path_type=Path),
        help="Table of labels of the members of a folder, as CSV with their names first.",
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
        labels: Path | None,
        **options: Any,
    ) -> None:
        is_folder = is_folder_of_stores(store)
        if labels is not None and not is_folder:
            raise InputError("--labels: expected a folder of stores, found one store")
        # Before the first of many computations, and the imports for it.
        outline = _outlines(store) if is_folder else Outline(store.resolve())
        workflow.refuse(outline, options)
        check_outputs(figures, report)
        data: Any
        if is_folder:
            data, target = open_collection(store, labels=labels), None
        else:
            data, target = open_trajectory(store), store
        with workers(profile, jobs):
            result = workflow.function(data, target, **options)
            sections = workflow.present(result, data, figures=figures, report=report)
        failed: dict[str, str] = {}
        if is_folder:
            failed = {**data.failed, **getattr(result, "failed", {})}
        outcome = Outcome(store, {name: None for name in data if name not in failed}, failed)
        if as_json:
            tables = {part.title: _records(part.tables) for part in sections}
            content = {"store": str(store), "label": workflow.name, "tables": tables}
            click.echo(json.dumps({**content, "failed": failed} if is_folder else content))
            outcome.end(_AGAIN)
            return
        # Settings and provenance are for the report: too wide for a terminal.
        for section in (part for part in sections if not part.parameters):
            click.echo("\n".join(["", section.title, "=" * len(section.title)]))
            if section.text:
                click.echo(f"\n{click.wrap_text(section.text, _WIDTH, preserve_paragraphs=True)}")
            for caption, table in section.tables.items():
                text = table.to_string(float_format="{:.4g}".format, line_width=_WIDTH)
                click.echo(f"\n{click.wrap_text(caption, _WIDTH)}\n\n{text}")
        opened = "ice.open_run(store, {!r})"
        if is_folder:
            opened = "ice.open_collection(folder, run={!r})"
        if workflow.takes == "collection":
            store, opened = data.store, "ice.open_run(store, {!r})"
        click.echo(f"\nstore    {store}, the main result: {opened.format(workflow.name)}")
        for name, path in (("figures", figures), ("report", report)):
            if path is not None:
                click.echo(f"{name:8s} {path}")
        outcome.end(_AGAIN)

    return run


_AGAIN = "mend these, and the same command goes on"


def _outlines(folder: Path) -> dict[str, Outline]:
    """Return the outlines of the members of a folder that can be opened."""
    stores, _ = member_paths(folder)
    outlines = {}
    for name, store in stores.items():
        # Those that cannot are reported when the collection is opened.
        with suppress(StoreError):
            outlines[name] = Outline(store)
    return outlines


def _records(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {
        caption: json.loads(table.reset_index().to_json(orient="records"))
        for caption, table in tables.items()
    }


@click.group(cls=Workflows, action=_run_and_show)
def run() -> None:
    """Run a published analysis of a trajectory, or of a folder of stores, to tables and figures."""


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
