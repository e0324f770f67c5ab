"""The command line: what it prints, where, and its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import DEMO_DUMP

import icedask as ice
from icedask.cli import main
from icedask.descriptors import registry

INGEST = [
    "--units",
    "real",
    "--timestep",
    "10",
    "--elements",
    "O",
    "--column",
    "c_e=potential_energy",
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], client: Any) -> Any:
    """Run a command in this process, on the session's workers."""

    def call(*arguments: str, profile: bool = False) -> tuple[int, str, str]:
        extra = ["--profile", client.scheduler.address] if profile else []
        monkeypatch.setattr(sys, "argv", ["icedask", *arguments, *extra])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_from_file_to_descriptor(run: Any, tmp_path: Path) -> None:
    store = str(tmp_path / "mw.zarr")
    status, out, _ = run("ingest", str(DEMO_DUMP), store, *INGEST, "--frames", "0:3", profile=True)
    assert (status, out) == (0, f"{store}: 3 frames of 4096 atoms, 80 to 240 ps\n")
    status, out, _ = run(
        "describe", store, "coordination", "--r-cut", "3.5", "--label", "cn", "--json", profile=True
    )
    assert status == 0
    assert json.loads(out)["sizes"] == {"frame": 3, "atom": 4096}
    assert ice.open_run(store, "cn").attrs["parameters"]["r_cut"] == 3.5
    status, out, _ = run("info", store)
    assert status == 0
    assert "4096" in out
    assert "coordination-" in out
    assert ": r_cut=3.5" in out
    assert " cn " in out
    shown = json.loads(run("info", store, "--json")[1])
    assert shown["trajectory"]["elements"] == {"O": 4096}
    assert shown["trajectory"]["time_ps"] == [80.0, 240.0]
    assert shown["runs"][0]["label"] == "cn"
    assert run("remove", store, "cn")[0] == 0
    assert json.loads(run("info", store, "--json")[1])["runs"] == []


def test_lists_in_options(run: Any, tmp_path: Path, demo_store: Path) -> None:
    store = str(tmp_path / "s.zarr")
    ice.save(ice.open_trajectory(demo_store).isel(frame=slice(0, 2)), store)
    options = ["--species", "O", "--n-max", "2", "--l-max", "1", "--r-cut", "3"]
    assert run("describe", store, "soap", *options, profile=True)[0] == 0
    assert ice.list_runs(store)["name"].tolist() == ["soap"]


def test_unknown_descriptor(run: Any) -> None:
    status, _, err = run("describe", "x.zarr", "sope")
    assert status == 2
    assert "no descriptor 'sope'; did you mean soap" in err


def test_repeated_lists_are_one(run: Any, tmp_path: Path, demo_store: Path) -> None:
    store = str(tmp_path / "s.zarr")
    ice.save(ice.open_trajectory(demo_store).isel(frame=[0]), store)
    command = ["describe", store, "steinhardt", "--n-neighbors", "4"]
    assert run(*command, "--degrees", "2,3", "--degrees", "8", "--label", "a", profile=True)[0] == 0
    assert ice.open_run(store, "a")["degree"].values.tolist() == [2, 3, 8]
    assert run(*command, "--label", "b", profile=True)[0] == 0
    assert ice.open_run(store, "b")["degree"].values.tolist() == [4, 6]
    help_text = run("describe", store, "steinhardt", "--help")[1]
    assert "--degrees INTEGER,..." in help_text
    assert "[default: (4,6)]" in help_text


def test_lists_of_tuples_in_options(run: Any, tmp_path: Path, demo_store: Path) -> None:
    store = str(tmp_path / "s.zarr")
    ice.save(ice.open_trajectory(demo_store).isel(frame=slice(0, 2)), store)
    command = ["describe", store, "symmetry_functions", "--r-cut", "3.5"]
    options = ["--g2", "0.5:2.8,1:3", "--g4", "0.1:1:-1", "--label", "g"]
    assert run(*command, *options, profile=True)[0] == 0
    saved = ice.open_run(store, "g")
    assert saved["shift"].values.tolist()[:2] == [2.8, 3.0]
    assert saved["lambda"].values.tolist()[2:] == [-1.0]
    for wrong in ("0.5", "0.5:2.8:1", "0.5:far", "0.5:2.8,"):
        status, _, err = run(*command, "--g2", wrong)
        assert status == 2
        assert "expected eta:shift,..." in err


