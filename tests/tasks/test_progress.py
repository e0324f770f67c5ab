"""Reports of computations that run, are complete, failed, were interrupted or killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from helpers.killing import run

import icedask as ice
from icedask.store import blocks as regions
from icedask.store import chunks, status
from icedask.tasks import progress as reports


@pytest.fixture(autouse=True)
def _blocks_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the size of blocks, which `describe` changes, in children too."""
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", chunks.BLOCK_ATOM_FRAMES)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    crystal = bulk("Cu", cubic=True) * (2, 2, 2)
    path = tmp_path / "cu.zarr"
    ice.save(ice.from_ase([crystal] * 8), path)
    shutil.rmtree(path / reports.FOLDER)
    return path


def describe(store: Path) -> None:
    chunks.BLOCK_ATOM_FRAMES = 64
    ice.save(ice.coordination(ice.open_trajectory(store), r_cut=3.0), store)


def test_report_of_a_save(store: Path) -> None:
    describe(store)
    (report,) = status.progress(store)["reports"]
    assert (report["what"], report["state"], report["error"]) == ("save", "complete", None)
    assert report["pid"] == os.getpid()
    (stage,) = report["stages"]
    assert stage["description"] == "coordination"
    assert stage["done"] == stage["total"] == 4
    (path,) = (store / reports.FOLDER).iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert status.progress(store)["unfinished"] == []
    text = status.progress_text(store)
    assert text.startswith("save: complete after") and "4/4 (100 %)  coordination" in text


def test_a_complete_run_reports_nothing(store: Path) -> None:
    describe(store)
    describe(store)
    assert len(status.progress(store)["reports"]) == 1


def test_nested_computations_are_one_report(store: Path) -> None:
    with reports.reporting(store, "phases"):
        trj = ice.open_trajectory(store)
        soap = ice.soap(trj, r_cut=3.0, n_max=2, l_max=1)
        ice.save(ice.PCA(1).fit_transform(soap), store)
    (report,) = status.progress(store)["reports"]
    assert report["what"] == "phases"
    assert [stage["description"] for stage in report["stages"]] == ["PCA fit", "pca"]


def test_failure_and_interrupt(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, state in (
        (RuntimeError("no\nluck"), "failed"),
        (KeyboardInterrupt(), "interrupted"),
    ):
        with pytest.raises(type(error)), reports.reporting(store, "try"):
            with reports.stage("work", 2) as advance:
                advance(1)
            raise error
        report = next(
            entry for entry in status.progress(store)["reports"] if entry["state"] == state
        )
        assert report["stages"][0]["done"] == 1
        if state == "failed":
            assert report["error"] == "no\nluck"
    assert "no\n  luck" in status.progress_text(store)


def describe_and_die(store: Path) -> None:
    write = regions.write_region

    def last(*args: Any) -> None:
        write(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    regions.write_region = last
    describe(store)


@pytest.mark.slow
def test_killed(store: Path) -> None:
    code, _ = run(describe_and_die, store)
    assert code == -signal.SIGKILL
    summary = status.progress(store)
    (left,) = summary["unfinished"]
    assert left["id"].startswith("coordination-")
    assert (left["done"], left["total"]) == (1, 4)
    (path,) = (store / reports.FOLDER).glob("*.json")
    report = json.loads(path.read_text())
    assert report["state"] == "running"
    assert status.progress(store)["reports"][0]["state"] == left["state"] == "interrupted"
    # On another host nothing is known but the time of the last report.
    report |= {"host": "elsewhere", "updated": report["updated"] - 61}
    path.write_text(json.dumps(report))
    (report,) = status.progress(store)["reports"]
    assert report["state"] == "silent"
    assert "silent" in status.progress_text(store)
    assert f"1/4 (25 %)  {left['id']}" in status.progress_text(store)


def test_heartbeat_without_finished_tasks(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "WRITE_SECONDS", 0.05)
    monkeypatch.setattr(reports, "BEAT_SECONDS", 0.05)
    with reports.reporting(store, "long"), reports.stage("work", 10) as advance:
        advance(4)
        seen = set()
        deadline = time.monotonic() + 30
        while len(seen) < 3 and time.monotonic() < deadline:
            seen.add(status.progress(store)["reports"][0]["updated"])
            time.sleep(0.05)
        report = status.progress(store)["reports"][0]
    assert len(seen) >= 3
    assert report["state"] == "running" and report["stages"][0]["done"] == 4


def test_rate_and_time_left(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    current = reports.Stage("work", 1000)
    for _ in range(200):
        now[0] += 1
        current.add(1)
    for _ in range(60):
        now[0] += 1
        current.add(3)
    assert current.as_dict()["rate"] == pytest.approx(3, rel=0.05)
    report: dict[str, Any] = {
        "state": "running",
        "host": "elsewhere",
        "pid": 1,
        "updated": now[0],
        "stages": [current.as_dict()],
    }
    judged = status._judged(report, now[0])
    assert judged["stages"][0]["eta"] == pytest.approx((1000 - 380) / 3, rel=0.05)


def test_report_that_cannot_be_written(store: Path) -> None:
    (store / reports.FOLDER).write_text("in the way")
    describe(store)
    assert (ice.list_runs(store)["status"] == "complete").all()
    assert status.progress(store)["reports"] == []


def test_only_the_newest_are_kept(store: Path) -> None:
    for number in range(reports.KEPT_REPORTS + 3):
        with reports.reporting(store, f"number {number}"), reports.stage("work", 1) as advance:
            advance(1)
    assert len(status.progress(store)["reports"]) == reports.KEPT_REPORTS


def test_lines_of_the_log_without_a_terminal(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with caplog.at_level("INFO", "icedask"), reports.stage("work", 100) as advance:
        for _ in range(100):
            now[0] += 2
            advance(1)
    assert len(caplog.messages) == 10
    assert caplog.messages[0] == "work: 10 of 100 tasks, 10 %"


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(ice.StoreError, match="no such store"):
        status.progress(tmp_path / "none.zarr")


def test_store_without_reports(store: Path) -> None:
    assert "nothing was computed" in status.progress_text(store)
    assert np.isfinite(ice.open_trajectory(store)["positions"]).all()
    assert regions.shards_done(store / "trajectory") == (1, 1)


def test_log_lines_of_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    caplog.set_level("INFO", "icedask")
    with reports.stage("work", 2) as advance:
        now[0] = 5.0
        advance(1)
        now[0] = 5.1
        advance(1)
    assert caplog.messages == ["work: 1 of 2 tasks, 50 %", "work: 2 of 2 tasks, 100 %"]
