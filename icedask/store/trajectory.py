"""Writing a trajectory: plan, encode whole shards in tasks, finalise; resumable at any point.

A block is done when its shards and then its sidecar are on disk.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed
from dask.delayed import Delayed

from icedask.core.files import sync_folder
from icedask.core.provenance import (
    canonical,
    digest,
    fingerprint,
    frames_identity,
    joined_digest,
    now,
)
from icedask.core.trajectory import atom_order, check_cells, check_elements, check_trajectory
from icedask.core.variables import ATOM, FRAME, VARIABLES, XYZ, with_attrs
from icedask.errors import InputError, StoreError
from icedask.store.arrays import (
    create_array,
    create_group,
    remove_partial_files,
    seal_arrays,
    write_region,
    write_small,
)
from icedask.store.blocks import disk_errors
from icedask.store.chunks import TRAJECTORY_ATOM_FRAMES, plan_blocks
from icedask.store.folder import make_folder
from icedask.store.frame_block import FrameBlock, check_finite
from icedask.store.integrity import METADATA, damaged, group_attrs
from icedask.store.lock import Wait, check_locks
from icedask.store.root import (
    check_format,
    check_links,
    check_variables,
    complete_group,
    create_root,
    writing,
)
from icedask.store.sidecars import (
    COLUMN,
    STAGING,
    block_is_done,
    load_sidecar,
    write_sidecar,
)
from icedask.tasks.graphs import delayed_waves
from icedask.tasks.progress import reporting
from icedask.tasks.run import run_tasks

TRAJECTORY = "trajectory"
_POSITION_BYTES = 12


@dataclass(frozen=True)
class TrajectoryPlan:
    """Everything about a trajectory that is known before its frames are read."""

    n_frames: int
    # Per-atom coordinates, with element, already reduced to the selection.
    atoms: Mapping[str, npt.NDArray[Any]]
    # Number of dimensions and dtype of each per-atom variable.
    columns: Mapping[str, tuple[int, np.dtype]]
    # Source and settings, which must be the same for an interrupted write to be continued.
    identity: Mapping[str, Any]
    attrs: Mapping[str, Any]  # Attributes of the trajectory group
    # Units of the per-atom columns that have no specification.
    column_units: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_atoms(self) -> int:
        """Atoms to write."""
        return len(self.atoms["element"])

    @property
    def block_frames(self) -> int:
        """Frames in one block."""
        return plan_blocks(
            self.n_frames, self.n_atoms, _POSITION_BYTES, atom_frames=TRAJECTORY_ATOM_FRAMES
        ).frames

    @property
    def n_blocks(self) -> int:
        """Number of blocks, and of encoding tasks."""
        return ceil(self.n_frames / self.block_frames)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame in memory, positions and columns."""
        columns = sum(
            dtype.itemsize * (3 if ndim == 3 else 1) for ndim, dtype in self.columns.values()
        )
        return self.n_atoms * (_POSITION_BYTES + columns)

    def block(self, index: int) -> range:
        """Return the frames of a block."""
        start = index * self.block_frames
        return range(start, min(start + self.block_frames, self.n_frames))


def trajectory_group_attrs(store: Path) -> dict[str, Any]:
    """Return the attributes of the trajectory, complete or not; raise DamagedError if it has none.

    Raises FileNotFoundError if there is no trajectory.
    """
    attrs = group_attrs(store / TRAJECTORY)
    missing = [name for name in ("status", "identity", "blocks") if name not in attrs]
    if missing:
        finding = f"the attributes are not those of a trajectory (no {missing[0]})"
        raise damaged(store / TRAJECTORY / METADATA, finding)
    return attrs


def recorded_identity(store: Path) -> dict[str, Any]:
    """Return the identity of the trajectory in a store; empty where there is none."""
    if not (store / TRAJECTORY / "zarr.json").exists():
        return {}
    identity = dict(trajectory_group_attrs(store)["identity"])
    if isinstance(identity.get("columns"), list):
        # Written when columns of a Dataset counted by their names.
        identity |= {"columns": dict.fromkeys(identity["columns"])}
    if "options" in identity:
        # Written when options that were not given counted too.
        options = identity["options"].items()
        identity["options"] = {name: value for name, value in options if value is not None}
    return identity


