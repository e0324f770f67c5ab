"""Verification of a store: every file is compared with its checksum, in parallel."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from dask import delayed

from icedask.core.collection import Collection
from icedask.errors import DamagedError
from icedask.store.blocks import disk_errors
from icedask.store.integrity import (
    CHECKSUMS,
    METADATA,
    array_metadata,
    damaged,
    file_grid,
    group_attrs,
    has_checksums,
    inner_chunks,
    outer_chunks,
    read_metadata,
    shard_path,
)
from icedask.store.labels import damaged_labels
from icedask.store.lock import locked
from icedask.store.members import stores_of
from icedask.store.repair import repair_store
from icedask.store.root import check_format, consolidated, groups_of
from icedask.store.runs import run_attrs
from icedask.store.sidecars import check_sidecars
from icedask.store.stored import check_file
from icedask.store.trajectory import TRAJECTORY, trajectory_group_attrs
from icedask.tasks.graphs import delayed_waves
from icedask.tasks.run import run_tasks

# Of the files that one task reads, before compression.
_TASK_BYTES = 128 * 2**20
# What a file costs at least, as if it had so many bytes.
_LEAST_BYTES = 2**17


@dataclass
class Verification:
    """What `verify` found.

    Attributes
    ----------
    store : Path
        The store.
    files, bytes : int
        Number of files of arrays that were read, and their size.
    unprotected : int
        How many of these have no checksums, because an older version wrote them. They were decoded,
        which finds part of what can go wrong.
    damage : dict of str to str
        What is wrong with each file that is missing or damaged, by its path.
    """

    store: Path
    files: int = 0
    bytes: int = 0
    unprotected: int = 0
    damage: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the findings as text, a line each."""
        size = f"{self.files} files of arrays, {self.bytes / 1e9:.3g} GB"
        if self.unprotected:
            size += f", {self.unprotected} of them without checksums (of an older version)"
        lines = [f"{file}: {finding}" for file, finding in self.damage.items()]
        verdict = f"{len(lines)} missing or damaged" if lines else "all as it was written"
        return "\n".join([*lines, f"{self.store}: {size}: {verdict}"])

    def add(self, error: DamagedError) -> None:
        """Add what an error names."""
        self.damage.setdefault(error.file, error.finding)


@dataclass(frozen=True)
class _Array:
    root: Path
    path: Path
    metadata: Mapping[str, Any]
    complete: bool
    # Whether each of its files was written, also where all values are zero.
    sealed: bool

    def files(self, numbers: Iterable[int]) -> Iterator[Path]:
        """Yield the files with these numbers that exist, or have to."""
        grid = file_grid(self.metadata)
        for number in numbers:
            file = shard_path(self.path, [int(i) for i in np.unravel_index(number, grid)])
            if (self.complete and self.sealed) or file.exists():
                yield file

    @property
    def file_bytes(self) -> int:
        """Size of one of its files before compression."""
        return max(1, math.prod(outer_chunks(self.metadata)) * _itemsize(self.metadata))

    @property
    def n_files(self) -> int:
        return math.prod(file_grid(self.metadata))


class _Part(NamedTuple):
    """Consecutive files of an array, which one task reads."""

    array: _Array
    first: int
    number: int

    def files(self) -> Iterator[Path]:
        return self.array.files(range(self.first, self.first + self.number))


