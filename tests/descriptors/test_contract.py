"""One suite over all registered descriptors: the promises that each must keep."""

from __future__ import annotations

import inspect
import pickle
import weakref
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from helpers.systems import SYSTEMS, system
from numpydoc.docscrape import NumpyDocString
from scipy.spatial.transform import Rotation

import icedask as ice
from icedask.core.variables import VARIABLES
from icedask.descriptors import frame as frame_module
from icedask.descriptors import registry
from icedask.descriptors.frame import Frame
from icedask.errors import InputError
from icedask.store import chunks

OPTIONS: dict[str, dict[str, Any]] = {
    "bispectrum": {"r_cut": 4.0, "twojmax": 4, "dtype": "float64"},
    "chill": {},
    "chill_plus": {},
    "coordination": {"r_cut": 3.4},
    "displacement": {"delay": 2},
    "lens": {"r_cut": 3.6, "delay": 2},
    "local_structure_index": {"r_cut": 3.7},
    "mass_density": {"mass": 18.015},
    "neighbor_distances": {"n_neighbors": 6},
    "radial_structure_functions": {"n_neighbors": [2, 4, 7], "mu": [0.9, 1.0, 1.1]},
    "soap": {"r_cut": 4.0, "n_max": 3, "l_max": 2, "sigma": 0.5, "dtype": "float64"},
    "symmetry_functions": {
        "r_cut": 4.0,
        "g2": [(0.5, 0.0), (1.0, 2.8)],
        "g3": [1.5],
        "g4": [(0.01, 4, -1), (0.05, 1, 1)],
        "g5": [(0.1, 2.5, 1)],
        "g8": [(2.0, 0.3, 3.0, 1.0, 3.0)],
        "dtype": "float64",
    },
    "steinhardt": {"r_cut": 3.5, "averaged": True},
    "tetrahedral": {},
    "voronoi": {},
}
NAMES = sorted(OPTIONS)


def having(option: str) -> list[str]:
    return [
        name
        for name in NAMES
        if any(parameter.name == option for parameter in registry()[name].parameters)
    ]


# One change that gives another result; by default another cutoff.
CHANGES: dict[str, dict[str, Any]] = {
    "displacement": {"delay": 1},
    "mass_density": {"mass": 18.0},
    "neighbor_distances": {"n_neighbors": 5},
    "radial_structure_functions": {"sigma": 0.06},
    "tetrahedral": {"measure": "A"},
    "voronoi": {"species": ["O"]},
}
# NaN where the quantity does not exist: too few neighbours, cells that are open.
UNDEFINED = {
    "local_structure_index": ("cluster", "lonely"),
    "mass_density": ("slab", "wire", "cluster"),
    "steinhardt": ("cluster", "lonely"),
    "voronoi": ("slab", "wire", "cluster"),
}


def trajectory(n_frames: int = 11) -> xr.Dataset:
    """A triclinic, unwrapped trajectory in which neighbours change."""
    atoms = system("unwrapped")
    rng = np.random.default_rng(3)
    frames = []
    for _ in range(n_frames):
        atoms = atoms.copy()
        atoms.positions += rng.normal(0, 0.15, atoms.positions.shape)
        frames.append(atoms)
    return ice.from_ase(frames, frame_interval=1.0)


def values(name: str, trj: xr.Dataset, **more: Any) -> np.ndarray:
    ds = registry()[name].function(trj, **OPTIONS[name], **more)
    return ds[registry()[name].variable].values


def moved(trj: xr.Dataset, positions: np.ndarray, cell: np.ndarray | None = None) -> xr.Dataset:
    ds = trj.assign(positions=trj["positions"].copy(data=positions.astype(np.float32)))
    return ds if cell is None else ds.assign(cell=ds["cell"].copy(data=cell))


def assert_same(name: str, found: np.ndarray, expected: np.ndarray) -> None:
    # Positions are float32: a pair at the cutoff, or a bond at a threshold, may change sides.
    if found.dtype.kind == "i" or name == "lens":
        same = (found == expected) | ((found != found) & (expected != expected))
        assert np.mean(~same) < 0.005
    else:
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-4)


