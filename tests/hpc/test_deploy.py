"""Shipped profiles, batch scripts and the test SLURM, checked without a batch system."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import dask
import pytest
import yaml

from icedask.hpc import systems as registry

DEPLOY = Path(__file__).parents[2] / "deploy"
TEST_SLURM = DEPLOY / "test-slurm"
# The class of dask-jobqueue that writes a job's script, and lines that the script must have.
# Class of dask-jobqueue, and lines of the script, of the batch systems that are tried here.
JOB_SCRIPTS = {
    "slurm": ("SLURMJob", ["#SBATCH --cpus-per-task=8", "#SBATCH --mem=32G", "-t 02:00:00"]),
    "pbs": ("PBSJob", ["select=1:ncpus=8:mem=32GB", "walltime=02:00:00"]),
    "sge": ("SGEJob", ["#$ -pe smp 8", "h_rt=02:00:00"]),
    "lsf": ("LSFJob", ["#BSUB -n 8", "#BSUB -W 02:00\n"]),
}


def section(name: str, *, every_setting: bool = False) -> dict[str, Any]:
    """Return a profile as shipped, or with all its settings in use."""
    text = (DEPLOY / f"{name}.yaml").read_text()
    if every_setting:
        # Settings follow their # at once, sentences do not. Extra lines may stand there already.
        text = re.sub(r"^( +)#(?! )", r"\1", text, flags=re.MULTILINE)
        text = re.sub(r"^( +)#  - ", r"\1  - ", text, flags=re.MULTILINE)
    sections = yaml.safe_load(text)["jobqueue"]
    assert list(sections) == [name]
    return sections[name]


def known_settings(name: str) -> dict[str, Any]:
    text = (files("dask_jobqueue") / "jobqueue.yaml").read_text()
    return yaml.safe_load(text)["jobqueue"][name]


def job_script(name: str, settings: dict[str, Any]) -> str:
    job = getattr(importlib.import_module(f"dask_jobqueue.{name}"), JOB_SCRIPTS[name][0])
    with dask.config.set({f"jobqueue.{name}": {**known_settings(name), **settings}}):
        return job("tls://10.0.0.1:8786", name="worker").job_script()


def test_every_batch_system_has_one_file() -> None:
    assert {path.stem for path in DEPLOY.glob("*.yaml")} == {*registry.SYSTEMS, "local"}


@pytest.mark.parametrize("every_setting", [False, True])
@pytest.mark.parametrize("name", JOB_SCRIPTS)
def test_profiles_have_settings_of_their_system(name: str, every_setting: bool) -> None:
    settings = section(name, every_setting=every_setting)
    assert set(settings) <= {*known_settings(name), "jobs", "resubmissions", "idle"}
    assert (settings["cores"], settings["processes"], settings["memory"]) == (8, 8, "32GiB")
    # Unquoted, YAML would make a number of it.
    assert isinstance(settings["walltime"], str)
    if every_setting:
        assert {"interface", "local-directory", "job-script-prologue", "python"} <= set(settings)
        assert {"job-directives-skip", "job-extra-directives", "log-directory"} <= set(settings)
        assert all(value not in (None, [], "") for value in settings.values())


@pytest.mark.parametrize("name", JOB_SCRIPTS)
def test_profiles_make_job_scripts(name: str, tmp_path: Path) -> None:
    plain = job_script(name, section(name))
    assert all(line in plain for line in JOB_SCRIPTS[name][1]), plain
    assert "--nworkers 8" in plain

    settings = {**section(name, every_setting=True), "log-directory": str(tmp_path / "logs")}
    edited = job_script(name, settings)
    account = settings.get("account") or settings["project"]
    added = [account, settings["queue"], *settings["job-extra-directives"]]
    assert all(text in edited for text in [*added, "--interface ib0", "module load"]), edited
    header = [line for line in edited.splitlines() if line.startswith("#")]
    skipped = settings["job-directives-skip"][0]
    assert sum(skipped in line for line in header) < sum(
        skipped in line for line in plain.splitlines() if line.startswith("#")
    )


def test_local_limits() -> None:
    assert section("local") is None
    settings = section("local", every_setting=True)
    assert set(settings) == {"n-workers", "memory-limit", "local-directory"}


@pytest.mark.parametrize("name", ["test-slurm", "inside.slurm", "inside.pbs"])
def test_scripts_are_valid_bash(name: str) -> None:
    subprocess.run(["bash", "-n", DEPLOY / name], check=True)
    text = (DEPLOY / name).read_text()
    assert "set -euo pipefail" in text
    if name.startswith("inside"):
        # A directive after the first command is ignored.
        assert re.findall(r"^#(?:SBATCH|PBS)", text.partition("set -euo")[2], re.MULTILINE) == []


def test_inside_pbs_agrees_with_its_directives() -> None:
    text = (DEPLOY / "inside.pbs").read_text()
    asked = re.search(r"ncpus=(\d+):mem=(\d+)gb", text)
    assert asked is not None
    assert f"\ncores={asked[1]}\n" in text
    assert f"\nmemory_gib={asked[2]}\n" in text


def run_test_slurm(command: str, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TEST_SLURM, *command.split()],
        env={**os.environ, "ICEDASK_SLURM_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="others than root are refused before")
@pytest.mark.parametrize("command", ["install", "configure", "start"])
def test_foreign_slurm_is_left_alone(tmp_path: Path, command: str) -> None:
    conf = tmp_path / "etc" / "slurm" / "slurm.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("ClusterName=production\n")
    done = run_test_slurm(command, tmp_path)
    assert done.returncode == 1
    assert f"{conf} was not written by this script" in done.stderr
    assert conf.read_text() == "ClusterName=production\n"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["slurm.conf"]
    assert not (tmp_path / "var").exists()


def test_slurm_usage(tmp_path: Path) -> None:
    done = run_test_slurm("", tmp_path)
    assert done.returncode == 2
    assert "usage" in done.stderr
