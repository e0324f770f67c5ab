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
from icedask.errors import DamagedError, NotFoundError
from icedask.store.integrity import CHECKSUMS, array_metadata, inner_chunks
from icedask.store.runs import find_run, trajectory_attrs
from icedask.store.stored import check_all_present, read_array
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

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data type; that of texts has no width."""
        kind = self._metadata["data_type"]
        texts = not isinstance(kind, str) or kind == "string"
        return np.dtype(np.str_ if texts else kind)

    @cached_property
    def values(self) -> npt.NDArray[Any]:
        """The values, texts of a fixed width."""
        if inner_chunks(self._metadata) is not None:
            raise AttributeError(f"{self._path.name}: is read block by block")
        return read_array(self._path, self._metadata)


class Outline:
    """The small arrays, the sizes and the attributes of a stored trajectory, or of a run.

    It stands for the Dataset where no frame is read, and has that part of its interface.

    Raises StoreError if there is no store, no trajectory in it, or it is incomplete, or if there is
    no such run.
    """

    def __init__(self, store: Path, run: str | None = None) -> None:
        self.attrs: dict[str, Any]
        if run is None:
            group, self.attrs = store / TRAJECTORY, trajectory_attrs(store)
        else:
            group, self.attrs = find_run(store, run)
        self.variables = _arrays(group, self.attrs)
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

    It is complete, with all its files, and it has the label, where one is asked for; None
    otherwise.
    """
    try:
        path, attrs = find_run(store, record.run_id)
        if attrs["status"] != "complete" or label not in (None, attrs.get("label")):
            return None
        arrays = array_metadata(path, attrs)
        check_all_present(path, arrays, is_sealed=CHECKSUMS in attrs)
    except (NotFoundError, DamagedError):
        return None
    sizes = _sizes({name: OutlinedArray(path / name, array) for name, array in arrays.items()})
    return {"run_id": record.run_id, "label": attrs.get("label"), "sizes": sizes}
