"""Damage of stores in other forms: folders in place of files, odd JSON, files that moved."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from ase.build import bulk

import icedask as ice
from icedask.errors import DamagedError, StoreError
from icedask.store.arrays import (
    create_array,
    create_group,
    seal_arrays,
    update_attrs,
    write_region,
    write_small,
)
from icedask.store.integrity import METADATA, group_attrs
from icedask.store.root import complete_group
from icedask.store.sidecars import block_is_done
from icedask.store.status import progress, progress_text
from icedask.store.stored import open_arrays


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a trajectory of two atoms, a descriptor and a model."""
    store = tmp_path_factory.mktemp("whole") / "two.zarr"
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(4):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.2, rng=rng)
        frames.append(atoms)
    trj = ice.from_ase(frames)
    for name in ("a", "b"):
        values = rng.normal(size=(4, 4)).astype("float32")
        trj[name] = (("frame", "atom"), values, {"units": "eV"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("icedask.store.trajectory.TRAJECTORY_ATOM_FRAMES", 8)
        trj = ice.save(trj, store)
    cn = ice.save(ice.coordination(trj, r_cut=2.6), store, label="cn")
    ice.save(ice.PCA(1).fit(cn.astype("float32")), store, label="pca")
    return store


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "two.zarr"))


def read(store: Path) -> None:
    """Read everything of a store."""
    ice.open_trajectory(store).load()
    ice.open_run(store, "cn").load()
    ice.load_model(store, "pca")


def group_of(store: Path, label: str) -> str:
    attrs = ice.open_run(store, label).attrs
    return f"{attrs['group']}/{attrs['function']}/{attrs['run_id']}"


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("x")


def deep(path: Path) -> None:
    path.write_bytes(b"[" * 200_000)


def without_status(path: Path) -> None:
    metadata = json.loads(path.read_text())
    del metadata["attributes"]["status"]
    path.write_text(json.dumps(metadata))


def without_checksums(path: Path) -> None:
    metadata = json.loads(path.read_text())
    del metadata["attributes"]["checksums"]
    path.write_text(json.dumps(metadata))


def other_copies(path: Path) -> None:
    metadata = json.loads(path.read_text())
    metadata["consolidated_metadata"]["metadata"].popitem()
    path.write_text(json.dumps(metadata))


CASES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "shard is a folder": ("trajectory/a/c/0/0", as_folder),
    "folder of shards is a file": ("trajectory/a/c", as_file),
    "array is a file": ("RUN/coordination", as_file),
    "metadata of an array is a folder": (f"RUN/coordination/{METADATA}", as_folder),
    "metadata of a group is a folder": (f"RUN/{METADATA}", as_folder),
    "metadata of an array is deep": (f"RUN/coordination/{METADATA}", deep),
    "metadata of the root is a folder": (METADATA, as_folder),
    "metadata of the root is deep": (METADATA, deep),
    "no status": (f"trajectory/{METADATA}", without_status),
    "no checksums": (f"RUN/{METADATA}", without_checksums),
    "no format": (METADATA, lambda path: path.write_text(_NO_FORMAT)),
    "label is a folder": ("label", as_folder),
    "label is deep": ("label", deep),
}
_NO_FORMAT = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}})


@pytest.mark.parametrize("case", CASES)
def test_other_damage(case: str, store: Path) -> None:
    name, do = CASES[case]
    path = next((store / ".labels").iterdir()) if name == "label" else store / name
    if name.startswith("RUN"):
        path = store / name.replace("RUN", group_of(store, "cn"))
    do(path)
    with pytest.raises(DamagedError, match=r"restore it from a copy") as caught:
        read(store)
    assert str(path) in caught.value.file
    assert any(str(path) in file for file in ice.verify(store).damage)
    # A trajectory whose metadata is damaged is ingested again.
    if case != "no status":
        ice.verify(store, repair=True)
        assert ice.verify(store, repair=True).damage == {}


def test_files_that_change_places(store: Path) -> None:
    trajectory = store / "trajectory"
    first, second = trajectory / "a/c/0/0", trajectory / "a/c/1/0"
    data = [first.read_bytes(), second.read_bytes()]
    first.write_bytes(data[1])
    second.write_bytes(data[0])
    with pytest.raises(DamagedError, match="belongs to another place"):
        ice.open_trajectory(store).load()
    assert len(ice.verify(store).damage) == 2
    first.write_bytes(data[0])
    shutil.copy(trajectory / "b/c/1/0", second)
    with pytest.raises(DamagedError, match="belongs to another place"):
        ice.open_trajectory(store)["a"].load()


