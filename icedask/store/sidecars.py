"""Sidecars of an unfinished trajectory: the per-frame arrays of each block that is written.

A sidecar is renamed into place after the shards of its block are on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from icedask.core.files import load_npz, rename_synced
from icedask.core.provenance import digest, frame_digest
from icedask.errors import DamagedError
from icedask.store.arrays import delete
from icedask.store.frame_block import FrameBlock
from icedask.store.integrity import (
    METADATA,
    crc32c_text,
    damaged,
    group_attrs,
    is_whole,
    read_metadata,
    shard_path,
)

STAGING = ".ingest"
# Before the name of a column: the digests of its frames.
COLUMN = "column/"
_PLACE = "place"
_TRAJECTORY = "trajectory"


def sidecar(store: Path, index: int) -> Path:
    """Return the file that marks a block as done and holds its per-frame arrays."""
    return store / STAGING / f"block-{index}.npz"


def _place(store: Path, index: int) -> str:
    """Return a checksum of what a block belongs to."""
    return crc32c_text([group_attrs(store / _TRAJECTORY).get("identity"), index])


def check_sidecars(store: Path) -> Iterator[DamagedError]:
    """Yield the errors of the damaged sidecars of an unfinished trajectory."""
    if not (store / _TRAJECTORY / METADATA).exists():
        return
    for file in sorted((store / STAGING).glob("block-*.npz")):
        number = file.stem.removeprefix("block-")
        try:
            if number.isdecimal():
                load_sidecar(store, int(number))
        except DamagedError as error:
            # The writer may have ended in the meantime.
            if file.exists():
                yield error


def blocks_done(store: Path) -> int:
    """Count the encoded blocks of an unfinished trajectory."""
    return len(list((store / STAGING).glob("block-*.npz")))


def write_sidecar(store: Path, index: int, block: FrameBlock) -> None:
    """Write the sidecar of a block, whose shards are on disk."""
    members: dict[str, Any] = {
        "cell": block.cell,
        "pbc": block.pbc,
        "time": block.time,
        "step": block.step,
        "origin": np.zeros((0, 3)) if block.cell_origin is None else block.cell_origin,
        _PLACE: _place(store, index),
        "digests": np.array([frame_digest(frame) for frame in block.positions]),
    }
    for name, values in block.columns.items():
        members[f"{COLUMN}{name}"] = np.array([digest(frame) for frame in values])
    target = sidecar(store, index)
    unfinished = target.with_suffix(".partial")
    with unfinished.open("wb") as file:
        np.savez(file, **members)
    rename_synced(unfinished, target)


def load_sidecar(store: Path, index: int) -> dict[str, npt.NDArray[Any]]:
    """Return the per-frame arrays of a block, each of which has a checksum.

    Raises DamagedError if the file is damaged, or of another block or trajectory.
    """
    file = sidecar(store, index)
    try:
        arrays = load_npz(file)
    except Exception as error:
        raise damaged(file, f"part of an unfinished trajectory is damaged ({error})") from error
    # Written before: without.
    if str(arrays.pop(_PLACE, place := _place(store, index))) != place:
        raise damaged(file, "expected part of this trajectory, found one of another")
    return arrays


def block_is_done(store: Path, group: Path, names: Sequence[str], index: int) -> bool:
    """Return whether sidecar and shards of a block are there as a whole; else remove them.

    `group` is the folder of the arrays `names`, of which each has one shard a block.
    """
    file = sidecar(store, index)
    if not file.exists():
        return False
    arrays = {name: read_metadata(group / name) for name in names}
    shards = {
        name: shard_path(group / name, [index] + [0] * (len(metadata["shape"]) - 1))
        for name, metadata in arrays.items()
    }
    columns = {f"{COLUMN}{name}" for name in names if name != "positions"}
    try:
        is_done = columns <= load_sidecar(store, index).keys()
    except DamagedError:
        is_done = False
    is_done = is_done and all(is_whole(shards[name], arrays[name]) for name in names)
    if not is_done:
        for leftover in (file, *shards.values()):
            delete(leftover)
    return is_done
