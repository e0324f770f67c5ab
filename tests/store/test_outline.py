"""Outline of a stored trajectory, and look-up of a finished run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ase.build import bulk

import icedask as ice
from icedask.core.provenance import Record
from icedask.descriptors import registry
from icedask.descriptors.lazy import record_without_frames
from icedask.store.arrays import create_group, update_attrs
from icedask.store.outline import Outline, finished_run
from icedask.store.run_writing import run_path, with_precision

OXYGEN = bulk("O", "diamond", a=6.37, cubic=True) * (2, 2, 2)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "o.zarr"
    ice.save(ice.from_ase([OXYGEN] * 4), path)
    return path


def record(store: Path, **options: object) -> Record | None:
    return record_without_frames(
        Outline(store), registry()["coordination"], options or {"r_cut": 3.0}
    )


@pytest.mark.parametrize("name", registry())
def test_the_run_id_is_that_of_the_dataset(name: str, store: Path) -> None:
    entry = registry()[name]
    trj = ice.open_trajectory(store)
    options = [dict(entry.example), {**entry.example, "centers": "element O"}]
    for values in options:
        outlined = record_without_frames(Outline(store), entry, values)
        assert outlined is not None
        assert outlined.attrs == {
            key: value
            for key, value in entry.function(trj, **values).attrs.items()
            if key in outlined.attrs
        }


def test_what_reads_frames_is_left_to_the_dataset(store: Path) -> None:
    assert record(store, r_cut=3.0, centers="prop x > 2") is None
    with pytest.raises(AttributeError, match="positions: is read block by block"):
        _ = Outline(store)["positions"].values


def test_finished_run(store: Path) -> None:
    trj = ice.open_trajectory(store)
    expected = record(store)
    assert expected is not None and finished_run(store, expected) is None
    saved = ice.save(ice.coordination(trj, r_cut=3.0), store)
    run_id = saved.attrs["run_id"]
    sizes = {"frame": 4, "atom": 64}
    assert finished_run(store, expected) == {"run_id": run_id, "label": None, "sizes": sizes}
    # What else is asked for: a label, other options, rounding.
    assert finished_run(store, expected, "cn") is None
    ice.save(ice.coordination(trj, r_cut=3.0), store, label="cn")
    assert finished_run(store, expected, "cn") == {"run_id": run_id, "label": "cn", "sizes": sizes}
    assert finished_run(store, expected, "other") is None
    other = record(store, r_cut=3.1)
    assert other is not None and finished_run(store, other) is None
    assert finished_run(store, with_precision(expected, 8)) is None
    # What is not whole.
    group = store / run_path(expected)
    shard = group / "coordination" / "c" / "0" / "0"
    shard.rename(shard.with_name("away"))
    assert finished_run(store, expected) is None
    shard.with_name("away").rename(shard)
    update_attrs(group, {"status": "running"})
    assert finished_run(store, expected) is None
    update_attrs(group, {"status": "complete"})
    ice.remove_run(store, run_id)
    assert finished_run(store, expected) is None


def test_another_trajectory_has_other_runs(store: Path, tmp_path: Path) -> None:
    ice.save(ice.coordination(ice.open_trajectory(store), r_cut=3.0), store)
    moved = OXYGEN.copy()
    moved.positions[0] += 0.1
    ice.save(ice.from_ase([moved] * 4), tmp_path / "other.zarr")
    shutil.rmtree(store / "trajectory")
    shutil.copytree(tmp_path / "other.zarr" / "trajectory", store / "trajectory")
    expected = record(store)
    assert expected is not None and finished_run(store, expected) is None


def test_no_outline_without_a_whole_trajectory(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ice.StoreError, match="no such store"):
        Outline(tmp_path / "nothing")
    # What another program put beside the arrays.
    create_group(store / "trajectory" / "notes", {})
    assert Outline(store).sizes["atom"] == 64 and "notes" not in Outline(store)
    update_attrs(store / "trajectory", {"status": "running"})
    with pytest.raises(ice.StoreError, match="the trajectory is incomplete"):
        Outline(store)