def test_arrays_of_a_model_that_change_places(store: Path) -> None:
    model = store / group_of(store, "pca")
    shutil.copy(model / "mean/c/0", model / "explained_variance/c/0")
    with pytest.raises(DamagedError, match="belongs to another place"):
        ice.load_model(store, "pca")
    assert list(ice.verify(store).damage) == [str(model / "explained_variance/c/0")]


def test_copies_of_metadata_for_other_programs(store: Path) -> None:
    other_copies(store / "trajectory" / METADATA)
    read(store)
    assert "consolidated" in next(iter(ice.verify(store, repair=True).damage.values()))
    assert ice.verify(store).damage == {}
    assert ice.open_trajectory(store).attrs["status"] == "complete"


def test_a_missing_small_array_of_a_summary(store: Path) -> None:
    from icedask.store.runs import trajectory_summary

    (store / "trajectory/time/c/0").unlink()
    with pytest.raises(DamagedError, match="missing"):
        trajectory_summary(store)


@pytest.mark.parametrize("kind", [b"", b"\xff", b"[" * 100_000])
def test_a_run_with_a_damaged_label_is_labelled_again(kind: bytes, store: Path) -> None:
    for file in (store / ".labels").iterdir():
        file.write_bytes(kind)
    with pytest.raises(StoreError, match="label the run again"):
        ice.open_run(store, "cn")
    trj = ice.open_trajectory(store)
    assert ice.save(ice.coordination(trj, r_cut=2.6), store, label="cn").attrs["label"] == "cn"
    assert ice.open_run(store, "cn").attrs["label"] == "cn"


def test_files_that_may_not_be_read_stay_in_their_place(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = store / "trajectory/a/c/0/0"
    whole_open = Path.open

    def refuse(path: Path, *args: object, **kwargs: object) -> object:
        if path == file:
            raise PermissionError(13, "Permission denied", str(path))
        return whole_open(path, *args, **kwargs)  # type: ignore[arg-type, call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DamagedError, match="ask the owner of the file for permission"):
        ice.open_trajectory(store).load()
    assert list(ice.verify(store, repair=True).damage) == [str(file)]
    assert file.exists()


REPORT = {
    **dict.fromkeys(("id", "what", "host"), "x"),
    "pid": 1,
    "job": None,
    "started": 0,
    "updated": 9e9,
    "state": "failed",
    "error": None,
    "stages": [{"description": "x", "done": 1, "total": 2, "rate": None}],
}


def test_damaged_reports_are_left_out(store: Path) -> None:
    folder = store / ".progress"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "0.json").write_text(json.dumps(REPORT))
    wrong = [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b"{}"]
    changes = [
        *({"pid": value} for value in ("x", None, 10**30)),
        *({"updated": value} for value in (None, "x", float("nan"))),
        *({"stages": value} for value in (None, [1], [{}], [{"description": 1}])),
        *({"error": 5}, {"host": {}}, {"state": [1]}),
    ]
    wrong += [json.dumps({**REPORT, **change}).encode() for change in changes]
    for number, content in enumerate(wrong, start=1):
        (folder / f"{number}.json").write_bytes(content)
    assert [report["id"] for report in progress(store)["reports"]] == ["x"]
    assert "1/2" in progress_text(store)


@pytest.mark.parametrize("dtype", ["i1", "u1", "?", "i8", "f2", "c8", "c16"])
def test_values_that_are_not_written(dtype: str, tmp_path: Path) -> None:
    group = tmp_path / "group"
    create_group(group, {"status": "running"})
    values = np.ones((4, 3), dtype)
    create_array(group, "x", values.shape, values.dtype, ["frame", "atom"], {}, block=(2, 3))
    write_region(group / "x", (0, 0), values[:2])
    write_small(group, "none", xr.DataArray(values[0, 0]))
    write_small(group, "empty", xr.DataArray(values[:, :0], dims=["frame", "nothing"]))
    seal_arrays(group)
    part = open_arrays(tmp_path, group, group_attrs(group), lambda _: None, complete=False).load()
    assert (part["x"].values[:2] == 1).all() and not (part["x"].values[2:] == 1).any()
    write_region(group / "x", (2, 0), values[2:])
    complete_group(group, {"status": "complete"})
    ds = open_arrays(tmp_path, group, group_attrs(group), lambda _: None, complete=True).load()
    assert (ds["x"].values == values).all() and ds["none"] == 1 and ds["empty"].shape == (4, 0)


