"""What a killed writer leaves, stores that cannot be written to, names and links in a store."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from click.testing import CliRunner
from helpers.killing import run

import icedask as ice
from icedask.cli.program import cli
from icedask.core.lineage import check_ancestors, check_lineage
from icedask.core.provenance import record_of, stamped
from icedask.core.text import printable
from icedask.errors import InputError, StoreError
from icedask.store.arrays import group_attrs, update_attrs
from icedask.store.lock import locked
from icedask.store.run_writing import as_written, begin_run

_CONTEXT = multiprocessing.get_context("fork")
_OTHER_USER = 65534


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "cu.zarr"
    ice.save(ice.from_ase(bulk("Cu", cubic=True) * (2, 2, 2)), path)
    return path


def cn(store: Path, r_cut: float = 3.0) -> xr.Dataset:
    return ice.coordination(ice.open_trajectory(store), r_cut=r_cut)


def remove(store: Path) -> None:
    ice.remove_run(store, "cn")


def save(store: Path) -> None:
    ice.save(cn(store), store, label="cn")


def leftovers(store: Path) -> list[str]:
    paths = [path for path in store.rglob("*") if path.is_file()]
    hidden = [path for path in paths if "/." in str(path.relative_to(store.parent))]
    known = (".lock", ".labels", ".progress")
    return [
        str(path)
        for path in paths
        if path.name.endswith(".partial")
        or (path in hidden and path.relative_to(store).parts[0] not in known)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("action", [save, remove])
def test_the_next_writer_sweeps(
    store: Path, tmp_path: Path, action: Callable[[Path], None]
) -> None:
    if action is remove:
        save(store)
    whole = tmp_path / "whole.zarr"
    shutil.copytree(store, whole)
    _, changes = run(action, whole)
    assert changes >= 2
    # The first and the last changes, and some between.
    for moment in sorted({*np.linspace(1, changes, 12).astype(int).tolist(), 2, changes - 1}):
        copy = tmp_path / f"{moment}.zarr"
        shutil.copytree(store, copy)
        assert run(action, copy, kill_at=moment)[0] == -signal.SIGKILL
        runs = ice.list_runs(copy)
        assert set(runs["status"]) <= {"complete", "interrupted"}
        for run_id in runs.index[runs["status"] == "complete"]:
            assert ice.open_run(copy, run_id)["coordination"].notnull().all()
        ice.save(cn(copy, 2.7), copy)
        assert not leftovers(copy), moment
        save(copy)
        assert ice.open_run(copy, "cn").attrs["label"] == "cn"
        shutil.rmtree(copy)


def remove_and_die(store: Path, at: int) -> None:
    """Remove a run, and be killed before the n-th of its files is deleted."""
    unlink, count = os.unlink, 0

    def struck(*args: Any, **kwargs: Any) -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        unlink(*args, **kwargs)

    os.unlink = struck
    remove(store)


@pytest.mark.parametrize("at", [1, 2, 3, 5, 8])
def test_a_removal_that_is_killed_leaves_no_half(store: Path, at: int) -> None:
    save(store)
    process = _CONTEXT.Process(target=remove_and_die, args=(store, at))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    for run_id in ice.list_runs(store).index:
        assert ice.open_run(store, run_id)["coordination"].notnull().all()
    ice.save(cn(store, 2.7), store)
    assert not leftovers(store)
    # Computed again, and without the label that it had.
    again = ice.save(cn(store), store)
    assert "label" not in again.attrs or len(ice.list_runs(store)) == 2


def begin_and_die(store: Path) -> None:
    lazy = cn(store)
    with locked(store, [lazy.attrs["run_id"]]):
        begin_run(as_written(lazy), record_of(lazy), store, None)
        run = next(store.glob("descriptors/coordination/[!.]*"))
        (run / "coordination" / "c").mkdir()
        (run / "coordination" / "c" / "0.1234.partial").write_bytes(bytes(100))
        os.kill(os.getpid(), signal.SIGKILL)


def test_partial_files_of_an_interrupted_run_are_swept_by_another_writer(store: Path) -> None:
    process = _CONTEXT.Process(target=begin_and_die, args=(store,))
    process.start()
    process.join()
    assert len(leftovers(store)) == 1
    ice.save(cn(store, 2.7), store)
    assert not leftovers(store)
    assert sorted(ice.list_runs(store)["status"]) == ["complete", "interrupted"]


def as_other_user(function: Callable[[], None]) -> None:
    """Call a function as a user who may not write."""

    def child() -> None:
        os.setgroups([])
        os.setgid(_OTHER_USER)
        os.setuid(_OTHER_USER)
        function()

    process = _CONTEXT.Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0


@pytest.fixture
def read_only(store: Path) -> Path:
    if os.getuid():
        pytest.skip("only root can become another user")
    save(store)
    for folder in store.parents:
        if folder.stat().st_uid == 0 and folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o755)
    return store


def test_what_is_complete_opens_in_a_read_only_store(read_only: Path) -> None:
    trj = ice.from_ase(bulk("Cu", cubic=True) * (2, 2, 2))
    before = sorted(read_only.rglob("*"))

    def opens() -> None:
        save(read_only)
        ice.save(trj, read_only)
        ice.open_run(read_only, "cn")
        assert ice.progress(read_only)["unfinished"] == []
        options = ["coordination", "--r-cut", "3"]
        result = CliRunner().invoke(cli, ["describe", str(read_only), *options])
        assert result.exit_code == 0, result.output

    # The other user may not be able to read modules that are not imported yet.
    opens()
    as_other_user(opens)
    assert sorted(read_only.rglob("*")) == before


def test_what_must_be_written_to_a_read_only_store_is_an_error(read_only: Path) -> None:
    def fails() -> None:
        for action in (
            lambda: ice.save(cn(read_only, 2.7), read_only),
            lambda: ice.save(cn(read_only), read_only, label="other"),
            lambda: ice.remove_run(read_only, "cn"),
            lambda: ice.save(cn(read_only), read_only.with_name("new.zarr")),
            lambda: ice.hold(read_only).__enter__(),
        ):
            with pytest.raises(StoreError, match=r"zarr: .*\(Permission denied"):
                action()

    as_other_user(fails)


def test_complete_results_open_while_another_process_writes(store: Path) -> None:
    save(store)
    ready, release = _CONTEXT.Event(), _CONTEXT.Event()

    def hold() -> None:
        with ice.hold(store):
            ready.set()
            release.wait(30)

    process = _CONTEXT.Process(target=hold)
    process.start()
    assert ready.wait(30)
    save(store)
    with pytest.raises(StoreError, match="another process is writing"):
        ice.save(cn(store, 2.7), store)
    release.set()
    process.join()


def test_a_store_is_held_between_two_saves(store: Path) -> None:
    with ice.hold(store, work="two results"):
        save(store)

        def other() -> None:
            with pytest.raises(StoreError, match="two results"):
                ice.save(cn(store, 2.7), store)

        process = _CONTEXT.Process(target=other)
        process.start()
        process.join()
        assert process.exitcode == 0
        ice.save(cn(store, 2.6), store)
    assert len(ice.list_runs(store)) == 2


def test_a_held_path_without_store_is_given_back(tmp_path: Path) -> None:
    with ice.hold(tmp_path / "new.zarr"):
        pass
    assert not (tmp_path / "new.zarr").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"group": "../outside"},
        {"group": "/tmp"},
        {"function": "../../x"},
        {"function": "a/b"},
        {"function": "\x1b[31m"},
        {"group": 5},
    ],
)
def test_names_do_not_lead_out_of_the_store(store: Path, changes: dict[str, Any]) -> None:
    save(store)
    lazy = cn(store, 2.7)
    before = sorted(store.parent.rglob("*"))
    with pytest.raises(StoreError, match="expected a run in descriptors, models, results"):
        ice.save(lazy.assign_attrs(changes), store)
    assert sorted(store.parent.rglob("*")) == before
    run_id = ice.list_runs(store).index[0]
    update_attrs(store / "descriptors" / "coordination" / run_id, changes)
    assert ice.list_runs(store)["status"].tolist() == ["damaged"]
    for action in (ice.open_run, ice.remove_run):
        with pytest.raises(
            StoreError, match=r"the attributes are not those of a run|those of another"
        ):
            action(store, run_id)


@pytest.mark.parametrize("name", ["../../x", "a/b", "..", ".x", "zarr.json", "a\x1b"])
def test_names_of_variables(store: Path, name: str) -> None:
    lazy = cn(store, 2.7)
    renamed = stamped(lazy.rename(coordination=name), record_of(lazy))
    with pytest.raises(StoreError, match="expected a name of a variable"):
        ice.save(renamed, store)
    trj = ice.from_ase(bulk("Cu", cubic=True)).assign_coords({name: ("atom", [1, 2, 3, 4])})
    with pytest.raises((StoreError, InputError)):
        ice.save(trj, store.with_name("other.zarr"))
    assert {path.name for path in store.parent.iterdir()} <= {"cu.zarr", "other.zarr"}


@pytest.mark.parametrize(
    "place",
    [
        "descriptors",
        "descriptors/coordination",
        ".progress",
        ".partial",
        ".labels",
        ".lock",
        "zarr.json.partial",
    ],
)
def test_links_that_lead_out_are_not_followed(store: Path, place: str) -> None:
    outside = store.parent / "outside"
    outside.mkdir()
    target = outside
    if place.endswith((".lock", "json.partial")):
        target = outside / "file"
        target.write_text("precious")
    link = store / place
    link.parent.mkdir(exist_ok=True)
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    with pytest.raises(StoreError):
        ice.save(cn(store), store, label="cn")
    assert [path.name for path in outside.iterdir()] == (["file"] if target != outside else [])
    assert target == outside or target.read_text() == "precious"


def test_removing_does_not_follow_links(store: Path) -> None:
    save(store)
    run_id = ice.list_runs(store).index[0]
    run, outside = store / "descriptors" / "coordination" / run_id, store.parent / "outside"
    shutil.move(run / "coordination", outside)
    (run / "coordination").symlink_to(outside)
    with pytest.raises(StoreError, match="a link that leads out of it"):
        ice.remove_run(store, run_id)
    assert (outside / "zarr.json").exists() and run.exists()


def test_labels_have_no_control_characters(store: Path) -> None:
    for label in ("\x1b[2J", "a\nb", "\u202e", "\ud800", " "):
        with pytest.raises(InputError, match="label: expected a name without control characters"):
            ice.save(cn(store), store, label=label)
    save(store)
    assert ice.save(cn(store), store, label="größe 1 µm 水").attrs["label"] == "größe 1 µm 水"


def test_terminal(store: Path) -> None:
    assert printable("a\x1b[31mé\u202e\x9b\n") == "a\\x1b[31mé\\u202e\\x9b\\n"
    assert printable("a\n\tb", lines=True) == "a\n\tb"
    save(store)
    file = next((store / ".labels").glob("label-*"))
    path = json.loads(file.read_text())["run"]
    update_attrs(store, {"labels": {"\x1b]0;x\x07": path}})
    update_attrs(store / path, {"parameters": {"\x1b[2J": "\x9b"}})
    update_attrs(store / "trajectory", {"source": "\x1b[31m", "labels": {"\x1b": "\x07"}})
    (store / ".progress").mkdir(exist_ok=True)
    report = {
        **dict.fromkeys(("id", "what", "host", "error"), "\x1b[31m"),
        "pid": 1,
        "job": "\x1b",
        "started": 0,
        "updated": 9e9,
        "state": "failed",
        "stages": [{"description": "\x1b", "done": 1, "total": 1, "rate": None}],
    }
    (store / ".progress" / "x.json").write_text(json.dumps(report))
    for command in (["info"], ["watch"]):
        result = CliRunner().invoke(cli, [*command, str(store)])
        assert result.exit_code == 0, result.output
        assert not {character for character in result.output if character < " "} - {"\n"}
        assert "\\x1b" in result.output and "\x9b" not in result.output
    with pytest.raises(ice.NotFoundError) as caught:
        ice.open_run(store, "\x1b[31m")
    assert "\x1b" not in str(caught.value)


def test_loops_in_a_lineage(store: Path) -> None:
    save(store)
    ice.save(cn(store, 2.7), store)
    first, second = ice.list_runs(store).index
    with pytest.raises(StoreError, match="expected a lineage without loop"):
        check_lineage(first, [second], {second: {"parents": [first]}})
    with pytest.raises(StoreError, match="expected a lineage without loop"):
        check_ancestors(first, {first: [first]})
    with pytest.raises(StoreError, match="expected the run ids of its parents"):
        check_ancestors(first, {first: ["../x"]})
    chain = {f"a-{number:08x}": [f"a-{number + 1:08x}"] for number in range(20000)}
    assert len(check_ancestors("a-00000000", chain)) == 20000
    for run_id, parent in ((first, second), (second, first)):
        update_attrs(store / "descriptors" / "coordination" / run_id, {"parents": [parent]})
    assert group_attrs(store / "descriptors" / "coordination" / first)["parents"] == [second]
    with pytest.raises(StoreError, match="those of another"):
        ice.remove_run(store, first)
