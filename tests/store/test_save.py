"""Stores: saving, resuming, opening, labels, removal, locks, formats, full disks."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
import xarray as xr
import zarr
from helpers.killing import contents
from helpers.systems import system

import icedask as ice
from icedask.errors import InputError, StoreError
from icedask.store import blocks as regions
from icedask.store import chunks
from icedask.store.lock import locked


@pytest.fixture
def trj() -> xr.Dataset:
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(8):
        atoms = system("orthogonal")
        atoms.positions += rng.normal(0, 0.2, atoms.positions.shape)
        frames.append(atoms)
    return ice.from_ase(frames, frame_interval=2.0)


@pytest.fixture
def store(trj: xr.Dataset, tmp_path: Path) -> Path:
    ice.save(trj, tmp_path / "run.zarr")
    return tmp_path / "run.zarr"


@pytest.fixture
def two_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two frames of 216 atoms."""
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 432)


def test_trajectory_round_trip(trj: xr.Dataset, store: Path) -> None:
    back = ice.open_trajectory(store)
    xr.testing.assert_equal(back.compute(), trj.assign_coords(back.coords))
    assert back["positions"].attrs["units"] == "angstrom"
    assert back["time"].attrs["units"] == "picosecond"
    assert back["positions"].dtype == np.float32


def test_saving_a_trajectory_twice_changes_nothing(trj: xr.Dataset, store: Path) -> None:
    before = contents(store)
    ice.save(trj, store)
    assert contents(store) == before
    with pytest.raises(StoreError, match="overwrite"):
        ice.save(trj.isel(frame=slice(0, 3)), store)


def test_selection_saved_as_a_store(store: Path, tmp_path: Path) -> None:
    part = ice.select(ice.open_trajectory(store), "index 5:20").isel(frame=slice(2, 7))
    ice.save(part, tmp_path / "part.zarr")
    back = ice.open_trajectory(tmp_path / "part.zarr")
    xr.testing.assert_equal(back["positions"].compute(), part["positions"].compute())
    assert back["atom"].values.tolist() == list(range(5, 21))


def test_run_round_trip(store: Path, two_frames: None) -> None:
    lazy = ice.coordination(ice.open_trajectory(store), r_cut=3.2)
    saved = ice.save(lazy, store, label="cn")
    np.testing.assert_array_equal(saved["coordination"], lazy["coordination"])
    assert saved["coordination"].data.numblocks == (4, 1)
    for name in ("parameters", "parents", "versions", "created", "history", "trajectory"):
        assert name in saved.attrs
    assert saved.attrs["status"] == "complete"
    assert saved.attrs["parameters"]["r_cut"] == 3.2
    again = ice.open_run(store, "cn")
    assert again.attrs["run_id"] == lazy.attrs["run_id"]
    plain = xr.open_zarr(store, group=f"descriptors/coordination/{lazy.attrs['run_id']}")
    np.testing.assert_array_equal(plain["coordination"], lazy["coordination"])


def test_complete_run_is_not_computed_again(
    store: Path, monkeypatch: pytest.MonkeyPatch, nothing_computes: None
) -> None:
    import dask

    lazy = ice.coordination(ice.open_trajectory(store), r_cut=3.2)
    with dask.config.set(scheduler="sync"):
        ice.save(lazy, store)
    ice.save(lazy, store)


def test_small_result_in_memory(tmp_path: Path) -> None:
    saved = ice.save(
        ice.coordination(ice.from_ase(system("cluster")), r_cut=4.0), tmp_path / "new.zarr"
    )
    assert saved.sizes == {"frame": 1, "atom": 60}


