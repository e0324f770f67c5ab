"""The package as a whole: names, import time, documentation, examples, the README."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import DEMO_DUMP

import icedask as ice
from icedask.descriptors import registry

PUBLIC = [name for name in ice.__all__ if name != "__version__"]
README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name: str) -> None:
    value = getattr(ice, name)
    assert inspect.getdoc(value)
    if inspect.isfunction(value):
        text = value.__doc__ or ""
        assert "Returns" in text or name in ("remove_run",)
        assert "Raises" in text


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_run(name: str) -> None:
    finder = doctest.DocTestFinder(recurse=False)
    for test in finder.find(getattr(ice, name), name, globs={}):
        assert doctest.DocTestRunner().run(test).failed == 0


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ice.nothing
    assert set(PUBLIC) <= set(dir(ice))


def test_star_import() -> None:
    names: dict[str, object] = {}
    exec("from icedask import *", names)
    assert set(ice.__all__) <= set(names)


def test_the_stub_lists_every_descriptor() -> None:
    for name, entry in registry().items():
        assert getattr(ice, name) is entry.function
        assert name in ice.__all__, f"add it to icedask/__init__.pyi: {name}"


def test_one_version() -> None:
    project = tomllib.loads((README.parent / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    source = README.parent / project["tool"]["hatch"]["version"]["path"]
    assert source == Path(ice.__file__)
    assert (source.parent / "py.typed").exists()


def test_import_is_light() -> None:
    code = (
        "import sys, icedask; heavy = {'torch', 'umap', 'hdbscan', 'MDAnalysis', 'dscribe', "
        "'sklearn', 'distributed', 'matplotlib', 'ase', 'xarray', 'zarr'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_dask_jobqueue_is_for_those_who_ask_for_a_batch_system() -> None:
    code = (
        "import sys, icedask.cli, icedask.hpc.cluster, icedask.hpc.check, icedask.hpc.submit; "
        "print('dask_jobqueue' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_layers_point_one_way() -> None:
    forbidden = {
        "io": ("descriptors", "dynamics", "learn", "plot", "workflows", "cli"),
        "descriptors": ("dynamics", "learn", "plot", "workflows", "cli"),
        "dynamics": ("plot", "workflows", "cli"),
        "learn": ("descriptors", "plot", "workflows", "cli"),
        "plot": ("descriptors", "workflows", "cli"),
    }
    root = Path(importlib.import_module("icedask").__file__ or "").parent
    for layer, others in forbidden.items():
        for path in (root / layer).glob("*.py"):
            for other in others:
                assert not re.search(rf"icedask\.{other}\b", path.read_text()), (path, other)


def test_readme_workflow_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: object
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    workflow = next(block for block in blocks if "ice.ingest" in block)
    assert len(workflow.strip().splitlines()) <= 24
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.lammpstrj.gz").write_bytes(DEMO_DUMP.read_bytes())
    # A few frames are enough here, and the workers are there already.
    workflow = workflow.replace('elements="O"', 'elements="O", frames="54:58"')
    workflow = workflow.replace("ice.connect()", "None")
    exec(compile(workflow, "README", "exec"), {"__name__": "__main__"})
    assert (tmp_path / "states.png").stat().st_size > 10_000
