"""A descriptor in one file: discovery by the registry, and imports for one descriptor."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from helpers.contract import PROMISES, trajectory

import icedask as ice
from icedask import descriptors
from icedask.cli import main
from icedask.errors import InputError

_TOY = '''
"""Neighbours times a factor."""

from functools import partial
from typing import Annotated

import numpy as np
import xarray as xr

from icedask.core.options import Centers, Option
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor


def scaled_counts(frame: Frame, scale: float) -> np.ndarray:
    return (scale * frame.neighbors(3.0).counts[frame.centers]).astype(np.float32)


@descriptor(
    variable=Variable("toy", (FRAME, ATOM), "float32", "toys", "neighbours times the scale"),
    version=1,
    example={"scale": 2.0},
)
def toy(
    trj: xr.Dataset,
    *,
    scale: Annotated[float, Option("Factor.", "toys", above=0)],
    centers: Centers = None,
) -> Kernel:
    """Neighbours within 3 angstrom times a factor; lazy.

    {parameters}

    {returns}.

    {raises}.

    Examples
    --------
    >>> import icedask as ice
    """
    return Kernel(partial(scaled_counts, scale=scale), "float32", 3.0)
'''


@pytest.fixture
def toy_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One new file in a folder of descriptors; nothing else knows of it."""
    folder = tmp_path / "new"
    folder.mkdir()
    path = folder / "toy.py"
    path.write_text(_TOY)
    monkeypatch.setattr(descriptors, "__path__", [*descriptors.__path__, str(folder)])
    importlib.invalidate_caches()
    yield path
    descriptors.REGISTRY.pop("toy", None)
    sys.modules.pop("icedask.descriptors.toy", None)
    vars(descriptors).pop("toy", None)


def test_a_descriptor_is_one_file(toy_file: Path, tmp_path: Path) -> None:
    trj = trajectory()
    result = ice.toy(trj, scale=3.0)
    assert result["toy"].attrs["units"] == "toys"
    counts = ice.coordination(trj, r_cut=3.0)["coordination"]
    np.testing.assert_array_equal(result["toy"], 3 * counts)
    together = ice.describe(trj, {"toy": {"scale": 3.0}, "coordination": {"r_cut": 3.0}})
    xr.testing.assert_equal(together["toy"].compute(), result.compute())
    with pytest.raises(InputError, match="toy: scale: expected a number toys above 0"):
        ice.toy(trj, scale=-1.0)
    saved = ice.save(result, tmp_path / "run.zarr", label="toys")
    assert saved["toy"].attrs == result["toy"].attrs
    opened = ice.open_run(tmp_path / "run.zarr", "toys")
    np.testing.assert_array_equal(opened["toy"], result["toy"])
    assert opened.attrs["parameters"] == {"scale": 3.0, "centers": None}


@pytest.mark.parametrize("promise", PROMISES)
def test_the_contract_tests_a_new_file(toy_file: Path, promise: str) -> None:
    PROMISES[promise](descriptors.registry()["toy"])


def test_the_command_line_has_a_new_file(
    toy_file: Path,
    tmp_path: Path,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = tmp_path / "run.zarr"
    ice.save(trajectory(), store)
    address = client.scheduler.address
    command = ["describe", str(store), "toy", "--scale", "4", "--json", "--profile", address]
    monkeypatch.setattr(sys, "argv", ["icedask", *command])
    path = "from icedask.descriptors import __path__ as path"
    client.run(exec, f"{path}; path.append({str(toy_file.parent)!r})")
    try:
        main()
    except SystemExit as end:
        assert not end.code
    finally:
        client.run(exec, f"{path}; path.pop()")
    run_id = json.loads(capsys.readouterr().out)["run_id"]
    expected = 4 * ice.coordination(trajectory(), r_cut=3.0)["coordination"]
    # Opened in a process that has no such file.
    code = (
        "import sys, icedask as ice; ds = ice.open_run(*sys.argv[1:]);"
        "print(ds['toy'].attrs['units'], int(ds['toy'].sum()))"
    )
    read = subprocess.run(
        [sys.executable, "-c", code, store, run_id], capture_output=True, text=True, check=True
    )
    assert read.stdout.split() == ["toys", str(int(expected.sum()))]


def imported(code: str) -> set[str]:
    """Return the modules of descriptors that a process has after some code."""
    code = f"""
import sys, icedask as ice
from ase.build import bulk
crystal = bulk("Cu", cubic=True)
trj = ice.from_ase([crystal, crystal])
{code}
print(*[name for name in sys.modules if name.startswith("icedask.descriptors.")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.removeprefix("icedask.descriptors.") for name in done.stdout.split()}


COMMON = {"block", "descriptor", "frame", "lazy"}


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("ice.lens(trj, r_cut=3.0)", {"lens"}),
        (
            "ice.describe(trj, {'voronoi': {}}); ice.neighbor_distances(trj)",
            {"voronoi", "tetrahedral"},
        ),
    ],
)
def test_a_descriptor_imports_no_other(code: str, modules: set[str]) -> None:
    assert imported(code) == COMMON | modules


def test_names_are_sorted_and_of_the_functions() -> None:
    registry = descriptors.registry()
    assert list(registry) == sorted(registry)
    assert {entry.function.__name__ for entry in registry.values()} == set(registry)
    assert descriptors.find("no_such_descriptor") is None
