"""The command that runs a published analysis, and the registry of these as a group."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

import icedask
from icedask.cli.common import common
from icedask.cli.options import descriptor_option

# Columns of text and of tables.
_WIDTH = 100


class Workflows(click.Group):
    """The registry as subcommands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the workflows."""
        return list(_registry())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of one workflow."""
        found = _registry().get(cmd_name)
        if found is None:
            raise click.UsageError(
                f"no workflow {cmd_name!r}; there are {', '.join(_registry())}", ctx
            )
        run = _command(found)
        summary = (found.function.__doc__ or "").strip().splitlines()[0]
        command = click.Command(found.name, callback=run, help=summary)
        command.params = [
            click.Argument(["store"], type=click.Path(path_type=Path)),
            *(descriptor_option(parameter) for parameter in found.parameters),
            # Decorators leave theirs from the last to the first.
            *reversed(getattr(run, "__click_params__", [])),
        ]
        return command


def _registry() -> dict[str, Any]:
    from icedask.workflows.workflow import registry

    return registry()


def _command(found: Any) -> Any:
    @click.option(
        "--figures", type=click.Path(path_type=Path), help="Folder to write figures to, as PNG."
    )
    @click.option(
        "--report",
        type=click.Path(path_type=Path),
        help="File to write figures, tables, settings and provenance to, as HTML.",
    )
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
        from icedask.workflows.workflow import check_outputs

        trj = icedask.open_trajectory(store)
        # Before any worker starts.
        found.resolve(options)
        check_outputs(figures, report)
        with icedask.connect(profile, jobs=jobs):
            result = found.function(trj, store, **options)
            sections = found.present(result, trj, figures=figures, report=report)
        if as_json:
            tables = {one.title: _records(one.tables) for one in sections}
            click.echo(json.dumps({"store": str(store), "label": found.name, "tables": tables}))
            return
        # Settings and provenance are for the report: too wide for a terminal.
        for section in (one for one in sections if not one.parameters):
            click.echo("\n".join(["", section.title, "=" * len(section.title)]))
            if section.text:
                click.echo(f"\n{click.wrap_text(section.text, _WIDTH, preserve_paragraphs=True)}")
            for caption, table in section.tables.items():
                text = table.to_string(float_format="{:.4g}".format, line_width=_WIDTH)
                click.echo(f"\n{click.wrap_text(caption, _WIDTH)}\n\n{text}")
        click.echo(f"\nstore    {store}, the main result: ice.open_run(store, {found.name!r})")
        for name, path in (("figures", figures), ("report", report)):
            if path is not None:
                click.echo(f"{name:8s} {path}")

    return run


def _records(tables: dict[str, Any]) -> dict[str, Any]:
    return {
        caption: json.loads(table.reset_index().to_json(orient="records"))
        for caption, table in tables.items()
    }


@click.group(cls=Workflows)
def run() -> None:
    """Run a published analysis of a trajectory, to its tables and figures."""
