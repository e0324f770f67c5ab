"""Repair of a store: damaged files are set aside, and their runs can be continued."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence, Set
from pathlib import Path

from dask import delayed

from icedask.core.provenance import now
from icedask.errors import DamagedError
from icedask.store.arrays import update_attrs
from icedask.store.frame_block import FrameBlock
from icedask.store.integrity import (
    METADATA,
    array_metadata,
    group_attrs,
    inner_chunks,
    outer_chunks,
    read_metadata,
    shard_path,
)
from icedask.store.labels import FOLDER as LABELS
from icedask.store.root import create_root, groups_of
from icedask.store.sidecars import STAGING, write_sidecar
from icedask.store.stored import StoredArray
from icedask.store.trajectory import TRAJECTORY
from icedask.tasks.graphs import delayed_waves
from icedask.tasks.run import run_tasks

logger = logging.getLogger("icedask")

# Folder of what was set aside.
_ASIDE = ".damaged"


def repair_store(root: Path, files: Sequence[Path]) -> None:
    """Set aside damaged `files`, and leave the rest as interrupted runs and ingests.

    The process holds the lock of the store.
    """
    if root / METADATA in files:
        _mend_root(root)
    for file in files:
        if file.parent == root / LABELS:
            _set_aside(root, file)
    for group in groups_of(root):
        parts = [file for file in files if file.is_relative_to(group)]
        if not parts:
            continue
        if not all(map(_is_block, parts)):
            if group == root / TRAJECTORY:
                logger.warning(
                    "%s: the trajectory cannot be repaired; ingest its source into a new store",
                    root,
                )
            else:
                _set_aside(root, group)
            continue
        if group == root / TRAJECTORY and not _reopen(root, set(parts)):
            continue
        for file in parts:
            if file.exists():
                _set_aside(root, file)
        history = [*group_attrs(group)["history"], f"{now()} {len(parts)} damaged blocks set aside"]
        update_attrs(group, {"status": "running", "history": history})


def _is_block(file: Path) -> bool:
    """Return whether a file is a block, which can be computed again."""
    array = next((folder for folder in file.parents if folder.name == "c"), file).parent
    return file.name != METADATA and inner_chunks(read_metadata(array)) is not None


def _set_aside(root: Path, path: Path) -> None:
    target = root / _ASIDE / path.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    path.rename(target)
    logger.info("%s: set aside in %s", path, root / _ASIDE)


def _reopen(store: Path, lost: Set[Path]) -> bool:
    """Make a complete trajectory an unfinished ingest without the blocks whose shards are `lost`.

    Returns False where there is no source to read these again.
    """
    group = store / TRAJECTORY
    attrs = group_attrs(group)
    if "simulation" in attrs:
        logger.warning("%s: the trajectory was simulated: simulate it into a new store", store)
        return False
    (store / STAGING).mkdir(exist_ok=True)
    arrays = {name: read_metadata(group / name) for name in ("positions", *attrs["columns"])}
    kept = [
        index
        for index in range(attrs["blocks"])
        if lost.isdisjoint(
            shard_path(group / name, [index] + [0] * (len(metadata["shape"]) - 1))
            for name, metadata in arrays.items()
        )
    ]
    remake = delayed(_remake_sidecar, pure=False)
    tasks = (remake(store, list(arrays), index) for index in kept)
    run_tasks(delayed_waves(tasks), len(kept), "repair")
    return True


def _remake_sidecar(store: Path, names: Sequence[str], index: int) -> None:
    """Write the sidecar of a block from the arrays of a complete trajectory; runs in a task."""
    group = store / TRAJECTORY
    arrays = array_metadata(group, group_attrs(group))

    def stored(name: str) -> StoredArray:
        return StoredArray(group / name, arrays[name], complete=True)

    size = outer_chunks(arrays["positions"])[0]
    frames = slice(index * size, (index + 1) * size)
    block = FrameBlock(
        positions=stored("positions")[frames],
        cell=stored("cell")[frames],
        pbc=stored("pbc")[:],
        time=stored("time")[frames],
        step=stored("step")[frames],
        cell_origin=stored("cell_origin")[frames] if "cell_origin" in arrays else None,
        columns={name: stored(name)[frames] for name in names if name != "positions"},
    )
    write_sidecar(store, index, block)


def _mend_root(root: Path) -> None:
    """Write the root again, with the identity of the positions that its groups have."""
    positions = None
    for group in groups_of(root):
        try:
            positions = group_attrs(group).get("positions")
        except (DamagedError, FileNotFoundError):
            continue
        break
    if (root / METADATA).exists():
        _set_aside(root, root / METADATA)
    create_root(root)
    if positions is not None:
        update_attrs(root, {"positions": positions})
