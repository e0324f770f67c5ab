"""What was computed from what: canonical JSON, fingerprints, run ids and the record of a run."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dask
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.blockwise import Blockwise

from icedask.core.lineage import check_lineage
from icedask.errors import StoreError

logger = logging.getLogger("icedask")

# Names of lazy arrays in Dask's graphs by the identity of their values, wherever these come from.
_POSITIONS, _CONTENT = "positions-", "content-"
# Layers of Dask's graphs that select, cut or join blocks and leave their values alone.
_MOVING = re.compile(r"(getitem|concatenate|rechunk-\w+)-[0-9a-f]+")


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no spaces; numpy scalars and arrays become plain values."""

    def plain(item: Any) -> Any:
        if isinstance(item, np.generic | np.ndarray):
            return item.tolist()
        raise TypeError(f"cannot be part of a run id: {type(item).__name__}")

    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=plain)


def digest(*parts: Any) -> str:
    """Return 16 hex digits of a hash over arrays, bytes and JSON-able values."""
    state = hashlib.blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, np.ndarray):
            array = np.ascontiguousarray(part.astype("U") if part.dtype.kind in "TO" else part)
            state.update(f"{array.dtype.str}{array.shape}".encode())
            state.update(array.tobytes())
        elif isinstance(part, bytes):
            state.update(part)
        else:
            state.update(canonical(part).encode())
    return state.hexdigest()


def now() -> str:
    """Return the present time, UTC, ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Record:
    """Everything that determines a result.

    Its parents are run ids, its lineage the identities of all ancestors by run id, stored or not.
    """

    group: str  # descriptors, models or results
    name: str  # slug of the function
    version: int  # of the algorithm; raised when its numbers change
    parameters: Mapping[str, Any]  # all that change the result
    parents: tuple[str, ...] = ()
    trajectory: str = ""  # fingerprint, with frames and atoms
    positions: str = ""  # identity of the whole array, by which a store recognises its own results
    lineage: Mapping[str, Any] = field(default_factory=dict)
    atom_order: str = ""  # "not known" where an index may be another atom in another frame

    @property
    def identity(self) -> dict[str, Any]:
        """The values that enter the run id."""
        return {
            "function": f"{self.group}/{self.name}",
            "version": self.version,
            "parameters": dict(self.parameters),
            "parents": list(self.parents),
            "trajectory": self.trajectory,
        }

    @property
    def run_id(self) -> str:
        """The slug and 8 hex digits of the identity's canonical JSON."""
        slug = self.name.replace("_", "-")
        return f"{slug}-{hashlib.sha256(canonical(self.identity).encode()).hexdigest()[:8]}"

    @property
    def attrs(self) -> dict[str, Any]:
        """The record as attributes of a Dataset or a Zarr group."""
        attrs = {
            "run_id": self.run_id,
            "group": self.group,
            "function": self.name,
            "algorithm_version": self.version,
            "parameters": json.loads(canonical(dict(self.parameters))),
            "parents": list(self.parents),
            "trajectory": self.trajectory,
            "positions": self.positions,
            "lineage": json.loads(canonical(dict(self.lineage))),
        }
        return {**attrs, "atom_order": self.atom_order} if self.atom_order else attrs

    def child(
        self, group: str, name: str, version: int, parameters: Mapping[str, Any], *others: Record
    ) -> Record:
        """Return the record of something computed from this one and `others`."""
        lineage: dict[str, Any] = {}
        for parent in (self, *others):
            lineage |= {**parent.lineage, parent.run_id: parent.identity}
        ids = tuple(parent.run_id for parent in (self, *others))
        source = self.trajectory, self.positions
        orders = {parent.atom_order for parent in (self, *others)}
        order = "not known" if "not known" in orders else self.atom_order
        return Record(group, name, version, parameters, ids, *source, lineage, order)


def _array_identity(array: xr.DataArray) -> str:
    """Return the identity of an array: its hash, or the layers that compute it, but rechunking."""
    if array.chunks is None:
        return digest(np.asarray(array.values))
    dependencies = array.data.dask.dependencies
    sources = {array.data.name}
    while rechunked := {name for name in sources if name.startswith("rechunk-")}:
        sources -= rechunked
        sources |= {source for name in rechunked for source in dependencies.get(name, ())}
    return digest(sorted(sources), list(array.shape))


def value_identity(array: xr.DataArray) -> str:
    """Return the identity of the values of an array, the same for the same values anywhere.

    What is computed lazily from arrays of stores or in memory is known by these and the steps
    between; any other lazy array may come from a file whose content changes, so its values are
    read.
    """
    if array.chunks is None:
        return digest(np.asarray(array.values))
    graph = array.data.dask
    sources = [name for name in graph.layers if not graph.dependencies.get(name)]
    known = (_POSITIONS, _CONTENT)
    if all(name.startswith(known) or _is_in_memory(graph.layers[name]) for name in sources):
        return _array_identity(array)
    return frames_identity(array)


