"""Runs of a store: find, open, list and remove them."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr

from icedask.core.provenance import (
    content_name,
    content_of,
    positions_name,
    record_of_attrs,
)
from icedask.core.variables import with_attrs, with_axes
from icedask.errors import DamagedError, NotFoundError, StoreError
from icedask.store.integrity import METADATA, damaged, group_attrs
from icedask.store.lock import lock_holder, locked, status_of
from icedask.store.root import GROUPS, check_format, consolidate, groups_of
from icedask.store.sidecars import blocks_done
from icedask.store.stored import open_arrays
from icedask.store.trajectory import TRAJECTORY

_RUN_ID = re.compile(r"([\w-]+)-[0-9a-f]{8}")
# Runs that a message lists.
_SIMILAR = 3
# Paths come from a file that anybody may have written: none leads out of the store.
_RUN_PATH = re.compile(rf"({'|'.join(GROUPS)})/\w+/[\w-]+")


def iter_runs(store: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the path and the attributes of every run of a store, with its label if it has one.

    A run whose metadata is damaged has the status "damaged", and what its path tells.
    """
    index = check_format(store).get("labels")
    for path in groups_of(store):
        if path.name == TRAJECTORY:
            continue
        try:
            attrs = group_attrs(path)
        except (DamagedError, FileNotFoundError):
            kind, name = path.relative_to(store).parts[:2]
            attrs = {"run_id": path.name, "group": kind, "function": name, "status": "damaged"}
            attrs |= {"parents": [], "parameters": {}, "created": None}
        if "run_id" in attrs:
            yield path, _labelled(store, path, attrs, index)


def _labelled(
    store: Path, run: Path, attrs: dict[str, Any], index: Mapping[str, str] | None
) -> dict[str, Any]:
    """Return the attributes of a run with the label that it has in the index of the store."""
    if index is None:  # a store of before the index: each run has its label among its attributes
        return attrs
    path = str(run.relative_to(store))
    labels = [label for label, labelled in index.items() if labelled == path]
    own = {name: value for name, value in attrs.items() if name != "label"}
    return {**own, "label": labels[0]} if labels else own


def label_index(store: Path) -> dict[str, str]:
    """Return the paths of the labelled runs of a store by label."""
    index = check_format(store).get("labels")
    if index is not None:
        for label, path in index.items():
            if _RUN_PATH.fullmatch(str(path)) is None:
                raise StoreError(
                    f"{store}: expected the path of a run for label {label!r}, found {path!r}; "
                    "correct the labels in the attributes of the store"
                )
        return dict(index)
    runs = ((attrs.get("label"), path) for path, attrs in iter_runs(store))
    return {label: str(path.relative_to(store)) for label, path in runs if label}


def path_of_id(store: Path, run_id: str) -> Path | None:
    """Return the path of a stored run by its id alone, which begins with the function's name."""
    match = _RUN_ID.fullmatch(run_id)
    if match is None:
        return None
    name = match[1].replace("-", "_")
    paths = [store / kind / name / run_id for kind in GROUPS]
    return next((path for path in paths if path.is_dir()), None)


def find_run(store: Path, run: str) -> tuple[Path, dict[str, Any]]:
    """Return path and attributes of a run by id or label.

    Raises StoreError if there is none, or its metadata is damaged.
    """
    path = find_path(store, run)
    try:
        attrs = group_attrs(path)
    except FileNotFoundError:
        raise damaged(path / METADATA, "the metadata of a run is missing") from None
    return path, _labelled(store, path, attrs, check_format(store).get("labels"))


def find_path(store: Path, run: str) -> Path:
    """Return the path of a run by id or label; raise StoreError if there is none."""
    check_format(store)
    path = path_of_id(store, run)
    if path is None:
        labelled = label_index(store).get(run)
        path = None if labelled is None else store / labelled
    if path is None or not path.is_dir():
        raise NotFoundError(f"{store}: no run {run!r}; {_known_runs(store, run)}")
    return path


