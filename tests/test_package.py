"""The package as a whole: names, import time, documentation, examples."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import icedask as ice

PUBLIC = [name for name in ice.__all__ if name != "__version__"]


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
