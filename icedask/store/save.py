"""Saving: a result into a store, results that share a pass, a collection into its stores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, overload

import xarray as xr

from icedask.core.collection import Collection
from icedask.errors import InputError
from icedask.store.blocks import write_missing
from icedask.store.folder import make_folder
from icedask.store.lock import Wait
from icedask.store.root import writing
from icedask.store.run_writing import (
    begin_missing,
    check_precision,
    checked_records,
    complete_runs,
    is_stored,
)
from icedask.store.runs import open_run, open_trajectory
from icedask.store.save_members import save_members
from icedask.store.trajectory import write_trajectory_dataset
from icedask.tasks.progress import reporting


class Saveable(Protocol):
    """Anything that turns itself into a Dataset with a record, as fitted estimators do."""

    def to_dataset(self) -> xr.Dataset:
        """Return the Dataset to store."""
        ...


Result: TypeAlias = "xr.Dataset | Saveable"
StorePath = str | os.PathLike[str]


@overload
def save(
    ds: Result,
    store: StorePath,
    label: str | None = None,
    *,
    precision: int | None = None,
    wait: Wait | None = None,
) -> xr.Dataset: ...


@overload
def save(
    ds: Collection,
    store: StorePath | None = None,
    label: str | None = None,
    *,
    precision: int | None = None,
    wait: Wait | None = None,
) -> Collection: ...


@overload
def save(
    ds: Sequence[Collection],
    store: StorePath | None = None,
    label: None = None,
    *,
    precision: int | None = None,
    wait: Wait | None = None,
) -> list[Collection]: ...


@overload
def save(
    ds: Sequence[Result],
    store: StorePath,
    label: None = None,
    *,
    precision: int | None = None,
    wait: Wait | None = None,
) -> list[xr.Dataset]: ...


def save(
    ds: Result | Collection | Sequence[Result] | Sequence[Collection],
    store: StorePath | None = None,
    label: str | None = None,
    *,
    precision: int | None = None,
    wait: Wait | None = None,
) -> xr.Dataset | Collection | list[xr.Dataset] | list[Collection]:
    """Compute a lazy result, write it into the store and return it reopened.

    Each block goes to disk from the task that computed it. A run that was interrupted is
    continued; one that is complete is opened and not computed again.

    Parameters
    ----------
    ds : xarray.Dataset, fitted estimator or Collection, or a list of these
        What an icedask function returned, or a trajectory. Results in a list are computed
        together: those of `describe` share one pass over the trajectory. Each member of a
        collection goes into its own store, all in one computation; one that fails is reported, and
        left out of what is returned.
    store : path
        An icedask store, or a path where none is yet. Of a collection a folder, which gets a store
        for each member; by default the stores that the members are from.
    label : str, optional
        A human name for the run, unique in the store: it passes from an older run to this one.
        Not for a list.
    precision : int, optional
        Bits of mantissa to keep, 1 to 23 for float32: smaller files, values rounded to a relative
        error of 2**-(precision + 1). All bits by default.
    wait : float or bool, optional
        Longest time to wait where another process writes to the store, in seconds; True is for
        ever. By default that of `hold`, else none: the store that is written to is an error.

    Returns
    -------
    xarray.Dataset or Collection, or a list of them
        The stored run, or those of the members, lazy.

    Raises
    ------
    InputError
        If `ds` is not a Dataset or estimator.
    StoreError
        If the Dataset does not say how it was computed, belongs to another trajectory, the store
        is locked by another writer, of another format, read-only, or the disk is full.

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
    check_precision(precision)
    if isinstance(ds, list | tuple) and label is None and _all_collections(ds):
        return save_members(list(ds), _folder(store), None, precision, wait)
    if isinstance(ds, Collection):
        return save_members([ds], _folder(store), label, precision, wait)[0]
    if store is None:
        raise InputError("save: expected the path of a store, found none")
    path = Path(store).resolve()
    if isinstance(ds, list | tuple):
        if label is not None:
            raise InputError("save: a label names one run; save them one by one to label them")
        return _save_results([_dataset(result) for result in ds], path, None, precision, wait)
    result = _dataset(ds)
    if "positions" in result.variables and "function" not in result.attrs:
        write_trajectory_dataset(result, path, wait)
        return open_trajectory(path)
    return _save_results([result], path, label, precision, wait)[0]


def _all_collections(values: Sequence[object]) -> bool:
    return len(values) > 0 and all(isinstance(value, Collection) for value in values)


def _folder(store: StorePath | None) -> Path | None:
    return None if store is None else Path(store).resolve()


def _dataset(ds: object) -> xr.Dataset:
    if not isinstance(ds, xr.Dataset | xr.DataArray) and hasattr(ds, "to_dataset"):
        ds = ds.to_dataset()
    if not isinstance(ds, xr.Dataset):
        raise InputError(
            "save: expected a Dataset, a fitted estimator or a list of these, found "
            f"{type(ds).__name__}; save what describe returned as list(results.values())"
        )
    return ds


def _save_results(
    results: Sequence[xr.Dataset],
    path: Path,
    label: str | None,
    precision: int | None,
    wait: Wait | None,
) -> list[xr.Dataset]:
    if not results:
        return []
    records = checked_records(results, path, label, precision)
    runs = [record.run_id for record in records]
    if not is_stored(path, records, label):
        make_folder(path)
        with writing(path, "save", runs, wait=wait), reporting(path, "save"):
            targets = begin_missing(results, records, path, precision)
            write_missing(targets, path, ", ".join(record.name for record in records))
            complete_runs(targets, path, records[0], label)
    return [open_run(path, run) for run in runs]
