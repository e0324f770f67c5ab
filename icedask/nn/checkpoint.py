"""Checkpoints of trainings: one file with the state, which belongs to one training only."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch

from icedask.core.files import rename_synced
from icedask.errors import InputError


def write_checkpoint(path: Path, identity: str, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint at `path`; a reader never sees half of it.

    `identity` is a text that differs from training to training. `state` holds numbers, text,
    tensors, and lists and dicts of them, such as state_dict() returns.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.new")
    torch.save({"identity": identity, "state": dict(state)}, part)
    rename_synced(part, path)


def read_checkpoint(path: Path, identity: str) -> dict[str, Any] | None:
    """Return the state at `path`, on the CPU; None if there is no file.

    Raises InputError if the folder cannot be made, or the file is damaged or of another training.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{path}: expected a file in a folder that can be made, found: {error.strerror}"
        ) from error
    if not path.exists():
        return None
    try:
        # Opened here: torch leaves damaged files open. It compares no checksums.
        with path.open("rb") as file:
            with ZipFile(file) as archive:
                if (member := archive.testzip()) is not None:
                    raise ValueError(member)
            file.seek(0)
            content = torch.load(file, weights_only=True, map_location="cpu")
        written, state = str(content["identity"]), dict(content["state"])
    except Exception as error:
        raise InputError(
            f"{path}: expected a checkpoint of a training, found something else "
            f"({type(error).__name__}); remove the file to start again"
        ) from error
    if written != identity:
        raise InputError(
            f"{path}: expected a checkpoint of {identity}, found one of {written}; give another "
            "file, or remove this one to start again"
        )
    return state


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint, and the partial files of writers that were killed."""
    for file in (path, *path.parent.glob(f"{glob.escape(path.name)}.*.new")):
        file.unlink(missing_ok=True)