def existing_status(store: Path, identity: Mapping[str, Any], *, overwrite: bool = False) -> str:
    """Return "absent", "running" or "complete" for a trajectory of this identity.

    With `overwrite`, a trajectory of another identity is "other" instead of an error. Raises
    StoreError if the store holds a trajectory of another source or other settings.
    """
    if not (store / TRAJECTORY / "zarr.json").exists():
        return "absent"
    attrs = trajectory_group_attrs(store)
    stored = recorded_identity(store)
    # Compared as numbers: a time step of 10 is one of 10.0.
    plain = json.loads(canonical(dict(identity)))
    if "coordinates" not in stored and "dataset" in stored:
        plain.pop("coordinates", None)
        plain["columns"] = dict.fromkeys(plain.get("columns", ()))
    if stored != plain:
        if overwrite:
            return "other"
        new = [key for key in plain if stored.get(key) != plain[key]]
        what = "the source changed" if new == ["files"] else f"other {', '.join(new)}"
        state = "an unfinished ingest" if attrs["status"] == "running" else "a trajectory"
        raise StoreError(
            f"{store}: the store exists and holds {state} of another source or other settings "
            f"({what}); give another store, or overwrite=True (--overwrite) to replace it and all "
            "its results"
        )
    return str(attrs["status"])


def _check_columns(columns: Mapping[str, tuple[int, np.dtype]]) -> None:
    """Raise InputError if a per-atom column has the name of another variable, or none of a file."""
    for name, (ndim, _) in columns.items():
        dims = (FRAME, ATOM, XYZ)[:ndim]
        if name in (*dims, *VARIABLES["cell"].dims) or "/" in name or name.strip(". ") == "":
            raise InputError(
                f"columns: expected a name for a per-atom column that is no dimension and has no "
                f"slash, found {name!r}; rename it with columns= (--column {name}=OTHER)"
            )
        if name == "positions" or (name in VARIABLES and VARIABLES[name].dims != dims):
            raise InputError(
                f"columns: {name} is a variable of dimensions {VARIABLES[name].dims}, expected "
                f"another name for a per-atom column of dimensions {dims}; rename it with columns= "
                f"(--column {name}=OTHER)"
            )


def is_stored(store: Path, identity: Mapping[str, Any]) -> bool:
    """Return whether a trajectory of this identity is complete, with nothing left to write."""
    if not (store / TRAJECTORY / "zarr.json").exists():
        return False
    check_format(store)
    # Staged files of a writer that was killed after its last step are no hindrance to a reader.
    tidy = not (store / STAGING).exists() or not os.access(store, os.W_OK)
    return tidy and existing_status(store, identity, overwrite=True) == "complete"


def begin(store: Path, plan: TrajectoryPlan) -> None:
    """Create the root and the empty arrays of a trajectory."""
    check_elements(plan.atoms["element"])
    _check_columns(plan.columns)
    check_variables([*plan.columns, *plan.atoms])
    if not (store / "zarr.json").exists():
        create_root(store)
    staged = store / STAGING / TRAJECTORY
    shutil.rmtree(staged, ignore_errors=True)
    units = {"column_units": dict(plan.column_units)} if plan.column_units else {}
    attrs = {
        **plan.attrs,
        **units,
        "identity": json.loads(canonical(dict(plan.identity))),
        "blocks": plan.n_blocks,
        "status": "running",
    }
    create_group(staged, attrs)
    shape, block = (plan.n_frames, plan.n_atoms, 3), (plan.block_frames, plan.n_atoms, 3)
    arrays = {"positions": (3, np.dtype(np.float32)), **plan.columns}
    for name, (ndim, dtype) in arrays.items():
        spec, dims = VARIABLES.get(name), (FRAME, ATOM, XYZ)[:ndim]
        extra = {"units": plan.column_units[name]} if spec is None else spec.attrs
        create_array(staged, name, shape[:ndim], dtype, dims, extra, block=block[:ndim])
    seal_arrays(staged)
    staged.rename(store / TRAJECTORY)
    sync_folder(store)


