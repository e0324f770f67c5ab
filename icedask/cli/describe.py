"""The command that computes a descriptor and saves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from icedask.cli.common import common, wait_option, workers
from icedask.cli.options import STORE, RegistryGroup
from icedask.descriptors import find, registry
from icedask.descriptors.descriptor import Descriptor
from icedask.descriptors.lazy import record_without_frames
from icedask.store.outline import Outline, finished_run
from icedask.store.run_writing import check_precision, with_precision
from icedask.store.runs import open_trajectory
from icedask.store.save import save


class Descriptors(RegistryGroup):
    """The descriptors as subcommands."""

    kind = "descriptor"

    @staticmethod
    def entries() -> Mapping[str, Descriptor]:
        """Return every descriptor by name."""
        return registry()

    def find(self, name: str) -> Descriptor | None:
        """Return a descriptor by its name; the modules of others are not imported for it."""
        return find(name)


def finished_result(
    descriptor: Descriptor,
    store: Path,
    options: Mapping[str, Any],
    label: str | None = None,
    precision: int | None = None,
) -> dict[str, Any] | None:
    """Check options, and return id, label and sizes of a stored result; None if there is none.

    Neither reads a frame, and what is refused, or is there, waits for no import of what computes.
    """
    check_precision(precision)
    root = store.resolve()
    record = record_without_frames(Outline(root), descriptor, options)
    if record is None:
        return None
    return finished_run(root, with_precision(record, precision), label)


def _compute_and_save(descriptor: Descriptor) -> Callable[..., Any]:
    @click.option("--label", help="Name for the run.")
    @click.option("--precision", type=int, help="Bits of mantissa to keep, 1 to 23.")
    @wait_option
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
        with workers(profile, jobs):
            result = finished_result(descriptor, store, options, label, precision)
            if result is None:
                lazy = descriptor.function(open_trajectory(store), **options)
                saved = save(lazy, store, label=label, precision=precision)
                result = {
                    "run_id": saved.attrs["run_id"],
                    "label": saved.attrs.get("label"),
                    "sizes": {str(dim): size for dim, size in saved.sizes.items()},
                }
        click.echo(json.dumps(result) if as_json else f"{store}: {result['run_id']}")

    return run


@click.group(cls=Descriptors, action=_compute_and_save)
@click.argument("store", type=STORE)
@click.pass_context
def describe(context: click.Context, store: Path) -> None:
    """Compute a descriptor of the trajectory in STORE and save it there."""
    context.obj = store
