"""Odd cells and cutoffs: a result, or one sentence, and never gigabytes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from ase import Atoms
from ase.build import bulk

import icedask as ice
from icedask.descriptors import registry
from icedask.errors import InputError
from icedask.kernels.neighbors import k_nearest, neighbor_list, with_images
from icedask.kernels.voronoi import tessellate

_CHECK = Path(__file__).parents[1] / "benchmarks" / "check_odd_cells.py"


def copper() -> xr.Dataset:
    return ice.from_ase(bulk("Cu", cubic=True) * (4, 4, 4))


@pytest.mark.parametrize("size", [1e-9, 1e-6, 1e-3])
def test_flat_cells_are_refused(size: float) -> None:
    trj = ice.from_ase(Atoms("O4", np.zeros((4, 3)), cell=[9, 9, size], pbc=True))
    for name in ("coordination", "soap", "bispectrum"):
        with pytest.raises(InputError, match=r"expected at most 5000|periodic images"):
            registry()[name].function(trj, r_cut=6.0).compute()
    rows = np.array([[1.0, 1, 0]]), np.diag([9.0, 9, size / 1000]), np.ones(3, bool)
    with pytest.raises(InputError, match="check the cell, which may be flat"):
        with_images(*rows, 6.0)
    with pytest.raises(InputError, match="flat or of another unit"):
        tessellate(*rows)


def test_a_void_in_a_needle() -> None:
    cell = np.diag([4.0, 4, 1e6])
    with pytest.raises(InputError, match="Voronoi cells: a cell of 2 atoms has"):
        tessellate(np.array([[0.0, 0, 0], [1, 1, 1]]), cell, np.ones(3, bool))


def test_a_cell_without_volume() -> None:
    with pytest.raises(InputError, match="expected three vectors that span a volume"):
        with_images(np.zeros((1, 3)), np.ones((3, 3)), np.ones(3, bool), 2.0)


def test_neighbors_are_counted_before_they_are_listed() -> None:
    positions = np.zeros((200, 3))  # all at one place, which no density shows
    arguments = positions, np.eye(3) * 50, np.ones(3, bool)
    with pytest.raises(InputError, match="r_cut 3 angstrom gives 199 neighbours to an atom"):
        neighbor_list(*arguments, 3.0, most=100)
    assert neighbor_list(*arguments, 3.0).counts.tolist() == [199] * 200
    assert k_nearest(*arguments, 4).distances.max() == 0


@pytest.mark.parametrize("name", [n for n, e in registry().items() if "r_cut" in e.example])
def test_cutoff_ten_times_too_long(name: str) -> None:
    function = registry()[name].function
    trj = ice.from_ase([bulk("O", "fcc", 3.6, cubic=True) * (4, 4, 4)] * 4)
    options: dict[str, Any] = {**registry()[name].example, "r_cut": 60.0}
    options.pop("n_neighbors", None)
    with pytest.raises(InputError, match=rf"{name}: r_cut 60 .*did you mean 6\?.* {name} with max"):
        function(trj, **options)


def test_a_limit_is_raised_and_not_recorded() -> None:
    trj = copper()
    with pytest.raises(InputError, match=r"about 76\.9 .* smaller r_cut, or, .*max_neighbors=200"):
        ice.coordination(trj, r_cut=6.0, max_neighbors=70)
    raised = ice.coordination(trj, r_cut=6.0, max_neighbors=200)
    assert raised.attrs["run_id"] == ice.coordination(trj, r_cut=6.0).attrs["run_id"]
    assert "max_neighbors" not in raised.attrs["parameters"]


def test_cutoff_in_nanometres() -> None:
    with pytest.raises(InputError, match=r"found 0\.6, .*did you mean 6 angstrom \(0\.6 nm\)\?"):
        ice.coordination(copper(), r_cut=0.6)
    overlapping = ice.from_ase(Atoms("Cu8", np.zeros((8, 3)), cell=[1, 1, 1], pbc=True))
    assert ice.coordination(overlapping, r_cut=0.6)["coordination"].values[0, 0] == 7


@pytest.mark.slow
def test_many_odd_cells() -> None:
    spec = importlib.util.spec_from_file_location("check_odd_cells", _CHECK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    outcomes = module.check(16)
    assert outcomes["result"] > 50 and outcomes["refused"] > 20
