"""Workflows as modules: a new file is found, runs, and is a command with its options."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ase
import pytest

import icedask as ice
import icedask.workflows
from icedask.cli import main
from icedask.errors import InputError
from icedask.store.outline import Outline
from icedask.workflows.workflow import registry

TOY = '''
"""Number of atoms, times a factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from icedask.core.options import Option
from icedask.workflows.workflow import workflow


@dataclass(frozen=True, kw_only=True)
class Settings:
    factor: Annotated[int, Option("Factor of the number.", at_least=1)]
    offset: Annotated[float, Option("Offset of the number.", "angstrom")] = 0.5


@workflow("toy", Settings, {"tenfold": {"factor": 10}})
def toy(trj, store, settings):
    """Count atoms.

    {parameters}
    """
    return settings.factor * trj.sizes["atom"] + settings.offset
'''

REPORT = """
import pandas as pd

from icedask.plot.report import Section


def sections(result, trj, *, draw):
    return [Section("Number", tables={"Atoms": pd.DataFrame({"number": [result]})})]
"""


OF_COLLECTIONS = """
from dataclasses import dataclass

from icedask.core.options import Option
from icedask.errors import InputError
from icedask.workflows.workflow import workflow


@dataclass(frozen=True, kw_only=True)
class Settings:
    pass


def check(outlines, settings):
    if len(outlines) > 2:
        raise InputError(f"toy: expected two members, found {len(outlines)}")


@workflow("toy", Settings, {}, check=check, takes="collection")
def toy(collection, store, settings):
    \"\"\"Count members.

    {parameters}
    \"\"\"
    return len(collection)
"""

MEMBERS = """
def members(collection, store, settings):
    return settings.factor * len(collection), store.name
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the module of a workflow, in the path of the package."""
    path = tmp_path / "modules"
    path.mkdir()
    (path / "toy.py").write_text(TOY)
    monkeypatch.setattr(icedask.workflows, "__path__", [*icedask.workflows.__path__, str(path)])
    yield path
    for name in ("toy", "toy_report", "toy_members"):
        sys.modules.pop(f"icedask.workflows.{name}", None)
        vars(icedask.workflows).pop(name, None)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of two atoms."""
    ice.save(ice.from_ase(ase.Atoms("O2", [[0, 0, 0], [1, 1, 1]])), tmp_path / "s.zarr")
    return tmp_path / "s.zarr"


def run(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Return the output of a command."""
    monkeypatch.setattr("sys.argv", ["icedask", "run", *arguments])
    try:
        main()
    except SystemExit as left:
        assert not left.code, capsys.readouterr().err
    return capsys.readouterr().out


def test_shipped_workflows() -> None:
    assert set(registry()) == {"structure-dynamics", "phases", "motifs", "amorphous"}
    assert icedask.workflows.motifs is registry()["motifs"].function


def test_a_workflow_is_imported_alone() -> None:
    code = (
        "import sys, icedask as ice, icedask.workflows.workflow as declared\n"
        "assert declared.find('phases').name == 'phases'\n"
        "assert 'icedask.workflows.motifs' not in sys.modules\n"
        "assert ice.workflows.motifs is declared.find('motifs').function\n"
        "from icedask.workflows.phases import LABEL\n"
        "assert ice.workflows.phases.workflow.name == LABEL\n"
        "assert declared.find('nothing') is None and not hasattr(ice.workflows, 'nothing')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_new_module_is_a_workflow(folder: Path, store: Path) -> None:
    entry = registry()["toy"]
    trj = ice.open_trajectory(store)
    assert icedask.workflows.toy is entry.function  # type: ignore[attr-defined]
    assert entry.function(trj, store, preset="tenfold", offset=0) == 20
    assert entry.function(trj, store, factor=3) == 6.5
    assert "factor : int, optional\n    Factor of the number." in (entry.function.__doc__ or "")
    assert entry.present(6.5, trj) == []
    for options, message in (
        ({}, r"toy: expected factor, or a preset \(tenfold\), found neither"),
        ({"factor": 0}, "toy: factor: expected at least 1, found 0"),
        ({"factory": 1}, "toy: has no option 'factory'; its options are preset, factor, offset"),
        ({"preset": "none"}, "toy: preset: expected one of tenfold, found 'none'"),
    ):
        with pytest.raises(InputError, match=message):
            entry.function(trj, store, **options)


def test_new_module_is_a_command(
    folder: Path,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "toy_report.py").write_text(REPORT)
    assert "toy" in run(["--help"], monkeypatch, capsys)
    text = run(["toy", "--help"], monkeypatch, capsys)
    for part in ("--factor", "Factor of the number.", "--offset", "[angstrom]", "--preset"):
        assert part in text
    report = tmp_path / "new" / "toy.html"
    arguments = ["toy", str(store), "--factor", "4", "--json", "--report", str(report)]
    output = json.loads(run(arguments, monkeypatch, capsys))
    assert output["tables"]["Number"]["Atoms"] == [{"index": 0, "number": 8.5}]
    assert "s.zarr" in report.read_text()


def test_outputs_are_refused_before_the_run(
    folder: Path,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    for flag, path, message in [
        ("--figures", tmp_path / "file", "expected a folder that can be made"),
        ("--report", tmp_path / "file" / "report.html", "expected a folder that can be made"),
        ("--report", tmp_path, "expected the path of a file"),
    ]:
        arguments = ["toy", str(store), "--factor", "4", flag, str(path)]
        monkeypatch.setattr("sys.argv", ["icedask", "run", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 2
        assert message in capsys.readouterr().err


def test_a_workflow_of_collections(folder: Path, store: Path) -> None:
    (folder / "toy.py").write_text(OF_COLLECTIONS)
    trj = ice.open_trajectory(store)
    members = ice.open_collection(store.parent)
    toy = registry()["toy"]
    assert list(inspect.signature(toy.function).parameters) == ["collection", "store"]
    assert toy.function(members) == 1
    with pytest.raises(InputError, match=r"toy: expected a folder of stores, .* found a single"):
        toy.function(trj, store)
    with pytest.raises(InputError, match="toy: expected a folder of stores"):
        toy.refuse(Outline(store), {})
    toy.refuse({"s": Outline(store)}, {})
    with pytest.raises(InputError, match="expected two members, found 3"):
        toy.refuse(dict.fromkeys("abc", Outline(store)), {})
    with pytest.raises(InputError, match="open their folder with icedask"):
        toy.function(ice.Collection({"a": trj}))


def test_a_workflow_of_either(folder: Path, store: Path) -> None:
    trj, members = ice.open_trajectory(store), ice.open_collection(store.parent)
    with pytest.raises(InputError, match="toy: expected one trajectory, found a collection"):
        registry()["toy"].function(members, store, factor=2)
    (folder / "toy.py").write_text(TOY.replace("10}})", '10}}, takes="either")'))
    (folder / "toy_members.py").write_text(MEMBERS)
    sys.modules.pop("icedask.workflows.toy")
    toy = registry()["toy"]
    assert set(registry()) >= {"toy", "motifs"}
    assert "toy_members" not in registry()
    assert toy.function(trj, store, factor=3) == 6.5
    assert toy.function(members, factor=3) == (3, "collection.zarr")
    with pytest.raises(InputError, match="toy: expected the path of a store, found none"):
        toy.function(trj, factor=3)
