"""Stores: save, open, list, label and remove runs."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import dask.array as da
import pandas as pd
import xarray as xr
import zarr

from icedask.errors import InputError, StoreError
from icedask.io.arrays import (
    check_format,
    consolidate,
    create_root,
    group_attrs,
    is_consolidated,
    open_group,
    update_attrs,
    write_small,
)
from icedask.io.encode import STAGING, TRAJECTORY, blocks_done, write_trajectory_dataset
from icedask.io.lock import LOCK_FILE, locked
from icedask.io.provenance import POSITIONS_PREFIX, Record, record_of
from icedask.io.regions import create_lazy_arrays, disk_errors, uniform_blocks, write_missing
from icedask.variables import with_attrs

GROUPS = ("descriptors", "models", "results")
_PACKAGES = (
    "icedask",
    "numpy",
    "dask",
    "xarray",
    "zarr",
    "dscribe",
    "vesin",
    "scikit-learn",
    "hdbscan",
)


class Saveable(Protocol):
    """Anything that turns itself into a Dataset with a record, as fitted estimators do."""

    def to_dataset(self) -> xr.Dataset:
        """Return the Dataset to store."""
        ...


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Return the present time, UTC, ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def save(
    ds: xr.Dataset | Saveable,
    store: str | os.PathLike[str],
    label: str | None = None,
    *,
    precision: int | None = None,
) -> xr.Dataset:
    """Compute what is lazy, write it into the store and return it reopened.

    Each block goes to disk from the task that computed it. A run that was interrupted is
    continued; one that is complete is opened and not computed again.

    Parameters
    ----------
    ds : xarray.Dataset or fitted estimator
        What an icedask function returned, or a trajectory.
    store : path
        An icedask store, or a path where none is yet.
    label : str, optional
        A human name for the run, unique in the store: it passes from an older run to this one.
    precision : int, optional
        Bits of mantissa to keep, 1 to 23 for float32: smaller files, values rounded to a relative
        error of 2**-(precision + 1). All bits by default.

    Returns
    -------
    xarray.Dataset
        The stored run, lazy.

    Raises
    ------
    InputError
        If `ds` is not a Dataset or estimator.
    StoreError
        If the Dataset does not say how it was computed, belongs to another trajectory, the store
        is locked by another writer, of another format or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True) * (3, 3, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = ice.save(ice.coordination(trj, r_cut=3.0), f"{folder}/cu.zarr", label="cn")
    ...     int(saved["coordination"][0, 0])
    12
    """
    path = Path(store).resolve()
    if not isinstance(ds, xr.Dataset | xr.DataArray) and hasattr(ds, "to_dataset"):
        ds = ds.to_dataset()
    if not isinstance(ds, xr.Dataset):
        raise InputError(
            f"save: expected a Dataset or a fitted estimator, found {type(ds).__name__}"
        )
    if precision is not None and not 1 <= precision <= 23:
        raise InputError(f"precision: expected 1 to 23 bits of mantissa, found {precision}")
    if "positions" in ds.variables and "function" not in ds.attrs:
        write_trajectory_dataset(ds, path)
        return open_trajectory(path)
    record = record_of(ds)
    if precision is not None:
        rounded = {**record.parameters, "precision": precision}
        record = Record(**{**record.__dict__, "parameters": rounded})
    created = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    with locked(path), disk_errors(path):
        if created or not (path / "zarr.json").exists():
            _check_empty(path)
            create_root(path)
        _check_belongs(path, record)
        _write_run(ds, record, path, label, precision)
    return open_run(path, record.run_id)


def _check_empty(path: Path) -> None:
    others = [name for name in os.listdir(path) if name != LOCK_FILE]
    if others:
        raise StoreError(
            f"{path}: expected an icedask store or an empty folder, found {others[0]} and "
            f"{len(others) - 1} more; give another path"
        )


def _check_belongs(path: Path, record: Record) -> None:
    attrs = check_format(path)
    trajectory = path / TRAJECTORY / "zarr.json"
    positions = (
        group_attrs(path / TRAJECTORY).get("positions")
        if trajectory.exists()
        else attrs.get("positions")
    )
    if positions is None:
        update_attrs(path, {"positions": record.positions})
    elif positions != record.positions:
        raise StoreError(
            f"{path}: expected a result of the trajectory in this store, found one of another "
            "trajectory; save it into a store of its own"
        )


def _run_path(record: Record) -> str:
    return f"{record.group}/{record.name}/{record.run_id}"


def _write_run(
    ds: xr.Dataset, record: Record, store: Path, label: str | None, precision: int | None
) -> None:
    relative = _run_path(record)
    group = store / relative
    status = group_attrs(group).get("status") if (group / "zarr.json").exists() else None
    if status != "complete":
        ds = uniform_blocks(with_attrs(ds))
        if status is None:
            _begin_run(ds, record, store, precision)
        write_missing(ds, store, group, record.name, precision)
        history = [*group_attrs(group)["history"], f"{now()} completed"]
        update_attrs(group, {"status": "complete", "history": history})
    if label is not None:
        _set_label(store, group, label)
    if label is not None or not is_consolidated(store, relative):
        consolidate(store)


def _begin_run(ds: xr.Dataset, record: Record, store: Path, precision: int | None) -> None:
    group = store / _run_path(record)
    shutil.rmtree(group, ignore_errors=True)
    for parent in (record.group, f"{record.group}/{record.name}"):
        if not (store / parent / "zarr.json").exists():
            zarr.create_group(str(store / parent))
    staged = group.with_name(f".{group.name}")
    shutil.rmtree(staged, ignore_errors=True)
    attrs = {
        **{key: value for key, value in ds.attrs.items() if key != "status"},
        **record.attrs,
        "versions": versions(),
        "created": now(),
        "history": [f"{now()} started"],
        "status": "running",
        "coordinate_names": [str(name) for name in ds.coords],
    }
    zarr.create_group(str(staged), attributes=attrs)
    for name, array in ds.variables.items():
        if array.chunks is None:
            write_small(staged, str(name), ds[name])
    create_lazy_arrays(ds, staged, rounded=precision is not None)
    # The group appears whole or not at all.
    staged.rename(group)


def _set_label(store: Path, group: Path, label: str) -> None:
    for other, attrs in iter_runs(store):
        if attrs.get("label") == label and other != group:
            update_attrs(other, {"label": None})
    update_attrs(group, {"label": label})


def iter_runs(store: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the path and the attributes of every run of a store."""
    for kind in GROUPS:
        for path in sorted((store / kind).glob("*/[!.]*/zarr.json")):
            attrs = group_attrs(path.parent)
            if "run_id" in attrs:
                yield path.parent, attrs


def find_run(store: Path, run: str) -> tuple[Path, dict[str, Any]]:
    """Return path and attributes of a run by id or label.

    Raises
    ------
    StoreError
        If there is none.
    """
    check_format(store)
    known = []
    for path, attrs in iter_runs(store):
        if run in (attrs["run_id"], attrs.get("label")):
            return path, attrs
        known.append(attrs.get("label") or attrs["run_id"])
    raise StoreError(
        f"{store}: no run {run!r}; it holds {', '.join(known) or 'none'} (see icedask.list_runs)"
    )


def has_run(store: str | os.PathLike[str], run_id: str) -> bool:
    """Say whether the store holds a complete run of this id."""
    path = Path(store)
    return any(
        attrs["run_id"] == run_id and attrs["status"] == "complete" for _, attrs in iter_runs(path)
    )


def open_run(
    store: str | os.PathLike[str], run: str, *, allow_incomplete: bool = False
) -> xr.Dataset:
    """Open a stored run lazily.

    Parameters
    ----------
    store : path
        The store.
    run : str
        A run id or a label.
    allow_incomplete : bool
        Open a run that is still being written: blocks that are missing read as NaN, or as the
        smallest integer.

    Returns
    -------
    xarray.Dataset
        With one Dask block for each shard.

    Raises
    ------
    StoreError
        If the run does not exist, or is incomplete and that was not allowed.
    """
    root = Path(store).resolve()
    path, attrs = find_run(root, run)
    if attrs["status"] != "complete" and not allow_incomplete:
        raise StoreError(
            f"{root}: run {run!r} is incomplete; repeat the command that writes it to continue, or "
            "pass allow_incomplete=True to see the part that is there"
        )
    return open_group(root, str(path.relative_to(root)))


def open_trajectory(store: str | os.PathLike[str]) -> xr.Dataset:
    """Open the trajectory of a store lazily.

    Parameters
    ----------
    store : path
        What `ingest` wrote.

    Returns
    -------
    xarray.Dataset
        positions (frame, atom, xyz) and per-atom columns lazy, the rest loaded.

    Raises
    ------
    StoreError
        If there is no store, no trajectory in it, or its ingest is incomplete.
    """
    root = Path(store).resolve()
    check_format(root)
    group = root / TRAJECTORY
    if not (group / "zarr.json").exists():
        raise StoreError(f"{root}: holds no trajectory; make one with icedask ingest")
    attrs = group_attrs(group)
    if attrs["status"] != "complete":
        done, total = blocks_done(root), attrs["blocks"]
        raise StoreError(
            f"{root}: the ingest is incomplete ({done} of {total} blocks); repeat the same "
            "icedask ingest to continue it"
        )
    ds = open_group(root, TRAJECTORY)
    positions = ds["positions"]
    # A name that says which positions these are, so that a result can tell what it came from.
    named = da.from_array(
        zarr.open_array(str(group / "positions"), mode="r"),
        chunks=positions.chunks,
        name=f"{POSITIONS_PREFIX}{attrs['positions']}",
        inline_array=True,
    )
    return with_attrs(ds.assign(positions=positions.copy(data=named)))


def list_runs(store: str | os.PathLike[str]) -> pd.DataFrame:
    """List the runs of a store.

    Parameters
    ----------
    store : path
        The store.

    Returns
    -------
    pandas.DataFrame
        Indexed by run_id: name, group, label, status, created, parents, bytes.

    Raises
    ------
    StoreError
        If there is no store at the path, or one of another format version.
    """
    root = Path(store).resolve()
    check_format(root)
    rows = [
        {
            "run_id": attrs["run_id"],
            "name": attrs["function"],
            "group": attrs["group"],
            "label": attrs.get("label"),
            "status": attrs["status"],
            "created": attrs["created"],
            "parents": attrs["parents"],
            "bytes": _bytes_on_disk(path),
        }
        for path, attrs in iter_runs(root)
    ]
    columns = ["run_id", "name", "group", "label", "status", "created", "parents", "bytes"]
    return pd.DataFrame(rows, columns=columns).set_index("run_id")


def _bytes_on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def remove_run(store: str | os.PathLike[str], run: str) -> None:
    """Delete a run from a store.

    Parameters
    ----------
    store : path
        The store.
    run : str
        A run id or a label.

    Raises
    ------
    StoreError
        If there is no such run, or another stored run was computed from it.
    """
    root = Path(store).resolve()
    path, attrs = find_run(root, run)
    with locked(root):
        children = [
            other["run_id"] for _, other in iter_runs(root) if attrs["run_id"] in other["parents"]
        ]
        if children:
            raise StoreError(
                f"{root}: run {run!r} is the parent of {', '.join(children)}; remove these first"
            )
        # Out of sight in one step, so that a crash leaves no half of a run.
        hidden = path.with_name(f".{path.name}")
        path.rename(hidden)
        shutil.rmtree(hidden)
        consolidate(root)


__all__ = ["STAGING", "find_run", "has_run", "list_runs", "open_run", "open_trajectory", "save"]
