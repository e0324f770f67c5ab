"""Command that predicts the cost of another one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from icedask.cli.describe import Descriptors
from icedask.descriptors.descriptor import Descriptor
from icedask.store.runs import open_trajectory


@click.group()
@click.argument("store", type=click.Path(path_type=Path))
@click.pass_context
def plan(context: click.Context, store: Path) -> None:
    """Predict time, memory and disk of a computation on STORE from a few measured blocks."""
    context.obj = store


def _measure(descriptor: Descriptor) -> Callable[..., Any]:
    @click.option("--workers", type=int, required=True, help="Number of worker processes.")
    @click.option("--precision", type=int, help="Bits of mantissa that are kept.")
    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
    @click.pass_obj
    def run(
        store: Path, workers: int, precision: int | None, as_json: bool, **options: Any
    ) -> None:
        from icedask.hpc.plan import plan as predict

        lazy = descriptor.function(open_trajectory(store), **options)
        cost = predict(lazy, workers=workers, precision=precision)
        click.echo(json.dumps(cost.to_dict()) if as_json else str(cost))

    return run


@plan.group(cls=Descriptors, action=_measure)
def describe() -> None:
    """Blocks, time, memory and disk of a descriptor."""
