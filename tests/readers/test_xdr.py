"""GROMACS xtc and trr by their headers: steps, cut files, frames without positions."""

from __future__ import annotations

import logging
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from MDAnalysis.lib.formats.libmdaxdr import TRRFile, XTCFile
from MDAnalysisTests import datafiles as data

import icedask as ice

GRO = (
    "two atoms\n    2\n"
    "    1SOL     OW    1   0.230   0.628   0.113\n"
    "    1SOL    HW1    2   0.137   0.626   0.150\n"
    "   1.00000   1.00000   1.00000\n"
)
BOX = np.eye(3, dtype=np.float32)


@pytest.fixture
def options(tmp_path: Path) -> dict[str, object]:
    (tmp_path / "a.gro").write_text(GRO)
    return {"topology": tmp_path / "a.gro", "elements": {"OW": "O", "HW1": "H"}}


def trr(path: Path, kinds: str) -> Path:
    """Frames with positions (x), velocities (v), or both (b)."""
    with TRRFile(str(path), "w") as file:
        for number, kind in enumerate(kinds):
            values = np.full((2, 3), number, np.float32)
            file.write(
                values if kind in "xb" else None,
                values if kind in "vb" else None,
                None,
                BOX,
                10 * number,
                0.5 * number,
                0.0,
                2,
            )
    return path


def test_frames_without_positions_are_left_out_with_a_notice(tmp_path, options, caplog) -> None:
    path = trr(tmp_path / "a.trr", "xvxv")
    with caplog.at_level(logging.WARNING, "icedask"):
        trj = ice.ingest(path, tmp_path / "t.zarr", **options)
    assert "2 of 4 frames have velocities or forces only" in caplog.text
    assert trj["step"].values.tolist() == [0, 20]
    assert trj["time"].values.tolist() == [0.0, 1.0]
    np.testing.assert_array_equal(trj["positions"][:, 0, 0], [0, 20])


def test_no_positions_at_all(tmp_path, options) -> None:
    with pytest.raises(ice.InputError, match=r"expected positions, found velocities.*nstxout"):
        ice.ingest(trr(tmp_path / "a.trr", "vv"), tmp_path / "t.zarr", **options)


def test_velocities_in_some_frames_are_dropped_when_asked(tmp_path, options) -> None:
    path = trr(tmp_path / "a.trr", "bxb")
    with pytest.raises(ice.InputError, match=r"columns|velocity"):
        ice.ingest(path, tmp_path / "t.zarr", frames="0:1", columns={"speed": None}, **options)
    trj = ice.ingest(path, tmp_path / "u.zarr", frames="::2", **options)
    np.testing.assert_array_equal(trj["velocity"][:, 0, 0], [0, 20])
    named = {"velocity": None}
    dropped = ice.ingest(path, tmp_path / "v.zarr", frames="::2", columns=named, **options)
    assert "velocity" not in dropped


@pytest.mark.parametrize("kind", ["xtc", "trr"])
@pytest.mark.parametrize("missing", [1, 30])
def test_cut_files(tmp_path, options, kind, missing) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "trr":
        trr(path, "xxx")
    else:
        with XTCFile(str(path), "w") as file:
            for number in range(3):
                file.write(np.full((2, 3), number, np.float32), BOX, number, number, 1000)
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(ice.InputError, match=r"truncated.*--frames :2"):
        ice.ingest(path, tmp_path / "t.zarr", **options)
    assert ice.ingest(path, tmp_path / "t.zarr", frames=":2", **options).sizes["frame"] == 2


def test_damage_in_the_middle(tmp_path, options) -> None:
    path = trr(tmp_path / "a.trr", "xxx")
    content = bytearray(path.read_bytes())
    size = len(content) // 3
    content[size : size + 4] = struct.pack(">i", 7)
    path.write_bytes(content)
    with pytest.raises(ice.InputError, match=f"header of a frame at byte {size}"):
        ice.ingest(path, tmp_path / "t.zarr", **options)


def test_bits_of_the_packed_coordinates(tmp_path) -> None:
    """Flipped bits are read or refused: no other exception, and no crash."""
    (tmp_path / "a.gro").write_text(
        "atoms\n 5\n"
        + "".join(f"    1SOL     OW    {k}   0.230   0.628   0.113\n" for k in range(1, 6))
        + "   1.0 1.0 1.0\n"
    )
    source = Path(data.COORDINATES_XTC).read_bytes()
    rng = np.random.default_rng(0)
    for number in range(8):
        content = bytearray(source)
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path = tmp_path / f"{number}.xtc"
        path.write_bytes(content)
        try:
            ice.ingest(path, tmp_path / f"{number}.zarr", topology=tmp_path / "a.gro", elements="O")
        except ice.InputError as error:
            assert str(error)


def test_no_file_is_written_beside_the_source(tmp_path, options) -> None:
    (tmp_path / "source").mkdir()
    path = trr(tmp_path / "source" / "a.trr", "xx")
    ice.ingest(path, tmp_path / "t.zarr", **options)
    assert [file.name for file in path.parent.iterdir()] == ["a.trr"]


def test_elements_are_asked_for_what_is_selected(tmp_path) -> None:
    tpr, xtc = shutil.copy(data.TPR, tmp_path), shutil.copy(data.XTC, tmp_path)
    options = {"topology": tpr, "frames": ":1"}
    with pytest.raises(ice.InputError, match="found none for 'MW'"):
        ice.ingest(xtc, tmp_path / "t.zarr", **options)
    trj = ice.ingest(xtc, tmp_path / "t.zarr", select="name OW", **options)
    assert set(trj["element"].values) == {"O"}