def test_incomplete_run(store: Path, two_frames: None, monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = ice.lens(ice.open_trajectory(store), r_cut=3.2)
    whole = store.with_name("whole.zarr")
    shutil.copytree(store, whole)
    ice.save(lazy, whole)
    write, count = regions.write_region, []

    def failing(*args: Any) -> None:
        if len(count) == 1:
            raise RuntimeError("power cut")
        count.append(1)
        write(*args)

    monkeypatch.setattr(regions, "write_region", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        ice.save(lazy, store)
    assert ice.list_runs(store)["status"].tolist() == ["interrupted"]
    with pytest.raises(StoreError, match="is incomplete"):
        ice.open_run(store, lazy.attrs["run_id"])
    part = ice.open_run(store, lazy.attrs["run_id"], allow_incomplete=True)
    assert 0 < np.isfinite(part["lens"].values).sum() < part["lens"].size
    monkeypatch.setattr(regions, "write_region", write)
    ice.save(lazy, store)
    assert contents(store) == contents(whole)


def test_only_missing_blocks_are_computed(
    store: Path, two_frames: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lazy = ice.coordination(ice.open_trajectory(store), r_cut=3.2)
    ice.save(lazy, store)
    group = store / "descriptors" / "coordination" / lazy.attrs["run_id"]
    zarr.open_group(group, mode="r+").attrs["status"] = "running"
    (group / "coordination" / "c" / "2" / "0").unlink()
    (group / "coordination" / "c" / "1" / "x.partial").touch()
    written = []
    original = regions.write_region
    monkeypatch.setattr(
        regions, "write_region", lambda *args: (written.append(args[1]), original(*args))
    )
    saved = ice.save(lazy, store)
    assert written == [(4, 0)]
    np.testing.assert_array_equal(saved["coordination"], lazy["coordination"])
    assert not list(group.rglob("*.partial"))


def test_atom_blocks_do_not_share_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = system("orthogonal") * (2, 2, 1)
    trj = ice.from_ase([atoms] * 3)
    lazy = ice.soap(trj, r_cut=3.0, n_max=4, l_max=4)
    expected = lazy["soap"].values
    monkeypatch.setattr(chunks, "INNER_BYTES", 2**16)
    monkeypatch.setattr(chunks, "BLOCK_BYTES", 2**17)
    lazy = ice.soap(trj, r_cut=3.0, n_max=4, l_max=4)
    assert lazy["soap"].data.numblocks[1] > 1
    saved = ice.save(lazy, tmp_path / "s.zarr")
    np.testing.assert_array_equal(saved["soap"], expected)
    assert saved["soap"].chunks == lazy["soap"].chunks


def test_resume_keeps_the_layout_on_disk(store: Path, two_frames: None) -> None:
    lazy = ice.coordination(ice.open_trajectory(store), r_cut=3.2)
    ice.save(lazy, store)
    group = store / "descriptors" / "coordination" / lazy.attrs["run_id"]
    zarr.open_group(group, mode="r+").attrs["status"] = "running"
    (group / "coordination" / "c" / "2" / "0").unlink()
    saved = ice.save(lazy.chunk({"frame": 3, "atom": 50}), store)
    np.testing.assert_array_equal(saved["coordination"], lazy["coordination"])


def test_several_in_one_pass(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from icedask.descriptors import frame as frame_module

    calls = []
    original = frame_module.neighbor_list
    monkeypatch.setattr(
        frame_module,
        "neighbor_list",
        lambda *args, **options: (calls.append(1), original(*args, **options))[1],
    )
    trj = ice.open_trajectory(store)
    both = ice.describe(trj, {"coordination": {"r_cut": 3.0}, "chill_plus": {}})
    first, second = ice.save(list(both.values()), store)
    assert len(calls) == 8
    np.testing.assert_array_equal(first["coordination"], both["coordination"]["coordination"])
    np.testing.assert_array_equal(second["label"], both["chill_plus"]["label"])
    with pytest.raises(InputError, match="one by one"):
        ice.save(list(both.values()), store, "both")  # type: ignore[call-overload]


def test_labels_pass_on(store: Path) -> None:
    trj = ice.open_trajectory(store)
    first = ice.save(ice.coordination(trj, r_cut=3.0), store, label="cn")
    second = ice.save(ice.coordination(trj, r_cut=4.0), store, label="cn")
    assert ice.open_run(store, "cn").attrs["run_id"] == second.attrs["run_id"]
    runs = ice.list_runs(store)
    assert runs.index.name == "run_id"
    assert list(runs.columns) == [
        "name",
        "group",
        "label",
        "status",
        "created",
        "parents",
        "bytes",
    ]
    assert runs.loc[first.attrs["run_id"], "label"] != "cn"
    assert (runs["bytes"] > 0).all()


def test_remove(store: Path) -> None:
    trj = ice.open_trajectory(store)
    soap = ice.save(ice.soap(trj, r_cut=4.0, n_max=2, l_max=1), store, label="soap")
    pca = ice.PCA(2).fit(soap)
    ice.save(pca, store, label="pca")
    with pytest.raises(StoreError, match="were computed from run 'soap'"):
        ice.remove_run(store, "soap")
    with pytest.raises(InputError, match=r"list\(results.values\(\)\)"):
        ice.save({"pca": pca}, store)  # type: ignore[call-overload]
    ice.remove_run(store, "pca")
    lens = ice.save(ice.lens(trj, r_cut=4.0), store, label="lens")
    joined = ice.save(ice.PCA(2).fit_transform(ice.join(soap, lens)), store, label="joined")
    # The join itself was never stored.
    with pytest.raises(StoreError, match=f"{joined.attrs['run_id']} were computed from run"):
        ice.remove_run(store, "lens")
    ice.remove_run(store, "joined")
    ice.remove_run(store, "lens")
    ice.remove_run(store, "soap")
    assert len(ice.list_runs(store)) == 0
    with pytest.raises(StoreError, match="no run 'soap'"):
        ice.open_run(store, "soap")


def test_precision(store: Path) -> None:
    lazy = ice.soap(ice.open_trajectory(store), r_cut=5.0, n_max=4, l_max=3)
    exact = ice.save(lazy, store)
    rounded = ice.save(lazy, store, precision=12)
    assert rounded.attrs["run_id"] != exact.attrs["run_id"]
    scale = np.abs(exact["soap"].values)
    error = np.abs(rounded["soap"].values - exact["soap"].values)
    assert 0 < (error / np.where(scale > 0, scale, 1)).max() <= 2**-13
    sizes = ice.list_runs(store)["bytes"]
    assert sizes[rounded.attrs["run_id"]] < 0.8 * sizes[exact.attrs["run_id"]]
    with pytest.raises(InputError, match="precision"):
        ice.save(lazy, store, precision=0)


def test_result_of_another_trajectory(store: Path) -> None:
    other = ice.from_ase(system("triclinic"))
    with pytest.raises(StoreError, match="another trajectory"):
        ice.save(ice.coordination(other, r_cut=3.0), store)


def test_changed_positions_are_another_trajectory(store: Path) -> None:
    trj = ice.open_trajectory(store)
    changed = trj.assign(positions=trj["positions"] * np.float32(1.01))
    with pytest.raises(StoreError, match="another trajectory"):
        ice.save(ice.coordination(changed, r_cut=3.0), store)


def test_identity_survives_storage(trj: xr.Dataset, store: Path) -> None:
    stored = ice.open_trajectory(store)
    run_id = ice.coordination(trj, r_cut=3.2).attrs["run_id"]
    for same in (
        stored,
        stored.compute(),
        stored.chunk({"frame": 3}),
        stored.isel(frame=slice(None)),
    ):
        assert ice.coordination(same, r_cut=3.2).attrs["run_id"] == run_id
    ice.save(ice.coordination(trj, r_cut=3.2), store)
    assert ice.list_runs(store).index.tolist() == [run_id]


def test_results_before_the_trajectory(trj: xr.Dataset, tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    ice.save(ice.coordination(trj, r_cut=3.2), store)
    ice.save(trj, store)
    assert ice.open_trajectory(store).sizes["frame"] == 8
    assert len(ice.list_runs(store)) == 1
    other = tmp_path / "other.zarr"
    ice.save(ice.coordination(trj, r_cut=3.2), other)
    with pytest.raises(InputError, match="found another"):
        ice.save(trj.isel(frame=slice(0, 4)), other)


def test_not_saveable(store: Path) -> None:
    with pytest.raises(InputError, match="expected a Dataset"):
        ice.save(np.zeros(3), store)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="says how it was computed"):
        ice.save(xr.Dataset({"a": ("frame", [1.0])}), store)


@pytest.mark.parametrize(("version", "remedy"), [(2, "upgrade icedask"), (0, "ingest .* again")])
def test_other_format_version(store: Path, version: int, remedy: str) -> None:
    zarr.open_group(store, mode="r+").attrs["format_version"] = version
    for call in (ice.open_trajectory, ice.list_runs):
        with pytest.raises(StoreError, match=f"expected store format 1, found {version}; {remedy}"):
            call(store)


def test_not_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such store"):
        ice.open_trajectory(tmp_path / "absent.zarr")
    with pytest.raises(StoreError, match="expected an icedask store"):
        ice.open_trajectory(tmp_path)
    zarr.create_group(tmp_path / "foreign.zarr")
    with pytest.raises(StoreError, match="of another origin"):
        ice.list_runs(tmp_path / "foreign.zarr")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "precious.txt").touch()
    with pytest.raises(StoreError, match="precious"):
        ice.save(ice.coordination(ice.from_ase(system("cluster")), r_cut=4.0), tmp_path / "folder")


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: ds * 2,
        lambda ds: ds.isel(atom=slice(0, 5)),
        lambda ds: ds.mean("frame"),
        lambda ds: ds.where(ds["coordination"] > 3),
        lambda ds: (ds * 2).compute(),
    ],
)
def test_changed_result_is_refused(store: Path, change: Any) -> None:
    lazy = ice.coordination(ice.open_trajectory(store), r_cut=3.2)
    with xr.set_options(keep_attrs=True):
        changed = change(lazy)
    with pytest.raises(StoreError, match="found its variables changed"):
        ice.save(changed, store)
    ice.save(lazy, store)
    with xr.set_options(keep_attrs=True), pytest.raises(StoreError, match="variables changed"):
        ice.save(change(ice.open_run(store, lazy.attrs["run_id"])), store)


def test_model_of_a_changed_result_is_another(store: Path) -> None:
    soap = ice.soap(ice.open_trajectory(store), r_cut=4.0, n_max=2, l_max=2)
    with xr.set_options(keep_attrs=True):
        normalised = soap / np.sqrt((soap**2).sum("soap_component"))
    first = ice.save(ice.PCA(2).fit(soap), store)
    second = ice.save(ice.PCA(2).fit(normalised), store)
    assert first.attrs["run_id"] != second.attrs["run_id"]
    assert soap.attrs["run_id"] in second.attrs["lineage"]
    loaded = ice.load_model(store, second.attrs["run_id"])
    ice.save(loaded.transform(normalised), store)


@pytest.mark.parametrize("label", [3, "", "  "])
def test_bad_label(store: Path, label: Any) -> None:
    lazy = ice.coordination(ice.open_trajectory(store), r_cut=3.2)
    with pytest.raises(InputError, match="label: expected a name"):
        ice.save(lazy, store, label=label)
    saved = ice.save(lazy, store)
    with pytest.raises(InputError, match="is the id of a run"):
        ice.save(lazy, store, label=saved.attrs["run_id"])


def test_second_writer_is_refused(store: Path) -> None:
    lazy = ice.coordination(ice.open_trajectory(store), r_cut=3.0)
    with (
        locked(store),
        ThreadPoolExecutor(1) as pool,
        pytest.raises(StoreError, match="another call of this process is writing"),
    ):
        pool.submit(ice.save, lazy, store).result()
    ice.save(lazy, store)


def _hold(store: Path, ready: Any, release: Any) -> None:
    with locked(store):
        ready.set()
        release.wait(60)


def test_lock_of_a_killed_process_is_free(store: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(store, ready, release))
    process.start()
    assert ready.wait(60)
    lazy = ice.coordination(ice.open_trajectory(store), r_cut=3.0)
    with pytest.raises(StoreError, match=f"process {process.pid}"):
        ice.save(lazy, store)
    process.kill()
    process.join()
    ice.save(lazy, store)


def test_full_disk_leaves_the_run_resumable(store: Path, two_frames: None) -> None:
    lazy = ice.soap(ice.open_trajectory(store), r_cut=4.0, n_max=4, l_max=4)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A limit on file size is how a full disk looks to a process, and needs no real one.
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(StoreError, match="free space and run the same command again"):
            ice.save(lazy, store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ice.list_runs(store)["status"].tolist() == ["interrupted"]
    saved = ice.save(lazy, store)
    np.testing.assert_array_equal(saved["soap"], lazy["soap"])


def test_ase_columns_survive(tmp_path: Path) -> None:
    atoms = ase.Atoms("Cu4", np.random.default_rng(0).random((4, 3)))
    atoms.arrays["strain"] = np.arange(4.0)
    ice.save(ice.from_ase([atoms, atoms]), tmp_path / "s.zarr")
    back = ice.open_trajectory(tmp_path / "s.zarr")
    assert back["strain"].dims == ("frame", "atom")
    np.testing.assert_array_equal(ice.to_ase(back, 1).arrays["strain"], np.arange(4.0))
