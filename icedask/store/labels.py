"""Labels of runs: small files in a hidden folder of the store, so that each costs the same.

A label has a file that names its run, a run has a file that names its labels. A run has the first
of these labels whose own file names the run. To label a run, the new label is written in front of
the one before, which changes nothing; then the file of the label is replaced, and in this one step
the label passes from one run to the other, and the run from its label before to the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from icedask.core.files import rename_synced
from icedask.core.text import printable
from icedask.errors import DamagedError, StoreError
from icedask.store.arrays import delete
from icedask.store.integrity import (
    crc32c_text,
    damaged,
    group_attrs,
    is_refused,
    reading,
    remedy,
)

FOLDER = ".labels"
# Folder of what is being made or deleted: the next writer deletes what a killed one left in it.
UNFINISHED = ".partial"
GROUPS = ("descriptors", "models", "results")
# Paths come from a file that anybody may have written: none leads out of the store.
_CHECKSUM = "crc32c"
_RUN_PATH = re.compile(rf"({'|'.join(GROUPS)})/[A-Za-z0-9_]+/[A-Za-z0-9_-]+")


def _file_of_label(store: Path, label: str) -> Path:
    name = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return store / FOLDER / f"label-{name}.json"


def _file_of_run(store: Path, path: str) -> Path:
    return store / FOLDER / f"run-{path.rpartition('/')[2]}.json"


def _read(file: Path) -> dict[str, Any]:
    """Return the content of a file; raise DamagedError if it is not what was written."""
    try:
        with reading(file):
            content = json.loads(file.read_bytes())
        checksum = content.pop(_CHECKSUM)
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError, KeyError, AttributeError, TypeError):
        checksum = content = None
    if not isinstance(content, dict) or crc32c_text(content) != checksum:
        raise damaged(
            file, "the label of a run is damaged", f"label the run again, or {remedy(file)}"
        )
    return content


def _read_to_replace(file: Path) -> dict[str, Any]:
    """Return the content of a file before it is replaced; delete a damaged file."""
    try:
        return _read(file)
    except DamagedError:
        if is_refused(file):
            raise
        delete(file)
        return {}


def _write(store: Path, file: Path, content: Mapping[str, Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    (store / UNFINISHED).mkdir(exist_ok=True)
    made = store / UNFINISHED / f"{file.name}-{uuid4().hex}"
    with made.open("w") as opened:
        json.dump({**content, _CHECKSUM: crc32c_text(content)}, opened)
    rename_synced(made, file)


def check_run_path(store: Path, label: str, path: object) -> str:
    """Return the path of a labelled run; raise StoreError if it is none of a run in the store."""
    if not isinstance(path, str) or _RUN_PATH.fullmatch(path) is None:
        raise StoreError(
            f"{store}: expected the path of a run for label {printable(repr(label))}, found "
            f"{printable(repr(path))}; label the run again"
        )
    return path


def _path_of(store: Path, label: str) -> str | None:
    """Return the path in the file of a label, which may be that of a run with another label."""
    content = _read(_file_of_label(store, label))
    if content.get("label") != label:
        return None
    return check_run_path(store, label, content.get("run"))


def is_labelled(store: Path, path: str, label: str) -> bool:
    """Return whether a run has a label; False where a label file of it is damaged."""
    try:
        return labelled_path(store, label) == path
    except DamagedError:
        return False


def label_of(store: Path, path: str) -> str | None:
    """Return the label of the run at a path in the store, None if it has none."""
    labels = _read(_file_of_run(store, path)).get("labels")
    for label in labels if isinstance(labels, list) else []:
        if isinstance(label, str) and _path_of(store, label) == path:
            return label
    return None


def labelled_path(store: Path, label: str) -> str | None:
    """Return the path of the run that has a label, None if none has it."""
    path = _path_of(store, label)
    return path if path is not None and label_of(store, path) == label else None


def labels_of_runs(store: Path) -> dict[str, str]:
    """Return the paths of all labelled runs by label; damaged files of labels are left out."""
    paths = {}
    for label in _stated_labels(store):
        with suppress(DamagedError):
            paths[label] = labelled_path(store, label)
    return {label: path for label, path in paths.items() if path is not None}


def _stated_labels(store: Path) -> Iterator[str]:
    for file in _files(store):
        with suppress(DamagedError):
            if isinstance(label := _read(file).get("label"), str):
                yield label


def _files(store: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        return [store / FOLDER / name for name in sorted(os.listdir(store / FOLDER))]
    return []


def damaged_labels(store: Path) -> Iterator[DamagedError]:
    """Yield the errors of damaged files of labels."""
    for file in _files(store):
        try:
            _read(file)
        except DamagedError as error:
            yield error


def write_label(store: Path, path: str, label: str) -> None:
    """Give a run a label; it passes from the run that had it."""
    for file in (_file_of_run(store, path), _file_of_label(store, label)):
        for name in _read_to_replace(file).get("labels", ()):
            _read_to_replace(_file_of_label(store, str(name)))
    before, other = label_of(store, path), _path_of(store, label)
    labels = [label] if before in (None, label) else [label, before]
    _write(store, _file_of_run(store, path), {"labels": labels})
    _write(store, _file_of_label(store, label), {"label": label, "run": path})
    # What follows has no meaning any more.
    if before not in (None, label):
        assert before is not None
        _file_of_label(store, before).unlink(missing_ok=True)
        _write(store, _file_of_run(store, path), {"labels": [label]})
    if other not in (None, path):
        assert other is not None
        _file_of_run(store, other).unlink(missing_ok=True)


def drop_label(store: Path, path: str) -> None:
    """Take the label from a run, if it has one; a new run of the same id has none."""
    for name in _read_to_replace(_file_of_run(store, path)).get("labels", ()):
        _read_to_replace(_file_of_label(store, str(name)))
    label = label_of(store, path)
    _file_of_run(store, path).unlink(missing_ok=True)
    if label is not None:
        _file_of_label(store, label).unlink(missing_ok=True)


def drop_labels_without_run(store: Path) -> None:
    """Delete the labels of runs that are gone, which a removal that was killed has left."""
    for label in list(_stated_labels(store)):
        path = _path_of(store, label)
        if path is not None and not (store / path).exists():
            _file_of_run(store, path).unlink(missing_ok=True)
            _file_of_label(store, label).unlink(missing_ok=True)


def in_files(attrs: Mapping[str, Any]) -> bool:
    """Return whether a store with these attributes of its root has its labels in files."""
    return attrs.get("labels") == FOLDER


def labels_of_old_store(store: Path, attrs: Mapping[str, Any]) -> dict[str, str]:
    """Return the paths of labelled runs by label, of a store without files of labels.

    These stand in the attributes of the root, or before that in those of the runs.
    """
    index = attrs.get("labels")
    if isinstance(index, Mapping):
        return {label: check_run_path(store, label, path) for label, path in index.items()}
    labels = {}
    for kind in GROUPS:
        for file in sorted((store / kind).glob("*/[!.]*/zarr.json")):
            label = group_attrs(file.parent).get("label")
            if isinstance(label, str) and label:
                labels[label] = str(file.parent.relative_to(store))
    return labels
