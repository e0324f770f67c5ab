"""Stores of a folder: which they are, and their names as members of a collection.

Found without xarray, and without opening a trajectory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from icedask.core.collection import Collection
from icedask.errors import DamagedError, InputError, NotFoundError, StoreError
from icedask.store.integrity import METADATA
from icedask.store.labels import GROUPS
from icedask.store.root import check_format
from icedask.store.trajectory import TRAJECTORY

StorePath = str | os.PathLike[str]

# The store, beside the members, of what belongs to all of them.
SHARED = "collection.zarr"
_SUFFIX = ".zarr"
# Its name beside those of members, in what is shown of all stores.
OF_ALL = "collection"


def is_folder_of_stores(path: StorePath) -> bool:
    """Return whether a path is a folder, not itself a store, with stores in it."""
    folder = Path(path)
    return folder.is_dir() and not _is_store(folder) and next(_stores_in(folder), None) is not None


def stores_of(stores: StorePath | Collection) -> dict[str, Path]:
    """Return the paths of all stores of a folder or a collection, by the names of members.

    Of a folder also of those that cannot be opened. The store of what belongs to all is last, as
    "collection", if it is there. Raises InputError for a collection in memory.
    """
    if isinstance(stores, Collection):
        paths, shared = stores.stores, stores.store
        if not paths:
            raise InputError(
                "expected a collection with stores, found one in memory; save it into a folder "
                "first: icedask.save(collection, folder)"
            )
    else:
        paths, shared = member_paths(stores)
    if shared is not None and shared.is_dir() and shared not in paths.values():
        paths = {**paths, OF_ALL: shared}
    return paths


def member_paths(
    stores: StorePath | Sequence[StorePath] | Mapping[str, StorePath],
) -> tuple[dict[str, Path], Path | None]:
    """Return the paths of members by name, and that of the store of all.

    Raises InputError if there is none, or one is given twice, NotFoundError for a folder without.
    """
    if isinstance(stores, Mapping):
        paths = {str(name): Path(path).resolve() for name, path in stores.items()}
        shared = None
    elif isinstance(stores, str | os.PathLike):
        return _paths_in(Path(stores).resolve())
    else:
        each = [Path(path).resolve() for path in stores]
        paths = dict(zip(_names(each), each, strict=True))
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
    # The store of all has no trajectory; any other without one is a member that cannot be opened.
    inside = [path for path in _stores_in(folder) if path.name != SHARED]
    names = [_stem(str(path.relative_to(folder))) for path in inside]
    members = {
        # run.zarr and run are two stores.
        name if names.count(name) == 1 else str(path.relative_to(folder)): path.resolve()
        for name, path in zip(names, inside, strict=True)
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
