"""Saving collections: each member into its own store, all members in one computation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from os.path import commonpath
from pathlib import Path
from typing import NamedTuple

import xarray as xr

from icedask.core.collection import Collection, report_failed
from icedask.core.provenance import Record
from icedask.errors import ComputeError, IcedaskError, InputError, StoreError
from icedask.store.blocks import Target, write_missing
from icedask.store.collections import store_of
from icedask.store.folder import make_folder
from icedask.store.lock import Wait
from icedask.store.members import SHARED
from icedask.store.root import create_root, writing
from icedask.store.run_writing import begin_missing, checked_records, complete_runs, is_stored
from icedask.store.runs import open_run, open_trajectory
from icedask.store.trajectory import write_trajectory_dataset
from icedask.tasks.progress import reporting


class _Member(NamedTuple):
    """Results of one member with their records, its store, and runs to be written."""

    results: list[xr.Dataset]
    records: list[Record]
    store: Path
    targets: list[Target]


class _Failures:
    """Messages of the members that failed."""

    def __init__(self) -> None:
        self.messages: dict[str, str] = {}
        self.first: IcedaskError | None = None

    def add(self, name: str, error: Exception) -> None:
        """Note the error of a member."""
        if not isinstance(error, IcedaskError):
            error = ComputeError(f"{name}: {type(error).__name__}: {error}")
        self.messages[name] = str(error)
        self.first = self.first or error

    def error(self) -> IcedaskError:
        """Return the first error, with the messages of all, where no member is left."""
        assert self.first is not None
        self.first.failed = self.messages
        return self.first


def save_members(
    collections: Sequence[Collection],
    folder: Path | None,
    label: str | None,
    precision: int | None,
    wait: Wait | None,
) -> list[Collection]:
    """Save collections of the same members together, each member into its own store.

    One computation has the blocks of all members. A member that fails is reported and left out of
    what is returned; the same call continues it. Raises the first error if all fail.
    """
    first = collections[0]
    names = [name for name in first if all(name in other for other in collections)]
    stores = {name: _store(first, name, folder) for name in names}
    shared = first.store if folder is None else folder / SHARED
    if _are_trajectories(collections):
        return [_save_trajectories(first, stores, shared, wait)]
    failures, members = _Failures(), dict[str, _Member]()
    with ExitStack() as held:
        for name, store in stores.items():
            results = [collection[name] for collection in collections]
            try:
                members[name] = _begun(held, results, store, label, precision, wait)
            except (StoreError, InputError) as error:
                failures.add(name, error)
        _check_distinct(members)
        where = _place(shared, list(stores.values()))
        if shared is not None and any(member.targets for member in members.values()):
            _make_shared(shared)
        with reporting(shared, "save") if shared is not None else nullcontext():
            description = ", ".join(record.name for record in _any(members).records)
            _write(members, where, description, failures)
        for name, member in members.items():
            if name not in failures.messages:
                complete_runs(member.targets, member.store, member.records[0], label)
    done = [name for name in names if name in members and name not in failures.messages]
    if not done:
        raise failures.error()
    report_failed(failures.messages)
    saved = []
    for number, collection in enumerate(collections):
        runs = {n: open_run(members[n].store, members[n].records[number].run_id) for n in done}
        result = collection.with_members(runs, failures.messages)
        saved.append(result.with_stores({name: stores[name] for name in done}, shared))
    return saved


def _make_shared(store: Path) -> None:
    """Make the store of all, which has the reports of the computation, if it can be made."""
    if store.exists():
        return
    with suppress(StoreError):
        make_folder(store)
        with writing(store, "save"):
            create_root(store)


def _any(members: Mapping[str, _Member]) -> _Member:
    return next(iter(members.values()), _Member([], [], Path(), []))


def _store(collection: Collection, name: str, folder: Path | None) -> Path:
    if folder is None:
        return store_of(collection, name)
    path = (folder / f"{name}.zarr").resolve()
    if not path.is_relative_to(folder) or path.name == SHARED:
        raise InputError(
            f"save: expected names of members that are names of files in {folder}, found {name!r}; "
            "rename it"
        )
    return path


def _are_trajectories(collections: Sequence[Collection]) -> bool:
    kinds = {
        "positions" in member.variables and "function" not in member.attrs
        for collection in collections
        for member in collection.values()
    }
    if len(kinds) > 1 or (kinds == {True} and len(collections) > 1):
        raise InputError("save: expected a collection of trajectories, or results, found both")
    return kinds == {True}


def _save_trajectories(
    collection: Collection, stores: Mapping[str, Path], shared: Path | None, wait: Wait | None
) -> Collection:
    failures, saved = _Failures(), {}
    for name, store in stores.items():
        try:
            labels = collection.labels.loc[name].dropna().to_dict()
            trj = collection[name].assign_attrs({"labels": labels} if labels else {})
            write_trajectory_dataset(trj, store, wait)
            saved[name] = open_trajectory(store)
        except (StoreError, InputError) as error:
            failures.add(name, error)
    if not saved:
        raise failures.error()
    report_failed(failures.messages)
    opened = Collection(saved, collection.labels.loc[list(saved)])
    opened = opened.with_members(saved, failures.messages)
    return opened.with_stores({name: stores[name] for name in saved}, shared)


def _begun(
    held: ExitStack,
    results: list[xr.Dataset],
    store: Path,
    label: str | None,
    precision: int | None,
    wait: Wait | None,
) -> _Member:
    """Check the results of a member, lock its store unless they are there, and begin them."""
    records = checked_records(results, store, label, precision)
    if is_stored(store, records, label):
        return _Member(results, records, store, [])
    make_folder(store)
    with ExitStack() as mine:
        mine.enter_context(writing(store, "save", [r.run_id for r in records], wait=wait))
        targets = begin_missing(results, records, store, precision)
        # Held until all members are written; at once given back where it could not begin.
        held.push(mine.pop_all())
    return _Member(results, records, store, targets)


def _check_distinct(members: Mapping[str, _Member]) -> None:
    """Raise InputError if two members are of one store."""
    names: dict[Path, str] = {}
    for name, member in members.items():
        other = names.setdefault(member.store, name)
        if other != name:
            raise InputError(
                f"save: expected a store for each member, found {member.store} for {other} and "
                f"{name}; give each its own"
            )


def _place(shared: Path | None, stores: Sequence[Path]) -> Path:
    """Return the folder that all stores are in."""
    folders = [store.parent for store in stores]
    return Path(commonpath(folders)) if folders else shared or Path()


def _write(
    members: Mapping[str, _Member], where: Path, description: str, failures: _Failures
) -> None:
    """Write the missing blocks of all members in one computation.

    Where it fails, halves are tried by themselves until the members that fail are known; blocks
    that are written are not computed again.
    """
    left = {name: member for name, member in members.items() if member.targets}
    if not left:
        return
    try:
        write_missing([t for m in left.values() for t in m.targets], where, description)
    except ComputeError:
        # Workers died or the scheduler is lost: no member's fault that could be known.
        raise
    except StoreError as error:
        if _is_of_disk(error):
            raise
        _halve(left, where, description, failures, error)
    except Exception as error:
        _halve(left, where, description, failures, error)


def _is_of_disk(error: StoreError) -> bool:
    """Return whether an error is of the disk, and so of all members."""
    return isinstance(error.__cause__, OSError)


def _halve(
    members: Mapping[str, _Member],
    where: Path,
    description: str,
    failures: _Failures,
    error: Exception,
) -> None:
    names = list(members)
    if len(names) == 1:
        failures.add(names[0], error)
        return
    middle = len(names) // 2
    for half in (names[:middle], names[middle:]):
        _write({name: members[name] for name in half}, where, description, failures)
