"""Clusters, their jobs and submitted commands, on a batch system of this machine."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pandas as pd
import pytest
import xarray as xr
from click.testing import CliRunner
from helpers.jobs import SMALL, traced, wait_until

import icedask as ice
from icedask.cli.program import cli
from icedask.errors import ComputeError, InputError
from icedask.hpc.check import check_cluster
from icedask.hpc.cluster import clusters, stop
from icedask.hpc.submit import jobs, submit

pytestmark = pytest.mark.usefixtures("fake_slurm")


def test_jobs_of_a_cluster(tmp_path: Path) -> None:
    with ice.connect("slurm", jobs=1, **SMALL) as client:
        assert client.submit(traced, 3, 0.0, str(tmp_path)).result() == 9
        assert client.scheduler.address.startswith("tls://")
        table = client.jobs.status()
        assert table["workers"].tolist() == [1] and table["state"].tolist() == ["working"]
        job = table.index[0]
        assert re.fullmatch(
            rf"\d{{4}}(-\d\d){{2}} [\d:]{{8}} job {job} submitted", client.jobs.events()[0]
        )
        assert client.jobs.tunnel().startswith("ssh -N -L 8787:127.0.0.1:")
        with urlopen(client.dashboard_link, timeout=30) as page:
            assert page.status == 200
        with pytest.raises(InputError, match="jobs: expected"):
            client.jobs.scale(0)
        folder = client.jobs.folder
    assert not len(clusters())
    assert not folder.exists()
    wait_until(lambda: not Path(f"/proc/{job}/cwd").exists())


def test_logs_are_kept_after_an_error() -> None:
    with (
        pytest.raises(RuntimeError, match="of the user"),
        ice.connect("slurm", jobs=1, **SMALL) as client,
    ):
        client.wait_for_workers(1, timeout=60)
        raise RuntimeError("of the user")
    assert list((client.jobs.folder / "logs").iterdir())
    assert not (client.jobs.folder / "key.pem").exists()


def test_cluster_with_a_name(tmp_path: Path) -> None:
    first = ice.connect("slurm", name="mine", jobs=(0, 1), **SMALL)
    address = first.scheduler.address
    first.close()
    assert clusters()["alive"].to_dict() == {"mine": True}
    with ice.connect("slurm", name="mine", jobs=(0, 2)) as second:
        assert second.scheduler.address == address
        assert tuple(second.jobs.ask("status")["limits"]) == (0, 2)
    with pytest.raises(InputError, match="'mine', which runs with the profile 'slurm'"):
        ice.connect("pbs", name="mine")
    with pytest.raises(InputError, match="expected it for the profile of a batch system only"):
        ice.connect("mine", jobs=1)
    stop("mine")
    assert not len(clusters())
    with pytest.raises(InputError, match="no cluster 'mine' runs; there are none"):
        stop("mine")


def test_check_of_a_profile(tmp_path: Path) -> None:
    findings = {finding.name: finding for finding in check_cluster("slurm", tmp_path, **SMALL)}
    assert list(findings) == [
        *("profile", "commands", "job", "queue", "prologue", "worker"),
        *("encryption", "versions", "scratch", "shared disk", "end"),
    ]
    assert [name for name, finding in findings.items() if not finding.good] == []
    assert os.uname().nodename in findings["worker"].details
    (refused,) = check_cluster("slurm", tmp_path, cores="two")
    assert not refused.good and "cores: expected a whole number" in refused.details


@pytest.mark.parametrize(
    ("setting", "asked"),
    [
        ({"cores": 99}, "99 cores"),
        ({"memory": "600GiB"}, "1 cores, 614900 MB"),
        ({"walltime": "48:00:00"}, "1 cores, 1200 MB, walltime 48 h, the default queue"),
        ({"cores": 200, "queue": "large"}, "200 cores, .* h, queue large"),
        ({"job_extra_directives": ["-c 99"]}, "99 cores"),
        ({"job_extra_directives": ["--mem=1T"]}, "1 cores, 1048576 MB"),
    ],
)
def test_a_job_that_no_node_can_run_is_refused(setting: dict[str, Any], asked: str) -> None:
    message = (
        rf"no node of its queue has what it asks for: {asked}.*; the nodes have 64 cores and "
        r"400000 MB \(2 in debug, up to 1-00:00:00\), 128 cores .*; change .* of the profile"
    )
    with pytest.raises(ComputeError, match=message):
        submit(["info", "no.zarr"], "slurm", **{**SMALL, **setting})
    assert not len(jobs())


def test_workers_that_no_node_can_run_are_refused() -> None:
    """Also where the first job is submitted later."""
    for number in (1, (0, 1)):
        with pytest.raises(ComputeError, match=r"no node of its queue has .*: 99 cores"):
            ice.connect("slurm", jobs=number, **{**SMALL, "processes": 1, "cores": 99})
    assert not len(clusters())


def test_a_job_that_some_node_can_run(tmp_path: Path) -> None:
    setting = {"cores": 99, "processes": 1, "walltime": "48:00:00", "queue": "large"}
    with ice.connect("slurm", jobs=(0, 1), **{**SMALL, **setting}) as client:
        assert not len(client.jobs.status())


def test_submitted_command(mw: xr.Dataset, tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    ice.save(ice.select(mw, "index 0:99"), store)
    command = ["describe", str(store), "coordination", "--r-cut", "3.5", "--label", "a 'b' $c"]
    local = {**SMALL, "local": True}
    job = submit([*command, "--profile", "local"], "slurm", **local)
    submit(["info", str(tmp_path / "no.zarr")], "slurm", **local)
    wait_until(lambda: jobs()["state"].isin(("complete", "failed", "lost")).all(), 180)
    (failed,) = set(jobs().index) - {job}
    assert jobs()["state"].to_dict() == {job: "complete", failed: "failed"}
    assert "no such store" in jobs().loc[failed, "reason"]
    assert ice.open_run(store, "a 'b' $c").attrs["status"] == "complete"


def test_reasons_of_submitted_commands_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "icedask: " + "a long reason " * 40 + "its end\nand a second line"
    row = {"state": "failed", "reason": reason, "command": "describe x.zarr soap", "log": "logs"}
    table = pd.DataFrame([row, {**row, "reason": ""}], index=pd.Index(["7", "8"], name="job"))
    monkeypatch.setattr("icedask.hpc.submit.jobs", table.copy)
    monkeypatch.setattr("icedask.cli.cluster.submitted", lambda: True)
    shown = CliRunner().invoke(cli, ["jobs"]).output
    assert f"7: {reason}".replace("\n", "\n  ") in shown and "8: " not in shown
    (first, _) = json.loads(CliRunner().invoke(cli, ["jobs", "--json"]).output)
    assert first["reason"] == reason


def test_home_with_spaces(mw: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of workers, and a submitted command on a store, below a folder with spaces."""
    folder = tmp_path / "my own folder"
    folder.mkdir()
    monkeypatch.setenv("ICEDASK_HOME", str(folder / "home"))
    store = folder / "my run.zarr"
    ice.save(ice.select(mw, "index 0:99"), store)
    with ice.connect("slurm", jobs=1, local_directory=str(folder), **SMALL) as client:
        assert client.submit(traced, 3, 0.0, str(tmp_path)).result() == 9
    command = ["describe", str(store), "coordination", "--r-cut", "3.5", "--profile", "local"]
    submit(command, "slurm", local=True, **SMALL)
    wait_until(lambda: jobs()["state"].isin(("complete", "failed", "lost")).all(), 180)
    assert jobs()["state"].tolist() == ["complete"], jobs()["reason"].tolist()


def test_a_command_without_its_store_is_refused(tmp_path: Path) -> None:
    words = ["submit", "--profile", "slurm", "--"]
    for command in (["describe", str(tmp_path / "no.zarr"), "lens"], ["info", "no.zarr"]):
        result = CliRunner().invoke(cli, [*words, *command])
        assert isinstance(result.exception, InputError), result.exception
        assert "submit: expected a store, found none at" in str(result.exception)
    assert not len(jobs())
