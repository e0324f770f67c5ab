"""Command that predicts the cost of another one."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from icedask.cli.describe import Descriptors
from icedask.descriptors import registry
from icedask.descriptors.descriptor import Descriptor
from icedask.descriptors.lazy import record_without_frames
from icedask.errors import InputError, StoreError
from icedask.store.members import is_folder_of_stores, member_paths
from icedask.store.outline import Outline
from icedask.store.run_writing import check_precision
from icedask.store.runs import open_trajectory, trajectory_summary


class _Plan(click.Group):
    """The commands whose cost can be predicted."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; a descriptor without `describe` is an error with the whole command."""
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name.replace("-", "_") in registry():
            store = ctx.params.get("store", "STORE")
            raise click.UsageError(
                f"no command {cmd_name!r}; did you mean plan {store} describe {cmd_name}?", ctx
            )
        return command


@click.group(cls=_Plan)
@click.argument("store", type=click.Path(path_type=Path))
@click.pass_context
def plan(context: click.Context, store: Path) -> None:
    """Predict time, memory and disk of a computation on STORE from a few measured blocks."""
    context.obj = store


def _measure(descriptor: Descriptor) -> Callable[..., Any]:
    @click.option(
        "--workers", type=click.IntRange(1), required=True, help="Number of worker processes."
    )
    @click.option("--precision", type=int, help="Bits of mantissa that are kept.")
    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
    @click.pass_obj
    def run(
        store: Path, workers: int, precision: int | None, as_json: bool, **options: Any
    ) -> None:
        if is_folder_of_stores(store):
            raise InputError(_of_folder(store))
        # Refuses what it can before the imports of what computes.
        check_precision(precision)
        record_without_frames(Outline(store.resolve()), descriptor, options)
        lazy = descriptor.function(open_trajectory(store), **options)
        from icedask.hpc.plan import plan as predict

        cost = predict(lazy, workers=workers, precision=precision)
        click.echo(json.dumps(cost.to_dict()) if as_json else str(cost))

    return run


def _of_folder(folder: Path) -> str:
    """Return a message with the largest member of a folder, and the environments of all by it."""
    stores, _ = member_paths(folder)
    sizes = {}
    for name, store in stores.items():
        with suppress(StoreError):
            summary = trajectory_summary(store)
            sizes[name] = summary["frames"] * summary["atoms"]
    text = f"plan: {folder}: expected one store, found a folder of {len(stores)}"
    if not any(sizes.values()):
        return f"{text}; plan one of them"
    largest = max(sizes, key=lambda name: sizes[name])
    return (
        f"{text}; plan its largest member, {stores[largest]}: all have together "
        f"{sum(sizes.values()) / sizes[largest]:.3g} times its environments, and cost so many "
        "times as much where their atoms are alike"
    )


@plan.group(cls=Descriptors, action=_measure)
def describe() -> None:
    """Blocks, time, memory and disk of a descriptor."""