def encode_block(
    block: FrameBlock, store: str, index: int, start: int, pbc: Sequence[bool], where: str
) -> None:
    """Check one block and write it; runs in a Dask task."""
    root = Path(store)
    check_finite(block, range(start, start + len(block.positions)), where)
    check_cells(block.cell, block.pbc)
    if block.pbc.tolist() != list(pbc):
        raise InputError(
            f"{where}: the boundaries change from {list(pbc)} to {block.pbc.tolist()} after frame "
            f"{start}; split the source where they change"
        )
    arrays = {"positions": block.positions, **block.columns}
    for name, values in arrays.items():
        write_region(root / TRAJECTORY / name, (start,) + (0,) * (values.ndim - 1), values)
    write_sidecar(root, index, block)


def run_blocks(store: Path, plan: TrajectoryPlan, task: Callable[[int], Delayed]) -> None:
    """Encode the blocks that are not done yet, each by the task that `task` makes of its index."""
    for folder in (store / TRAJECTORY, store / STAGING):
        check_links(store, folder)
        remove_partial_files(folder)
    blocks = trajectory_group_attrs(store)["blocks"]
    if blocks != plan.n_blocks:
        raise StoreError(
            f"{store}: expected an unfinished trajectory of {plan.n_blocks} blocks, found one of "
            f"{blocks} by another version of icedask; continue it with that one, or begin again "
            "with overwrite=True (--overwrite)"
        )
    names = ["positions", *plan.columns]
    missing = [
        index
        for index in range(plan.n_blocks)
        if not block_is_done(store, store / TRAJECTORY, names, index)
    ]

    def held(index: int) -> Delayed:
        check_locks()
        return task(index)

    with disk_errors(store):
        run_tasks(delayed_waves(map(held, missing)), len(missing), "ingest")


def finalise(store: Path, plan: TrajectoryPlan, what: str = "ingested") -> None:
    """Write the per-frame arrays, complete the attributes and add `what` to the history."""
    parts = [load_sidecar(store, index) for index in range(plan.n_blocks)]
    joined = {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "pbc"
    }
    time = joined["time"]
    if not np.isnan(time).any() and (np.diff(time) <= 0).any():
        frame = int(np.argmax(np.diff(time) <= 0)) + 1
        raise InputError(
            f"time: expected to increase from frame to frame, found {time[frame - 1]:g} ps and "
            f"then {time[frame]:g} ps at frame {frame}; choose frames with frames= (--frames), or "
            "state the time between them with frame_interval= (--frame-interval)"
        )
    ds = xr.Dataset(
        {
            "cell": ((FRAME, "cell_vector", XYZ), joined["cell"]),
            "pbc": ("cell_vector", parts[0]["pbc"]),
        },
        {
            "time": (FRAME, time),
            "step": (FRAME, joined["step"]),
            **{name: (ATOM, values) for name, values in plan.atoms.items()},
        },
    )
    if len(joined["origin"]):
        ds["cell_origin"] = ((FRAME, XYZ), joined["origin"])
    ds = with_attrs(ds)
    for name in ds.variables:
        write_small(store / TRAJECTORY, str(name), ds[name])
    positions = joined_digest(joined["digests"].tolist())
    _check_results_belong(store, positions)
    seal_arrays(store / TRAJECTORY)
    attrs = {
        "positions": positions,
        "columns": {
            name: joined_digest(joined[f"{COLUMN}{name}"].tolist()) for name in plan.columns
        },
        "coordinate_names": sorted(str(name) for name in ds.coords),
        "created": now(),
        "history": [f"{now()} {what}"],
        "status": "complete",
    }
    complete_group(store / TRAJECTORY, attrs)


def _check_results_belong(store: Path, positions: str) -> None:
    """Raise InputError if the store already holds results of another trajectory."""
    if check_format(store).get("positions", positions) != positions:
        raise InputError(
            f"{store}: expected the trajectory that the results in this store were computed from, "
            "found another; give a store of its own"
        )


