"""The root of a store: its format, the index of labels and the consolidated metadata."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from icedask.errors import NotFoundError, StoreError
from icedask.store.arrays import create_group, write_metadata
from icedask.store.integrity import METADATA, damaged, group_attrs, read_metadata

FORMAT = "icedask"
FORMAT_VERSION = 1
GROUPS = ("descriptors", "models", "results")
_EMPTY = {"kind": "inline", "must_understand": False, "metadata": {}}
# What zarr adds to a group inside another one.
_INNER = {"consolidated_metadata": _EMPTY}


def create_root(store: Path) -> None:
    """Create the root group of a store."""
    create_group(store, {"format": FORMAT, "format_version": FORMAT_VERSION, "labels": {}})


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
    if attrs.get("format") != FORMAT:
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
            f"{store}: expected store format {FORMAT_VERSION}, found {version}; {remedy}"
        )
    return attrs


def groups_of(root: Path) -> Iterator[Path]:
    """Yield the folders of the trajectory and of all runs, whatever is in them."""
    if (root / "trajectory").is_dir():
        yield root / "trajectory"
    for kind in GROUPS:
        yield from sorted(path for path in (root / kind).glob("*/[!.]*") if path.is_dir())


def consolidate(
    store: Path, attrs: Mapping[str, Any] | None = None, *, changed: tuple[str, ...] = ()
) -> None:
    """Bring the consolidated metadata and the attributes of the root up to date, in one write.

    `attrs` are added to the root; `changed` are the paths of complete runs whose metadata has
    changed. Only metadata that is new, was incomplete or has changed is read: folders are listed,
    but the metadata of complete runs stays as it stands in the root.
    """
    root = read_metadata(store)
    known: dict[str, dict[str, Any]] = {}
    for path, node in (root.get("consolidated_metadata") or {}).get("metadata", {}).items():
        known.setdefault(_unit(path), {})[path] = node
    members: dict[str, Any] = {}
    for unit in _units(store):
        nodes = known.get(unit, {})
        complete = unit in nodes and nodes[unit].get("attributes", {}).get("status") != "running"
        members |= nodes if complete and unit not in changed else _read_unit(store, unit)
    ordered = dict(sorted(members.items(), key=lambda item: (item[0].count("/"), item[0])))
    new = {
        **root,
        "attributes": {**root["attributes"], **(attrs or {})},
        "consolidated_metadata": {**_EMPTY, "metadata": ordered},
    }
    if new != root:
        write_metadata(store, new)


def _unit(path: str) -> str:
    """Return the part of a path that is read as a whole: a run, or a group at the top."""
    parts = path.split("/")
    return "/".join(parts[:3] if parts[0] in GROUPS else parts[:1])


def _units(store: Path) -> Iterator[str]:
    for top in _subfolders(store):
        yield top
        if top in GROUPS:
            for name in _subfolders(store / top):
                yield f"{top}/{name}"
                yield from (f"{top}/{name}/{run}" for run in _subfolders(store / top / name))


def _subfolders(folder: Path) -> list[str]:
    """Return the folders in a folder, but hidden ones; files of killed writers are deleted."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".partial"):
                Path(entry.path).unlink(missing_ok=True)
            elif entry.is_dir() and not entry.name.startswith("."):
                names.append(entry.name)
    return names


def _read_unit(store: Path, unit: str) -> dict[str, Any]:
    """Return the metadata of the groups and arrays of a unit."""
    if unit.split("/")[0] in GROUPS and unit.count("/") < 2:
        return {unit: {"attributes": {}, "zarr_format": 3, "node_type": "group", **_INNER}}
    nodes = {}
    for folder, folders, files in os.walk(store / unit):
        if "zarr.json" not in files:
            folders.clear()
            continue
        node = read_metadata(Path(folder))
        if node["node_type"] == "array":
            folders.clear()
        nodes[str(Path(folder).relative_to(store))] = node | (
            _INNER if node["node_type"] == "group" else {}
        )
    return nodes