def _known_runs(store: Path, wanted: str) -> str:
    """Return part of a message: runs of similar name, else all, labels first."""
    runs = [attrs for _, attrs in iter_runs(store)]
    labels = [attrs["label"] for attrs in runs if attrs.get("label")]
    ids = [attrs["run_id"] for attrs in runs if not attrs.get("label")]
    similar = get_close_matches(wanted, [*labels, *(attrs["run_id"] for attrs in runs)])
    similar += [run_id for run_id in ids if run_id not in similar and run_id.startswith(wanted)]
    if similar:
        return f"did you mean {' or '.join(similar[:_SIMILAR])}?"
    if not runs:
        return "the store holds none"
    labelled = f"its labels are {', '.join(labels)}" if labels else "none has a label"
    shown = f"{', '.join(ids[:_SIMILAR])}{', ...' if len(ids) > _SIMILAR else ''}"
    others = f"; {len(ids)} without label: {shown}" if ids else ""
    return f"{labelled}{others} (icedask info, or icedask.list_runs)"


def check_identity(path: Path, attrs: Mapping[str, Any]) -> None:
    """Raise DamagedError unless the id of a run is the one that its attributes give."""
    try:
        run_id = record_of_attrs(attrs).run_id
    except (StoreError, TypeError, ValueError):
        run_id = "none"
    if not run_id == path.name == attrs["run_id"]:
        raise damaged(
            path / METADATA,
            f"expected the attributes of run {path.name}, found those of another ({run_id})",
        )


def has_run(store: str | os.PathLike[str], run_id: str) -> bool:
    """Return whether the store holds a complete run of this id."""
    path = path_of_id(Path(store), run_id)
    if path is None or not (path / METADATA).exists():
        return False
    return bool(group_attrs(path)["status"] == "complete")


def open_run(
    store: str | os.PathLike[str], run: str, *, allow_incomplete: bool = False
) -> xr.Dataset:
    """Open a stored run lazily.

    Parameters
    ----------
    store : path
        The store.
    run : str
        A run id or a label.
    allow_incomplete : bool
        Open a run that is still being written: blocks that are missing read as NaN, or as the
        smallest integer.

    Returns
    -------
    xarray.Dataset
        With one Dask block for each shard.

    Raises
    ------
    StoreError
        If the run does not exist, or is incomplete and that was not allowed.
    """
    root = Path(store).resolve()
    path, attrs = find_run(root, run)
    if attrs["status"] != "complete" and not allow_incomplete:
        raise StoreError(
            f"{root}: run {run!r} is incomplete; repeat the command that writes it to continue, or "
            "pass allow_incomplete=True to see the part that is there"
        )
    check_identity(path, attrs)
    complete = attrs["status"] == "complete"
    # What is being written has other values at each look.
    token = attrs["run_id"] if complete else f"{attrs['run_id']}-{secrets.token_hex(8)}"

    def name_of(variable: str) -> str:
        return content_name(f"{token}-{variable}")

    ds = open_arrays(root, path, attrs, name_of, complete=complete)
    ds.attrs = {name: attrs[name] for name in (*ds.attrs, "label") if name in attrs}
    return with_axes(ds).assign_attrs(content=content_of(ds))


def open_trajectory(store: str | os.PathLike[str]) -> xr.Dataset:
    """Open the trajectory of a store lazily.

    Parameters
    ----------
    store : path
        What `ingest` wrote.

    Returns
    -------
    xarray.Dataset
        positions (frame, atom, xyz) and per-atom columns lazy, the rest loaded.

    Raises
    ------
    StoreError
        If there is no store, no trajectory in it, or it is incomplete.
    """
    root = Path(store).resolve()
    attrs = trajectory_attrs(root)
    columns = attrs.get("columns", {})

    def name_of(variable: str) -> str | None:
        if variable == "positions":
            return positions_name(attrs["positions"])
        # Stores written before do not know the content of columns.
        return content_name(columns[variable]) if variable in columns else None

    ds = open_arrays(root, root / TRAJECTORY, attrs, name_of, complete=True)
    ds.attrs.pop("columns", None)
    return with_attrs(with_axes(ds))


