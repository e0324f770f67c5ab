"""The folder of a store: made, checked before anything is written into it, and cleared."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from icedask.errors import StoreError
from icedask.store.blocks import disk_errors
from icedask.store.lock import LOCK_FILE
from icedask.store.owner import FOLDER as OWNERS
from icedask.store.root import check_format
from icedask.store.sidecars import STAGING
from icedask.tasks.progress import FOLDER

# The lock, of both kinds, and the reports of progress.
_KEPT = (LOCK_FILE, OWNERS, FOLDER)


def make_folder(store: Path) -> bool:
    """Make the folder of a store if there is none; return whether there was none.

    Raises StoreError if the path is a file, or holds something that is not a store.
    """
    if store.exists() and not store.is_dir():
        raise StoreError(f"{store}: expected the path of a store, found a file; give another path")
    if store.exists():
        with disk_errors(store):
            _check_folder(store)
        return False
    try:
        store.mkdir(parents=True)
    except OSError as error:
        raise StoreError(
            f"{store}: the folder cannot be made ({error.strerror}); give another path"
        ) from error
    return True


def _check_folder(store: Path) -> None:
    """Raise StoreError if the folder holds something that is not an icedask store."""
    # A writer killed while it wrote the root leaves a partial file.
    others = sorted(
        name
        for name in os.listdir(store)
        if name not in (*_KEPT, STAGING) and not name.endswith(".partial")
    )
    if others and not (store / "zarr.json").exists():
        raise StoreError(
            f"{store}: expected an icedask store or an empty folder, found {others[0]} and "
            f"{len(others) - 1} more in it; give another path"
        )
    if others:
        check_format(store)


def clear(store: Path) -> None:
    """Delete everything in the folder of a store but its lock and the reports of progress.

    The root's metadata goes last: until then the folder is a store, which can be cleared again.
    """
    names = [name for name in os.listdir(store) if name not in (*_KEPT, "zarr.json")]
    for name in names:
        path = store / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (store / "zarr.json").unlink(missing_ok=True)