def conclude(store: Path) -> None:
    """Drop the staging folder of a complete trajectory."""
    shutil.rmtree(store / STAGING, ignore_errors=True)


def write_trajectory_dataset(ds: xr.Dataset, store: Path, wait: Wait | None = None) -> None:
    """Write a trajectory Dataset into a store."""
    check_trajectory(ds, "save")
    own = ("positions", "cell", "pbc", "cell_origin")
    columns = [str(name) for name in ds.data_vars if name not in own]
    wrong = [name for name in columns if ds[name].dims[:2] != (FRAME, ATOM)]
    if wrong:
        raise InputError(
            f"{wrong[0]}: expected the dimensions (frame, atom[, xyz]) of a per-atom column, found "
            f"{ds[wrong[0]].dims}; drop it before saving the trajectory"
        )
    described = _described(ds)
    plan = TrajectoryPlan(
        n_frames=ds.sizes[FRAME],
        atoms={
            str(name): np.asarray(array.values)
            for name, array in ds.coords.items()
            if array.dims == (ATOM,)
        },
        columns={name: (ds[name].ndim, ds[name].dtype) for name in columns},
        identity={
            "dataset": fingerprint(ds)[0],
            "columns": {name: frames_identity(ds[name]) for name in columns},
            "coordinates": digest(*_loaded_values(ds)),
            **described,
        },
        attrs={
            "source": "dataset",
            **described,
            **({"atom_order": "not known"} if atom_order(ds) else {}),
        },
        column_units={
            name: str(ds[name].attrs.get("units", "unknown"))
            for name in columns
            if name not in VARIABLES
        },
    )
    if is_stored(store, plan.identity):
        return
    make_folder(store)
    with writing(store, "save", [TRAJECTORY], wait=wait), reporting(store, "save"):
        if (store / "zarr.json").exists():
            _check_results_belong(store, fingerprint(ds)[1])
        status = existing_status(store, plan.identity)
        if status != "complete":
            (store / STAGING).mkdir(exist_ok=True)
            if status == "absent":
                begin(store, plan)
            run_blocks(store, plan, partial(_dataset_task, ds, store, plan, columns))
            finalise(store, plan)
        conclude(store)


def _described(ds: xr.Dataset) -> dict[str, Any]:
    """Return the labels and the provenance of a simulation, as plain values."""
    described = {name: ds.attrs[name] for name in ("labels", "simulation") if name in ds.attrs}
    try:
        plain: dict[str, Any] = json.loads(canonical(described))
    except TypeError as error:
        raise InputError(
            f"save: expected text and numbers in the labels of the trajectory, found others "
            f"({error}); change attrs['labels']"
        ) from error
    return plain


def _loaded_values(ds: xr.Dataset) -> list[Any]:
    """Return names and values of the coordinates that are no part of the fingerprint."""
    coords = {str(name): coord.values for name, coord in ds.coords.items() if coord.dims == (ATOM,)}
    values = {**coords, "time": ds["time"].values}
    if "cell_origin" in ds:
        values["cell_origin"] = ds["cell_origin"].values
    return [part for name in sorted(values) for part in (name, values[name])]


def _dataset_task(
    ds: xr.Dataset, store: Path, plan: TrajectoryPlan, columns: Sequence[str], index: int
) -> Delayed:
    frames = plan.block(index)
    part = ds.isel({FRAME: slice(frames.start, frames.stop)})
    block = delayed(FrameBlock)(
        positions=part["positions"].data,
        cell=part["cell"].values,
        pbc=part["pbc"].values,
        time=part["time"].values,
        step=part["step"].values,
        cell_origin=part["cell_origin"].values if "cell_origin" in part else None,
        columns={name: part[name].data for name in columns},
    )
    pbc = ds["pbc"].values.tolist()
    return delayed(encode_block, pure=False)(
        block, str(store), index, frames.start, pbc, "the Dataset"
    )
