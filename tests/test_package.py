"""The package as a whole: public names, import time, documentation, examples, version."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import icedask as ice
from icedask.descriptors import registry

ROOT = Path(__file__).parents[1]
PUBLIC = [name for name in ice.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name: str) -> None:
    value = getattr(ice, name)
    assert inspect.getdoc(value)
    if inspect.isfunction(value):
        text = value.__doc__ or ""
        assert "Returns" in text or name in ("remove_run",)
        assert "Raises" in text


# UMAP is compiled at its first use in a process.
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in ("UMAP", "Motifs"))) for n in PUBLIC],
)
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
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    source = ROOT / project["tool"]["hatch"]["version"]["path"]
    assert source == Path(ice.__file__)
    assert (source.parent / "py.typed").exists()


def test_import_is_light() -> None:
    code = (
        "import sys, icedask; heavy = {'torch', 'umap', 'hdbscan', 'MDAnalysis', 'dscribe', "
        "'sklearn', 'distributed', 'matplotlib', 'ase', 'xarray', 'zarr'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"


def test_dask_jobqueue_is_imported_for_batch_systems_alone() -> None:
    code = (
        "import sys, icedask.cli, icedask.hpc.cluster, icedask.hpc.check, icedask.hpc.submit; "
        "print('dask_jobqueue' in sys.modules)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "False"
