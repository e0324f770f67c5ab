"""Paths with spaces and other characters of shells in the scripts of jobs, run by bash."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from icedask.errors import InputError
from icedask.hpc.folders import home, make_folder
from icedask.hpc.head import make_security
from icedask.hpc.profiles import load_profile
from icedask.hpc.submit import job_script
from icedask.hpc.systems import SYSTEMS

ODD = ["with spaces", "it's", 'a $b `c` "d" & (e)', "%j 100%"]


def fake_python(folder: Path) -> Path:
    """Return a program that writes its arguments, one a line."""
    python = folder / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$(dirname "$0")/arguments"\n')
    python.chmod(0o755)
    return python


def run(script: str, folder: Path, **environment: str) -> list[str]:
    """Run a script with bash, and return the arguments that its Python got."""
    file = folder / "job.sh"
    file.write_text(script)
    names = {system.id_variable: "17" for system in SYSTEMS.values()}
    done = subprocess.run(
        ["bash", str(file)],
        env={**os.environ, **names, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return (folder / "arguments").read_text().splitlines()


@pytest.fixture(params=ODD)
def odd(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / str(request.param)
    folder.mkdir()
    monkeypatch.setenv("ICEDASK_HOME", str(folder / "home"))
    return folder


@pytest.mark.parametrize("system", SYSTEMS)
def test_workers(system: str, odd: Path) -> None:
    folder = make_folder("clusters", "one")
    profile = load_profile(system, python=str(fake_python(odd)))
    script = profile.worker_script(
        "tls://10.0.0.1:1", "one-1", folder / "logs", security=make_security(folder)
    )
    words = run(script, odd)
    for option, value in (("--tls-key", folder / "key.pem"), ("--tls-cert", folder / "ca.pem")):
        assert words[words.index(option) + 1] == str(value)
    assert words[words.index("--protocol") + 1] == "tls://"


@pytest.mark.parametrize("system", SYSTEMS)
def test_submitted_commands(system: str, odd: Path) -> None:
    folder = make_folder("submitted", "one")
    script = job_script(load_profile(system, processes=1), folder, str(fake_python(odd)))
    assert run(script, odd) == ["-m", "icedask.hpc.submit", str(folder)]
    directives = [line for line in script.splitlines() if " -o " in line]
    logs = folder / "logs"
    if SYSTEMS[system].quotes_paths and odd.name == "with spaces":
        assert f'-o "{logs}/' in directives[0] and directives[0].endswith('"')
    else:
        assert directives[0].endswith(" -o /dev/null")
        assert (logs / "icedask-17.out").exists()


def test_scratch_with_spaces_and_variables(tmp_path: Path) -> None:
    python = fake_python(tmp_path)
    for path, expected in (
        ("$PLACE/my data", "/the place/my data"),
        ("$PLACE", "/the place"),
        ("~/my data", f"{Path.home()}/my data"),
        ("'/already quoted'", "/already quoted"),
    ):
        profile = load_profile("slurm", python=str(python), local_directory=path)
        script = profile.worker_script("tcp://10.0.0.1:1", "w", tmp_path / "logs")
        words = run(script, tmp_path, PLACE="/the place", HOME=str(Path.home()))
        assert words[words.index("--local-directory") + 1] == expected


def test_a_python_of_several_words(tmp_path: Path) -> None:
    profile = load_profile("slurm", python="apptainer exec /me/icedask.sif python")
    script = profile.worker_script("tcp://10.0.0.1:1", "w", tmp_path)
    assert "\napptainer exec /me/icedask.sif python -m distributed" in script


def test_a_home_with_a_line_break_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEDASK_HOME", "/tmp/a\nb")
    with pytest.raises(InputError, match="path without line breaks"):
        make_folder("clusters", "one")
    assert not home().exists()
