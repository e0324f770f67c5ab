"""Repair of a store: damaged files are set aside, and their runs can be continued."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence, Set
from pathlib import Path

from dask import delayed

from icedask.core.provenance import now
from icedask.errors import DamagedError
from icedask.store.arrays import update_attrs, write_metadata
from icedask.store.frame_block import FrameBlock
from icedask.store.integrity import (
    METADATA,
    array_metadata,
    group_attrs,
    history_of,
    inner_chunks,
    is_refused,
    outer_chunks,
    read_metadata,
    shard_path,
)
from icedask.store.labels import FOLDER as LABELS
from icedask.store.labels import write_label
from icedask.store.root import check_links, consolidated, create_root, groups_of
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
    refused = [file for file in files if is_refused(file)]
    for file in refused:
        logger.warning("%s: left as it is: ask its owner for permission to read it", file)
    files = [file for file in files if file not in refused]
    for file in files:
        if file.parent in (root / LABELS, root / STAGING):
            _set_aside(root, file)
    for group in groups_of(root):
        parts = [file for file in files if file.is_relative_to(group)]
        if not parts:
            continue
        check_links(root, group)
        if group / METADATA in parts and _mend_consolidated(group):
            parts.remove(group / METADATA)
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
            # What takes the place of a folder is in the way of the new file.
            wrong = next((path for path in (file, *file.parents) if os.path.lexists(path)), file)
            if not wrong.is_dir() or wrong == file:
                _set_aside(root, wrong)
        history = [
            *history_of(group_attrs(group)),
            f"{now()} {len(parts)} damaged blocks set aside",
        ]
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
    if attrs.get("status") == "running":
        # A block without its shards is encoded again.
        return True
    if "simulation" in attrs:
        logger.warning("%s: the trajectory was simulated: simulate it into a new store", store)
        return False
    (store / STAGING).mkdir(exist_ok=True)
    stored = array_metadata(group, attrs)
    # Those that have a shard for each block.
    arrays = {name: stored[name] for name in stored if inner_chunks(stored[name]) is not None}
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
    """Write the root again, with the positions of its groups, and labels that stand in runs."""
    positions, labels = None, {}
    for group in groups_of(root):
        try:
            attrs = group_attrs(group)
        except (DamagedError, FileNotFoundError):
            continue
        positions = attrs.get("positions", positions)
        if isinstance(attrs.get("label"), str) and attrs["label"]:
            labels[attrs["label"]] = str(group.relative_to(root))
    if os.path.lexists(root / METADATA):
        _set_aside(root, root / METADATA)
    is_old = not (root / LABELS).exists()
    create_root(root)
    if positions is not None:
        update_attrs(root, {"positions": positions})
    for label, path in labels.items() if is_old else ():
        write_label(root, path, label)
    if is_old and not labels:
        logger.warning("%s: labels, if the damaged file had any, are lost: label runs again", root)


def _mend_consolidated(group: Path) -> bool:
    """Write the copies of the arrays' metadata again, where all else in the group is whole."""
    try:
        metadata = read_metadata(group)
        arrays = array_metadata(group, group_attrs(group, metadata))
    except (DamagedError, FileNotFoundError):
        return False
    write_metadata(group, {**metadata, "consolidated_metadata": consolidated(arrays)})
    return True
