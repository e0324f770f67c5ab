"""Compiled kernels follow changes of the files that they take functions from."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

_CALLER = """
from icedask.kernels.jit import jit
from icedask.callee_of_a_test import value

@jit
def twice():
    return 2 * value()
"""


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_cache_knows_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["icedask.callee_of_a_test", "icedask.caller_of_a_test"]
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    callee, caller = tmp_path / "callee.py", tmp_path / "caller.py"
    caller.write_text(_CALLER)
    hits = []
    for number, (value, time) in enumerate([(1, 100), (1, 100), (3, 200)]):
        callee.write_text(
            f"from icedask.kernels.jit import jit\n\n@jit\ndef value():\n    return {value}\n"
        )
        os.utime(callee, (time, time))
        load(callee, names[0])
        module = load(caller, names[1])
        assert module.twice() == 2 * value, number
        hits.append(sum(module.twice.stats.cache_hits.values()))
    assert hits == [0, 1, 0]
    for name in names:
        del sys.modules[name]