def trajectory_attrs(root: Path) -> dict[str, Any]:
    """Return the attributes of the trajectory; raise StoreError unless it is complete."""
    check_format(root)
    group = root / TRAJECTORY
    if not (group / "zarr.json").exists():
        raise NotFoundError(f"{root}: holds no trajectory; make one with icedask ingest")
    attrs = group_attrs(group)
    if attrs["status"] != "complete":
        done, total = blocks_done(root), attrs["blocks"]
        raise StoreError(
            f"{root}: the trajectory is incomplete ({done} of {total} blocks); repeat the same "
            "icedask ingest, or simulate, to continue it"
        )
    return attrs


def trajectory_summary(store: str | os.PathLike[str]) -> dict[str, Any]:
    """Return source, sizes, elements, times, cell and variables of a trajectory.

    Only small arrays are read, and neither xarray nor Dask is needed.

    Raises
    ------
    StoreError
        If there is no store, no trajectory in it, or it is incomplete.
    """
    root = Path(store).resolve()
    attrs = trajectory_attrs(root)
    group: Any = zarr.open_group(str(root / TRAJECTORY), mode="r")
    elements, counts = np.unique(group["element"][:].astype(object).astype(str), return_counts=True)
    time = group["time"][:]
    n_frames, n_atoms = group["positions"].shape[:2]
    coordinates = attrs["coordinate_names"]
    return {
        "source": attrs["source"],
        **({"labels": attrs["labels"]} if "labels" in attrs else {}),
        "frames": n_frames,
        "atoms": n_atoms,
        "elements": {str(e): int(n) for e, n in zip(elements, counts, strict=True)},
        "time_ps": None if np.isnan(time).any() else [float(time[0]), float(time[-1])],
        "pbc": group["pbc"][:].tolist(),
        "cell_angstrom": group["cell"][0].tolist(),
        "variables": sorted(name for name in group.array_keys() if name not in coordinates),
    }


def run_table(store: Path) -> list[dict[str, Any]]:
    """Return the rows of `list_runs`."""
    holder = lock_holder(store)
    return [
        {
            "run_id": attrs["run_id"],
            "name": attrs["function"],
            "group": attrs["group"],
            "label": attrs.get("label"),
            "status": status_of(attrs["run_id"], attrs["status"], holder),
            "created": attrs["created"],
            "parents": attrs["parents"],
            "bytes": bytes_on_disk(path),
        }
        for path, attrs in iter_runs(store)
    ]


def list_runs(store: str | os.PathLike[str]) -> pd.DataFrame:
    """List the runs of a store.

    Parameters
    ----------
    store : path
        The store.

    Returns
    -------
    pandas.DataFrame
        Indexed by run_id: name, group, label, status (complete, running, interrupted where no
        process writes it, or damaged where its metadata is), created, parents, bytes.

    Raises
    ------
    StoreError
        If there is no store at the path, or one of another format version.
    """
    root = Path(store).resolve()
    check_format(root)
    columns = ["run_id", "name", "group", "label", "status", "created", "parents", "bytes"]
    return pd.DataFrame(run_table(root), columns=columns).set_index("run_id")


def bytes_on_disk(path: Path) -> int:
    """Return the size of all files below a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def remove_run(store: str | os.PathLike[str], run: str) -> None:
    """Delete a run from a store.

    Parameters
    ----------
    store : path
        The store.
    run : str
        A run id or a label.

    Raises
    ------
    StoreError
        If there is no such run, or another stored run was computed from it.
    """
    root = Path(store).resolve()
    path = find_path(root, run)
    with locked(root):
        children = [
            other["run_id"]
            for _, other in iter_runs(root)
            if path.name in (*other["parents"], *other.get("lineage", {}))
            and other["run_id"] != path.name
        ]
        if children:
            raise StoreError(
                f"{root}: {', '.join(children)} were computed from run {run!r}; remove these first"
            )
        # Out of sight in one step, so that a crash leaves no half of a run.
        hidden = path.with_name(f".{path.name}")
        path.rename(hidden)
        shutil.rmtree(hidden)
        index = check_format(root).get("labels", {})
        kept = {label: run for label, run in index.items() if root / run != path}
        consolidate(root, {"labels": kept} if kept != index else None)
