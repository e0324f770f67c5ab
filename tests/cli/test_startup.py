"""Start of the command line: imports, and the start of workers."""

from __future__ import annotations

import json
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
