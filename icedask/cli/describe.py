"""The command that computes a descriptor and saves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import xarray as xr

from icedask.cli.common import common, wait_option, workers
from icedask.cli.folders import Outcome
from icedask.cli.options import STORE, RegistryGroup
from icedask.descriptors import find, registry
from icedask.descriptors.descriptor import Descriptor
from icedask.descriptors.lazy import record_without_frames
from icedask.errors import IcedaskError
from icedask.store.collections import open_collection
from icedask.store.members import is_folder_of_stores, member_paths
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
        if is_folder_of_stores(store):
            with workers(profile, jobs):
                outcome = _of_members(descriptor, store, options, label, precision)
            runs = {name: each["run_id"] for name, each in outcome.members.items()}
            outcome.show(runs, as_json=as_json)
            outcome.end("mend these, and the same command computes the rest")
            return
        with workers(profile, jobs):
            result = finished_result(descriptor, store, options, label, precision)
            if result is None:
                lazy = descriptor.function(open_trajectory(store), **options)
                result = _summary(save(lazy, store, label=label, precision=precision))
        click.echo(json.dumps(result) if as_json else f"{store}: {result['run_id']}")

    return run


def _summary(saved: xr.Dataset) -> dict[str, Any]:
    return {
        "run_id": saved.attrs["run_id"],
        "label": saved.attrs.get("label"),
        "sizes": {str(dim): size for dim, size in saved.sizes.items()},
    }


def _of_members(
    descriptor: Descriptor,
    folder: Path,
    options: Mapping[str, Any],
    label: str | None,
    precision: int | None,
) -> Outcome:
    """Compute a descriptor of the members of a folder that have no such run, together."""
    paths, shared = member_paths(folder)
    outcome = Outcome(folder)

    def finished(name: str, store: Path) -> dict[str, Any] | None:
        return finished_result(descriptor, store, options, label, precision)

    outcome.call(finished, paths)
    left = {name: paths[name] for name, result in outcome.members.items() if result is None}
    if not left:
        return outcome
    try:
        members = open_collection(left).with_stores(left, shared)
        lazy = members.map(descriptor.function, **options)
        saved = save(lazy, label=label, precision=precision)
    except IcedaskError as error:
        # All that were left failed; what was there before is still there.
        if not error.failed or len(left) == len(paths):
            raise
        failed, results = dict(error.failed), {}
    else:
        failed, results = saved.failed, {name: _summary(each) for name, each in saved.items()}
    outcome.failed |= failed
    done = {**outcome.members, **results}
    outcome.members = {name: done[name] for name in paths if done.get(name) is not None}
    return outcome


@click.group(cls=Descriptors, action=_compute_and_save)
@click.argument("store", type=STORE)
@click.pass_context
def describe(context: click.Context, store: Path) -> None:
    """Compute a descriptor of the trajectory in STORE and save it there.

    Of a folder of stores: of all members in one computation, each saved into its own store.
    """
    context.obj = store
