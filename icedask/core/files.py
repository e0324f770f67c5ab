"""Files that survive a loss of power: as a whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def rename_synced(partial: Path, target: Path) -> None:
    """Rename a file into place, so that after a loss of power it is whole or not there."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # Some network file systems know no sync of a folder.
    finally:
        os.close(descriptor)


def sync_file(file: Path, top: Path) -> None:
    """Make a file survive a loss of power, with the folders between it and `top`."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    for folder in file.parents:
        sync_folder(folder)
        if folder == top:
            return
