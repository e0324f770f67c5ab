"""DCD: times in the unit of the program that wrote the file, steps of the simulation, cut files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

import icedask as ice

GRO = (
    "two atoms\n    2\n"
    "    1SOL     OW    1   0.230   0.628   0.113\n"
    "    1SOL    HW1    2   0.137   0.626   0.150\n"
    "   1.00000   1.00000   1.00000\n"
)
LAMMPS, NAMD = b"Written by LAMMPS", b"REMARKS FILENAME=a.dcd CREATED BY NAMD"
AKMA = 0.0488882129


def record(data: bytes, order: str) -> bytes:
    mark = struct.pack(f"{order}i", len(data))
    return mark + data + mark


def dcd(
    title: bytes, *, delta: float, first=0, every=1, n_frames=3, order="<", cell=True, flat=False
) -> bytes:
    head = [0] * 20
    head[0], head[1], head[2], head[10], head[19] = n_frames, first, every, int(cell), 24
    numbers = bytearray(struct.pack(f"{order}20i", *head))
    numbers[36:40] = struct.pack(f"{order}f", delta)
    titles = struct.pack(f"{order}i", 2) + title.ljust(80, b"\0") + b"second".ljust(80)
    parts = [
        record(b"CORD" + bytes(numbers), order),
        record(titles, order),
        record(struct.pack(f"{order}i", 2), order),
    ]
    for frame in range(n_frames):
        if cell:
            parts.append(record(struct.pack(f"{order}6d", 9, 0, 9, 0, 0, 1 if flat else 9), order))
        axes = [struct.pack(f"{order}2f", frame + k, 1 + frame + k) for k in range(3)]
        axes[2] = bytes(8) if flat else axes[2]
        parts += [record(axis, order) for axis in axes]
    return b"".join(parts)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, dict[str, object]]:
    (tmp_path / "a.gro").write_text(GRO)
    options = {"topology": tmp_path / "a.gro", "elements": {"OW": "O", "HW1": "H"}}
    return tmp_path / "a.dcd", options


@pytest.mark.parametrize(
    ("units", "delta", "step"),
    [("real", 2.0, 2e-3), ("metal", 0.002, 2e-3), ("lj", 0.005, 0.005 * 2.5)],
)
def test_lammps_writes_the_time_step_in_the_unit_of_the_run(files, units, delta, step) -> None:
    path, options = files
    path.write_bytes(dcd(LAMMPS, delta=delta, first=1000, every=250))
    if units == "lj":
        options.update(lj_sigma=3.0, lj_epsilon=1.0, lj_tau=2.5)
    trj = ice.ingest(path, path.with_name("t.zarr"), units=units, **options)
    assert trj["step"].values.tolist() == [1000, 1250, 1500]
    np.testing.assert_allclose(trj["time"], np.array([1000, 1250, 1500]) * step, rtol=1e-12)
    scale = 3.0 if units == "lj" else 1.0
    np.testing.assert_allclose(trj["positions"][1, 0], np.array([1, 2, 3]) * scale)
    np.testing.assert_allclose(trj["cell"][0], np.eye(3) * 9 * scale, atol=1e-5)


def test_units_of_lammps_are_asked_for(files) -> None:
    path, options = files
    path.write_bytes(dcd(LAMMPS, delta=2.0))
    with pytest.raises(ice.InputError, match=r"LAMMPS wrote this DCD.*--units.* real, metal or lj"):
        ice.ingest(path, path.with_name("t.zarr"), **options)


@pytest.mark.parametrize("order", "<>")
def test_charmm_and_namd_have_their_unit(files, order: str) -> None:
    path, options = files
    path.write_bytes(dcd(NAMD, delta=0.001 / AKMA, first=500, every=500, order=order))
    trj = ice.ingest(path, path.with_name("t.zarr"), **options)
    assert trj["step"].values.tolist() == [500, 1000, 1500]
    np.testing.assert_allclose(trj["time"], [0.5, 1.0, 1.5], rtol=1e-7)
    with pytest.raises(ice.InputError, match=r"is read as DCD, which states its units: leave out"):
        ice.ingest(path, path.with_name("u.zarr"), units="real", **options)


@pytest.mark.parametrize(("title", "delta"), [(b"Created by DCD plugin", 1.0), (NAMD, 0.0)])
def test_placeholders_are_no_times(files, title: bytes, delta: float) -> None:
    path, options = files
    path.write_bytes(dcd(title, delta=delta))
    trj = ice.ingest(path, path.with_name("t.zarr"), **options)
    assert np.isnan(trj["time"]).all()
    timed = ice.ingest(path, path.with_name("u.zarr"), frame_interval=0.5, **options)
    assert timed["time"].values.tolist() == [0.0, 0.5, 1.0]


def test_restarts_are_joined_by_their_steps(files) -> None:
    path, options = files
    second = path.with_name("b.dcd")
    path.write_bytes(dcd(LAMMPS, delta=0.001, first=0, every=100))
    second.write_bytes(dcd(LAMMPS, delta=0.001, first=300, every=100))
    trj = ice.ingest([path, second], path.with_name("t.zarr"), units="metal", **options)
    assert trj["step"].values.tolist() == [0, 100, 200, 300, 400, 500]


@pytest.mark.parametrize("missing", [1, 40, 100])
def test_cut_files(files, missing: int) -> None:
    path, options = files
    path.write_bytes(dcd(NAMD, delta=0.02)[:-missing])
    with pytest.raises(ice.InputError, match=r"truncated.*--frames :2"):
        ice.ingest(path, path.with_name("t.zarr"), **options)
    trj = ice.ingest(path, path.with_name("t.zarr"), frames=":2", **options)
    assert trj.sizes["frame"] == 2


@pytest.mark.parametrize("length", [50, 91, 200, 280, 300])
def test_cut_headers(files, length: int) -> None:
    path, options = files
    path.write_bytes(dcd(NAMD, delta=0.02)[:length])
    with pytest.raises(ice.InputError, match=r"header|records|no whole frame|atoms|titles"):
        ice.ingest(path, path.with_name("t.zarr"), **options)


def test_a_run_of_two_dimensions_asks_for_its_boundaries(files) -> None:
    path, options = files
    path.write_bytes(dcd(LAMMPS, delta=0.002, flat=True))
    with pytest.raises(ice.InputError, match=r"one plane.*--pbc xy.*--pbc xyz"):
        ice.ingest(path, path.with_suffix(".zarr"), units="metal", **options)
    flat = (True, True, False)
    trj = ice.ingest(path, path.with_suffix(".zarr"), units="metal", pbc=flat, **options)
    assert trj["pbc"].values.tolist() == list(flat)
