"""LAMMPS data files: conventions and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import icedask as ice

DATA = """LAMMPS data file via write_data, version 22 Jul 2025, timestep = 20, units = real

3 atoms
2 atom types

-1 9 xlo xhi
0 8 ylo yhi
0 7 zlo zhi
1.5 0 0 xy xz yz

Masses

1 15.9994 # O
2 1.008

Atoms # full

2 1 2 0.4 1.0 2.0 3.0 0 0 0 # H
1 1 1 -0.8 0.5 0.5 0.5 0 0 0
3 1 2 0.4 4.0 2.0 3.0 0 1 0

Velocities

1 0.001 0 0
3 0 0 0
2 0 0.002 0
"""
OPTIONS = {"elements": {"1": "O", "2": "H"}, "pbc": (True, True, True)}


def ingested(tmp_path: Path, text: str = DATA, name: str = "data.water", **options: object):
    path = tmp_path / name
    path.write_text(text)
    return ice.ingest(path, tmp_path / "t.zarr", **{**OPTIONS, **options})


@pytest.mark.parametrize("name", ["data.water", "water.data", "a.lmp", "restart.dump"])
def test_a_file_of_write_data(tmp_path: Path, name: str) -> None:
    trj = ingested(tmp_path, name=name, timestep=2.0)
    assert trj["id"].values.tolist() == [1, 2, 3]
    assert trj["element"].values.tolist() == ["O", "H", "H"]
    np.testing.assert_allclose(trj["positions"][0, 1], [1, 2, 3])
    np.testing.assert_allclose(trj["cell"][0], [[10, 0, 0], [1.5, 8, 0], [0, 0, 7]])
    np.testing.assert_allclose(trj["cell_origin"][0], [-1, 0, 0])
    np.testing.assert_allclose(trj["velocity"][0, 0], [1.0, 0, 0])
    np.testing.assert_allclose(trj["charge"][0], [-0.8, 0.4, 0.4])
    assert (int(trj["step"][0]), float(trj["time"][0])) == (20, 0.04)


def test_general_triclinic_box(tmp_path: Path) -> None:
    box = "0 10 0 avec\n-8 0 0 bvec\n0 0 7 cvec\n1 2 3 abc origin\n"
    start, end = DATA.index("-1 9 xlo"), DATA.index("\nMasses")
    trj = ingested(tmp_path, DATA[:start] + box + DATA[end:])
    np.testing.assert_allclose(trj["cell"][0], [[0, 10, 0], [-8, 0, 0], [0, 0, 7]])
    np.testing.assert_allclose(trj["cell_origin"][0], [1, 2, 3])


WITHOUT = DATA.replace(", units = real", "").replace(" # full", "")


@pytest.mark.parametrize(
    ("text", "options", "match"),
    [
        (DATA, {"pbc": None}, r"does not state its boundaries; give pbc="),
        (DATA, {"units": "metal"}, "expected units real, as the file says, found 'metal'"),
        (DATA, {"atom_style": "charge"}, "expected atom_style 'full', as the file states"),
        (DATA, {"elements": {"1": "O"}}, "found none for '2'"),
        (WITHOUT, {"units": "real"}, "does not state its atom style"),
        (WITHOUT, {"atom_style": "full"}, "units"),
        (WITHOUT, {"atom_style": "atomic", "units": "real"}, "expected 5 columns of atom style"),
        (WITHOUT, {"atom_style": "wrong", "units": "real"}, "expected one of atomic, angle"),
        (DATA.replace("3 atoms", "4 atoms"), {}, "expected 4 atoms, found 3"),
        (DATA.replace("3 1 2 0.4", "2 1 2 0.4"), {}, "found 2 twice"),
        (DATA.replace(" 4.0 2.0 3.0", " 4.0 2.0"), {}, "found 9, 10"),
        (DATA + DATA.split("\n", 1)[1], {}, "expected one section|found two"),
        (DATA.replace("xlo xhi", "lo hi"), {}, "expected a box|recognises"),
        (DATA.replace("1.0 2.0 3.0", "1.0 abc 3.0"), {}, "cannot be read"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, options: dict, match: str) -> None:
    with pytest.raises(ice.InputError, match=match):
        ingested(tmp_path, text, **options)


def test_what_is_not_stated_is_given(tmp_path: Path) -> None:
    trj = ingested(tmp_path, WITHOUT, atom_style="full", units="real")
    assert np.isnan(trj["time"]).all()
    assert trj["molecule"].values.tolist() == [1, 1, 1]


def test_elements_are_asked_for_what_is_selected(tmp_path: Path) -> None:
    trj = ingested(tmp_path, elements={"1": "O"}, select="type 1")
    assert trj["id"].values.tolist() == [1]
