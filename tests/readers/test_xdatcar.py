"""XDATCAR: frames in one pass, lattices that change, refusals; against ASE."""

from __future__ import annotations

import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

import icedask as ice

LATTICE = "salt\n  1.0\n  5 0 0\n  0 6 0\n  0 0 7\n  Na Cl\n  1 1\n"


def frame(number: int, x: float = 0.1, kind: str = "Direct") -> str:
    return f"{kind} configuration= {number:5d}\n  {x:.8f} 0.0 0.0\n  0.5 0.5 0.5\n"


def ingested(tmp_path: Path, text: str, name: str = "XDATCAR", **options: object):
    path = tmp_path / name
    path.write_text(text)
    return ice.ingest(path, tmp_path / "t.zarr", **options)


@pytest.mark.parametrize("name", ["XDATCAR", "XDATCAR.1", "xdatcar_2", "run.dat"])
def test_equals_ase(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    cell = [[5, 0, 0], [1, 6, 0], [0.5, 0.3, 7]]
    frames = [Atoms("Na2Cl2", rng.uniform(0, 5, (4, 3)), cell=cell, pbc=True) for _ in range(5)]
    ase.io.write(tmp_path / name, frames, format="vasp-xdatcar")
    trj = ice.ingest(tmp_path / name, tmp_path / "t.zarr", frame_interval=0.5)
    expected = ase.io.read(tmp_path / name, index=":", format="vasp-xdatcar")
    for number, atoms in enumerate(expected):
        np.testing.assert_allclose(trj["positions"][number], atoms.positions, atol=1e-5)
        np.testing.assert_allclose(trj["cell"][number], atoms.cell.array)
    assert trj["step"].values.tolist() == [1, 2, 3, 4, 5]
    assert trj["time"].values.tolist() == [0, 0.5, 1, 1.5, 2]


def test_a_lattice_of_each_frame(tmp_path: Path) -> None:
    text = LATTICE + frame(1) + LATTICE.replace("1.0", "2.0") + frame(2)
    trj = ingested(tmp_path, text)
    np.testing.assert_allclose(trj["cell"][:, 0, 0], [5, 10])
    np.testing.assert_allclose(trj["positions"][:, 1], [[2.5, 3, 3.5], [5, 6, 7]])


def test_scale_that_is_a_volume_and_three_scales(tmp_path: Path) -> None:
    trj = ingested(tmp_path, LATTICE.replace("1.0", f"-{8 * 210}") + frame(1))
    np.testing.assert_allclose(trj["cell"][0, 0, 0], 10)
    trj = ingested(tmp_path, LATTICE.replace("1.0", "1 2 3") + frame(1), overwrite=True)
    np.testing.assert_allclose(np.diag(trj["cell"][0]), [5, 12, 21])


def test_without_symbols_elements_are_asked_for(tmp_path: Path) -> None:
    text = LATTICE.replace("  Na Cl\n", "") + frame(1)
    with pytest.raises(ice.InputError, match="found none for '1', '2'"):
        ingested(tmp_path, text)
    trj = ingested(tmp_path, text, elements={"1": "Na", "2": "Cl"})
    assert trj["element"].values.tolist() == ["Na", "Cl"]


BROKEN = {
    "cut": (LATTICE + frame(1) + frame(2)[:-25], "truncated"),
    "cut in a number": (LATTICE + frame(1) + frame(2)[:-2], "truncated"),
    "other counts": (LATTICE + frame(1) + LATTICE.replace("1 1", "1 2") + frame(2), "split"),
    "no number": (LATTICE + frame(1).replace("0.5", "half", 1), "frame 0 cannot be read"),
    "two columns": (LATTICE + frame(1).replace("0.5 0.5 0.5", "0.5 0.5"), "three coord|truncated"),
    "extra line": (LATTICE + frame(1) + "0 0 0\n" + frame(2), "expected a scale factor"),
    "both kinds": (LATTICE + frame(1) + frame(2, kind="Cartesian"), "found both"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files(tmp_path: Path, kind: str) -> None:
    text, match = BROKEN[kind]
    with pytest.raises(ice.InputError, match=match):
        ingested(tmp_path, text)


def test_time_is_linear_in_frames(tmp_path: Path) -> None:
    text = LATTICE.replace("1 1", "50 50")
    rows = "  0.1 0.2 0.3\n" * 100
    path = tmp_path / "XDATCAR"
    path.write_text(text + "".join(f"Direct configuration= {k}\n{rows}" for k in range(1, 2001)))
    start = time.perf_counter()
    trj = ice.ingest(path, tmp_path / "t.zarr")
    assert trj.sizes["frame"] == 2000
    # 0.6 s; reading the file again for each frame takes minutes.
    assert time.perf_counter() - start < 15
