"""The promises that every descriptor keeps, each a function of its entry in the registry."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from helpers.systems import SYSTEMS, system
from numpydoc.docscrape import NumpyDocString
from scipy.spatial.transform import Rotation

import icedask as ice
from icedask.descriptors import registry
from icedask.descriptors.descriptor import Descriptor
from icedask.descriptors.frame import Frame
from icedask.store import chunks

# NaN where the quantity does not exist: too few neighbours, cells that are open.
UNDEFINED = {
    "local_structure_index": ("cluster", "lonely"),
    "mass_density": ("slab", "wire", "cluster"),
    "steinhardt": ("cluster", "lonely"),
    "voronoi": ("slab", "wire", "cluster"),
}


@lru_cache
def trajectory(n_frames: int = 3) -> xr.Dataset:
    """Return a triclinic, unwrapped trajectory in which neighbours change; not to be changed."""
    atoms = system("unwrapped")
    rng = np.random.default_rng(3)
    frames = []
    for _ in range(n_frames):
        atoms = atoms.copy()
        atoms.positions += rng.normal(0, 0.15, atoms.positions.shape)
        frames.append(atoms)
    return ice.from_ase(frames, frame_interval=1.0)


def described(entry: Descriptor, trj: xr.Dataset, **more: Any) -> xr.DataArray:
    """Return the variable of the descriptor with its example's options."""
    return entry.function(trj, **{**entry.example, **more})[entry.variable.name]


@lru_cache
def expected(name: str, n_frames: int = 3) -> np.ndarray:
    """Return the values for the trajectory as it is."""
    return described(registry()[name], trajectory(n_frames)).values


def moved(trj: xr.Dataset, positions: np.ndarray, cell: np.ndarray | None = None) -> xr.Dataset:
    """Return a trajectory with other positions, and another cell if given."""
    ds = trj.assign(positions=trj["positions"].copy(data=positions.astype(np.float32)))
    return ds if cell is None else ds.assign(cell=ds["cell"].copy(data=cell))


def assert_same(array: xr.DataArray, values: np.ndarray) -> None:
    """Fail unless values are the same up to the rounding of positions."""
    # A pair at the cutoff, or a bond at a threshold, may change sides.
    if array.dtype.kind == "i" or array.name == "lens":
        same = (array.values == values) | (np.isnan(array.values) & np.isnan(values))
        assert np.mean(~same) < 0.005
    else:
        np.testing.assert_allclose(array, values, rtol=2e-4, atol=1e-4)


def another_option(entry: Descriptor) -> dict[str, Any]:
    """Return one option with another value than in the example."""
    options = entry.options(entry.example)
    for parameter in entry.parameters:
        value = options[parameter.name]
        if parameter.option.choices:
            return {parameter.name: next(c for c in parameter.option.choices if c != value)}
        if parameter.name == "species":
            return {"species": ["O"]}
        if parameter.type in (int, float) and value is not None:
            return {parameter.name: value - 1 if parameter.type is int else 0.99 * value}
    raise AssertionError(f"{entry.name}: no option to change")


def _refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("computed where laziness was promised")


def is_lazy_with_its_specification(entry: Descriptor) -> None:
    trj, spec = trajectory(), entry.variable
    with dask.config.set(scheduler=_refuse):
        ds = entry.function(trj, **entry.example)
    array = ds[spec.name]
    assert dask.is_dask_collection(array)
    assert array.dims == spec.dims
    assert array.attrs.get("units", "") == spec.units
    assert array.attrs["long_name"] == spec.long_name
    assert all(ds[coord.name].attrs == coord.attrs for coord in entry.coords)
    assert {"element", "time", "step", "atom"} <= set(ds.coords)
    assert ds.attrs["run_id"].startswith(entry.name.replace("_", "-"))
    assert array.compute().dtype == array.dtype
    assert spec.dtype == "number" or array.dtype == spec.dtype


def does_not_depend_on_blocks_of_frames(entry: Descriptor) -> None:
    trj, whole = trajectory(8), expected(entry.name, 8)
    halo = entry.build(trj, **entry.options(entry.example)).halo
    for frames in (1, 3, 5) if halo else (3,):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chunks, "BLOCK_ATOM_FRAMES", frames * trj.sizes["atom"])
            array = described(entry, trj.chunk({"frame": 5}))
        assert halo or len(array.chunks[0]) == -(-8 // frames)
        np.testing.assert_array_equal(array.values, whole)


def does_not_depend_on_blocks_of_atoms(entry: Descriptor) -> None:
    trj = ice.from_ase([system("orthogonal") * (2, 1, 1)] * 3)
    whole = described(entry, trj).values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "BLOCK_BYTES", 1)
        patch.setattr(chunks, "INNER_BYTES", 1)
        array = described(entry, trj)
    halo = entry.build(trj, **entry.options(entry.example)).halo
    assert halo or len(array.chunks[1]) > 1
    np.testing.assert_allclose(array.values, whole, rtol=1e-10)


