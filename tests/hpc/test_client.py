"""Local workers: checks before their start, and the reason where they cannot start."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import icedask as ice
from icedask.errors import ComputeError, InputError
from icedask.hpc.client import check_profile


def test_a_script_without_its_guard(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text("import icedask\n\ndef work():\n    icedask.connect()\n\nwork()\n")
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert ended.stderr.count("Traceback") == 1
    last = ended.stderr.splitlines()[-1]
    assert 'expected the call under `if __name__ == "__main__":`' in last
    assert f"found line 6 of {script}" in last


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("preload='no_such_module'", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("local_directory='/proc/nothing'", "No such file or directory: '/proc/nothing'"),
    ],
)
def test_workers_that_cannot_start(setting: str, reason: str, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import icedask\n\nif __name__ == '__main__':\n"
        f"    icedask.connect(n_workers=1, {setting})\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    # The log of a worker process may have another one.
    assert "During handling" not in ended.stderr and "direct cause" not in ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert "ComputeError: the worker processes could not start: " in last
    assert reason in last and "__main__" not in last


def test_workers_log_to_the_client(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, "icedask"),
        ice.connect(n_workers=2, set_as_default=False) as client,
    ):
        futures = [client.submit(note, number, pure=False) for number in range(4)]
        assert client.gather(futures) == [os.getpid() != 0] * 4
        client.get_events("icedask-log")
    assert caplog.messages.count("starting 2 workers") == 1
    assert caplog.messages.count("seen by a worker") == 1


def note(_: int) -> bool:
    logging.getLogger("icedask").info("seen by a worker")
    return True


def test_profiles_are_checked_without_a_start(tmp_path: Path) -> None:
    for profile in ("local", "tcp://nobody:1"):
        check_profile(profile)
        with pytest.raises(InputError, match="jobs: expected it for the profile of a batch system"):
            check_profile(profile, "0:4")
    with pytest.raises(InputError, match="no such scheduler file"):
        check_profile(str(tmp_path / "scheduler.json"))
    with pytest.raises(InputError, match="profile: expected local"):
        check_profile("slrum")
    check_profile("slurm", "0:4")
    with pytest.raises(InputError, match="jobs"):
        check_profile("slurm", "many")


def test_errors_of_tasks_are_one_line(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.lammpstrj").write_text("ITEM: NOTHING\n")
    command = [sys.executable, "-m", "icedask", "ingest", "a.lammpstrj", "b.lammpstrj", "x.zarr"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.count("found 'NOTHING'") == 1
    assert "Traceback" not in ended.stderr and not (tmp_path / "x.zarr").exists()


def test_an_address_without_an_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icedask.hpc.reach.CONNECT_SECONDS", 1)
    file = tmp_path / "scheduler.json"
    file.write_text('{"address": "tcp://127.0.0.1:1"}')
    for place in ("tcp://127.0.0.1:1", str(file)):
        caplog.clear()
        with (
            caplog.at_level(logging.INFO, "icedask"),
            pytest.raises(ComputeError, match=r"at tcp://127.0.0.1:1 within 1 s .*refused"),
        ):
            ice.connect(place)
        assert caplog.messages == ["connecting to tcp://127.0.0.1:1, for up to 1 s"]
    file.write_text("{}")
    with pytest.raises(InputError, match="expected a scheduler file with an address"):
        ice.connect(str(file))
