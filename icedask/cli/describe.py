"""The command that computes a descriptor, and the registry as a group of commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import icedask
from icedask.cli.common import common
from icedask.cli.options import descriptor_option
from icedask.descriptors import registry
from icedask.descriptors.descriptor import Descriptor


class Descriptors(click.Group):
    """The registry as subcommands; `action` returns what the command of a descriptor runs.

    A command has the options of its descriptor and those that the action is decorated with.
    """

    def __init__(self, action: Callable[[Descriptor], Callable[..., Any]], **attrs: Any) -> None:
        super().__init__(**attrs)
        self.action = action

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the descriptors."""
        return list(registry())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of one descriptor."""
        found = registry().get(cmd_name.replace("-", "_"))
        if found is None:
            raise click.UsageError(
                f"no descriptor {cmd_name!r}; there are {', '.join(registry())}", ctx
            )
        run = self.action(found)
        summary = (found.function.__doc__ or "").strip().splitlines()[0]
        command = click.Command(found.name, callback=run, help=summary.replace("; lazy", ""))
        command.params = [
            *(descriptor_option(parameter) for parameter in found.parameters),
            # Decorators leave theirs from the last to the first.
            *reversed(getattr(run, "__click_params__", [])),
        ]
        return command


def _compute_and_save(descriptor: Descriptor) -> Callable[..., Any]:
    @click.option("--label", help="A name for the run.")
    @click.option("--precision", type=int, help="Bits of mantissa to keep.")
    @common
    @click.pass_obj
    def run(
        store: Path,
        profile: str,
        jobs: str | None,
        as_json: bool,
        label: str | None,
        precision: int | None,
        **options: Any,
    ) -> None:
        trj = icedask.open_trajectory(store)
        lazy = descriptor.function(trj, **options)
        with icedask.connect(profile, jobs=jobs):
            saved = icedask.save(lazy, store, label=label, precision=precision)
        result = {
            "run_id": saved.attrs["run_id"],
            "label": saved.attrs.get("label"),
            "sizes": {str(dim): size for dim, size in saved.sizes.items()},
        }
        click.echo(json.dumps(result) if as_json else f"{store}: {result['run_id']}")

    return run


@click.group(cls=Descriptors, action=_compute_and_save)
@click.argument("store", type=click.Path(path_type=Path))
@click.pass_context
def describe(context: click.Context, store: Path) -> None:
    """Compute a descriptor of the trajectory in STORE and save it there."""
    context.obj = store
