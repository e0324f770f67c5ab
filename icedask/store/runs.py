"""What is in a store: find, open, list and remove runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import pandas as pd
import xarray as xr
import zarr

from icedask.core.provenance import POSITIONS_PREFIX, content_of
from icedask.core.variables import with_attrs
from icedask.errors import StoreError
from icedask.store.arrays import check_format, consolidate, group_attrs, open_group
from icedask.store.lock import locked
from icedask.store.trajectory import TRAJECTORY, blocks_done

GROUPS = ("descriptors", "models", "results")


def iter_runs(store: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the path and the attributes of every run of a store."""
    for kind in GROUPS:
        for path in sorted((store / kind).glob("*/[!.]*/zarr.json")):
            attrs = group_attrs(path.parent)
            if "run_id" in attrs:
                yield path.parent, attrs


def find_run(store: Path, run: str) -> tuple[Path, dict[str, Any]]:
    """Return path and attributes of a run by id or label.

    Raises
    ------
    StoreError
        If there is none.
    """
    check_format(store)
    known = []
    for path, attrs in iter_runs(store):
        if run in (attrs["run_id"], attrs.get("label")):
            return path, attrs
        known.append(attrs.get("label") or attrs["run_id"])
    raise StoreError(
        f"{store}: no run {run!r}; it holds {', '.join(known) or 'none'} (see icedask.list_runs)"
    )


def has_run(store: str | os.PathLike[str], run_id: str) -> bool:
    """Say whether the store holds a complete run of this id."""
    path = Path(store)
    return any(
        attrs["run_id"] == run_id and attrs["status"] == "complete" for _, attrs in iter_runs(path)
    )


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
    ds = open_group(root, str(path.relative_to(root)))
    return ds.assign_attrs(content=content_of(ds))


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
    check_format(root)
    group = root / TRAJECTORY
    if not (group / "zarr.json").exists():
        raise StoreError(f"{root}: holds no trajectory; make one with icedask ingest")
    attrs = group_attrs(group)
    if attrs["status"] != "complete":
        done, total = blocks_done(root), attrs["blocks"]
        raise StoreError(
            f"{root}: the trajectory is incomplete ({done} of {total} blocks); repeat the same "
            "icedask ingest, or simulate, to continue it"
        )
    ds = open_group(root, TRAJECTORY)
    positions = ds["positions"]
    # A name that says which positions these are, so that a result can tell what it came from.
    named = da.from_array(
        zarr.open_array(str(group / "positions"), mode="r"),
        chunks=positions.chunks,
        name=f"{POSITIONS_PREFIX}{attrs['positions']}",
        inline_array=True,
    )
    return with_attrs(ds.assign(positions=positions.copy(data=named)))


def list_runs(store: str | os.PathLike[str]) -> pd.DataFrame:
    """List the runs of a store.

    Parameters
    ----------
    store : path
        The store.

    Returns
    -------
    pandas.DataFrame
        Indexed by run_id: name, group, label, status, created, parents, bytes.

    Raises
    ------
    StoreError
        If there is no store at the path, or one of another format version.
    """
    root = Path(store).resolve()
    check_format(root)
    rows = [
        {
            "run_id": attrs["run_id"],
            "name": attrs["function"],
            "group": attrs["group"],
            "label": attrs.get("label"),
            "status": attrs["status"],
            "created": attrs["created"],
            "parents": attrs["parents"],
            "bytes": bytes_on_disk(path),
        }
        for path, attrs in iter_runs(root)
    ]
    columns = ["run_id", "name", "group", "label", "status", "created", "parents", "bytes"]
    return pd.DataFrame(rows, columns=columns).set_index("run_id")


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
    path, attrs = find_run(root, run)
    with locked(root):
        children = [
            other["run_id"]
            for _, other in iter_runs(root)
            if attrs["run_id"] in (*other["parents"], *other.get("lineage", {}))
            and other["run_id"] != attrs["run_id"]
        ]
        if children:
            raise StoreError(
                f"{root}: {', '.join(children)} were computed from run {run!r}; remove these first"
            )
        # Out of sight in one step, so that a crash leaves no half of a run.
        hidden = path.with_name(f".{path.name}")
        path.rename(hidden)
        shutil.rmtree(hidden)
        consolidate(root)
