"""The root of a store: labels, consolidated metadata, and how much `save` reads."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
from icedask.store.integrity import crc32c_text, group_attrs, read_metadata
from icedask.store.labels import write_label

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


def check_consolidated(group: Path) -> None:
    """Compare the metadata of a complete group with what zarr makes of it."""
    copy = group.with_name("copy")
    shutil.copytree(group, copy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)
        zarr.consolidate_metadata(str(copy))
    assert read_metadata(group) == read_metadata(copy)
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
    for run in folder.glob("tiny-*"):
        write_label(store, f"results/tiny/{run.name}", run.name)
    assert len(ice.list_runs(store)) == n_runs


def test_reads_of_save_do_not_depend_on_the_number_of_runs(store: Path) -> None:
    reads: dict[str, list[int]] = {"plain": [], "labelled": [], "open": [], "by label": []}
    # Arrays of these kinds are known after the first save.
    ice.save(result(store, -1), store.with_name("first.zarr"))
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


def run_of(store: Path, ds: xr.Dataset) -> Path:
    return store / "results" / "tiny" / str(ds.attrs["run_id"])


def test_complete_groups_are_consolidated_as_by_zarr(store: Path) -> None:
    saved = [ice.save(result(store, number), store, label="a") for number in range(2)]
    for group in (store / "trajectory", *(run_of(store, ds) for ds in saved)):
        check_consolidated(group)
        # Quick, and without a warning, for other programs.
        xr.testing.assert_identical(
            xr.open_zarr(group).drop_attrs(), xr.open_zarr(group, consolidated=False).drop_attrs()
        )
    assert not read_metadata(store)["consolidated_metadata"]
    other = xr.open_zarr(store, group=f"results/tiny/{saved[0].attrs['run_id']}")
    assert other["value"].values.tolist() == [0, 1, 2]
    with warnings.catch_warnings():
        # Of hidden files.
        warnings.simplefilter("ignore", category=UserWarning)
        members = dict(zarr.open_group(str(store), mode="r").members(max_depth=None))
        tree = xr.open_datatree(store, engine="zarr")
    assert {"trajectory", "results/tiny", f"results/tiny/{saved[1].attrs['run_id']}"} < set(members)
    assert len(tree["results/tiny"].children) == 2


def test_an_old_consolidated_root_is_dropped_by_the_next_writer(store: Path) -> None:
    ice.save(result(store, 1), store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)
        zarr.consolidate_metadata(str(store))
    hidden = store / "results" / "tiny" / ".tiny-00000000"
    shutil.copytree(run_of(store, ice.open_run(store, result(store, 1).attrs["run_id"])), hidden)
    root = read_metadata(store)
    write_metadata(store, {**root, "attributes": {**root["attributes"], "labels": {}}})
    assert len(ice.list_runs(store)) == 1
    ice.save(result(store, 2), store)
    assert not read_metadata(store)["consolidated_metadata"]
    assert not hidden.exists()
    assert len(ice.list_runs(store)) == 2


def test_an_unchanged_store_is_not_written(store: Path) -> None:
    ice.save(result(store, 1), store, label="a")
    before = {path: path.stat() for path in store.rglob("*")}
    ice.save(result(store, 1), store, label="a")
    after = {path: path.stat() for path in store.rglob("*")}
    for path, status in before.items():
        assert (status.st_ino, status.st_mtime_ns) == (after[path].st_ino, after[path].st_mtime_ns)


def older(store: Path, labels: dict[str, str]) -> None:
    """Give a store the form of before the index: labels among the attributes of the runs."""
    root = read_metadata(store)
    del root["attributes"]["labels"]
    write_metadata(store, root)
    for label, path in labels.items():
        update_attrs(store / path, {"label": label})


@pytest.mark.parametrize("age", ["runs", "root"])
def test_labels_of_an_older_store_move_to_files(store: Path, age: str) -> None:
    paths = {}
    for number, label in enumerate(("a", "b")):
        run_id = ice.save(result(store, number), store).attrs["run_id"]
        paths[label] = f"results/tiny/{run_id}"
    if age == "runs":
        older(store, paths)
    else:
        update_attrs(store, {"labels": paths})
    assert ice.open_run(store, "b").attrs["label"] == "b"
    assert sorted(ice.list_runs(store)["label"].dropna()) == ["a", "b"]
    unlabelled = ice.save(result(store, 2), store)
    assert "label" not in unlabelled.attrs
    assert group_attrs(store)["labels"] == ".labels"
    assert sorted(ice.list_runs(store)["label"].dropna()) == ["a", "b"]
    ice.save(result(store, 3), store, label="a")
    assert all(group_attrs(store / path).get("label") is None for path in paths.values())
    assert ice.open_run(store, "a")["value"].values.tolist() == [3, 4, 5]
    assert ice.open_run(store, "b").attrs["label"] == "b"
    runs = ice.list_runs(store)["label"]
    assert runs.isna()[paths["a"].rsplit("/", 1)[1]] and (runs == "b").sum() == 1


@pytest.mark.parametrize("moment", range(1, 6))
def test_a_crash_while_labels_move_loses_none(
    store: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    run_id = ice.save(result(store, 1), store).attrs["run_id"]
    older(store, {"a": f"results/tiny/{run_id}"})
    crash_at(monkeypatch, moment)
    with pytest.raises(KeyboardInterrupt):
        ice.save(result(store, 2), store, label="b")
    monkeypatch.undo()
    assert ice.open_run(store, "a").attrs["run_id"] == run_id
    ice.save(result(store, 2), store, label="b")
    assert {ice.open_run(store, label).attrs["label"] for label in "ab"} == {"a", "b"}


def crash_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Raise at the n-th change of names in any store."""
    changes = 0

    def struck(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal changes
            changes += 1
            if changes == moment:
                raise KeyboardInterrupt
            return function(*args, **kwargs)

        return call

    for name in ("rename", "replace", "unlink"):
        monkeypatch.setattr(f"pathlib.Path.{name}", struck(getattr(Path, name)))


def test_a_label_passes_in_one_step(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ice.save(result(store, 1), store, label="a").attrs["run_id"]
    second = ice.save(result(store, 2), store, label="b").attrs["run_id"]
    seen = set()
    for moment in range(1, 9):
        copy = store.with_name(f"copy-{moment}.zarr")
        shutil.copytree(store, copy)
        crash_at(monkeypatch, moment)
        with suppress(KeyboardInterrupt):
            write_label(copy, f"results/tiny/{second}", "a")
        monkeypatch.undo()
        labels = ice.list_runs(copy)["label"]
        pairs = {run: labels[run] for run in (first, second) if isinstance(labels[run], str)}
        assert pairs in ({first: "a", second: "b"}, {second: "a"}), moment
        for run, label in pairs.items():
            assert ice.open_run(copy, label).attrs["run_id"] == run
            assert ice.open_run(copy, run).attrs["label"] == label
        if "b" not in pairs.values():
            with pytest.raises(ice.NotFoundError):
                ice.open_run(copy, "b")
        seen.add(len(pairs))
        ice.save(result(copy, 2), copy, label="a")
        assert ice.open_run(copy, "a").attrs["run_id"] == second
    assert seen == {1, 2}


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
    assert not list((store / ".labels").iterdir())
    with pytest.raises(ice.StoreError, match="no run 'b'; the store holds none"):
        ice.open_run(store, "b")


def test_a_label_with_the_form_of_a_path(store: Path) -> None:
    for label in ("../run.zarr", "*", "tiny-00000000", "results/tiny"):
        ice.save(result(store, 1), store, label=label)
        assert ice.open_run(store, label).attrs["label"] == label
    with pytest.raises(ice.StoreError, match="no run"):
        ice.open_run(store, "../x-00000000")


def write(file: Path, content: dict[str, Any]) -> None:
    """Write a file of a label with the checksum of its content."""
    file.write_text(json.dumps({**content, "crc32c": crc32c_text(content)}))


@pytest.mark.parametrize("path", ["../outside", "/etc", "results/../../x/y", 5])
def test_a_label_does_not_lead_out_of_the_store(store: Path, path: Any) -> None:
    update_attrs(store, {"labels": {"states": path}})
    with pytest.raises(StoreError, match="expected the path of a run for label 'states'"):
        ice.open_run(store, "states")
    update_attrs(store, {"labels": ".labels"})
    run = ice.save(result(store, 1), store, label="states").attrs["run_id"]
    file = next((store / ".labels").glob("label-*"))
    write(file, {"label": "states", "run": path})
    write(store / ".labels" / f"run-{run}.json", {"labels": ["states"]})
    with pytest.raises(StoreError, match="expected the path of a run for label 'states'"):
        ice.open_run(store, "states")
