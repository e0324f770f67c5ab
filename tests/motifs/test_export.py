"""Surroundings of medoids: the atoms within the cutoff, and their files."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
import xarray as xr
from helpers.systems import brute_pairs, system

import icedask as ice
from icedask.errors import InputError
from icedask.motifs.export import environments, export


@pytest.fixture
def sites() -> xr.Dataset:
    frames = [system("triclinic") for _ in range(2)]
    frames[1].positions += np.random.default_rng(0).normal(0, 0.1, frames[1].positions.shape)
    return ice.from_ase(frames)


@pytest.fixture
def table() -> xr.Dataset:
    flags = {"flag_values": [0, 1, 2], "flag_meanings": "ice transient liquid"}
    return xr.Dataset(
        {
            "medoid_frame": ("motif", [1, -1, 0]),
            "medoid_atom": ("motif", [7, -1, 100]),
            "category": ("motif", [0, 1, 2], flags),
        },
        {"motif": np.arange(3)},
    )


def test_atoms_within_the_cutoff(sites: xr.Dataset, table: xr.Dataset) -> None:
    by_motif = environments(sites, table, 5.0)
    assert list(by_motif) == [0, 2]
    for motif, frame, atom, category in ((0, 1, 7, "ice"), (2, 0, 100, "liquid")):
        atoms = by_motif[motif]
        whole = ice.to_ase(sites, frame)
        expected = sorted(d for i, _, d in brute_pairs(whole, 5.0) if i == atom)
        distance = np.linalg.norm(atoms.positions, axis=1)
        assert distance[0] == 0 and len(expected) > 10
        np.testing.assert_allclose(distance[1:], expected, atol=1e-5)
        assert not atoms.pbc.any()
        assert set(atoms.symbols) == {"O"}
        assert (atoms.info["motif"], atoms.info["category"]) == (motif, category)
        assert (atoms.info["frame"], atoms.info["atom"]) == (frame, atom)


def test_index_of_the_source(sites: xr.Dataset, table: xr.Dataset) -> None:
    part = ice.select(sites, "index 50:200")
    assert environments(part, table, 3.0)[2].info["atom"] == 150
    known = part.assign_coords(id=("atom", np.arange(151) + 7))
    assert environments(known, table, 3.0)[2].info["id"] == 107


def test_files(sites: xr.Dataset, table: xr.Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "environments"
    files = export(sites, table, 4.0, folder)
    assert [path.name for path in files] == ["motif_00.xyz", "motif_02.xyz"]
    expected = environments(sites, table, 4.0)[2]
    read = ase.io.read(files[1])
    np.testing.assert_array_equal(read.positions, expected.positions)
    assert read.get_chemical_symbols() == expected.get_chemical_symbols()
    assert read.info["category"] == "liquid" and read.info["atom"] == 100
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="export: expected a folder that can be made"):
        export(sites, table, 4.0, tmp_path / "file")
