"""Folders of stores: opened as collections."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icedask.core.collection import Collection, report_failed
from icedask.errors import DamagedError, InputError, NotFoundError, StoreError
from icedask.store.integrity import METADATA
from icedask.store.labels import GROUPS
from icedask.store.root import check_format
from icedask.store.runs import open_run, open_trajectory
from icedask.store.trajectory import TRAJECTORY

if TYPE_CHECKING:
    import pandas as pd

StorePath = str | os.PathLike[str]

# The store, beside the members, of what belongs to all of them.
SHARED = "collection.zarr"
_SUFFIX = ".zarr"


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
    paths, shared = _paths(stores)
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
    table = _read_table(labels) if isinstance(labels, str | os.PathLike) else labels
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


def is_folder_of_stores(path: StorePath) -> bool:
    """Return whether a path is a folder, not itself a store, with stores in it."""
    folder = Path(path)
    return folder.is_dir() and not _is_store(folder) and next(_stores_in(folder), None) is not None


def _paths(
    stores: StorePath | Sequence[StorePath] | Mapping[str, StorePath],
) -> tuple[dict[str, Path], Path | None]:
    """Return the paths of members by name, and that of the store of all."""
    if isinstance(stores, Mapping):
        paths = {str(name): Path(path).resolve() for name, path in stores.items()}
        shared = None
    elif isinstance(stores, str | os.PathLike):
        return _paths_in(Path(stores).resolve())
    else:
        listed = [Path(path).resolve() for path in stores]
        paths = dict(zip(_names(listed), listed, strict=True))
        shared = None
    if not paths:
        raise InputError("open_collection: expected at least one store, found none")
    return paths, shared


def _paths_in(folder: Path) -> tuple[dict[str, Path], Path]:
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "nothing"
        raise NotFoundError(
            f"{folder}: expected a folder of stores, found {kind}; make stores with icedask ingest"
        )
    if _is_store(folder):
        return {_stem(folder.name): folder}, folder
    members = {
        _stem(str(path.relative_to(folder))): path
        for path in _stores_in(folder)
        # A store without trajectory holds what belongs to all.
        if (path / TRAJECTORY).is_dir()
    }
    if not members:
        raise NotFoundError(
            f"{folder}: expected stores with trajectories in this folder, found none; make them "
            "with icedask ingest"
        )
    ordered = sorted(members, key=_natural)
    return {name: members[name] for name in ordered}, folder / SHARED


def _is_store(path: Path) -> bool:
    """Return whether a folder is a store, also a damaged one."""
    try:
        check_format(path)
    except DamagedError:
        return True
    except NotFoundError:
        return False
    except StoreError:
        return True
    return True


def _stores_in(folder: Path) -> Iterator[Path]:
    """Yield the stores below a folder, also damaged ones."""
    with suppress(PermissionError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.name.startswith(".") or not entry.is_dir():
                continue
            path = Path(entry.path)
            known = (path / METADATA).exists() or any((path / group).is_dir() for group in GROUPS)
            if (known or (path / TRAJECTORY).is_dir()) and _is_store(path):
                yield path
            elif not entry.is_symlink():
                yield from _stores_in(path)


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of paths that differ from each other."""
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise InputError(f"open_collection: expected each store once, found {twice} twice")
    for depth in range(1, max((len(path.parts) for path in paths), default=1) + 1):
        names = [_stem("/".join(path.parts[-depth:])) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [_stem(str(path)) for path in paths]


def _stem(name: str) -> str:
    return name.removesuffix(_SUFFIX) or name


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key by which Ih-2 is before Ih-10."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def _read_table(path: StorePath) -> pd.DataFrame:
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
