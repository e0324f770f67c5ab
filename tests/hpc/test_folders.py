"""Private folders: which are made, which are deleted, and which are never touched."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from icedask.errors import InputError
from icedask.hpc import submit as submit_module
from icedask.hpc.cluster import sweep_clusters
from icedask.hpc.folders import CONNECTION, MARKER, home, is_own, make_folder, unused_name
from icedask.hpc.systems import SYSTEMS, Queued

_OLD = time.time() - 40 * 86400


def age(folder: Path) -> Path:
    """Make a folder and all that is in it forty days old."""
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (_OLD, _OLD), follow_symlinks=False)
    return folder


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    gold = home() / "clusters" / "gold-55"
    gold.mkdir(parents=True)
    (gold / "gold.xyz").write_text("55")
    for path in (home() / "clusters", gold):
        path.chmod(0o755)
    # Links to folders of icedask, and a copy and a renamed one, which somebody wanted to keep.
    made = make_folder("clusters", "made")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(made, elsewhere)
    (home() / "clusters" / "link").symlink_to(elsewhere)
    shutil.copytree(made, home() / "clusters" / "kept")
    linked = home() / "clusters" / "linked-marker"
    linked.mkdir()
    (linked / MARKER).symlink_to(made / MARKER)
    (made / "store").symlink_to(gold)
    for path in (gold, elsewhere, home() / "clusters" / "kept", linked, made):
        age(path)
    sweep_clusters()
    assert sorted(path.name for path in (home() / "clusters").iterdir()) == [
        *("gold-55", "kept", "link", "linked-marker")
    ]
    assert (gold / "gold.xyz").read_text() == "55" and elsewhere.is_dir()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (home() / "clusters", gold)}
    assert modes == {0o755}
    with pytest.raises(InputError, match="gold-55: expected a folder that icedask made"):
        make_folder("clusters", "gold-55")
    with pytest.raises(InputError, match="link: expected a folder that icedask made"):
        make_folder("clusters", "link")


def test_running_clusters_and_recent_logs_stay() -> None:
    running, recent = make_folder("clusters", "running"), make_folder("clusters", "recent")
    values = {"host": os.uname().nodename, "pid": os.getpid()}
    (running / CONNECTION).write_text(json.dumps(values))
    age(running)
    age(recent)
    (recent / "logs" / "job.out").write_text("an hour ago")
    sweep_clusters()
    assert is_own(running) and is_own(recent)


def test_keys_of_a_killed_scheduler_are_deleted() -> None:
    folder = make_folder("clusters", "killed")
    (folder / "key.pem").write_text("key")
    values = {"host": os.uname().nodename, "pid": 2**22 - 1}
    (folder / CONNECTION).write_text(json.dumps(values))
    sweep_clusters()
    assert not (folder / "key.pem").exists() and (folder / CONNECTION).exists()


@pytest.mark.parametrize(
    ("state", "queue", "stays"),
    [
        ("submitted", {"7": Queued("pending")}, True),
        ("submitted", None, True),
        ("submitted", {}, False),
        ("running", {"7": Queued("running")}, True),
        ("complete", {}, False),
        ("failed", None, False),
    ],
)
def test_a_command_that_waits_keeps_its_folder(
    state: str, queue: dict[str, Queued] | None, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder("submitted", "command")
    (folder / submit_module.COMMAND).write_text(json.dumps({"profile": {"system": "slurm"}}))
    (folder / submit_module.IDS).write_text("7\n")
    if state != "submitted":
        (folder / submit_module.STATE).write_text(json.dumps({"state": state}))
    age(folder)
    monkeypatch.setattr(type(SYSTEMS["slurm"]), "queue", lambda self: queue)
    submit_module.sweep_commands()
    assert folder.exists() == stays


def test_names_of_clusters_without_one() -> None:
    assert unused_name("my profile.v2").startswith("my-profile-v2-")
    assert unused_name("...").startswith("jobs-")
