"""The root of a store: labels, consolidated metadata, and how much `save` reads."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from ase.build import bulk

import icedask as ice
from icedask.core.provenance import Record, stamped
from icedask.errors import StoreError
from icedask.store.arrays import update_attrs, write_metadata
from icedask.store.integrity import group_attrs, read_metadata
from icedask.store.root import consolidate

_opened: list[str] | None = None


def _note(event: str, args: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open" and str(args[0]).endswith("zarr.json"):
        _opened.append(str(args[0]))


sys.addaudithook(_note)


@contextmanager
def metadata_files_read() -> Iterator[list[str]]:
    """Collect the metadata files that are opened, by whatever library."""
    global _opened
    _opened = files = []
    try:
        yield files
    finally:
        _opened = None


@pytest.fixture(scope="module")
def trj() -> xr.Dataset:
    return ice.from_ase(bulk("Cu", cubic=True))


@pytest.fixture
def store(trj: xr.Dataset, tmp_path: Path) -> Path:
    ice.save(trj, tmp_path / "run.zarr")
    return tmp_path / "run.zarr"


def result(store: Path, number: int) -> xr.Dataset:
    """Return a tiny result of the trajectory in a store."""
    positions = group_attrs(store / "trajectory")["positions"]
    record = Record("results", "tiny", 1, {"number": number}, positions=positions)
    return stamped(xr.Dataset({"value": ("item", np.arange(3) + number)}), record)


def consolidated(store: Path) -> dict[str, Any]:
    return dict(json.loads((store / "zarr.json").read_text())["consolidated_metadata"]["metadata"])


def check_consolidated(store: Path) -> None:
    """Compare the consolidated metadata with what zarr makes of the whole store."""
    copy = store.with_name("copy.zarr")
    shutil.copytree(store, copy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)
        zarr.consolidate_metadata(str(copy))
    assert consolidated(store) == consolidated(copy)
    assert list(consolidated(store)) == sorted(
        consolidated(copy), key=lambda path: (path.count("/"), path)
    )
    shutil.rmtree(copy)


def copy_runs(store: Path, n_runs: int) -> None:
    """Fill a store with labelled runs."""
    if n_runs == 0:
        return
    first = ice.save(result(store, 0), store).attrs["run_id"]
    folder = store / "results" / "tiny"
    for number in range(1, n_runs):
        run_id = f"tiny-{number:08x}"
        shutil.copytree(folder / first, folder / run_id, dirs_exist_ok=True)
        update_attrs(folder / run_id, {"run_id": run_id})
    labels = {run.name: f"results/tiny/{run.name}" for run in folder.glob("tiny-*")}
    consolidate(store, {"labels": labels})
    assert len(ice.list_runs(store)) == n_runs


def test_reads_of_save_do_not_depend_on_the_number_of_runs(store: Path) -> None:
    reads: dict[str, list[int]] = {"plain": [], "labelled": [], "open": [], "by label": []}
    for n_runs in (0, 10, 100):
        copy_runs(store, n_runs)
        copy = store.with_name(f"{n_runs}.zarr")
        for kind, label in (("plain", None), ("labelled", "the newest")):
            shutil.copytree(store, copy)
            with metadata_files_read() as files:
                saved = ice.save(result(copy, -1), copy, label=label)
            reads[kind].append(len(files))
            with metadata_files_read() as files:
                ice.open_run(copy, saved.attrs["run_id"])
            reads["open"].append(len(files))
            if label is not None:
                with metadata_files_read() as files:
                    ice.open_run(copy, label)
                reads["by label"].append(len(files))
            shutil.rmtree(copy)
    for counts in reads.values():
        assert len(set(counts)) == 1 and counts[0] <= 18, reads


def test_consolidated_metadata_is_that_of_zarr(store: Path) -> None:
    check_consolidated(store)
    for number in range(3):
        ice.save(result(store, number), store, label="a")
        check_consolidated(store)
    ice.remove_run(store, "a")
    check_consolidated(store)
    tree = xr.open_datatree(store, engine="zarr")
    assert len(tree["results/tiny"].children) == 2


def test_a_complete_run_that_a_crash_left_out_is_added_by_the_next_save(store: Path) -> None:
    first = ice.save(result(store, 1), store)
    path = f"results/tiny/{first.attrs['run_id']}"
    root = read_metadata(store)
    for missing in (f"{path}/value", path):
        del root["consolidated_metadata"]["metadata"][missing]
    write_metadata(store, root)
    ice.save(result(store, 2), store)
    check_consolidated(store)
    # Incomplete when the root was written, complete since.
    root = read_metadata(store)
    root["consolidated_metadata"]["metadata"][path]["attributes"]["status"] = "running"
    write_metadata(store, root)
    ice.save(result(store, 3), store)
    check_consolidated(store)


def test_groups_of_other_programs_stay(store: Path) -> None:
    notes = zarr.create_group(str(store / "notes"))
    notes.create_array("a/b", shape=(3,), dtype="f4")
    (store / "no_group").mkdir()
    ice.save(result(store, 1), store)
    assert {"notes", "notes/a", "notes/a/b"} <= consolidated(store).keys()
    check_consolidated(store)


def test_an_unchanged_store_is_not_written(store: Path) -> None:
    ice.save(result(store, 1), store, label="a")
    before = (store / "zarr.json").stat()
    ice.save(result(store, 1), store, label="a")
    consolidate(store)
    assert (store / "zarr.json").stat().st_ino == before.st_ino


def older(store: Path, labels: dict[str, str]) -> None:
    """Give a store the form of before the index: labels among the attributes of the runs."""
    root = read_metadata(store)
    del root["attributes"]["labels"]
    write_metadata(store, root)
    for label, path in labels.items():
        update_attrs(store / path, {"label": label})


def test_labels_of_an_older_store_move_to_the_index(store: Path) -> None:
    paths = {}
    for number, label in enumerate(("a", "b")):
        run_id = ice.save(result(store, number), store).attrs["run_id"]
        paths[label] = f"results/tiny/{run_id}"
    older(store, paths)
    unlabelled = ice.save(result(store, 2), store)
    assert ice.open_run(store, "b").attrs["label"] == "b"
    assert "label" not in unlabelled.attrs
    assert sorted(ice.list_runs(store)["label"].dropna()) == ["a", "b"]
    assert "labels" not in group_attrs(store)
    ice.save(result(store, 3), store, label="a")
    assert group_attrs(store)["labels"].keys() == {"a", "b"}
    assert group_attrs(store)["labels"]["b"] == paths["b"]
    assert [group_attrs(store / path)["label"] for path in paths.values()] == [None, None]
    assert ice.open_run(store, "a")["value"].values.tolist() == [3, 4, 5]
    assert ice.open_run(store, "b").attrs["label"] == "b"
    runs = ice.list_runs(store)["label"]
    assert runs.isna()[paths["a"].rsplit("/", 1)[1]] and (runs == "b").sum() == 1
    check_consolidated(store)


def test_a_crash_while_labels_move_loses_none(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = ice.save(result(store, 1), store).attrs["run_id"]
    older(store, {"a": f"results/tiny/{run_id}"})

    def crash(group: Path, attrs: dict[str, Any]) -> None:
        if "label" in attrs:
            raise KeyboardInterrupt
        update_attrs(group, attrs)

    monkeypatch.setattr("icedask.store.save.update_attrs", crash)
    with pytest.raises(KeyboardInterrupt):
        ice.save(result(store, 2), store, label="b")
    monkeypatch.undo()
    assert {ice.open_run(store, label).attrs["label"] for label in "ab"} == {"a", "b"}
    ice.save(result(store, 3), store, label="a")
    assert ice.list_runs(store)["label"].isna()[run_id]


def test_a_run_has_one_label_and_a_label_one_run(store: Path) -> None:
    run_id = ice.save(result(store, 1), store, label="a").attrs["run_id"]
    ice.save(result(store, 1), store, label="b")
    with pytest.raises(ice.StoreError, match=r"no run 'a'; its labels are b"):
        ice.open_run(store, "a")
    # A label does not go with a copy into another store.
    trj, copy = ice.open_trajectory(store), store.with_name("other.zarr")
    ice.save(trj, copy)
    ice.save(ice.open_run(store, "b"), copy)
    assert ice.list_runs(copy)["label"].isna()[run_id]
    ice.remove_run(store, "b")
    assert group_attrs(store)["labels"] == {}
    with pytest.raises(ice.StoreError, match="no run 'b'; the store holds none"):
        ice.open_run(store, "b")


def test_a_label_with_the_form_of_a_path(store: Path) -> None:
    for label in ("../run.zarr", "*", "tiny-00000000", "results/tiny"):
        ice.save(result(store, 1), store, label=label)
        assert ice.open_run(store, label).attrs["label"] == label
    with pytest.raises(ice.StoreError, match="no run"):
        ice.open_run(store, "../x-00000000")


@pytest.mark.parametrize("path", ["../outside", "/etc", "results/../../x/y", 5])
def test_a_label_does_not_lead_out_of_the_store(store: Path, path: Any) -> None:
    update_attrs(store, {"labels": {"states": path}})
    with pytest.raises(StoreError, match="expected the path of a run for label 'states'"):
        ice.open_run(store, "states")
