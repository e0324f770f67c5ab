"""Commands of clusters: checks of a submitted command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk

import icedask as ice
from icedask.cli import main

_DESCRIBE = ("describe", "run.zarr", "coordination", "--r-cut", "3.5")


@pytest.fixture
def submitted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> list[tuple[list[str], str, dict[str, Any]]]:
    """Commands that are passed on to the batch system."""
    calls: list[tuple[list[str], str, dict[str, Any]]] = []

    def submit(command: Any, profile: str, **settings: Any) -> str:
        calls.append((list(command), profile, settings))
        return "17"

    monkeypatch.setattr("icedask.hpc.submit.submit", submit)
    # Of commands that read a store.
    ice.save(ice.from_ase(bulk("Cu", cubic=True)), tmp_path / "run.zarr")
    monkeypatch.chdir(tmp_path)
    return calls


def submit(monkeypatch: pytest.MonkeyPatch, *command: str) -> int:
    arguments = ["icedask", "submit", "--profile", "slurm", "--set", "queue=short", "--", *command]
    monkeypatch.setattr(sys, "argv", arguments)
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize(
    ("command", "added", "local"),
    [
        (_DESCRIBE, ["--profile", "slurm"], False),
        ((*_DESCRIBE, "--profile", "local"), [], True),
        ((*_DESCRIBE, "--profile=other"), [], False),
        (("info", "run.zarr"), [], False),
    ],
)
def test_submitted_command(
    command: tuple[str, ...],
    added: list[str],
    local: bool,
    submitted: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert submit(monkeypatch, *command) == 0
    settings = {"local": local, "resubmissions": 20, "queue": "short"}
    assert submitted == [([*command, *added], "slurm", settings)]
    assert capsys.readouterr().out == "17\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("desribe", "run.zarr"), "expected a command of icedask"),
        (("submit", "info"), "expected a command of icedask"),
        (("describe", "run.zarr", "soap", "--nonsense", "3"), "No such option"),
        (("describe", "run.zarr", "coordination"), "Missing option '--r-cut'"),
        (("describe", "run.zarr", "nothing"), "no descriptor 'nothing'"),
        (("demo", "--help"), "found --help"),
    ],
)
def test_bad_commands_are_not_submitted(
    command: tuple[str, ...],
    message: str,
    submitted: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert submit(monkeypatch, *command) == 2
    assert message in capsys.readouterr().err
    assert not submitted
