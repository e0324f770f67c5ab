"""Files that survive a loss of power: as a whole, or not at all."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt


def rename_synced(partial: Path, target: Path) -> None:
    """Rename a file into place, so that after a loss of power it is whole or not there."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)
    sync_folder(target.parent)


def load_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an .npz file, all of whose bytes are compared with their checksums.

    `numpy.load` reads as far as the header of an array says, and no checksum before its end. A
    damaged file is an exception of any kind.
    """
    arrays = {}
    with path.open("rb") as file, ZipFile(file) as archive:
        for name in archive.namelist():
            with io.BytesIO(archive.read(name)) as member:
                values = np.lib.format.read_array(member, allow_pickle=False)
                if member.read(1):
                    raise ValueError(f"{name}: longer than its header says")
            arrays[name.removesuffix(".npy")] = values
    return arrays


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
