"""Runs of a store: find, open, list and remove them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from icedask.core.collection import Collection
from icedask.core.lineage import check_ancestors, is_run_id
from icedask.core.provenance import (
    content_name,
    content_of,
    positions_name,
    record_of_attrs,
)
from icedask.core.text import printable
from icedask.core.variables import with_attrs, with_axes
from icedask.errors import NotFoundError, StoreError
from icedask.store.arrays import delete
from icedask.store.integrity import METADATA, array_metadata, damaged, group_attrs
from icedask.store.labels import (
    GROUPS,
    UNFINISHED,
    drop_label,
    drop_labels_without_run,
    in_files,
    label_of,
    labelled_path,
    labels_of_old_store,
    labels_of_runs,
)
from icedask.store.lock import Wait, lock_holder, status_of
from icedask.store.members import stores_of
from icedask.store.root import check_format, check_links, groups_of, hide, run_path_of, writing
from icedask.store.sidecars import blocks_done
from icedask.store.stored import open_arrays, read_array
from icedask.store.trajectory import TRAJECTORY, trajectory_group_attrs

# Runs that a message lists.
_SIMILAR = 3


def run_paths(store: Path) -> Iterator[Path]:
    """Yield the path of every run of a store, also of damaged ones."""
    check_format(store)
    return (path for path in groups_of(store) if path.name != TRAJECTORY)


def iter_runs(store: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the path and the attributes of every run of a store, with its label if it has one.

    Runs that are damaged are left out; `list_runs` has them.
    """
    labels = _labels_by_path(store)
    for path in run_paths(store):
        with suppress(StoreError):
            yield path, _labelled(run_attrs(store, path), labels.get(_inside(store, path)))


