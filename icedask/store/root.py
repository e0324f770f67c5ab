"""The root of a store: its format, what a writer finds and leaves, and complete groups."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from icedask.core.lineage import is_name, is_run_id
from icedask.core.text import printable
from icedask.errors import DamagedError, NotFoundError, StoreError
from icedask.store.arrays import delete, remove_partial_files, update_attrs, write_metadata
from icedask.store.blocks import disk_errors
from icedask.store.integrity import (
    CHECKSUMS,
    METADATA,
    damaged,
    digest_bytes,
    file_digests,
    group_attrs,
    read_metadata,
    sealed,
)
from icedask.store.labels import (
    FOLDER,
    GROUPS,
    UNFINISHED,
    in_files,
    labels_of_old_store,
    write_label,
)
from icedask.store.lock import Held, Wait, check_locks, locked

FORMAT = "icedask"
FORMAT_VERSION = 1
# The root holds no consolidated metadata, which every save would have to write again: each complete
# group has its own. The entry is empty: without one xarray warns of slow opening, and a wrong
# one hides runs.
_ROOT = {"zarr_format": 3, "node_type": "group", "consolidated_metadata": {}}
_TRAJECTORY, _STAGING = "trajectory", ".ingest"


def create_root(store: Path) -> None:
    """Create the root group of a store."""
    store.mkdir(parents=True, exist_ok=True)
    attrs = {"format": FORMAT, "format_version": FORMAT_VERSION, "labels": FOLDER}
    write_metadata(store, {**_ROOT, "attributes": attrs})


def check_format(store: Path) -> dict[str, Any]:
    """Return the attributes of a store's root.

    Raises StoreError if there is no store at the path, or one of another format version.
    """
    if not store.exists():
        raise NotFoundError(
            f"{store}: no such store; make one with icedask ingest or icedask.ingest"
        )
    try:
        attrs = group_attrs(store)
    except (FileNotFoundError, NotADirectoryError) as error:
        if next(groups_of(store), None) is not None:
            raise damaged(
                store / METADATA, "the metadata of the store's root is missing"
            ) from error
        raise NotFoundError(
            f"{store}: expected an icedask store (a Zarr v3 group), found something else; give the "
            "path that icedask ingest wrote"
        ) from error
    except OSError as error:
        raise StoreError(f"{store}: cannot be read ({error.strerror})") from error
    if attrs.get("format") != FORMAT or "format_version" not in attrs:
        if _holds_written_groups(store):
            raise damaged(
                store / METADATA, "expected the attributes of a store's root, found other"
            )
        raise NotFoundError(
            f"{store}: expected an icedask store, found a Zarr group of another origin; ingest the "
            "trajectory into a new store"
        )
    version = attrs.get("format_version")
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        remedy = (
            "upgrade icedask"
            if newer
            else "ingest the trajectory again with this version of icedask"
        )
        raise StoreError(
            f"{store}: expected store format {FORMAT_VERSION}, found {printable(version)}; {remedy}"
        )
    return attrs


def _holds_written_groups(store: Path) -> bool:
    """Return whether one of the groups of a store was written by icedask."""
    for group in groups_of(store):
        with suppress(DamagedError, FileNotFoundError):
            if CHECKSUMS in group_attrs(group):
                return True
    return False


def groups_of(root: Path) -> Iterator[Path]:
    """Yield the folders of the trajectory and of all runs, whatever is in them."""
    if (root / _TRAJECTORY).is_dir():
        yield root / _TRAJECTORY
    for folder in function_folders(root):
        yield from (path for path in _folders(folder) if is_run_id(path.name))


@contextmanager
def writing(
    store: Path, work: str, writes: Sequence[str] = (), *, wait: Wait | None = None
) -> Iterator[None]:
    """Hold the lock of a store; sweep what killed writers left, and refuse links that lead out.

    `writes` are the ids of the runs that are written, "trajectory" is that of the trajectory.
    Errors of the disk become StoreErrors.
    """
    with disk_errors(store), locked(store, writes, work=work, wait=wait) as held:
        _check_top_links(store)
        if not held.swept:
            _sweep(store, held)
            held.note_swept()
        try:
            yield
        finally:
            with suppress(OSError):
                (store / UNFINISHED).rmdir()


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder but hidden ones."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if not entry.name.startswith(".") and entry.is_dir()
        )
    return []


def function_folders(store: Path) -> list[Path]:
    """Return the folders that the runs of each function are in."""
    return [folder for kind in GROUPS for folder in _folders(store / kind)]


def _sweep(store: Path, held: Held) -> None:
    """Delete what killed writers left; reads no more than folders whose size has a bound."""
    unfinished = store / UNFINISHED
    with suppress(FileNotFoundError), os.scandir(unfinished) as entries:
        for entry in entries:
            delete(Path(entry.path))
    kinds = [store / kind for kind in GROUPS]
    for folder in (store, *kinds, *function_folders(store)):
        (folder / "zarr.json.partial").unlink(missing_ok=True)
    for run in held.left:
        if is_run_id(run) or run == _TRAJECTORY:
            for group in _groups_of(store, run):
                check_links(store, group)
                remove_partial_files(group)
    trajectory = store / _TRAJECTORY
    staged = (store / _STAGING).exists() and (trajectory / "zarr.json").exists()
    # Who writes a result need not repair the trajectory.
    with suppress(DamagedError):
        if staged and group_attrs(trajectory).get("status") == "complete":
            shutil.rmtree(store / _STAGING)
    if (store / "zarr.json").exists():
        _modernise(store)


def _groups_of(store: Path, run: str) -> list[Path]:
    if run == _TRAJECTORY:
        return [store / _TRAJECTORY]
    name = run.rpartition("-")[0].replace("-", "_")
    return [group for kind in GROUPS if (group := store / kind / name / run).exists()]


def discard(store: Path, group: Path) -> None:
    """Delete a folder of the store: out of sight in one step, so that a crash leaves no half."""
    delete(hide(store, group))


def hide(store: Path, group: Path) -> Path:
    """Move a folder among those that the next writer deletes; return its path there."""
    (store / UNFINISHED).mkdir(exist_ok=True)
    hidden = store / UNFINISHED / group.name
    if hidden.exists():
        delete(hidden)
    group.rename(hidden)
    return hidden


def _modernise(store: Path) -> None:
    """Bring a store of before into today's form, once.

    Labels move to their files, what killed writers left among the runs is deleted, and the
    consolidated metadata of the root, which no save brings up to date any more, is dropped.
    """
    attrs, root = check_format(store), read_metadata(store)
    if in_files(attrs) and root.get("consolidated_metadata") == {}:
        return
    labels = {} if in_files(attrs) else labels_of_old_store(store, attrs)
    if not in_files(attrs):
        # Of an attempt that was killed.
        shutil.rmtree(store / FOLDER, ignore_errors=True)
        for label, path in labels.items():
            write_label(store, path, label)
        for folder in function_folders(store):
            for hidden in folder.glob(".*"):
                delete(hidden)
    check_locks()
    write_metadata(store, {**root, **_ROOT, "attributes": {**attrs, "labels": FOLDER}})
    if "labels" not in attrs:
        # Of before the index in the root: a label of a run may pass to another one.
        for path in labels.values():
            update_attrs(store / path, {"label": None})


def _check_top_links(store: Path) -> None:
    """Raise StoreError if a link in the upper folders of a store leads out of it."""
    for folder in (store, *(store / kind for kind in GROUPS)):
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    _check_link(store, Path(entry.path))


def check_links(store: Path, folder: Path) -> None:
    """Raise StoreError if a folder of a store, or a link in it, leads out of the store."""
    _check_link(store, folder)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink():
                _check_link(store, path)


def _check_link(store: Path, path: Path) -> None:
    if not path.resolve().is_relative_to(store.resolve()):
        raise StoreError(
            f"{printable(path)}: expected a file or folder of the store, found a link that leads "
            "out of it; nothing is written or deleted there: put the files in the place of the link"
        )


def check_variables(names: Sequence[object]) -> None:
    """Raise StoreError if a name of a variable cannot be that of a folder in a group."""
    for name in names:
        text = str(name)
        wrong = not text.strip(". ") or set(text) & set("/\\") or text.startswith(".")
        if wrong or text.startswith("zarr.json") or printable(text) != text or len(text) > 200:
            raise StoreError(
                f"expected a name of a variable without slash and control characters, found "
                f"{printable(repr(text))}; rename it"
            )


def run_path_of(group: object, name: object, run_id: object) -> str:
    """Return the path of a run in its store.

    Raises StoreError if the group is none of a store, or name or id are not of the form of one.
    """
    if group in GROUPS and is_name(name) and is_run_id(run_id):
        return f"{group}/{name}/{run_id}"
    raise StoreError(
        f"expected a run in {', '.join(GROUPS)} with a name of letters, digits and underscores, "
        f"found group {printable(repr(group))}, name {printable(repr(name))} and id "
        f"{printable(repr(run_id))}; its attributes were changed: compute it again"
    )


def consolidated(arrays: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the consolidated metadata of the arrays of a group, for other programs."""
    return {"kind": "inline", "must_understand": False, "metadata": dict(arrays)}


def _members(group: Path) -> dict[str, Any]:
    """Return the metadata of the arrays of a group."""
    return {
        folder.name: read_metadata(folder)
        for folder in _folders(group)
        if (folder / "zarr.json").exists()
    }


def completion_bytes(group: Path) -> int:
    """Return how much the metadata of a group grows when it is completed."""
    members = _members(group)
    copies = len(json.dumps({"consolidated_metadata": consolidated(members)}, indent=2))
    return copies + sum(map(digest_bytes, members.values()))


def complete_group(group: Path, attrs: Mapping[str, Any]) -> None:
    """Add attributes to a group and consolidate the metadata of its arrays, in one step.

    `attrs` are those that make it complete: its metadata does not change after this.
    """
    check_locks()
    metadata, members = read_metadata(group), _members(group)
    attributes = {**metadata["attributes"], **attrs}
    if CHECKSUMS in attributes:
        attributes = sealed(attributes, files=file_digests(group, members))
    write_metadata(
        group,
        {
            **metadata,
            "attributes": attributes,
            "consolidated_metadata": consolidated(members),
        },
    )
