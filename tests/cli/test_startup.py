"""Start of the command line: imports, and the start of workers."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from ase.build import bulk

import icedask as ice
from icedask.cli import common, main
from icedask.cli.program import _COMMANDS, cli

_LOADED = """
import json, sys
from icedask.cli import main
sys.argv = ["icedask", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    status = end.code or 0
else:
    status = 0
loaded = [name for name, module in sys.modules.items() if type(module).__name__ == "module"]
print(json.dumps([status, loaded]), file=sys.stderr)
"""


def loaded_by(*arguments: str) -> tuple[int, set[str], str]:
    """Return the exit status of a command, the modules that it loaded, and its messages."""
    ended = subprocess.run(
        [sys.executable, "-c", _LOADED, *arguments], capture_output=True, text=True, check=True
    )
    *messages, last = ended.stderr.splitlines()
    status, loaded = json.loads(last)
    return status, set(loaded), "\n".join(messages)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "cu.zarr"
    ice.save(ice.from_ase([bulk("Cu", cubic=True) * (3, 3, 3)] * 2), path)
    return path


def test_help_imports_no_command() -> None:
    status, loaded, _ = loaded_by("--help")
    assert status == 0
    assert not loaded & {"numpy", "dask", "icedask.cli.stores", "icedask.store.runs"}


def test_the_list_has_the_commands() -> None:
    context = click.Context(cli)
    for name, entry in _COMMANDS.items():
        assert isinstance(cli.get_command(context, name), click.Command)
        assert entry.summary[0].isupper() and entry.summary.endswith(".")
    assert cli.get_command(context, "nothing") is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ingest", "nofile", "x.zarr", "--units", "real", "--timestep", "10"], "no such file"),
        (["info", "nostore"], "no such store"),
        (["describe", "nostore", "coordination", "--r-cut", "3"], "no such store"),
        (["describe", "nostore", "coordination", "--r-cut", "3", "--profile", "x"], "profile"),
    ],
)
def test_mistakes_wait_for_no_import(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, loaded, text = loaded_by(*arguments)
    assert status == 2 and message in text and "\n" not in text
    assert not loaded & {"dask.array", "distributed", "pandas", "scipy.stats", "xarray", "zarr"}


def test_info_needs_neither_dask_nor_pandas(store: Path) -> None:
    status, loaded, _ = loaded_by("info", str(store))
    assert status == 0
    assert not loaded & {"dask.array", "distributed", "pandas", "xarray"}


_DUMP = """ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
1
ITEM: BOX BOUNDS pp pp pp
0 4
0 4
0 4
ITEM: ATOMS id type x y z
1 1 0 0 0
"""

# What reads frames, computes, selects or learns: half a second to two seconds each.
_HEAVY = {
    *("MDAnalysis", "dask.array", "distributed", "matplotlib", "numba", "pandas"),
    *("scipy.linalg", "scipy.stats", "sklearn", "torch", "umap", "xarray"),
}


_COMMANDS_WITHOUT_WORK: list[tuple[str, str | None]] = [
    ("describe STORE coordination --r-cut 3.2", None),
    ("describe STORE coordination --r-cut 3.2 --label cn --json", None),
    ("describe STORE coordination --r-cut 0", "expected a number angstrom above 0"),
    ("describe STORE coordination --r-cut 60", "did you mean 6?"),
    ("describe STORE coordination --r-cut 3 --species O", "found O"),
    ("describe STORE coordination --r-cut 3 --centers 'element O'", "matches no atom"),
    ("describe STORE coordination --r-cut 3 --precision 30", "1 to 23 bits"),
    ("describe STORE chill_plus", "defined for water"),
    ("describe STORE lens --r-cut 3 --delay 20", "needs at least 21 frames"),
    ("describe STORE steinhardt --r-cut 90", "did you mean 9?"),
    ("describe STORE bispectrum --r-cut 90", "did you mean 9?"),
    ("describe STORE soap --r-cut 90", "did you mean 9?"),
    ("describe STORE symmetry_functions --r-cut 4", "expected at least one function"),
    ("describe STORE radial_structure_functions --sigma 0", "--sigma"),
    ("describe STORE coordinatoin", "did you mean coordination?"),
    ("plan STORE describe coordination --r-cut 60 --workers 2", "did you mean 6?"),
    ("export STORE nothing --to x.csv", "no run 'nothing'"),
    ("export STORE cn --to x.unknown", "expected a file that ends in"),
    ("export STORE =cn --to x.csv", "expected a different NAME=RUN for each"),
    ("export STORE a=cn cn --to x.csv", "expected a name for each run or for none"),
    ("export STORE cn --to none/x.csv", "expected an existing folder, found none at"),
    ("export STORE cn --to cu.dump/x.csv", "expected an existing folder, found none at"),
    ("export STORE cn --to x.csv --frames 9", "no frame of the 2 is in 9:10"),
    ("export STORE cn --to x.csv --frames a:b", "--frames: expected start:stop:step"),
    ("export STORE cn --to x.csv --where 'nothing > 1'", "no column 'nothing'; there are"),
    ("export STORE cn --to x.csv --where 'coordination ='", "is not understood"),
    ("export STORE cn --to x.csv --where 'coordination == \"O\"'", "cannot be compared"),
    ("export STORE a=cn --to x.csv --where 'coordination > 1'", "no column 'coordination'"),
    ("export STORE cn --to x.csv --column nothing", "no column 'nothing'; there are"),
    ("export STORE cn cn --to x.csv", "found cn_coordination twice"),
    ("remove STORE nothing", "no run 'nothing'"),
    ("watch STORE", None),
    ("run phases STORE", "expected atoms of O, as the phases have, found Cu"),
    ("run phases STORE --steps 0", "--steps: expected at least 1"),
    ("run motifs STORE", "matches no atom; elements here: Cu"),
    ("run structure-dynamics STORE --preset cu211 --r-cut 70", "did you mean 7?"),
    ("run structure-dynamics STORE", "expected --r-cut, or a preset"),
    ("run nothing STORE", "there are amorphous, motifs, phases, structure-dynamics"),
    ("run phases STORE --denoiser none.npz", "none.npz: expected what Denoiser.save"),
    ("run phases STORE --denoiser STORE", "Is a directory"),
    ("run phases STORE --denoiser cu.txt", "found something else; give one, or the name of"),
    ("run phases STORE --truth fcc", "--truth: expected one of Ih, Ic"),
    ("run phases STORE --preset metals --truth Ih", "--truth: expected one of fcc, hcp, bcc"),
    ("plan STORE describe soap --workers 0", "--workers"),
    ("plan STORE describe soap --workers 1 --precision 0", "1 to 23 bits"),
    ("ingest cu.txt x.zarr", "not a trajectory that icedask recognises"),
    ("ingest cu.dump x.zarr", "--units: a LAMMPS dump does not say its units"),
    ("ingest cu.dump x.zarr --units real", "the dump does not say its time; give --timestep"),
    ("ingest cu.dump x.zarr --units real --timestep 1 --column c_e=e", "has no c_e; it has"),
    ("ingest cu.dump x.zarr --units real --timestep 1 --topology cu.txt", "--topology"),
    ("ingest cu.dump x.zarr --units metal --timestep 1 --lj-tau 1", "with units lj only"),
    ("cluster list", None),
    ("cluster list --json", None),
    ("cluster status none", "no cluster 'none' runs; there are none"),
    ("cluster scale none 2", "no cluster 'none' runs"),
    ("cluster stop none", "no cluster 'none' runs"),
    ("jobs", None),
    ("jobs --json", None),
    ("demo cu.txt", "demo: expected a folder that can be made at cu.txt, found: File exists"),
    ("demo /proc/x", "demo: expected a folder that can be made at /proc/x"),
]
# Of each command; the others are alike, and a process each.
_QUICK = (
    *(0, 3, 5, 11, 13, 15, 16, 24, 30, 32, 34, 35),
    *(38, 45, 46, 51, 56),
)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        case if number in _QUICK else pytest.param(*case, marks=pytest.mark.slow)
        for number, case in enumerate(_COMMANDS_WITHOUT_WORK)
    ],
)
def test_nothing_to_compute_imports_nothing_that_computes(
    command: str, message: str | None, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store.parent)
    monkeypatch.setenv("ICEDASK_HOME", str(store.parent / "home"))
    Path("cu.txt").write_text("copper\n")
    Path("cu.dump").write_text(_DUMP)
    saved = ice.coordination(ice.open_trajectory(store), r_cut=3.2)
    run_id = ice.save(saved, store, label="cn").attrs["run_id"]
    arguments = [str(store) if word == "STORE" else word for word in shlex.split(command)]
    status, loaded, text = loaded_by(*arguments)
    assert not loaded & _HEAVY
    assert status == (0 if message is None else 2)
    assert message is None or message in text
    assert run_id in ice.list_runs(store).index


def test_a_finished_run_needs_no_right_to_write(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ice.save(ice.coordination(ice.open_trajectory(store), r_cut=3.0), store)
    monkeypatch.setattr("icedask.store.lock.locked", lambda *args: pytest.fail("locked"))
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    run(monkeypatch, "describe", str(store), "coordination", "--r-cut", "3", "--json")
    assert json.loads(capsys.readouterr().out)["sizes"] == {"frame": 2, "atom": 108}
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


def test_deferred_packages_are_the_same_packages() -> None:
    code = (
        "from icedask.cli.startup import defer_imports, load_deferred; defer_imports()\n"
        "import pandas, sys, xarray, zarr, dask.array\n"
        "import pandas.core.frame, zarr.codecs\n"  # modules inside of what is still deferred
        "assert 'pandas.core.frame' in sys.modules and 'xarray.core' not in sys.modules\n"
        "load_deferred()\n"
        "assert pandas.core.frame.DataFrame is pandas.DataFrame\n"
        "assert zarr.codecs.BloscCodec.__module__ == 'zarr.codecs.blosc'\n"
        "assert xarray.Dataset({'a': ('x', dask.array.ones(3))})['a'].sum() == 3\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["icedask", *arguments])
    main()


def test_one_block_starts_no_workers(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(common, "connect", lambda *args, **options: started.append(args))
    run(monkeypatch, "describe", str(store), "coordination", "--r-cut", "3", "--label", "cn")
    assert ice.open_run(store, "cn")["coordination"].values.tolist() == [[12] * 108] * 2
    assert not started
    assert "cu.zarr: coordination-" in capsys.readouterr().out


def test_a_finished_run_starts_no_jobs(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ice.save(ice.coordination(ice.open_trajectory(store), r_cut=3.0), store)
    monkeypatch.setattr(common, "connect", lambda *args, **options: pytest.fail("started"))
    monkeypatch.setattr(common, "check_profile", lambda *args: None)
    command = (
        "describe",
        str(store),
        "coordination",
        "--r-cut",
        "3",
        "--profile",
        "tcp://nobody:1",
    )
    run(monkeypatch, *command)
