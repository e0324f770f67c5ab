"""Compiled kernels follow changes of the files that they take functions from."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from numba.core import caching

from icedask.kernels import jit as jit_module

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


def test_compilation_is_logged_once(tmp_path: Path) -> None:
    code = (
        "import logging; logging.basicConfig(level=logging.INFO, format='%(message)s')\n"
        "import numpy as np; from icedask.kernels.cells import lay_out\n"
        "arrays = np.zeros((1, 3)), np.eye(3), np.eye(3), np.ones(3, bool), np.ones(3)\n"
        "lay_out(*arrays); lay_out(np.zeros((1, 3), np.float32), *arrays[1:])\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    counts = [
        subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stderr.count("compiling kernels, once")
        for _ in range(2)
    ]
    assert counts == [1, 0]


def double(value: int) -> int:
    return 2 * value


def test_without_a_folder_for_the_cache(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    jit_module._log_no_cache.cache_clear()
    for _ in range(2):
        assert jit_module.jit(double)(4) == 8
    (message,) = caplog.messages
    assert "compiled kernels cannot be kept" in message and "NUMBA_CACHE_DIR" in message


def test_the_compiler_is_imported_by_the_first_call() -> None:
    code = (
        "import pickle, sys\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from icedask.descriptors.chill import add_harmonics_3, chill_plus_class as kernel\n"
        "assert 'numba' not in sys.modules\n"
        "assert pickle.loads(pickle.dumps(kernel)) is kernel\n"
        "assert kernel.__name__ == 'chill_plus_class' and 'CHILL+' in kernel.__doc__\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    assert list(pool.map(kernel, [4] * 8, [0] * 8)) == [2] * 8\n"
        "assert 'numba' in sys.modules and len(kernel.signatures) == 1\n"
    )
    start = "from icedask.cli.startup import defer_imports; defer_imports()\n"
    subprocess.run([sys.executable, "-c", start + code], check=True)
