"""Local worker processes: results of this process, also where a worker is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from helpers.jobs import worker_threads

import icedask as ice
from icedask.errors import InputError
from icedask.store import chunks
from icedask.tasks import run as compute


def chain(store: Path) -> xr.Dataset:
    trj = ice.open_trajectory(store)
    soap = ice.soap(trj, r_cut=4.0, n_max=3, l_max=3, sigma=0.5)
    latent = ice.save(ice.PCA(3).fit_transform(soap), store)
    model = ice.HDBSCAN(30, min_samples=5, sample_size=1500, assign_noise=True).fit(latent)
    return ice.save(model.predict(latent), store, label="states")


@pytest.fixture
def small(mw: xr.Dataset, tmp_path: Path) -> tuple[Path, Path]:
    part = ice.select(mw, "index 0:999")
    for name in ("here", "there"):
        ice.save(part, tmp_path / f"{name}.zarr")
    return tmp_path / "here.zarr", tmp_path / "there.zarr"


def test_workers_give_equal_results(
    small: tuple[Path, Path], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 3000)
    there = chain(small[1])
    assert (ice.list_runs(small[1])["status"] == "complete").all()
    monkeypatch.setattr(compute, "active_client", lambda *_: None)
    with worker_threads():
        here = chain(small[0])
    np.testing.assert_array_equal(here["label"], there["label"])
    np.testing.assert_array_equal(here["probability"], there["probability"])


def test_windows_in_time_on_workers(
    mw: xr.Dataset, tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 900)
    trj = ice.select(mw, "index 0:299")
    soap = ice.soap(trj, r_cut=4.0, n_max=3, l_max=3, sigma=0.5)
    joined = ice.join(soap, ice.smooth(ice.lens(trj, r_cut=4.0), window=3))
    changes = ice.smooth(ice.time_soap(soap, delay=2), window=3)
    assert joined["features"].data.numblocks[0] > 1 and changes["time_soap"].data.numblocks[0] > 1
    there = ice.save([joined, changes], tmp_path / "there.zarr")
    monkeypatch.setattr(compute, "active_client", lambda *_: None)
    with worker_threads():
        here = ice.save([joined, changes], tmp_path / "here.zarr")
    for left, right in zip(here, there, strict=True):
        xr.testing.assert_equal(left, right)


def _kill_a_worker(client: Any, pids: dict[str, int], done: list[int]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        busy = [address for address, tasks in client.processing().items() if tasks]
        if busy:
            os.kill(pids[busy[0]], signal.SIGKILL)
            done.append(pids[busy[0]])
            return
        time.sleep(0.02)


def test_killed_worker_loses_nothing(
    small: tuple[Path, Path], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 1000)
    trj = ice.open_trajectory(small[0])
    soap = ice.soap(trj, r_cut=6.0, n_max=6, l_max=6, sigma=0.8)
    killed: list[int] = []
    killer = threading.Thread(target=_kill_a_worker, args=(client, client.run(os.getpid), killed))
    killer.start()
    saved = ice.save(soap, small[0])
    killer.join()
    assert killed
    assert saved.attrs["status"] == "complete"
    with worker_threads():
        expected = soap["soap"].compute(scheduler="threads")
    np.testing.assert_array_equal(saved["soap"].compute(scheduler="threads"), expected)


def test_error_in_a_worker_is_the_same_error(tmp_path: Path, client: Any) -> None:
    path = tmp_path / "bad.dump"
    frame = (
        "ITEM: TIMESTEP\n{}\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 5\n0 5\n0 5\n"
    )
    body = "ITEM: ATOMS id x y z\n1 1 1 1\n2 2 {} 2\n"
    path.write_text((frame + body).format(0, 2) + (frame + body).format(1, "nan"))
    with pytest.raises(InputError, match="not finite"):
        ice.ingest(path, tmp_path / "s.zarr", units="metal", timestep=1.0, elements="O")
    assert not (tmp_path / "s.zarr").exists()


def test_connect_refuses_unknown_profiles(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected local, slurm"):
        ice.connect("nowhere")
    with pytest.raises(InputError, match="no such scheduler file"):
        ice.connect(str(tmp_path / "scheduler.json"))


def test_connect_to_an_address(client: Any) -> None:
    with ice.connect(client.scheduler.address, set_as_default=False) as other:
        # A worker may restart after a test that killed it.
        other.wait_for_workers(2, timeout=60)


def test_local_workers_keep_the_memory_of_a_few_blocks(client: Any) -> None:
    assert set(client.run(os.getenv, "MALLOC_TRIM_THRESHOLD_").values()) == {str(2**27)}
    assert dask.config.get("distributed.nanny.pre-spawn-environ")["MALLOC_TRIM_THRESHOLD_"] == 65536