SLICES = [
    *(np.s_[...], np.s_[::-1], np.s_[::3, ::2], np.s_[20:3:-3], np.s_[None], np.s_[:, None]),
    *(np.s_[3], np.s_[:, -1], np.s_[5:5], np.s_[30:], np.s_[..., 1], np.s_[7, None, ..., 2]),
    *(np.s_[[9, 1, 3]], np.s_[:, [6, 0, 0]], np.s_[[]], np.s_[:, np.arange(7) % 2 == 0]),
]


def test_parts_of_an_array(tmp_path: Path) -> None:
    group, values = tmp_path / "group", np.random.default_rng(0).random((11, 7, 3))
    create_group(group, {"status": "running"})
    dims = ["frame", "atom", "xyz"]
    create_array(group, "x", values.shape, values.dtype, dims, {}, block=(5, 4, 3))
    for frame, atom in np.ndindex(3, 2):
        part = values[5 * frame : 5 * frame + 5, 4 * atom : 4 * atom + 4]
        write_region(group / "x", (5 * frame, 4 * atom, 0), part)
    seal_arrays(group)
    complete_group(group, {"status": "complete"})
    ds = open_arrays(tmp_path, group, group_attrs(group), lambda _: None, complete=True)
    for index in SLICES:
        np.testing.assert_array_equal(ds["x"].data[index].compute(), values[index])
    os.truncate(group / "x/c/1/1/0", 9)
    assert (ds["x"].data[:5].compute() == values[:5]).all()
    for index in (np.s_[..., 1], np.s_[-4], np.s_[:, 6]):
        with pytest.raises(DamagedError, match=r"c/1/1/0"):
            ds["x"].data[index].compute()


def staged(tmp_path: Path, name: str, cell: float) -> Path:
    """Return a store whose trajectory of two blocks is unfinished, both of them written."""
    store = tmp_path / name
    atoms = [bulk("Cu", a=cell, cubic=True) for _ in range(4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("icedask.store.trajectory.TRAJECTORY_ATOM_FRAMES", 8)
        patch.setattr("icedask.store.trajectory.finalise", lambda *_: None)
        patch.setattr("icedask.store.trajectory.conclude", lambda *_: None)
        with pytest.raises(StoreError, match="incomplete"):
            ice.save(ice.from_ase(atoms), store)
    return store


def test_sidecars_of_an_unfinished_ingest(tmp_path: Path) -> None:
    store, other = staged(tmp_path, "a.zarr", 3.6), staged(tmp_path, "b.zarr", 3.7)
    names = ["positions"]
    first, second = (store / f".ingest/block-{index}.npz" for index in (0, 1))
    data = first.read_bytes()
    for wrong in (
        *((other / ".ingest" / first.name).read_bytes(), second.read_bytes()),
        *(data[:100], bytes(len(data)), b"", data.replace(b"(2, 3, 3)", b"(1, 3, 3)")),
    ):
        first.write_bytes(wrong)
        assert list(ice.verify(store).damage) == [str(first)]
        ice.verify(store, repair=True)
        assert ice.verify(store).damage == {} and not first.exists()
        first.write_bytes(wrong)
        assert not block_is_done(store, store / "trajectory", names, 0)
    assert block_is_done(store, store / "trajectory", names, 1)


def test_a_root_of_before_keeps_the_labels_of_its_runs(store: Path) -> None:
    run = store / group_of(store, "cn")
    shutil.rmtree(store / ".labels")
    file = run / METADATA
    metadata = json.loads(file.read_text())
    metadata["attributes"]["label"] = "old name"
    file.write_text(json.dumps(metadata))
    (store / METADATA).write_bytes(b"")
    ice.verify(store, repair=True)
    assert ice.open_run(store, "old name").attrs["run_id"] == run.name


def test_a_group_of_before_stays_without_checksums(tmp_path: Path) -> None:
    group = tmp_path / "group"
    create_group(group, {})
    zarr.create_array(group / "x", shape=(3,), dtype="f4", chunks=(3,), dimension_names=["x"])[
        ...
    ] = 1
    update_attrs(group, {"status": "complete", "label": None})
    attrs = group_attrs(group)
    assert "checksums" not in attrs
    ds = open_arrays(tmp_path, group, attrs, lambda _: None, complete=True)
    assert (ds["x"].values == 1).all()
