"""Atoms that cannot be followed in time: refused by what follows them, down to derived results."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from ase.build import bulk

import icedask as ice


@pytest.fixture
def scrambled(tmp_path):
    """A trajectory of a dump without ids."""
    path = tmp_path / "a.lammpstrj"
    xyz = (bulk("Cu", cubic=True) * (2, 2, 2)).positions
    box = "ITEM: BOX BOUNDS pp pp pp\n" + "0 7.22\n" * 3
    rows = "".join(f"1 {x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in xyz)
    head = f"ITEM: NUMBER OF ATOMS\n{len(xyz)}\n{box}ITEM: ATOMS type x y z\n"
    path.write_text("".join(f"ITEM: TIMESTEP\n{n}\n{head}{rows}" for n in range(4)))

    def ingest(store, **options):
        options = {"units": "metal", "timestep": 1.0, "elements": "Cu", **options}
        return ice.ingest(path, tmp_path / store, **options)

    return ingest


def test_refused_where_atoms_are_followed(scrambled, tmp_path):
    trj = scrambled("a.zarr")
    soap = ice.soap(trj, r_cut=3.0, n_max=2, l_max=1)
    saved = ice.save(soap, tmp_path / "a.zarr")
    labels = ice.KMeans(1).fit_predict(saved)
    copy = ice.save(trj.isel(atom=slice(0, 8)), tmp_path / "copy.zarr")
    for call in (
        lambda: ice.lens(trj, r_cut=3.0),
        lambda: ice.displacement(trj),
        lambda: ice.displacement(copy),
        lambda: ice.time_soap(soap),
        lambda: ice.time_soap(saved),
        lambda: ice.smooth(ice.coordination(trj, r_cut=3.0).astype("float32"), window=3),
        lambda: ice.transitions(labels),
        lambda: ice.residence_times(labels),
        lambda: ice.markov_test(labels, lags=(1, 2)),
        lambda: ice.entry_exit_counts(labels, labels),
    ):
        with pytest.raises(ice.InputError, match=r"no ids.*dump the id.*--fixed-order"):
            call()
    assert ice.populations(labels)["population"].shape == (4, 1)


def test_known_orders(scrambled):
    fixed = scrambled("b.zarr", fixed_order=True)
    np.testing.assert_array_equal(ice.displacement(fixed)["displacement"][0], 0)
    plain = xr.Dataset({"label": (("frame", "atom"), np.zeros((3, 2), np.int32))})
    assert ice.transitions(plain)["flux"].values.tolist() == [[4]]
    assert "atom_order" not in ice.coordination(fixed, r_cut=3.0).attrs
