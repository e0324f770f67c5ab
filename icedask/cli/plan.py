"""The command that says what another one would take."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import icedask
from icedask.cli.describe import Descriptors
from icedask.descriptors.descriptor import Descriptor


@click.group()
@click.argument("store", type=click.Path(path_type=Path))
@click.pass_context
def plan(context: click.Context, store: Path) -> None:
    """Measure a few blocks of what could be done with STORE; say what all of it would take."""
    context.obj = store


def _measure(descriptor: Descriptor) -> Callable[..., Any]:
    @click.option("--workers", type=int, required=True, help="Processes that share the work.")
    @click.option("--precision", type=int, help="Bits of mantissa to keep.")
    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
    @click.pass_obj
    def run(
        store: Path, workers: int, precision: int | None, as_json: bool, **options: Any
    ) -> None:
        lazy = descriptor.function(icedask.open_trajectory(store), **options)
        found = icedask.plan(lazy, workers=workers, precision=precision)
        click.echo(json.dumps(found.to_dict()) if as_json else str(found))

    return run


@plan.group(cls=Descriptors, action=_measure)
def describe() -> None:
    """Blocks, time, memory and disk of a descriptor."""
