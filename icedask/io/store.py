"""Saving into a store: create the run, write its blocks, label it."""

from __future__ import annotations

import os
import platform
import shutil
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Protocol

import xarray as xr
import zarr

from icedask.errors import InputError, StoreError
from icedask.io.arrays import (
    check_format,
    consolidate,
    create_root,
    group_attrs,
    is_consolidated,
    update_attrs,
    write_small,
)
from icedask.io.catalog import iter_runs, open_run, open_trajectory
from icedask.io.encode import TRAJECTORY, make_folder, write_trajectory_dataset
from icedask.io.lock import locked
from icedask.io.provenance import Record, record_of
from icedask.io.regions import create_lazy_arrays, disk_errors, uniform_blocks, write_missing
from icedask.variables import with_attrs

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
    make_folder(path)
    with locked(path), disk_errors(path):
        if not (path / "zarr.json").exists():
            create_root(path)
        _check_belongs(path, record)
        _write_run(ds, record, path, label, precision)
    return open_run(path, record.run_id)


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
