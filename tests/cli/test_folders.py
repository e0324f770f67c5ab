"""Commands of folders of stores: each member, what failed, nothing done twice."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk

import icedask as ice
from icedask.cli import common, main

SIZES = {"Ag-2": 1, "Ag-10": 2, "Cu": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three stores, two of them with a label."""
    members = {}
    for number, (name, frames) in enumerate(SIZES.items()):
        images = [bulk(name[:2], cubic=True) * (1 + number, 1, 1) for _ in range(frames)]
        for seed, atoms in enumerate(images):
            atoms.rattle(0.05, seed=10 * number + seed)
        members[name] = ice.from_ase(images)
    for name in ("Ag-2", "Ag-10"):
        members[name] = members[name].assign_attrs(labels={"phase": "silver"})
    ice.save(ice.Collection(members), tmp_path / "stores")
    return tmp_path / "stores"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run a command in this process, with threads in place of workers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common, "connect", lambda *args, **options: nullcontext())

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["icedask", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def damage(store: Path) -> None:
    """Change a byte in the middle of the positions."""
    for path in (store / "trajectory" / "positions" / "c").rglob("*"):
        if path.is_file():
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 255
            path.write_bytes(content)


def test_describe_and_info(run: Any, folder: Path) -> None:
    command = ("describe", folder, "coordination", "--r-cut", "3", "--label", "cn")
    status, out, _ = run(*command)
    assert status == 0
    assert [line.split(": ")[0] for line in out.splitlines()] == ["Ag-2", "Ag-10", "Cu"]
    runs = {name: ice.open_run(folder / f"{name}.zarr", "cn") for name in SIZES}
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    status, out, _ = run(*command, "--json")
    written = json.loads(out)
    assert status == 0 and written["failed"] == {}
    assert {n: each["run_id"] for n, each in written["members"].items()} == {
        name: ds.attrs["run_id"] for name, ds in runs.items()
    }
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    run("describe", folder / "Cu.zarr", "voronoi")
    (folder / "Ag-2.zarr" / "zarr.json").write_text("{}")
    status, out, _ = run("info", folder)
    assert status == 0
    for text in ("3 members", "silver", "damaged", "Ag-2.zarr", "2 of 3", "Ag-2, Ag-10", "r_cut=3"):
        assert text in out
    shown = json.loads(run("info", folder, "--json")[1])
    assert shown["members"]["Ag-10"]["labels"] == {"phase": "silver"}
    assert list(shown["failed"]) == ["Ag-2"]
    assert shown["runs"][0]["label"] == "cn"
    assert shown["runs"][0]["without"] == ["Ag-2"]


def test_a_member_that_fails(run: Any, folder: Path) -> None:
    damage(folder / "Ag-10.zarr")
    command = ("describe", folder, "coordination", "--r-cut", "3")
    for _ in range(2):
        status, out, err = run(*command)
        assert status == 1
        assert [line.split(": ")[0] for line in out.splitlines()] == ["Ag-2", "Cu"]
        last = err.splitlines()[-1]
        assert last.startswith("icedask: 1 of 3 members failed (Ag-10), the others are done;")
    again = json.loads(run(*command, "--json")[1])
    assert "Ag-10.zarr" in again["failed"]["Ag-10"]
    status, out, _ = run("verify", folder)
    assert status == 1
    assert "1 missing or damaged" in out and out.count("all as it was written") == 3
    verified = json.loads(run("verify", folder, "--json")[1])["members"]
    assert [name for name, each in verified.items() if each["damage"]] == ["Ag-10"]
    assert list(ice.verify(ice.open_collection(folder))) == [*SIZES, "collection"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("describe FOLDER coordination --r-cut 0", "above 0"),
        ("describe FOLDER chill_plus", "defined for water"),
        ("plan FOLDER describe coordination --r-cut 3 --workers 2", "Cu.zarr: all have together"),
        ("ingest x.xyz FOLDER --units metal", "found a folder of them; give the path"),
        ("remove FOLDER nothing", "no run 'nothing'"),
        ("export FOLDER --to out.csv", "expected one star for the names of members"),
        ("export FOLDER cn --to *.csv", "no run 'cn'"),
        ("run phases FOLDER", "expected atoms of O, as the phases have, found"),
        ("run motifs FOLDER --labels none.csv", "matches no atom; elements here"),
        ("run structure-dynamics FOLDER --preset cu211 --r-cut 70", "did you mean 7?"),
        ("run phases FOLDER/Cu.zarr --labels x.csv", "expected a folder of stores, found one"),
    ],
)
def test_refused_early(command: str, message: str, run: Any, folder: Path) -> None:
    status, _, err = run(*command.replace("FOLDER", str(folder)).split())
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_export_watch_and_remove(run: Any, folder: Path, tmp_path: Path) -> None:
    run("describe", folder / "Cu.zarr", "coordination", "--r-cut", "3", "--label", "cn")
    status, out, err = run("export", folder, "cn", "--to", tmp_path / "atoms-*.csv")
    assert status == 1
    assert "2 of 3 members failed (Ag-2, Ag-10)" in err
    assert "atoms-Cu.csv: 3 frames, 36 rows" in out
    assert run("export", folder, "--to", tmp_path / "*.extxyz")[0] == 0
    assert sorted(path.stem for path in tmp_path.glob("*.extxyz")) == sorted(SIZES)
    run("describe", folder, "coordination", "--r-cut", "3", "--label", "cn")
    _, out, _ = run("watch", folder)
    assert "collection\nsave: complete" in out
    assert "collection" in json.loads(run("watch", folder, "--json")[1])
    assert ice.progress(ice.open_collection(folder))["Cu"]["unfinished"] == []
    runs = ice.list_runs(ice.open_collection(folder))
    assert runs.index.get_level_values("member").tolist() == list(SIZES)
    assert run("remove", folder, "cn") == (0, "".join(f"{n}: removed cn\n" for n in SIZES), "")
    assert ice.list_runs(ice.open_collection(folder)).empty