def _packed(arrays: Iterable[_Array]) -> Iterator[list[_Part]]:
    """Yield the parts that one task reads together: part of a large array, or many small ones."""
    pack: list[_Part] = []
    room = _TASK_BYTES
    for array in arrays:
        first = 0
        while first < array.n_files:
            number = min(array.n_files - first, max(room // array.file_bytes, 1))
            pack.append(_Part(array, first, number))
            first, room = first + number, room - number * max(array.file_bytes, _LEAST_BYTES)
            if room <= 0:
                yield pack
                pack, room = [], _TASK_BYTES
    if pack:
        yield pack


def _is_there(root: Path, file: Path) -> bool:
    """Return whether the run of a file is still there: it may have been removed meanwhile."""
    parts = file.relative_to(root).parts
    return root.joinpath(*parts[: 1 if parts[0] == TRAJECTORY else 3]).exists()


def _itemsize(metadata: Mapping[str, Any]) -> int:
    try:
        return np.dtype(metadata["data_type"]).itemsize
    except TypeError:  # text
        return 8


def _check_parts(parts: Sequence[_Part]) -> list[tuple[int, int, dict[str, str]]]:
    """Return number and size of whole files, and the damage of others, of each; runs in a task."""
    return [_check_part(part) for part in parts]


def _check_part(part: _Part) -> tuple[int, int, dict[str, str]]:
    damage: dict[str, str] = {}
    number = size = 0
    for file in part.files():
        try:
            size += check_file(file, part.array.path, part.array.metadata)
            number += 1
        except DamagedError as error:
            damage[error.file] = error.finding
    return number, size, damage


@overload
def verify(store: str | os.PathLike[str], *, repair: bool = False) -> Verification: ...


@overload
def verify(store: Collection, *, repair: bool = False) -> dict[str, Verification]: ...


def verify(
    store: str | os.PathLike[str] | Collection, *, repair: bool = False
) -> Verification | dict[str, Verification]:
    """Compare all of a store, or of the stores of a collection, with its checksums, in parallel.

    Parameters
    ----------
    store : path or Collection
        The store, or a collection with stores.
    repair : bool
        Set aside what is damaged, in the folder .damaged of the store: blocks of a run or of an
        ingested trajectory, after which the command that wrote it computes these blocks again; a
        run whose metadata or small arrays are damaged as a whole.

    Returns
    -------
    Verification
        What is missing or damaged, in `damage` by file; files, bytes. Of a collection one for each
        store, by the name of the member; "collection" is the store of all.

    Raises
    ------
    StoreError
        If there is no store at the path, or another process writes to it and repair was asked for.

    Notes
    -----
    Each inner chunk of an array carries a CRC-32C (Castagnoli polynomial, as in iSCSI, RFC 3720),
    each group one of its attributes and of the metadata of its arrays. Any change of one bit is
    found, and others but for one in 2**32. Attributes that only tell when something was done
    (created, history) are not covered.

    Examples
    --------
    >>> import tempfile
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True) * (3, 3, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = ice.save(ice.coordination(trj, r_cut=3.0), f"{folder}/cu.zarr")
    ...     ice.verify(f"{folder}/cu.zarr").damage
    {}
    """
    if isinstance(store, Collection):
        return verify_stores(stores_of(store), repair=repair)
    return verify_stores({"": Path(store).resolve()}, repair=repair)[""]


def verify_stores(stores: Mapping[str, Path], *, repair: bool = False) -> dict[str, Verification]:
    """Verify stores by name, also some that cannot be opened, in one computation."""
    for root in stores.values():
        if not (root / METADATA).exists() and not (root / TRAJECTORY).exists():
            check_format(root)
    results = _verified(list(stores.values()))
    for result in results if repair else ():
        if result.damage:
            with disk_errors(result.store), locked(result.store, work="verify"):
                repair_store(result.store, [Path(file) for file in result.damage])
    return dict(zip(stores, results, strict=True))


def _verified(roots: Sequence[Path]) -> list[Verification]:
    """Verify stores, the files of all in one computation."""
    results = {root: Verification(root) for root in roots}
    arrays = (array for root in roots for array in _checked_arrays(root, results[root]))
    packs = list(_packed(arrays))
    check = delayed(_check_parts, pure=False, traverse=False)
    waves = delayed_waves((check(pack) for pack in packs), values=True)
    for pack, checks in zip(packs, run_tasks(waves, len(packs), "verify"), strict=True):
        for part, (files, size, damage) in zip(pack, checks, strict=True):
            root = part.array.root
            result = results[root]
            result.files += files
            result.bytes += size
            result.damage |= {
                file: finding for file, finding in damage.items() if _is_there(root, Path(file))
            }
            if not has_checksums(part.array.metadata):
                result.unprotected += sum(1 for _ in part.files())
    return list(results.values())


def _checked_arrays(root: Path, result: Verification) -> list[_Array]:
    """Check the metadata of a store, add their damage to its result, and return its arrays."""
    arrays: list[_Array] = []
    try:
        check_format(root)
        for error in damaged_labels(root):
            result.add(error)
    except DamagedError as error:
        result.add(error)
    for sidecar_error in check_sidecars(root):
        result.add(sidecar_error)
    for group in groups_of(root):
        try:
            arrays += _arrays(group, root)
            _check_consolidated(group)
        except DamagedError as error:
            # Another process may have removed it.
            if group.exists():
                result.add(error)
    return arrays


def _check_consolidated(group: Path) -> None:
    """Raise DamagedError if the copies that other programs read differ from the arrays' own."""
    metadata = read_metadata(group)
    attrs = group_attrs(group, metadata)
    if attrs.get("status") != "complete" or CHECKSUMS not in attrs:
        return
    if metadata.get("consolidated_metadata") != consolidated(array_metadata(group, attrs)):
        finding = "the consolidated metadata are not those of the arrays (other programs read them)"
        raise damaged(group / METADATA, finding)


def _arrays(group: Path, root: Path) -> list[_Array]:
    """Return the arrays of a group; raise DamagedError if its metadata is damaged."""
    try:
        attrs = group_attrs(group)
    except FileNotFoundError:
        raise damaged(group / METADATA, "the metadata of a group is missing") from None
    if group != root / TRAJECTORY:
        run_attrs(root, group)
    else:
        trajectory_group_attrs(root)
    arrays = array_metadata(group, attrs)
    complete, is_sealed = attrs.get("status") == "complete", CHECKSUMS in attrs
    return [
        _Array(
            root,
            group / name,
            metadata,
            complete,
            is_sealed or inner_chunks(metadata) is not None,
        )
        for name, metadata in arrays.items()
    ]