def _is_in_memory(layer: Any) -> bool:
    """Return whether a layer holds arrays in memory, of which its name has a hash."""
    if isinstance(layer, Blockwise):
        return False
    values = list(layer.values())
    for number, value in enumerate(values):
        # Wrapped by xarray.
        while not isinstance(value, np.ndarray) and hasattr(value, "array"):
            value = value.array
        values[number] = value
    return all(isinstance(value, np.ndarray) for value in values)


def frames_identity(array: xr.DataArray) -> str:
    """Return the identity of the values of an array by its frames, as that of stored columns is.

    It is read from the name of an array of a store, and computed from the values of any other.
    """
    if array.chunks is None:
        return joined_digest(_frame_digests(array.values))
    if array.data.name.startswith(_CONTENT):
        return str(array.data.name.removeprefix(_CONTENT))
    logger.info(
        "reading %s once, for its identity: it comes from no store (save it first to avoid this)",
        array.name or "an array",
    )
    data = array.data.rechunk(dict.fromkeys(range(1, array.ndim), -1))
    digests = [dask.delayed(_frame_digests)(block) for block in data.to_delayed().ravel()]
    return joined_digest([each for part in dask.compute(*digests) for each in part])


def _frame_digests(block: npt.NDArray[Any]) -> list[str]:
    return [digest(np.asarray(frame)) for frame in np.atleast_1d(block)]


def content_of(ds: xr.Dataset) -> dict[str, str]:
    """Return the identity of each variable, by which a Dataset that was changed is known."""
    return {str(name): _array_identity(array) for name, array in ds.data_vars.items()}


def stamped(ds: xr.Dataset, record: Record) -> xr.Dataset:
    """Return `ds` with its record, and with the identity of the values that it stands for."""
    return ds.assign_attrs({**record.attrs, "content": content_of(ds)})


def is_unchanged(ds: xr.Dataset) -> bool:
    """Return whether the variables of `ds` are still the ones of its record."""
    recorded = ds.attrs.get("content", {})
    return all(recorded.get(name) == value for name, value in content_of(ds).items())


def record_of(ds: xr.Dataset) -> Record:
    """Read the record back from a Dataset's attributes.

    Raises StoreError if the Dataset does not say how it was computed.
    """
    return record_of_attrs(ds.attrs)


def record_of_attrs(attrs: Mapping[Any, Any]) -> Record:
    """Read the record back from attributes, as `record_of` does."""
    try:
        record = Record(
            attrs["group"],
            attrs["function"],
            int(attrs["algorithm_version"]),
            attrs["parameters"],
            tuple(attrs["parents"]),
            attrs["trajectory"],
            attrs["positions"],
            attrs["lineage"],
            attrs.get("atom_order", ""),
        )
        check_lineage(record.run_id, record.parents, record.lineage)
        return record
    except KeyError as error:
        raise StoreError(
            f"expected a Dataset that says how it was computed, found none of its attribute "
            f"{error}; pass what an icedask function returned (operations of xarray may drop "
            "attributes: keep them with xarray.set_options(keep_attrs=True))"
        ) from error


def frame_digest(positions: npt.NDArray[np.float32]) -> str:
    """Return the digest of the positions of one frame."""
    return digest(np.asarray(positions, np.float32))


def joined_digest(frames: Sequence[str]) -> str:
    """Return the digest of a trajectory's positions from the digests of its frames."""
    return digest(list(frames))


def positions_name(identity: str) -> str:
    """Return the name of the lazy array of stored positions."""
    return f"{_POSITIONS}{identity}"


def content_name(identity: str) -> str:
    """Return the name of a lazy array of a store whose values have this identity."""
    return f"{_CONTENT}{identity}"


def positions_identity(positions: xr.DataArray) -> str:
    """Return a string that identifies the values of `positions` without reading them from disk.

    An array in memory is hashed, as ingest hashes one. A lazy one called `positions_name(identity)`
    keeps its identity as long as its graph holds nothing but that source and steps of Dask that
    move values, whose choice of frames and atoms enters the fingerprint by their coordinates.
    Anything else has an identity of its own: changed positions are never taken for the stored ones.
    """
    if positions.chunks is None:
        return joined_digest([frame_digest(frame) for frame in positions.values])
    layers = positions.data.dask.layers
    sources = sorted(name for name in layers if name.startswith(_POSITIONS))
    moved = all(name in sources or _moves(name, layer) for name, layer in layers.items())
    if len(sources) == 1 and moved:
        return sources[0].removeprefix(_POSITIONS)
    return digest(*sources, positions.data.name)


def _moves(name: str, layer: Any) -> bool:
    # A function over blocks is a Blockwise layer, whatever it is called.
    return _MOVING.fullmatch(name) is not None and not isinstance(layer, Blockwise)


def fingerprint(trj: xr.Dataset, positions: str | None = None) -> tuple[str, str]:
    """Return the fingerprint of a trajectory and the identity of its positions, if not given."""
    identity = positions_identity(trj["positions"]) if positions is None else positions
    parts: list[npt.NDArray[Any]] = [
        np.asarray(trj[name].values)
        for name in ("element", "pbc", "cell", "step", "atom")
        if name in trj.variables
    ]
    return digest(identity, list(trj["positions"].shape), *parts), identity
