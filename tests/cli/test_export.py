"""`icedask export`: runs by id, label or name, without workers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase.build import bulk

import icedask as ice
from icedask.cli import export as command
from icedask.cli import main


@pytest.fixture
def store(tmp_path: Path) -> Path:
    frames = [bulk("NaCl", "rocksalt", a=5.6, cubic=True) * (2, 2, 2) for _ in range(4)]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.2, seed=seed)
    path = tmp_path / "a.zarr"
    trj = ice.save(ice.from_ase(frames, frame_interval=0.5), path)
    ice.save(ice.lens(trj, r_cut=3.2), path, label="lens")
    ice.save(ice.coordination(trj, r_cut=3.2), path, label="cn")
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process, which must start no worker."""

    def no_workers(*_: object, **__: object) -> None:
        raise AssertionError("started workers")

    monkeypatch.setattr(command, "connect", no_workers)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["icedask", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_runs_as_columns(run: Any, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.extxyz"
    status, out, _ = run("export", store, "lens", "cn", "--to", path, "--where", "lens > 0.1")
    lens = ice.open_run(store, "lens")["lens"].values
    assert status == 0
    assert out.startswith(f"{path}: 3 frames, {(lens > 0.1).sum()} rows: species, pos, id, lens")
    for k, atoms in enumerate(ase.io.read(path, index=":")):
        np.testing.assert_array_equal(atoms.arrays["lens"].astype("f4"), lens[k][lens[k] > 0.1])


def test_names_ids_frames_and_json(run: Any, store: Path, tmp_path: Path) -> None:
    run_id = ice.open_run(store, "cn").attrs["run_id"]
    path = tmp_path / "a.csv"
    words = [f"neighbours={run_id}", "change=lens", "--to", path, "--frames", "1:3", "--json"]
    status, out, _ = run("export", store, *words, "--column", "change", "--column", "neighbours")
    assert status == 0
    done = json.loads(out)
    assert (done["frames"], done["rows"], done["path"]) == (2, 128, str(path))
    table = pd.read_csv(path)
    assert list(table) == done["columns"]
    expected = ice.open_run(store, "cn")["coordination"][1:3].values.ravel()
    np.testing.assert_array_equal(table["neighbours"], expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "a.pdb"], "found a.pdb"),
        (["lenz", "--to", "a.csv"], "no run 'lenz'"),
        (["a=lens", "cn", "--to", "a.csv"], "a name for each run or for none"),
        (["a=lens", "a=cn", "--to", "a.csv"], "a different NAME=RUN"),
        (["lens", "--to", "a.csv", "--where", "lens"], "compares nothing"),
        (["lens", "--to", "a.csv", "--where", "state == 1"], "no column 'state'"),
        (["lens", "--to", "a.csv", "--frames", "x"], "expected start:stop:step"),
    ],
)
def test_mistakes_are_one_line(
    run: Any, store: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(store.parent)
    status, out, err = run("export", store, *words)
    assert status != 0 and out == ""
    assert message in err and len(err.strip().splitlines()) == 1
