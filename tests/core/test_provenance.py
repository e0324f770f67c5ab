"""Identity of positions: kept by what moves values, lost by what changes them."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk

import icedask as ice
from icedask.core.provenance import fingerprint, positions_identity, positions_name
from icedask.store import trajectory as encode

N_FRAMES = 12


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """A stored trajectory of three blocks."""
    frames = [bulk("Cu", cubic=True) * (2, 1, 1) for _ in range(N_FRAMES)]
    for number, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "TRAJECTORY_ATOM_FRAMES", 4 * len(frames[0]))
        trj = ice.save(ice.from_ase(frames), tmp_path_factory.mktemp("store") / "run.zarr")
    assert trj["positions"].data.numblocks[0] == 3
    return trj


SAME: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "unchanged": lambda trj: trj,
    "shallow copy": lambda trj: trj.copy(),
    "deep copy": lambda trj: trj.copy(deep=True),
    "pickled": lambda trj: pickle.loads(pickle.dumps(trj)),
    "without attributes": lambda trj: trj.assign(positions=trj["positions"].drop_attrs()),
    "blocks of frames": lambda trj: trj.chunk({"frame": 5}),
    "blocks of atoms": lambda trj: trj.chunk({"frame": 1, "atom": 3}),
    "one block": lambda trj: trj.chunk({"frame": -1}),
    "all frames": lambda trj: trj.isel(frame=slice(None)),
    "frames by number": lambda trj: trj.isel(frame=np.arange(N_FRAMES)),
    "halves joined": lambda trj: xr.concat(
        [trj.isel(frame=slice(0, 5)), trj.isel(frame=slice(5, None))],
        "frame",
        data_vars="minimal",
        coords="minimal",
        compat="override",
    ),
}
PARTS: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "some frames": lambda trj: trj.isel(frame=slice(2, 9)),
    "every third frame": lambda trj: trj.isel(frame=slice(None, None, 3)),
    "frames by number": lambda trj: trj.isel(frame=[0, 5, 3]),
    "frames by mask": lambda trj: trj.isel(frame=trj["step"].values > 4),
    "some atoms": lambda trj: ice.select(trj, "index 1 5 6"),
    "both": lambda trj: ice.select(trj.isel(frame=[1, 2]), "index 1 5 6").chunk({"frame": 1}),
}
CHANGED: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "scaled": lambda x: x * np.float32(1.01),
    "shifted": lambda x: x + np.float32(1),
    "not at all, by a sum": lambda x: x + np.float32(0),
    "masked": lambda x: x.where(x > 0),
    "averaged": lambda x: x.rolling(frame=2, min_periods=1).mean().astype("f4"),
    "by a function": lambda x: x.copy(data=x.data.map_blocks(np.sqrt)),
    "by a function with the name of a step of Dask": lambda x: x.copy(
        data=x.data.map_blocks(np.sqrt, name="getitem-0123456789abcdef")
    ),
    "by a function with such a name in its own": lambda x: x.copy(
        data=x.data.map_blocks(np.sqrt, name="after-rechunk-merge")
    ),
    "with those of another source": lambda x: x.copy(
        data=da.concatenate(
            [x.data[:6], da.from_array(x.values[6:] + 1, name=positions_name("another"))]
        )
    ),
}


@pytest.mark.parametrize("kind", SAME)
def test_same_positions_keep_their_identity(stored: xr.Dataset, kind: str) -> None:
    same = SAME[kind](stored)
    assert fingerprint(same) == fingerprint(stored)
    assert fingerprint(stored.compute()) == fingerprint(stored)


@pytest.mark.parametrize("kind", PARTS)
def test_part_of_the_positions(stored: xr.Dataset, kind: str) -> None:
    part = PARTS[kind](stored)
    whole, identity = fingerprint(stored)
    assert fingerprint(part)[1] == identity
    assert fingerprint(part)[0] != whole
    assert fingerprint(pickle.loads(pickle.dumps(part))) == fingerprint(part)


@pytest.mark.parametrize("kind", CHANGED)
def test_changed_positions_have_another_identity(stored: xr.Dataset, kind: str) -> None:
    for kept in (True, False):
        with xr.set_options(keep_attrs=kept):
            changed = CHANGED[kind](stored["positions"])
        assert positions_identity(changed) != positions_identity(stored["positions"])
        assert positions_identity(changed.isel(frame=slice(1, 3))) != positions_identity(
            stored["positions"]
        )


def test_identity_reaches_workers(stored: xr.Dataset, client: object) -> None:
    remote = client.submit(fingerprint, stored.isel(frame=slice(0, 5))).result()  # type: ignore[attr-defined]
    assert remote == fingerprint(stored.isel(frame=slice(0, 5)))
