"""Replicas: contents of the store, interruptions, failures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from helpers import killing
from helpers.jobs import wait_until
from helpers.small_jobs import exploding_job, run_small, small_job, small_stages

import icedask as ice
from icedask.simulate import replica
from icedask.simulate.job import Job, Start
from icedask.simulate.replica import progress_of, run_replica
from icedask.simulate.stages import Dynamics, Held, Minimise


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small job, never interrupted."""
    store = tmp_path_factory.mktemp("whole") / "run.zarr"
    assert run_replica(small_job(), str(store), 1).status == "complete"
    return store


def same(left: Path, right: Path) -> None:
    """Check that two stores hold the same trajectory."""
    trajectories = [ice.open_trajectory(store).compute() for store in (left, right)]
    for trj in trajectories:
        for name in ("created", "history", "simulation"):
            trj.attrs.pop(name)
    xr.testing.assert_identical(*trajectories)


def test_store(finished: Path) -> None:
    trj = ice.open_trajectory(finished)
    assert dict(trj.sizes) == {"frame": 12, "atom": 216, "xyz": 3, "cell_vector": 3}
    np.testing.assert_allclose(trj["time"], np.arange(1, 13))
    np.testing.assert_array_equal(trj["step"], np.arange(100, 1201, 100))
    assert trj["potential_energy"].attrs["units"] == "eV"
    # Molinero and Moore: -10.1 kcal/mol at 298 K; the mean of few molecules for a short time.
    energy = float(trj["potential_energy"].mean()) / 0.0433641
    assert energy == pytest.approx(-10.0, abs=0.2)
    volume = np.linalg.det(trj["cell"].values)
    assert 18.015 * 216 / 0.602214 / volume.mean() == pytest.approx(1.0, abs=0.08)
    inside = trj["positions"].values / trj["cell"].values[:, None].diagonal(axis1=2, axis2=3)
    assert (inside > -0.1).all() and (inside < 1.1).all()
    assert set(np.unique(trj["mass"])) == {18.015}
    assert progress_of(finished) == 1.0
    assert not list(finished.rglob("restart*"))


def test_provenance(finished: Path) -> None:
    attrs = ice.open_trajectory(finished).attrs
    assert attrs["labels"] == {"phase": "liquid", "model": "mW", "seed": 5}
    record = attrs["simulation"]
    assert record["potential"]["sha256"] == small_job().potential.checksum()
    assert record["potential"]["reference"] == "doi:10.1021/jp805227c"
    assert record["seed"] == 5
    assert "lammps" in record["versions"]
    assert "pair_style sw" in record["input"] and "run 1200" in record["input"]
    assert "216 molecules" in record["origin"]
    assert record["engine"]["name"] == "lammps" and record["engine"]["cores"] == 1
    assert "23.15" in record["potential"]["text"]
    assert "simulated" in attrs["history"][0]


def test_unwrapped_positions_are_continuous(finished: Path) -> None:
    trj = ice.open_trajectory(finished).compute()
    cell = trj["cell"].values
    whole = trj["positions"].values + np.einsum("fai,fij->faj", trj["image"].values, cell)
    moved = np.linalg.norm(np.diff(whole, axis=0), axis=2)
    assert moved.max() < 9.0  # half of the cell


def test_a_finished_replica_is_not_run_again(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("started a process"))
    assert run_replica(small_job(), str(finished), 1).status == "complete"


def test_another_simulation_is_refused(finished: Path) -> None:
    outcome = run_replica(small_job(seed=6), str(finished), 1)
    assert outcome.status == "failed"
    assert "holds another trajectory (other seed); give another path" in outcome.message
    same(finished, finished)


@pytest.mark.parametrize(
    "at", [14, *(pytest.param(at, marks=pytest.mark.slow) for at in (2, 5, 8, 11, 17, 20, 24, 28))]
)
def test_killed_replica_continues(finished: Path, tmp_path: Path, at: int) -> None:
    store = tmp_path / "run.zarr"
    code, _ = killing.run(run_small, 1, str(store), kill_at=at)
    assert code == -signal.SIGKILL
    outcome = run_replica(small_job(), str(store), 1)
    assert outcome.status == "complete", outcome.message
    same(finished, store)