def does_not_depend_on_the_coordinate_system(entry: Descriptor) -> None:
    trj, values = trajectory(), expected(entry.name)
    positions, cell = trj["positions"].values.astype(float), trj["cell"].values
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    images = np.random.default_rng(0).integers(-2, 3, positions.shape)
    for other in (
        moved(trj, positions @ turn.T, cell @ turn.T),
        moved(trj, positions + np.array([1.3, -20.1, 7.7])),
        moved(trj, positions + np.einsum("fai,fij->faj", images, cell)),
    ):
        assert_same(described(entry, other), values)


def follows_the_order_of_atoms(entry: Descriptor) -> None:
    trj = trajectory()
    order = np.random.default_rng(0).permutation(trj.sizes["atom"])
    permuted = described(entry, trj.isel(atom=order))
    np.testing.assert_allclose(permuted, expected(entry.name)[:, order], rtol=1e-10, atol=1e-12)


def describes_the_centers_alone(entry: Descriptor) -> None:
    part = described(entry, trajectory(), centers="index 10:30 or index 99")
    chosen = [*range(10, 31), 99]
    assert part["atom"].values.tolist() == chosen
    values = expected(entry.name)[:, chosen]
    np.testing.assert_allclose(part.values, values, rtol=1e-10, atol=1e-12)


def is_finite_in_every_system(entry: Descriptor) -> None:
    for kind in SYSTEMS:
        atoms = system(kind)
        atoms.symbols[:] = "O"
        trj = ice.from_ase([atoms] * 4)
        halo = entry.build(trj, **entry.options(entry.example)).halo
        values = described(entry, trj).values
        assert values.shape[:2] == (4, len(atoms))
        described_frames = values[: 4 - halo]
        assert not np.isinf(described_frames).any(), kind
        undefined = kind in UNDEFINED.get(entry.name, ())
        assert np.isnan(described_frames).any() == undefined, kind
        assert np.isnan(values[4 - halo :]).all(), kind


def travels_to_other_processes(entry: Descriptor) -> None:
    kernel = entry.build(trajectory(), **entry.options(entry.example))
    copy = pickle.loads(pickle.dumps(kernel))
    atoms = system("orthogonal")
    frame = Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers)
    here, there = (
        k.compute(frame) if k.keep is None else k.compute([k.keep(frame)] * (k.halo + 1))
        for k in (kernel, copy)
    )
    np.testing.assert_array_equal(there, here)


def has_a_run_id_of_its_options(entry: Descriptor) -> None:
    trj = trajectory(5)

    def run_id(ds: xr.Dataset, **more: Any) -> str:
        return entry.function(ds, **{**entry.example, **more}).attrs["run_id"]

    first = run_id(trj)
    assert run_id(trj) == first
    assert run_id(trj, **another_option(entry)) != first
    assert run_id(trj.isel(frame=slice(0, 4))) != first
    assert run_id(trj.isel(atom=slice(0, 50))) != first
    assert run_id(trj.assign(positions=trj["positions"] + np.float32(1))) != first


def is_documented(entry: Descriptor) -> None:
    text = NumpyDocString(entry.function.__doc__ or "")
    documented = [item.name for item in text["Parameters"]]
    assert documented == ["trj", *(parameter.name for parameter in entry.parameters)]
    for section in ("Summary", "Returns", "Raises", "Examples"):
        assert text[section], section
    assert text["Returns"][0].desc[0].startswith(f"{entry.variable.name} (frame, atom")
    assert not re.search(r"\{(parameters|returns|raises)\}", entry.function.__doc__ or "")
    for parameter in entry.parameters:
        assert parameter.name != "r_cut" or parameter.option.unit == "angstrom"


PROMISES: Mapping[str, Callable[[Descriptor], None]] = {
    promise.__name__: promise
    for promise in (
        is_lazy_with_its_specification,
        does_not_depend_on_blocks_of_frames,
        does_not_depend_on_blocks_of_atoms,
        does_not_depend_on_the_coordinate_system,
        follows_the_order_of_atoms,
        describes_the_centers_alone,
        is_finite_in_every_system,
        travels_to_other_processes,
        has_a_run_id_of_its_options,
        is_documented,
    )
}
