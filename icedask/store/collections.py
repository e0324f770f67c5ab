"""Folders of stores: opened as collections."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icedask.core.collection import Collection, report_failed
from icedask.errors import InputError, StoreError
from icedask.store.members import member_paths
from icedask.store.runs import open_run, open_trajectory

if TYPE_CHECKING:
    import pandas as pd

StorePath = str | os.PathLike[str]


def open_collection(
    stores: StorePath | Sequence[StorePath] | Mapping[str, StorePath],
    *,
    labels: pd.DataFrame | Mapping[str, Mapping[str, Any]] | StorePath | None = None,
    run: str | None = None,
) -> Collection:
    """Open many stores as one collection of trajectories, or of one result of each; lazy.

    Parameters
    ----------
    stores : path, list of paths, or mapping
        A folder, of which every store with a trajectory is a member, also in folders within; or the
        stores themselves, by name if they have names. The name of a member is its path in the
        folder without .zarr.
    labels : pandas.DataFrame, mapping or path, optional
        Labels of members by name, or a CSV file whose first column has the names. They add to the
        labels that simulated trajectories have (phase, temperature, pressure, model, seed), or
        replace them.
    run : str, optional
        Label or id of a run: the members are these results instead of the trajectories.

    Returns
    -------
    Collection
        In natural order of the names. A store that cannot be opened, as one that is incomplete or
        damaged, is left out, with a warning, and listed in `failed`.

    Raises
    ------
    InputError
        If two stores have the same name, or labels are of other names.
    StoreError
        If there is no store, or none of them can be opened.

    Examples
    --------
    >>> import tempfile
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("Cu", "Au"):
    ...         trj = ice.save(ice.from_ase(bulk(name, cubic=True)), f"{folder}/{name}.zarr")
    ...     metals = ice.open_collection(folder)
    ...     cn = ice.save(ice.coordination(metals, r_cut=3.0), label="cn")
    >>> list(cn)
    ['Au', 'Cu']
    """
    paths, shared = member_paths(stores)
    members, failed, last = {}, {}, None
    for name, path in paths.items():
        try:
            members[name] = open_trajectory(path)
        except StoreError as error:
            failed[name], last = str(error), error
    if not members:
        assert last is not None
        raise last
    report_failed(failed)
    table = read_labels(labels) if isinstance(labels, str | os.PathLike) else labels
    collection = Collection(members, table, failed=failed)
    collection = collection.with_stores({name: paths[name] for name in members}, shared)
    return collection if run is None else open_runs(collection, run)


def open_runs(collection: Collection, run: str, *, allow_incomplete: bool = False) -> Collection:
    """Open a stored run of each member of a collection; lazy.

    Parameters
    ----------
    collection : Collection
        Members with stores.
    run : str
        Label of the runs; the same result has another run id in each store.
    allow_incomplete : bool
        Open runs that are still being written.

    Returns
    -------
    Collection
        The members that have the run; the others are left out, with a warning.

    Raises
    ------
    StoreError
        If no member has it.
    """
    runs, failed, last = {}, {}, None
    for name in collection:
        try:
            store = store_of(collection, name)
            runs[name] = open_run(store, run, allow_incomplete=allow_incomplete)
        except StoreError as error:
            failed[name], last = str(error), error
    if not runs:
        assert last is not None
        raise last
    report_failed(failed)
    return collection.with_members(runs, failed)


def store_of(collection: Collection, name: str) -> Path:
    """Return the store of a member; raise StoreError if it has none."""
    try:
        return collection.stores[name]
    except KeyError:
        raise StoreError(
            f"{name}: expected a member with a store, found one in memory; save the collection "
            "into a folder first: icedask.save(collection, folder)"
        ) from None


def read_labels(path: StorePath) -> pd.DataFrame:
    """Return a table of labels from a CSV file, by the names in its first column."""
    import pandas as pd

    try:
        table = pd.read_csv(path, index_col=0, dtype={0: str})
    except (OSError, ValueError) as error:
        raise InputError(
            f"labels: expected a CSV file with the names of members in its first column, found "
            f"{path}: {error}"
        ) from error
    table.index = table.index.map(str)
    return table
