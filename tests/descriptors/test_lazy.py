"""Lazy Datasets of one descriptor and of several together: shared lists, blocks, refused input."""

from __future__ import annotations

import inspect
import weakref
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from helpers.contract import described, trajectory

import icedask as ice
from icedask.descriptors import frame as frame_module
from icedask.descriptors import registry
from icedask.errors import InputError
from icedask.store import chunks


def test_all_are_lazy_on_a_stored_trajectory(mw: xr.Dataset, nothing_computes: None) -> None:
    for entry in registry().values():
        assert dask.is_dask_collection(described(entry, mw))


@pytest.mark.parametrize("name", ["coordination", "lens"])
def test_stored_float32_equals_memory(name: str, mw: xr.Dataset) -> None:
    lazy = ice.select(mw.isel(frame=slice(0, 4)), "index 0:799")
    entry = registry()[name]
    np.testing.assert_array_equal(described(entry, lazy), described(entry, lazy.compute()))


def test_together_equals_apart() -> None:
    trj = trajectory()
    requests = {name: entry.example for name, entry in registry().items()}
    together = ice.describe(trj, requests)
    for name, ds in zip(requests, dask.compute(*together.values()), strict=True):
        entry = registry()[name]
        np.testing.assert_array_equal(ds[entry.variable.name], described(entry, trj))


