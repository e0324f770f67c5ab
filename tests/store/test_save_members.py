"""Collections in stores: one computation, members that fail, resuming."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from ase.build import bulk

import icedask as ice
from icedask.store import save_members as module

OPTIONS = {"r_cut": 3.5, "n_max": 2, "l_max": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of five stores of several sizes."""
    members = {}
    for number in range(5):
        images = []
        for frame in range(number + 1):
            atoms = bulk("Cu", cubic=True) * (1 + number % 2, 1, 2)
            atoms.rattle(0.1, seed=10 * number + frame)
            images.append(atoms)
        members[f"m{number}"] = ice.from_ase(images)
    ice.save(ice.Collection(members), tmp_path)
    return tmp_path


def damage(store: Path, array: str = "trajectory/positions") -> None:
    """Change a byte in the middle of each file of an array."""
    for path in sorted((store / array / "c").rglob("*")):
        if path.is_file():
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 255
            path.write_bytes(content)


def test_each_member_is_saved_as_by_itself(folder: Path) -> None:
    members = ice.open_collection(folder)
    saved = ice.save(ice.soap(members, **OPTIONS), label="structure")
    for name, trj in members.items():
        alone = ice.soap(trj, **OPTIONS)
        assert saved[name].attrs["run_id"] == alone.attrs["run_id"]
        np.testing.assert_array_equal(saved[name]["soap"], alone["soap"])
        assert ice.open_run(folder / f"{name}.zarr", "structure").attrs["status"] == "complete"
    again = ice.open_collection(folder, run="structure")
    assert list(again) == list(members)
    counts, volumes = ice.save([ice.coordination(members, r_cut=3.0), ice.voronoi(members)])
    assert list(counts) == list(volumes) == list(members)
    with pytest.raises(ice.InputError, match="path of a store"):
        ice.save(members["m0"])  # type: ignore[call-overload]
    memory = ice.Collection({"x": members["m0"].load()})
    with pytest.raises(ice.StoreError, match="save the collection into a folder"):
        ice.save(ice.voronoi(memory))


def test_a_damaged_member_is_reported_and_the_others_are_right(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(folder / "m3.zarr")
    members = ice.open_collection(folder)
    saved = ice.save(ice.soap(members, **OPTIONS))
    assert list(saved) == ["m0", "m1", "m2", "m4"]
    assert list(saved.failed) == ["m3"]
    assert "m3.zarr" in saved.failed["m3"]
    assert "m3: left out" in caplog.text
    for name in saved:
        np.testing.assert_array_equal(
            saved[name]["soap"], ice.soap(members[name], **OPTIONS)["soap"]
        )
    for name in saved:
        damage(folder / f"{name}.zarr")
    with pytest.raises(ice.DamagedError):
        ice.save(ice.voronoi(ice.open_collection(folder)))


def test_stores_that_cannot_be_opened_or_written(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "m0.zarr" / "zarr.json").write_text("{}")
    members = ice.open_collection(folder)
    assert list(members) == ["m1", "m2", "m3", "m4"]
    assert "m0: left out" in caplog.text
    with ice.hold(folder / "m2.zarr"):
        other = ice.soap(members, **OPTIONS)
        saved = _in_thread(lambda: ice.save(other))
    assert list(saved) == ["m1", "m3", "m4"]
    assert "another call of this process" in saved.failed["m2"]
    assert list(ice.save(other)) == ["m1", "m2", "m3", "m4"], "the same call resumes"


def _in_thread(call: object) -> ice.Collection:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()  # type: ignore[arg-type]


def test_interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = ice.open_collection(folder)
    lazy = ice.soap(members, **OPTIONS)
    write, calls = module.write_missing, []

    def interrupted(targets: list[object], *args: object) -> None:
        calls.append(len(targets))
        write(targets[:2], *args)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_missing", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ice.save(lazy)
    monkeypatch.setattr(module, "write_missing", write)
    assert calls == [5]
    saved = ice.save(lazy)
    for name in members:
        np.testing.assert_array_equal(saved[name]["soap"], lazy[name]["soap"])


def test_copies_of_one_trajectory(folder: Path) -> None:
    shutil.copytree(folder / "m4.zarr", folder / "copy.zarr")
    members = ice.open_collection(folder)
    saved = ice.save(ice.soap(members, **OPTIONS))
    xr.testing.assert_equal(saved["copy"], saved["m4"])
    assert os.listdir(folder / "copy.zarr" / "descriptors" / "soap")
    assert members.groups["copy"] == members.groups["m4"]


def test_on_workers(folder: Path, client: object) -> None:
    damage(folder / "m1.zarr")
    saved = ice.save(ice.soap(ice.open_collection(folder), **OPTIONS))
    assert list(saved) == ["m0", "m2", "m3", "m4"]
