"""The lock of a store, and the status of runs whose process is gone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ase.build import bulk

import icedask as ice
from icedask.core.provenance import record_of
from icedask.errors import StoreError
from icedask.store.lock import lock_holder, locked
from icedask.store.run_writing import as_written, begin_run
from icedask.store.status import progress, progress_text


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "cu.zarr"
    ice.save(ice.from_ase(bulk("Cu", cubic=True) * (2, 2, 2)), path)
    return path


def holding(store: Path, wait: float | bool = False) -> str:
    """Return the error of a second writer; nothing if it gets the lock."""
    try:
        with locked(store, wait=wait):
            return ""
    except StoreError as error:
        return str(error)


def in_thread(function: Callable[[], str]) -> str:
    """Call a function as other work of this process."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_a_run_without_a_writer_is_interrupted(store: Path) -> None:
    lazy = ice.coordination(ice.open_trajectory(store), r_cut=3.0)
    begin_run(as_written(lazy), record_of(lazy), store, None)
    run_id = lazy.attrs["run_id"]
    statuses = []
    for writes in ([], [run_id], ["soap-01234567"]):
        with locked(store, writes):
            statuses += ice.list_runs(store)["status"].tolist()
            assert progress(store)["unfinished"][0]["state"] == statuses[-1]
    # A holder says what it writes, if only that it is nothing.
    assert statuses == ["interrupted", "running", "interrupted"]
    assert ice.list_runs(store)["status"].tolist() == ["interrupted"]
    assert f"{run_id}, interrupted" in progress_text(store)
    ice.save(lazy, store)
    assert ice.list_runs(store)["status"].tolist() == ["complete"]


def test_a_look_at_the_lock_disturbs_no_writer(store: Path) -> None:
    assert lock_holder(store) is None
    with locked(store, ["a-00000000"]):
        assert "it writes a-00000000" in str(lock_holder(store))
        assert in_thread(lambda: holding(store)).startswith(f"{store}: another call of this proc")
    assert lock_holder(store) is None
    assert lock_holder(store / "absent") is None


def test_names_of_runs_in_messages(store: Path) -> None:
    trj = ice.open_trajectory(store)
    with pytest.raises(ice.NotFoundError, match="no run 'x'; the store holds none"):
        ice.open_run(store, "x")
    for number in range(5):
        ice.save(ice.coordination(trj, r_cut=2.0 + 0.1 * number), store)
    with pytest.raises(StoreError, match=r"none has a label; 5 without label: (\S+, ){3}\.\.\. \("):
        ice.open_run(store, "xyz")
    with pytest.raises(StoreError, match=r"did you mean coordination-\w+ or coordination-\w+ or"):
        ice.open_run(store, "coordination")
    ice.save(ice.coordination(trj, r_cut=3.0), store, label="phases")
    with pytest.raises(StoreError, match=r"no run 'phase'; did you mean phases\?"):
        ice.open_run(store, "phase")
    with pytest.raises(StoreError, match="its labels are phases; 5 without label: "):
        ice.open_run(store, "xyz")
