"""Units of per-atom columns: stated by name where they are not converted, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

import icedask as ice

DUMP = """ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
1
ITEM: BOX BOUNDS pp pp pp
0 9
0 9
0 9
ITEM: ATOMS id type x y z c_e c_x
1 1 1 1 1 1.0 2.0
"""
OPTIONS = {"units": "real", "timestep": 1.0, "elements": "O"}


def test_units_of_unconverted_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.lammpstrj"
    path.write_text(DUMP)
    named = {"c_e": "potential_energy"}
    trj = ice.ingest(path, tmp_path / "a.zarr", columns=named, **OPTIONS)
    assert trj.attrs["column_units"] == {"c_x": "unconverted (real)"}
    assert trj["c_x"].attrs["units"] == "unconverted (real)"
    assert trj["potential_energy"].attrs["units"] == "eV"
    assert float(trj["potential_energy"][0, 0]) == pytest.approx(0.0433641)
    known = ice.ingest(path, tmp_path / "b.zarr", columns={**named, "c_x": None}, **OPTIONS)
    assert "column_units" not in known.attrs
    again = ice.save(trj.isel(frame=[0]).assign_attrs({}), tmp_path / "c.zarr")
    assert again.attrs["column_units"] == {"c_x": "unconverted (real)"}