def _children(store: Path) -> list[int]:
    listing = subprocess.run(["pgrep", "-f", str(store)], capture_output=True, text=True).stdout
    return [int(pid) for pid in listing.split() if int(pid) != os.getpid()]


def _kill_child_in_segment(store: Path, segment: int, count: int = 1) -> None:
    folder = store / ".ingest" / "simulation"
    for _ in range(count):
        while not (folder / f"restart-{segment}").exists():
            time.sleep(0.005)
        for pid in _children(store):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_child_continues_from_its_restart_file(
    finished: Path, tmp_path: Path, cores: int, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "run.zarr"
    killer = threading.Thread(target=_kill_child_in_segment, args=(store, 1))
    killer.start()
    outcome = run_replica(small_job(), str(store), cores)
    killer.join()
    assert outcome.status == "complete", outcome.message
    assert "continues from its restart file" in caplog.text
    if cores == 1:
        same(finished, store)
    else:
        unbroken = tmp_path / "unbroken.zarr"
        run_replica(small_job(), str(unbroken), cores)
        same(unbroken, store)


def test_a_child_that_dies_repeatedly_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(self: replica._Replica, *arguments: Any) -> Any:
        (self.folder / "lammps.log").write_text("Step Temp")
        return -9, ["Killed"]

    monkeypatch.setattr(replica._Replica, "_attempt", dies)
    outcome = run_replica(small_job(), str(tmp_path / "run.zarr"), 1)
    assert outcome.status == "failed"
    assert "died 3 times in the same segment (status -9)" in outcome.message
    # Its last messages, not the log of LAMMPS.
    assert "last lines of its messages:\n    Killed" in outcome.message


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_child_ends_with_its_parent(tmp_path: Path, cores: int) -> None:
    store = tmp_path / "run.zarr"
    code = (
        "from helpers.small_jobs import small_job, small_stages\n"
        "from icedask.simulate.replica import run_replica\n"
        f"run_replica(small_job(small_stages(10**6, 1000)), {str(store)!r}, {cores})"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as parent:
        while not (store / ".ingest" / "simulation" / "restart-1").exists():
            time.sleep(0.05)
            assert parent.poll() is None
        assert len(_children(store)) > 1
        parent.kill()
    wait_until(lambda: not _children(store), 10)


def test_message_of_an_explosion_has_the_end_of_the_log(tmp_path: Path) -> None:
    outcome = run_replica(exploding_job(), str(tmp_path / "run.zarr"), 1)
    assert outcome.status == "failed"
    assert "last lines of its log" in outcome.message
    assert "ERROR" in outcome.message or "not finite" in outcome.message
    with pytest.raises(ice.StoreError):
        ice.open_trajectory(tmp_path / "run.zarr")


@pytest.mark.parametrize("keep", [0, 100])
def test_message_of_damaged_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int
) -> None:
    store, attempt = tmp_path / "run.zarr", replica._Replica._attempt
    frames = store / ".ingest" / "simulation" / "frames-1.npz"

    def damage() -> None:
        if frames.exists():
            frames.write_bytes(frames.read_bytes()[:keep])

    monkeypatch.setattr(
        replica._Replica, "_attempt", lambda self, mode, meanwhile: attempt(self, mode, damage)
    )
    outcome = run_replica(small_job(small_stages(300)), str(store), 1)
    assert outcome.status == "failed"
    assert "is damaged" in outcome.message and "remove the store" in outcome.message


@pytest.mark.slow
def test_a_start_structure_of_other_options_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def job(seed: int) -> Job:
        options = {"n": 216, "density": 0.98, "seed": seed, "sites": "O"}
        return small_job(small_stages(100), seed=seed, start=Start("liquid", options))

    def stops(*arguments: Any) -> None:
        raise OSError("stopped")

    store = tmp_path / "run.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(replica, "begin", stops)
        assert run_replica(job(1), str(store), 1).message == "stopped"
    assert run_replica(job(2), str(store), 1).status == "complete"
    assert ice.open_trajectory(store).attrs["simulation"]["origin"].endswith("seed 2")


def test_scripts_in_the_current_folder_are_not_imported(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("lammps", "ase", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not the module')")
    monkeypatch.chdir(tmp_path)
    store = tmp_path / 'it\'s "quoted" $HOME.zarr'
    outcome = run_replica(small_job(), str(store), 1)
    assert outcome.status == "complete", outcome.message
    same(finished, store)


def test_a_missing_potential_file(tmp_path: Path) -> None:
    lost = replace(small_job().potential, name="lost", file="lost.sw")
    outcome = run_replica(small_job(potential=lost), str(tmp_path / "run.zarr"), 1)
    assert outcome.status == "failed"
    assert "potential lost.sw: expected it in" in outcome.message


def test_wrong_number_of_atoms(tmp_path: Path) -> None:
    outcome = run_replica(small_job(n_atoms=99), str(tmp_path / "run.zarr"), 1)
    assert outcome.status == "failed"
    assert "expected 99 atoms, found 216" in outcome.message


def test_held_atoms_stay(tmp_path: Path) -> None:
    held = [
        Minimise(),
        Dynamics(
            "melt", 400, temperature=400.0, velocities=400.0, held=Held(2, 0.0, 0.5), every=100
        ),
        Dynamics("free", 400, temperature=300.0, pressure=1.0, coupling="z", every=100),
    ]
    store = tmp_path / "run.zarr"
    assert run_replica(small_job(held), str(store), 1).status == "complete"
    trj = ice.open_trajectory(store).compute()
    first, last = trj["positions"].values[[0, 3]]
    still = np.abs(last - first).max(axis=1) < 1e-4
    height = first[:, 2] / trj["cell"].values[0, 2, 2]
    assert 80 < still.sum() < 136
    assert ((height < 0.5) == still).mean() > 0.95
    free = trj["positions"].values[-1]
    assert (np.abs(free - last).max(axis=1) > 1e-3).all()
    # The barostat moved the third edge alone.
    edges = trj["cell"].values.diagonal(axis1=1, axis2=2)
    assert np.ptp(edges[:, :2], axis=0).max() < 1e-9
    assert np.ptp(edges[4:, 2]) > 1e-3


def test_long_trajectories_are_written_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Path
) -> None:
    from icedask.store import trajectory as encode

    monkeypatch.setattr(encode, "TRAJECTORY_ATOM_FRAMES", 216 * 5)
    store = tmp_path / "run.zarr"
    assert run_replica(small_job(), str(store), 1).status == "complete"
    trj = ice.open_trajectory(store)
    assert trj["positions"].chunks is not None and len(trj["positions"].chunks[0]) == 3
    np.testing.assert_array_equal(
        trj["positions"].values, ice.open_trajectory(finished)["positions"].values
    )


@pytest.mark.parametrize("n", [1, 216])
def test_error_of_an_incomplete_restart_file(tmp_path: Path, n: int) -> None:
    # The file of one atom fits into a buffer and fails only when it is closed.
    code = (
        "import errno, os\n"
        "from helpers.small_jobs import small_job\n"
        "from icedask.simulate.lammps import LammpsEngine\n"
        f"job = small_job(n={n})\n"
        "engine = LammpsEngine(job, 1, lambda step: None)\n"
        "try:\n"
        "    engine.begin(job.start.build(), '/dev/full')\n"
        "except OSError as error:\n"
        "    assert error.errno == errno.ENOSPC\n"
        "    os._exit(7)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path)
    assert done.returncode == 7


def test_continued_after_a_full_disk(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "run.zarr"
    attempt = replica._Replica._attempt

    def fails(self: replica._Replica, mode: str, meanwhile: Callable[[], None]) -> Any:
        return attempt(self, mode, meanwhile) if mode == "build" else (replica.DISK_FULL, [])

    with monkeypatch.context() as patch:
        patch.setattr(replica._Replica, "_attempt", fails)
        outcome = run_replica(small_job(), str(store), 1)
    assert outcome.status == "failed"
    assert "free space and run the same command again" in outcome.message
    assert run_replica(small_job(), str(store), 1).status == "complete"
    same(finished, store)
