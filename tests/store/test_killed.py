"""SIGKILL at any moment, then the same call again: the store of an unbroken run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from helpers.killing import check_any_kill, run

import icedask as ice
from icedask.store import chunks
from icedask.store import trajectory as encode


def ingest(source: Path, store: Path) -> None:
    encode.TRAJECTORY_ATOM_FRAMES = 120
    ice.ingest(source, store, units="metal", timestep=0.001, elements={"1": "O", "2": "H"})


def describe(source: Path, store: Path) -> None:
    chunks.BLOCK_ATOM_FRAMES = 120
    trj = ice.open_trajectory(store)
    soap = ice.soap(trj, r_cut=3.0, n_max=2, l_max=1)
    ice.save(soap, store, label="soap")
    ice.save(ice.PCA(2).fit(soap), store, label="pca")


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "run.dump"
    with path.open("w") as file:
        for step in range(0, 900, 100):
            file.write(f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n40\n")
            file.write(
                "ITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\nITEM: ATOMS id type x y z vx vy vz\n"
            )
            for atom, row in enumerate(rng.random((40, 6)) * 9, start=1):
                file.write(f"{atom} {1 + atom % 2} " + " ".join(f"{v:.4f}" for v in row) + "\n")
    return path


def remove(source: Path, store: Path) -> None:
    with suppress(ice.NotFoundError):
        ice.remove_run(store, "cn")


# Evenly spread moments at which a writer is killed.
POINTS = 15


@pytest.mark.slow
def test_remove(dump: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.zarr"
    ingest(dump, start)
    ice.save(ice.coordination(ice.open_trajectory(start), r_cut=3.0), start, label="cn")
    check_any_kill(remove, dump, tmp_path, start, 8)


@pytest.mark.slow
def test_ingest(dump: Path, tmp_path: Path) -> None:
    check_any_kill(ingest, dump, tmp_path, None, POINTS)


@pytest.mark.slow
def test_describe_and_fit(dump: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.zarr"
    assert run(ingest, dump, start)[0] == 0
    check_any_kill(describe, dump, tmp_path, start, POINTS)