class Lists:
    """Counts the neighbour lists that are built, and those in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.built: list[float] = []
        self.most = 0
        self._lists: list[weakref.ref[np.ndarray]] = []
        self._original = frame_module.neighbor_list
        monkeypatch.setattr(frame_module, "neighbor_list", self)

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.built.append(args[3])
        neighbors = self._original(*args, **options)
        self._lists.append(weakref.ref(neighbors.vectors.base))
        self.most = max(self.most, sum(item() is not None for item in self._lists))
        return neighbors


def test_together_builds_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = Lists(monkeypatch)
    both = ice.describe(
        trajectory(2), {"coordination": {"r_cut": 3.0}, "chill_plus": {"r_cut": 3.5}}
    )
    dask.compute(*both.values(), scheduler="sync")
    assert lists.built == [3.5, 3.5]


def test_windows_share_lists_and_free_them(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = {
        "lens": {"r_cut": 3.6, "delay": 2},
        "coordination": {"r_cut": 3.0},
        "chill_plus": {"r_cut": 3.5},
    }
    lists = Lists(monkeypatch)
    together = ice.describe(trajectory(8), requests)
    dask.compute(*together.values(), scheduler="sync")
    assert lists.built == [3.6] * 8
    assert lists.most == 1


def test_neighbor_lists_of_the_halo_are_minimal(monkeypatch: pytest.MonkeyPatch) -> None:
    trj = trajectory(8)
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 4 * trj.sizes["atom"])
    lists = Lists(monkeypatch)
    together = ice.describe(trj, {"lens": {"r_cut": 3.0}, "coordination": {"r_cut": 3.6}})
    dask.compute(*together.values(), scheduler="sync")
    assert lists.built == [3.6] * 4 + [3.0] + [3.6] * 4


def test_long_vectors_run_apart_from_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    trj = trajectory(8)
    soap = registry()["soap"].example
    requests = {"soap": soap, "chill_plus": {}, "lens": {"r_cut": 3.6}}
    whole = {name: ds.compute() for name, ds in ice.describe(trj, requests).items()}
    # Room for less than one frame of SOAP, and for four of the others.
    budget = 4 * 8 * trj.sizes["atom"]
    monkeypatch.setattr(chunks, "BLOCK_BYTES", budget)
    lists = Lists(monkeypatch)
    parts = ice.describe(trj, requests)
    assert parts["lens"].chunks == parts["chill_plus"].chunks
    assert max(parts["lens"].chunks["frame"]) == 4
    dask.compute(parts["lens"], parts["chill_plus"], scheduler="sync")
    assert lists.built == [3.6] * 9
    assert max(parts["soap"].chunks["frame"]) == 1
    for name, ds in parts.items():
        xr.testing.assert_equal(ds.compute(), whole[name])


def test_different_centers_are_refused() -> None:
    with pytest.raises(InputError, match="same centers"):
        ice.describe(
            trajectory(2),
            {"coordination": {"r_cut": 3.0, "centers": "index 0"}, "chill_plus": {}},
        )


@pytest.mark.parametrize("r_cut", [0, -1.0, float("nan"), "six", True])
def test_bad_cutoff(r_cut: Any) -> None:
    with pytest.raises(InputError, match="coordination: r_cut"):
        ice.coordination(trajectory(), r_cut=r_cut)


@pytest.mark.parametrize("name", [n for n, entry in registry().items() if "r_cut" in entry.example])
def test_cutoff_beyond_memory(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: .*choose a smaller r_cut"):
        described(registry()[name], trajectory(), r_cut=500.0)


@pytest.mark.parametrize(
    ("trj", "options", "message"),
    [
        (xr.Dataset(), {}, "lens: expected a trajectory"),
        (trajectory().isel(frame=0), {}, r"lens: .*isel\(frame=\[0\]\)"),
        (trajectory(), {"flavour": 1}, "lens: has no option 'flavour'"),
        (trajectory(), {"centers": "element Au"}, "matches no atom"),
        (trajectory(), {"species": ["Zz"]}, "lens: species: .* found Zz"),
        (trajectory(), {"species": ["Au"]}, "lens: species: .* found Au"),
    ],
)
def test_bad_input(trj: xr.Dataset, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ice.lens(trj, **{"r_cut": 3.0, **options})


def test_options_have_names() -> None:
    with pytest.raises(TypeError, match="positional"):
        ice.coordination(trajectory(), 3.0)  # type: ignore[misc]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("name", ["coordination", "displacement"])
def test_positions_that_became_wrong(name: str, value: float) -> None:
    trj = trajectory(4).copy(deep=True)
    trj["positions"][2, 1, 0] = value
    with pytest.raises(InputError, match=r"found \[.*\] at frame 2, atom 1; repair"):
        described(registry()[name], trj).compute()


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_cells_that_became_wrong(value: float) -> None:
    trj = trajectory(4).copy(deep=True)
    trj["cell"][2] = value
    with pytest.raises(InputError, match="cell of frame 2"):
        ice.describe(trj, {"coordination": {"r_cut": 3.0}})


@pytest.mark.parametrize(
    "cell",
    [
        [[5, 0, 0], [5, 0, 0], [0, 0, 0]],
        [[5, 0, 0], [5, 0, 0], [5, 0, 1]],
        [[5, 0, 0], [0, 5, 0], [3, 4, 0]],
    ],
)
@pytest.mark.parametrize("pbc", [[True, True, False], [False, False, False]])
def test_flat_cells(cell: list[list[float]], pbc: list[bool]) -> None:
    trj = trajectory(2).copy(deep=True)
    trj["cell"][1] = cell
    trj["pbc"][:] = pbc
    with pytest.raises(InputError, match="cell of frame 1: zero volume"):
        ice.describe(trj, {"coordination": {"r_cut": 3.0}})


@pytest.mark.parametrize("name", ["tetrahedral", "local_structure_index", "mass_density"])
def test_the_environment_is_that_of_the_centers(name: str) -> None:
    trj = trajectory(2).copy(deep=True)
    trj["element"][::3] = "H"
    function = registry()[name].function
    options = {**registry()[name].example, "centers": "element O"}
    default = function(trj, **options)
    oxygens = function(trj, **options, species=["O"])
    assert default.attrs["run_id"] == oxygens.attrs["run_id"]
    xr.testing.assert_equal(default.compute(), oxygens.compute())
    assert not function(trj, **options, species=["O", "H"])[name].equals(default[name])


def test_docstrings_and_signatures_are_plain() -> None:
    text = inspect.getdoc(ice.steinhardt) or ""
    assert "\nParameters\n----------\ntrj : xarray.Dataset or Collection\n" in text
    assert (
        "\nReturns\n-------\nxarray.Dataset\n    steinhardt (frame, atom, degree), float32; "
        in text
    )
    assert "\nRaises\n------\nInputError\n    If an option is out of bounds, a degree" in text
    assert "Option" not in str(inspect.signature(ice.steinhardt))


def test_bad_requests() -> None:
    with pytest.raises(InputError, match=r"describe: soap: expected its options, such as \{\}"):
        ice.describe(trajectory(2), {"soap": None})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="expected options by descriptor name"):
        ice.describe(trajectory(2), ["coordination"])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no descriptor 'sope'; there are bispectrum, chill"):
        ice.describe(trajectory(2), {"sope": {}})
