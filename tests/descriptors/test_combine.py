"""Descriptors side by side: values, names of features and blocks, any blocks of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr

import icedask as ice
from icedask.errors import InputError
from icedask.store import chunks

OPTIONS: dict[str, Any] = {"r_cut": 3.5, "n_max": 2, "l_max": 2}


@pytest.fixture
def water(mw: xr.Dataset) -> xr.Dataset:
    return ice.select(mw.isel(frame=slice(0, 8, 2)), "index 0:299").load()


def parts(trj: xr.Dataset, **options: Any) -> dict[str, xr.Dataset]:
    return {
        "soap": ice.soap(trj, **{**OPTIONS, **options}),
        "order": ice.steinhardt(trj, r_cut=3.5),
        "q": ice.tetrahedral(trj),
    }


def raw(ds: xr.Dataset) -> np.ndarray:
    (array,) = ds.data_vars.values()
    values = array.values
    return values if values.ndim == 3 else values[:, :, None]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_names(water: xr.Dataset, dtype: str) -> None:
    given = parts(water, dtype=dtype)
    x = ice.combine(**given)
    features = x["features"]
    assert features.dims == ("frame", "atom", "feature")
    expected = [raw(one).astype(np.float32) for one in given.values()]
    np.testing.assert_array_equal(features, np.concatenate(expected, axis=2))
    assert features.dtype == np.float32
    widths = [one.shape[2] for one in expected]
    blocks = [name for name, width in zip(given, widths, strict=True) for _ in range(width)]
    assert features["block"].values.tolist() == blocks
    names = features["feature"].values.tolist()
    assert names[0] == "soap 0" and names[widths[0]] == "order 0" and names[-1] == "q"
    assert len(set(names)) == len(names)
    np.testing.assert_array_equal(features["time"], water["time"])
    np.testing.assert_array_equal(features["atom"], water["atom"])
    assert x.attrs["parameters"] == {"blocks": ["soap", "order", "q"]}
    assert x.attrs["parents"] == [one.attrs["run_id"] for one in given.values()]


@pytest.mark.parametrize("blocks", [300, 600, 1 << 20])
def test_blocks_change_nothing(
    water: xr.Dataset, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    whole = ice.combine(**parts(water))
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", blocks)
    given = parts(water)
    # Each in blocks of its own.
    given["order"] = given["order"].chunk({"frame": (1, 3), "atom": 77})
    cut = ice.combine(**given)
    np.testing.assert_array_equal(cut["features"], whole["features"])
    assert cut["features"].data.numblocks[2] == 1


def test_is_lazy(mw: xr.Dataset, nothing_computes: None) -> None:
    x = ice.combine(soap=ice.soap(mw, **OPTIONS), q=ice.tetrahedral(mw))
    assert dask.is_dask_collection(x["features"])
    assert x["features"].shape[:2] == (16, 4096)


def test_one_and_values_of_your_own(water: xr.Dataset) -> None:
    q = ice.tetrahedral(water)
    x = ice.combine(q=q)
    assert x["features"].shape == (4, 300, 1)
    mine = xr.Dataset({"energy": (("frame", "atom"), np.random.default_rng(0).random((4, 300)))})
    x = ice.combine(q=q, energy=mine)
    np.testing.assert_array_equal(x["features"][..., 1], mine["energy"].astype(np.float32))


def test_stored_and_opened(water: xr.Dataset, tmp_path: Path) -> None:
    x = ice.combine(**parts(water))
    saved = ice.save(x, tmp_path / "s.zarr")
    assert saved.attrs["run_id"] == x.attrs["run_id"]
    np.testing.assert_array_equal(saved["block"], x["block"])
    np.testing.assert_array_equal(saved["features"], x["features"])


def test_what_does_not_belong_together(water: xr.Dataset) -> None:
    q, order = ice.tetrahedral(water), ice.steinhardt(water, r_cut=3.5)
    with pytest.raises(InputError, match="combine: expected at least one Dataset"):
        ice.combine()
    with pytest.raises(InputError, match="combine: expected the same frames in both, found 4 and"):
        ice.combine(q=q, order=order.isel(frame=slice(3)))
    with pytest.raises(InputError, match="expected the same frames in both, found step"):
        ice.combine(q=q.isel(frame=[0, 1]), order=order.isel(frame=[0, 2]))
    some = ice.steinhardt(water, r_cut=3.5, centers="index 0:9")
    with pytest.raises(InputError, match="combine: expected the same atoms in both"):
        ice.combine(q=q, order=some)
    moved = water.assign(positions=water["positions"] + np.float32(0.1))
    with pytest.raises(InputError, match="combine: expected both of one trajectory"):
        ice.combine(q=q, order=ice.steinhardt(moved, r_cut=3.5))
    with pytest.raises(InputError, match="one floating-point variable"):
        ice.combine(q=q, phase=ice.chill_plus(water))