def test_every_descriptor_is_here() -> None:
    assert sorted(registry()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_lazy(name: str, mw: xr.Dataset, nothing_computes: None) -> None:
    ds = registry()[name].function(mw, **OPTIONS[name])
    spec = VARIABLES[registry()[name].variable]
    array = ds[spec.name]
    assert dask.is_dask_collection(array)
    assert array.dims == spec.dims
    assert array.attrs.get("units", "") == spec.units
    assert "element" in ds.coords
    assert "time" in ds.coords
    assert ds.attrs["run_id"].startswith(name.replace("_", "-"))


@pytest.mark.parametrize("name", NAMES)
def test_dtype_is_as_declared(name: str) -> None:
    ds = registry()[name].function(trajectory(3), **OPTIONS[name])
    array = ds[registry()[name].variable]
    assert array.compute().dtype == array.dtype


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frames", [1, 3, 4, 7])
def test_frame_blocks_change_nothing(
    name: str, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trj = trajectory()
    whole = values(name, trj)
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", frames * trj.sizes["atom"])
    split = registry()[name].function(trj.chunk({"frame": 5}), **OPTIONS[name])
    array = split[registry()[name].variable]
    if "delay" not in OPTIONS[name]:
        assert len(array.chunks[0]) == -(-trj.sizes["frame"] // frames)
    np.testing.assert_array_equal(array.values, whole)


@pytest.mark.parametrize("name", NAMES)
def test_atom_blocks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = system("orthogonal") * (2, 2, 1)
    trj = ice.from_ase([atoms] * 3)
    whole = values(name, trj)
    monkeypatch.setattr(chunks, "BLOCK_BYTES", 1)
    monkeypatch.setattr(chunks, "INNER_BYTES", 1)
    array = registry()[name].function(trj, **OPTIONS[name])[registry()[name].variable]
    if "delay" not in OPTIONS[name]:
        assert len(array.chunks[1]) > 1
    np.testing.assert_allclose(array.values, whole, rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_rotation(name: str) -> None:
    trj = trajectory(3)
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    turned = moved(trj, trj["positions"].values.astype(float) @ turn.T, trj["cell"].values @ turn.T)
    assert_same(name, values(name, turned), values(name, trj))


@pytest.mark.parametrize("name", NAMES)
def test_translation(name: str) -> None:
    trj = trajectory(3)
    shift = np.array([1.3, -20.1, 7.7])
    shifted = moved(trj, trj["positions"].values.astype(float) + shift)
    assert_same(name, values(name, shifted), values(name, trj))


@pytest.mark.parametrize("name", NAMES)
def test_periodic_shift_of_single_atoms(name: str) -> None:
    trj = trajectory(3)
    images = np.random.default_rng(0).integers(-2, 3, (3, trj.sizes["atom"], 3))
    shift = np.einsum("fai,fij->faj", images, trj["cell"].values)
    assert_same(name, values(name, moved(trj, trj["positions"].values + shift)), values(name, trj))


@pytest.mark.parametrize("name", NAMES)
def test_permutation(name: str) -> None:
    trj = trajectory(3)
    order = np.random.default_rng(0).permutation(trj.sizes["atom"])
    found = values(name, trj.isel(atom=order))
    np.testing.assert_allclose(found, values(name, trj)[:, order], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_centers_are_a_subset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trj = trajectory(3)
    whole = values(name, trj)
    part = registry()[name].function(trj, **{**OPTIONS[name], "centers": "index 10:30 or index 99"})
    chosen = [*range(10, 31), 99]
    assert part["atom"].values.tolist() == chosen
    np.testing.assert_allclose(
        part[registry()[name].variable].values, whole[:, chosen], rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
def test_stored_float32_equals_memory(name: str, mw: xr.Dataset) -> None:
    lazy = mw.isel(frame=slice(0, 4))
    np.testing.assert_array_equal(values(name, lazy), values(name, lazy.compute()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", SYSTEMS)
def test_every_system(name: str, kind: str) -> None:
    atoms = system(kind)
    if name in ("chill", "chill_plus"):
        atoms.symbols[:] = "O"
    found = values(name, ice.from_ase([atoms] * 4))
    finite = found[:2] if "delay" in OPTIONS[name] else found
    if kind in UNDEFINED.get(name, ()):
        assert not np.isinf(finite).any()
        assert np.isnan(finite).any()
    else:
        assert np.isfinite(finite).all()


@pytest.mark.parametrize("name", [name for name in NAMES if "delay" not in OPTIONS[name]])
def test_one_frame(name: str) -> None:
    assert values(name, trajectory(1)).shape[0] == 1


@pytest.mark.parametrize("name", NAMES)
def test_no_neighbors(name: str) -> None:
    found = values(name, ice.from_ase([system("lonely")] * 3))
    assert found.shape[:2] == (3, 3)


@pytest.mark.parametrize("name", NAMES)
def test_kernel_travels(name: str) -> None:
    descriptor = registry()[name]
    trj = trajectory(5)
    kernel = descriptor.build(trj, **descriptor.options(OPTIONS[name]))
    copy = pickle.loads(pickle.dumps(kernel))
    atoms = system("orthogonal")
    frame = Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers)
    found, expected = (
        one.compute(frame) if one.keep is None else one.compute([one.keep(frame)] * (one.halo + 1))
        for one in (copy, kernel)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", NAMES)
def test_run_id_follows_the_options(name: str) -> None:
    trj = trajectory(5)
    function = registry()[name].function
    first = function(trj, **OPTIONS[name]).attrs["run_id"]
    assert function(trj, **OPTIONS[name]).attrs["run_id"] == first
    other = {**OPTIONS[name], **CHANGES.get(name, {"r_cut": 3.55})}
    assert function(trj, **other).attrs["run_id"] != first
    assert function(trj.isel(frame=slice(0, 4)), **OPTIONS[name]).attrs["run_id"] != first
    assert function(trj.isel(atom=slice(0, 50)), **OPTIONS[name]).attrs["run_id"] != first
    far = trj.assign(positions=trj["positions"] + np.float32(1))
    assert function(far, **OPTIONS[name]).attrs["run_id"] != first


@pytest.mark.parametrize("name", NAMES)
def test_documented(name: str) -> None:
    descriptor = registry()[name]
    text = NumpyDocString(descriptor.function.__doc__ or "")
    documented = [entry.name for entry in text["Parameters"]]
    assert documented == ["trj", *(parameter.name for parameter in descriptor.parameters)]
    for section in ("Summary", "Returns", "Raises", "Examples"):
        assert text[section], section
    for parameter in descriptor.parameters:
        if parameter.name == "r_cut":
            assert parameter.option.unit == "angstrom"


@pytest.mark.parametrize("name", having("r_cut"))
@pytest.mark.parametrize("r_cut", [0, -1.0, float("nan"), "six", True])
def test_bad_cutoff(name: str, r_cut: Any) -> None:
    with pytest.raises(InputError, match="r_cut"):
        registry()[name].function(trajectory(4), **{**OPTIONS[name], "r_cut": r_cut})


@pytest.mark.parametrize("name", having("r_cut"))
def test_cutoff_beyond_memory(name: str) -> None:
    with pytest.raises(InputError, match="choose a smaller r_cut"):
        registry()[name].function(trajectory(4), **{**OPTIONS[name], "r_cut": 500.0})


@pytest.mark.parametrize("name", NAMES)
def test_not_a_trajectory(name: str) -> None:
    with pytest.raises(InputError, match="expected a trajectory"):
        registry()[name].function(xr.Dataset(), **OPTIONS[name])


@pytest.mark.parametrize("name", NAMES)
def test_unknown_option(name: str) -> None:
    with pytest.raises(InputError, match="no option"):
        registry()[name].function(trajectory(4), **OPTIONS[name], flavour=1)


@pytest.mark.parametrize("name", NAMES)
def test_selection_that_matches_nothing(name: str) -> None:
    with pytest.raises(InputError, match="matches no atom"):
        registry()[name].function(trajectory(4), **{**OPTIONS[name], "centers": "element Au"})


def test_together_equals_apart() -> None:
    trj = trajectory(6)
    both = ice.describe(trj, {name: OPTIONS[name] for name in NAMES})
    computed = dask.compute(*[both[name] for name in NAMES])
    for name, ds in zip(NAMES, computed, strict=True):
        np.testing.assert_array_equal(ds[registry()[name].variable], values(name, trj))


class Lists:
    """Counts the neighbour lists that are built, and those in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.built: list[float] = []
        self.most = 0
        self._lists: list[weakref.ref[np.ndarray]] = []
        self._original = frame_module.neighbor_list
        monkeypatch.setattr(frame_module, "neighbor_list", self)

    def __call__(self, *args: Any) -> Any:
        self.built.append(args[3])
        neighbors = self._original(*args)
        self._lists.append(weakref.ref(neighbors.vectors.base))
        self.most = max(self.most, sum(one() is not None for one in self._lists))
        return neighbors


def test_together_builds_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = Lists(monkeypatch)
    both = ice.describe(
        trajectory(2), {"coordination": {"r_cut": 3.0}, "chill_plus": {"r_cut": 3.5}}
    )
    dask.compute(*both.values(), scheduler="sync")
    assert lists.built == [3.5, 3.5]


def test_windows_share_lists_and_free_them(monkeypatch: pytest.MonkeyPatch) -> None:
    trj = trajectory(8)
    requests = {
        "lens": {"r_cut": 3.6, "delay": 2},
        "coordination": {"r_cut": 3.0},
        "chill_plus": {"r_cut": 3.5},
    }
    lists = Lists(monkeypatch)
    together = ice.describe(trj, requests)
    dask.compute(*together.values(), scheduler="sync")
    assert lists.built == [3.6] * 8
    assert lists.most == 1


def test_lists_of_the_halo_are_only_what_windows_need(monkeypatch: pytest.MonkeyPatch) -> None:
    trj = trajectory(8)
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 4 * trj.sizes["atom"])
    lists = Lists(monkeypatch)
    together = ice.describe(trj, {"lens": {"r_cut": 3.0}, "coordination": {"r_cut": 3.6}})
    dask.compute(*together.values(), scheduler="sync")
    assert lists.built == [3.6] * 4 + [3.0] + [3.6] * 4


def test_long_vectors_run_apart_from_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    trj = trajectory(8)
    requests = {"soap": OPTIONS["soap"], "chill_plus": {}, "lens": {"r_cut": 3.6}}
    expected = {name: ds.compute() for name, ds in ice.describe(trj, requests).items()}
    # Room for less than one frame of SOAP, and for four of the others.
    budget = 4 * 8 * trj.sizes["atom"]
    monkeypatch.setattr(chunks, "BLOCK_BYTES", budget)
    lists = Lists(monkeypatch)
    found = ice.describe(trj, requests)
    assert found["lens"].chunks == found["chill_plus"].chunks
    assert max(found["lens"].chunks["frame"]) == 4
    dask.compute(found["lens"], found["chill_plus"], scheduler="sync")
    assert lists.built == [3.6] * 9
    assert max(found["soap"].chunks["frame"]) == 1
    for name, ds in found.items():
        xr.testing.assert_equal(ds.compute(), expected[name])


def test_different_centers_are_refused() -> None:
    with pytest.raises(InputError, match="same centers"):
        ice.describe(
            trajectory(2),
            {"coordination": {"r_cut": 3.0, "centers": "index 0"}, "chill_plus": {}},
        )


@pytest.mark.parametrize(
    "name", [name for name in having("species") if not name.startswith("chill")]
)
@pytest.mark.parametrize("species", ["Zz", "Au"])
def test_absent_species(name: str, species: str) -> None:
    with pytest.raises(InputError, match=species):
        registry()[name].function(trajectory(4), **{**OPTIONS[name], "species": [species]})


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("name", NAMES)
def test_positions_that_became_wrong(name: str, value: float) -> None:
    trj = trajectory(4)
    trj["positions"][2, 1, 0] = value
    with pytest.raises(InputError, match=r"found \[.*\] at frame 2, atom 1; repair"):
        registry()[name].function(trj, **OPTIONS[name]).compute()


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_cells_that_became_wrong(value: float) -> None:
    trj = trajectory(4)
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
    trj = trajectory(2)
    trj["cell"][1] = cell
    trj["pbc"][:] = pbc
    with pytest.raises(InputError, match="cell of frame 1: zero volume"):
        ice.describe(trj, {"coordination": {"r_cut": 3.0}})


@pytest.mark.parametrize("name", ["tetrahedral", "local_structure_index", "mass_density"])
def test_the_environment_is_that_of_the_centers(name: str) -> None:
    trj = trajectory(2)
    trj["element"][::3] = "H"
    options = {**OPTIONS.get(name, {}), "centers": "element O"}
    found = registry()[name].function(trj, **options)
    expected = registry()[name].function(trj, **{**options, "species": ["O"]})
    assert found.attrs["run_id"] == expected.attrs["run_id"]
    xr.testing.assert_equal(found.compute(), expected.compute())
    everything = registry()[name].function(trj, **{**options, "species": ["O", "H"]})
    assert not everything[name].equals(found[name])


def test_docstrings_and_signatures_are_plain() -> None:
    text = inspect.getdoc(ice.steinhardt) or ""
    assert "\nParameters\n----------\ntrj : xarray.Dataset\n" in text
    assert "\nReturns\n-------\n" in text
    assert "Option" not in str(inspect.signature(ice.steinhardt))


def test_requests_without_options() -> None:
    with pytest.raises(InputError, match=r"describe: soap: expected its options, such as \{\}"):
        ice.describe(trajectory(2), {"soap": None})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="expected options by descriptor name"):
        ice.describe(trajectory(2), ["coordination"])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_dropped_dimension(name: str) -> None:
    with pytest.raises(InputError, match=r"isel\(frame=\[0\]\)"):
        registry()[name].function(trajectory(4).isel(frame=0), **OPTIONS[name])
