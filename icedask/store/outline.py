"""Outline of a stored trajectory, and look-up of a finished run, read without xarray.

Enough to check the options of a computation, and to find its result if it is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from icedask.core.provenance import Record
from icedask.errors import DamagedError
from icedask.store.integrity import (
    CHECKSUMS,
    METADATA,
    array_metadata,
    group_attrs,
    inner_chunks,
    read_metadata,
)
from icedask.store.root import check_format
from icedask.store.runs import label_index, trajectory_attrs
from icedask.store.save import run_path
from icedask.store.stored import check_all_present, opened
from icedask.store.trajectory import TRAJECTORY


class OutlinedArray:
    """Dimensions and shape of a stored array; its values, if it is small, when they are asked for.

    The values of a large one are an AttributeError: an outline has none.
    """

    def __init__(self, path: Path, metadata: Mapping[str, Any]) -> None:
        self._path, self._metadata = path, metadata
        self.dims = tuple(metadata.get("dimension_names") or ())
        self.shape = tuple(metadata["shape"])
        self.attrs = dict(metadata.get("attributes", {}))

    @cached_property
    def values(self) -> npt.NDArray[Any]:
        """The values, texts of a fixed width."""
        if inner_chunks(self._metadata) is not None:
            raise AttributeError(f"{self._path.name}: is read block by block")
        values = np.asarray(opened(self._path, self._metadata)[...])
        return values.astype(object).astype(str) if values.dtype.kind in "TO" else values


class Outline:
    """The small arrays, the sizes and the attributes of a stored trajectory.

    It stands for the Dataset where no frame is read, and has that part of its interface.

    Raises StoreError if there is no store, no trajectory in it, or it is incomplete.
    """

    def __init__(self, store: Path) -> None:
        self.attrs: dict[str, Any] = trajectory_attrs(store)
        self.variables = _arrays(store / TRAJECTORY, self.attrs)
        self.sizes = _sizes(self.variables)

    @property
    def dims(self) -> Mapping[str, int]:
        """The sizes of the dimensions by name."""
        return self.sizes

    def __getitem__(self, name: str) -> OutlinedArray:
        return self.variables[name]

    def __contains__(self, name: object) -> bool:
        return name in self.variables


def _arrays(group: Path, attrs: Mapping[str, Any]) -> dict[str, OutlinedArray]:
    """Return the arrays of a group by name."""
    return {
        name: OutlinedArray(group / name, metadata)
        for name, metadata in array_metadata(group, attrs).items()
        if metadata["node_type"] == "array"
    }


def _sizes(arrays: Mapping[str, OutlinedArray]) -> dict[str, int]:
    return {
        dim: size
        for array in arrays.values()
        for dim, size in zip(array.dims, array.shape, strict=False)
    }


def finished_run(store: Path, record: Record, label: str | None = None) -> dict[str, Any] | None:
    """Return id, label and sizes of a run, if nothing is left to do for it.

    It is complete, the root of the store lists it, and it has the label, where one is asked for;
    None otherwise.
    """
    path = run_path(record)
    if not (store / path / METADATA).exists() or not _is_complete(store, path):
        return None
    labels = [name for name, run in label_index(store).items() if run == path]
    if label is not None and label not in labels:
        return None
    return {
        "run_id": record.run_id,
        "label": labels[0] if labels else None,
        "sizes": _sizes(_arrays(store / path, group_attrs(store / path))),
    }


def _is_complete(store: Path, path: str) -> bool:
    """Return whether a run is complete, with all its files, and so listed in the root."""
    check_format(store)
    listed = (read_metadata(store).get("consolidated_metadata") or {}).get("metadata", {})
    known = listed.get(path, {}).get("attributes", {}).get("status")
    try:
        attrs = group_attrs(store / path)
        arrays = array_metadata(store / path, attrs)
        check_all_present(store / path, arrays, is_sealed=CHECKSUMS in attrs)
    except DamagedError:
        return False
    return known == attrs.get("status") == "complete"