@pytest.mark.parametrize("name", sorted(registry()))
def test_every_option_is_a_flag(run: Any, name: str) -> None:
    _, out, _ = run("describe", "x.zarr", name, "--help")
    for parameter in registry()[name].parameters:
        assert f"--{parameter.name.replace('_', '-')}" in out


def test_user_mistakes_are_one_line(run: Any, tmp_path: Path) -> None:
    status, out, err = run("info", str(tmp_path / "absent.zarr"))
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "no such store" in err
    status, _, err = run(
        "ingest", str(tmp_path / "no.dump"), str(tmp_path / "s.zarr"), profile=True
    )
    assert status == 2
    assert "no such file" in err
    assert "Traceback" not in err


def test_bad_usage(run: Any, tmp_path: Path) -> None:
    for arguments in (
        ["frobnicate"],
        ["describe", str(tmp_path), "coordination"],
        ["describe", str(tmp_path), "nothing"],
        ["ingest", "a", str(tmp_path / "s"), "--pbc", "abc"],
        ["ingest", "a", str(tmp_path / "s"), "--column", "c_e"],
    ):
        status, out, err = run(*arguments)
        assert (status, out) == (2, ""), arguments
        assert "Traceback" not in err


def test_as_a_program(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "icedask", "info", str(tmp_path)], capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "expected an icedask store" in ended.stderr


def test_simulate(run: Any, tmp_path: Path) -> None:
    status, out, _ = run("simulate", "--list")
    assert status == 0
    for name in ("nucleation", "ice-phases", "ice-water", "amorphous", "metals", "cu211", "au309"):
        assert f"\n{name}: " in f"\n{out}"
    status, out, _ = run("simulate", "--list", "--json")
    assert {row["recipe"] for row in json.loads(out)} >= {"nucleation", "au309"}
    store = str(tmp_path / "au.zarr")
    options = ["au309", store, "--length", "1", "--interval", "0.5", "--seed", "4"]
    status, out, _ = run("simulate", *options, "--dump", "--json", profile=True)
    assert status == 0
    (row,) = json.loads(out)
    assert (row["replica"], row["status"], row["seed"]) == ("400K", "complete", 4)
    trj = ice.open_trajectory(store)
    assert dict(trj.sizes)["frame"] == 2 and trj["element"].values[0] == "Au"
    assert (tmp_path / "au.lammpstrj.gz").exists()
    status, out, err = run("info", store)
    assert "'seed': 4" in out
    status, out, err = run("simulate", *options[:-1], "5", profile=True)
    assert status == 1
    assert "other seed" in err and "1 of 1 replicas failed: 400K" in err
    status, _, err = run("simulate", "au309")
    assert status == 2 and "--list" in err


DUMP = """ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
1
ITEM: BOX BOUNDS pp pp pp
0 10
0 10
0 10
ITEM: ATOMS id type x y z
1 1 1 1 1
"""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--timestep", "5fs"], "expected a number alone, found '5fs' (Time step of a LAMMPS"),
        (["--timestep", "1", "--elements", "AU"], "found 'AU' (did you mean Au?)"),
        (["--timestep", "1", "--elements", "O", "--frames", "9:"], "--frames: no frame of the 1"),
        (["--timestep", "1", "--elements", "O", "--column", "q=c"], "--column: the dump has no q"),
    ],
)
def test_mistakes_name_options(run: Any, tmp_path: Path, options: list[str], message: str) -> None:
    (tmp_path / "a.lammpstrj").write_text(DUMP)
    status, _, err = run(
        *("ingest", str(tmp_path / "a.lammpstrj"), str(tmp_path / "s.zarr"), "--units", "real"),
        *options,
    )
    assert status == 2 and message in err
    assert "slice(" not in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["desribe", "x"], "no command 'desribe'; did you mean describe?"),
        (["describe", "x", "sope"], "no descriptor 'sope'; did you mean soap?"),
        (["plan", "x", "soap"], "did you mean plan x describe soap?"),
    ],
)
def test_similar_commands(run: Any, arguments: list[str], message: str) -> None:
    status, _, err = run(*arguments)
    assert status == 2 and message in err


def test_cutoffs_in_commands(run: Any, demo_store: Path) -> None:
    command = ["describe", str(demo_store), "coordination", "--r-cut"]
    status, _, err = run(*command, "35")
    assert status == 2
    assert "--r-cut 35 angstrom gives about" in err and "--max-neighbors " in err
    status, _, err = run(*command, "0.35")
    assert status == 2 and "did you mean 3.5 angstrom (0.35 nm)?" in err