def run_attrs(store: Path, path: Path) -> dict[str, Any]:
    """Return the attributes of a run.

    Raises DamagedError if they cannot be read, or are those of another run.
    """
    try:
        attrs = group_attrs(path)
    except FileNotFoundError:
        raise damaged(path / METADATA, "the metadata of a run is missing") from None
    try:
        record = record_of_attrs(attrs)
        stated = run_path_of(record.group, record.name, record.run_id)
        is_same = stated == _inside(store, path) and attrs["run_id"] == record.run_id
    except (StoreError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(
            path / METADATA, f"the attributes are not those of a run ({printable(error)})"
        ) from error
    if not is_same or "status" not in attrs:
        finding = f"expected the attributes of run {path.name}, found those of another"
        raise damaged(path / METADATA, f"{finding} ({printable(stated)})")
    return {"created": None, **attrs}


def _inside(store: Path, path: Path) -> str:
    return str(path.relative_to(store))


def _labels_by_path(store: Path) -> dict[str, str]:
    attrs = check_format(store)
    labels = labels_of_runs(store) if in_files(attrs) else labels_of_old_store(store, attrs)
    return {path: label for label, path in labels.items()}


def _labelled(attrs: dict[str, Any], label: str | None) -> dict[str, Any]:
    """Return the attributes of a run with its label, if it has one."""
    own = {name: value for name, value in attrs.items() if name != "label"}
    return {**own, "label": label} if label else own


def path_of_id(store: Path, run_id: str) -> Path | None:
    """Return the path of a stored run by its id alone, which begins with the function's name."""
    if not is_run_id(run_id):
        return None
    name = run_id.rpartition("-")[0].replace("-", "_")
    paths = [store / kind / name / run_id for kind in GROUPS]
    return next((path for path in paths if path.is_dir()), None)


def find_run(store: Path, run: str) -> tuple[Path, dict[str, Any]]:
    """Return path and attributes of a run by id or label.

    Raises StoreError if there is none, or its metadata is damaged.
    """
    root = check_format(store)
    old = None if in_files(root) else labels_of_old_store(store, root)
    path = _find_path(store, run, old)
    inside = _inside(store, path)
    if old is None:
        label = label_of(store, inside)
    else:
        label = next((name for name, labelled in old.items() if labelled == inside), None)
    return path, _labelled(run_attrs(store, path), label)


def _find_path(store: Path, run: str, old: Mapping[str, str] | None) -> Path:
    """Return the path of a run by id or label, by the labels of an old store if these are given."""
    path = path_of_id(store, run)
    if path is None:
        labelled = labelled_path(store, run) if old is None else old.get(run)
        path = None if labelled is None else store / labelled
    if path is None or not path.is_dir():
        raise NotFoundError(
            f"{store}: no run {printable(repr(run))}; {printable(_known_runs(store, run))}"
        )
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
    attrs = trajectory_group_attrs(root)
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
    group = root / TRAJECTORY
    arrays = array_metadata(group, attrs)
    small = {
        name: read_array(group / name, metadata)
        for name, metadata in arrays.items()
        if name in ("element", "time", "pbc", "cell")
    }
    elements, counts = np.unique(small["element"], return_counts=True)
    time = small["time"]
    n_frames, n_atoms = arrays["positions"]["shape"][:2]
    return {
        "source": attrs["source"],
        **({"labels": attrs["labels"]} if "labels" in attrs else {}),
        "frames": n_frames,
        "atoms": n_atoms,
        "elements": {str(e): int(n) for e, n in zip(elements, counts, strict=True)},
        "time_ps": None if np.isnan(time).any() else [float(time[0]), float(time[-1])],
        "pbc": small["pbc"].tolist(),
        "cell_angstrom": small["cell"][0].tolist(),
        "variables": sorted(arrays.keys() - set(attrs["coordinate_names"])),
    }


def run_table(store: Path) -> list[dict[str, Any]]:
    """Return the rows of `list_runs`."""
    holder, labels = lock_holder(store), _labels_by_path(store)
    rows = []
    for path in run_paths(store):
        group, name, run_id = path.relative_to(store).parts
        row: dict[str, Any] = {"run_id": run_id, "name": name, "group": group}
        try:
            attrs = run_attrs(store, path)
        except StoreError:
            # It does not hide the others.
            row |= {"label": None, "status": "damaged", "created": None, "parents": []}
        else:
            row |= {
                "label": labels.get(_inside(store, path)),
                "status": status_of(run_id, attrs["status"], holder),
                "created": attrs["created"],
                "parents": attrs["parents"],
            }
        rows.append({**row, "bytes": bytes_on_disk(path)})
    return rows


def list_runs(store: str | os.PathLike[str] | Collection) -> pd.DataFrame:
    """List the runs of a store, or of the stores of a collection.

    Parameters
    ----------
    store : path or Collection
        The store, or a collection with stores.

    Returns
    -------
    pandas.DataFrame
        Indexed by run_id: name, group, label, status (complete, running, interrupted where no
        process writes it, or damaged where its metadata is), created, parents, bytes. Of a
        collection indexed by member and run_id; "collection" is the store of all.

    Raises
    ------
    StoreError
        If there is no store at the path, or one of another format version.
    """
    columns = ["run_id", "name", "group", "label", "status", "created", "parents", "bytes"]
    if isinstance(store, Collection):
        stores = stores_of(store).items()
        rows = [{"member": name, **row} for name, path in stores for row in run_table(path)]
        table = pd.DataFrame(rows, columns=["member", *columns])
        return table.set_index(["member", "run_id"])
    root = Path(store).resolve()
    check_format(root)
    return pd.DataFrame(run_table(root), columns=columns).set_index("run_id")


def bytes_on_disk(path: Path) -> int:
    """Return the size of all files below a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def remove_run(store: str | os.PathLike[str], run: str, *, wait: Wait | None = None) -> None:
    """Delete a run from a store.

    Parameters
    ----------
    store : path
        The store.
    run : str
        A run id or a label.
    wait : float or bool, optional
        Longest time to wait where another process writes to the store, in seconds; True is for
        ever.

    Raises
    ------
    StoreError
        If there is no such run, another stored run was computed from it, or another process writes
        to the store.
    """
    root = Path(store).resolve()
    try:
        find_run(root, run)
    except NotFoundError:
        if (root / UNFINISHED).exists() and os.access(root, os.W_OK):
            # Of a removal that was killed.
            with writing(root, "remove", wait=wait):
                drop_labels_without_run(root)
        raise
    with writing(root, "remove", wait=wait):
        # A label may have passed to another run before the lock was free.
        path, attrs = find_run(root, run)
        check_links(root, path)
        run_id, parents = attrs["run_id"], {attrs["run_id"]: attrs["parents"]}
        children = []
        for _, other in iter_runs(root):
            parents[other["run_id"]] = other["parents"]
            named = run_id in other["parents"] or run_id in other.get("lineage", {})
            if named and other["run_id"] != run_id:
                children.append(other["run_id"])
        check_ancestors(run_id, parents)
        if children:
            raise StoreError(
                f"{root}: {', '.join(children)} were computed from run {run!r}; remove these first"
            )
        # The label last: until the run is gone, the same command finds it.
        hidden = hide(root, path)
        drop_label(root, _inside(root, path))
        delete(hidden)
