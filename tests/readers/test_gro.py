"""Files of several gro frames, read strictly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import icedask as ice

ELEMENTS = {"OW": "O", "HW1": "H"}


def gro(x: float, title="water", *, velocity=False, box="   1.00000   1.00000   1.00000") -> str:
    speed = "  0.1000  0.2000 -0.3000" if velocity else ""
    return (
        f"{title}\n    2\n"
        f"    1SOL     OW    1{x:8.3f}   0.628   0.113{speed}\n"
        f"    1SOL    HW1    2   0.137   0.626   0.150{speed}\n"
        f"{box}\n"
    )


def ingested(tmp_path: Path, text: str, **options: object):
    path = tmp_path / "a.gro"
    path.write_text(text)
    return ice.ingest(path, tmp_path / "t.zarr", elements=ELEMENTS, **options)


@pytest.mark.parametrize("between", ["", "\n", "\n\n", "\r\n"])
def test_all_blocks_of_a_file_are_read(tmp_path: Path, between: str) -> None:
    frames = [gro(0.1, "a, t= 0.0 step= 0"), gro(0.2, "b, t= 2.5 step= 1250")]
    trj = ingested(tmp_path, between.join(frames) + between)
    np.testing.assert_allclose(trj["positions"][:, 0, 0], [1, 2], rtol=1e-6)
    assert trj["time"].values.tolist() == [0.0, 2.5]
    assert trj["step"].values.tolist() == [0, 1250]


def test_velocities_and_triclinic_boxes(tmp_path: Path) -> None:
    box = "   3.0 2.0 1.5 0.0 0.0 0.5 0.0 0.4 0.3"
    trj = ingested(tmp_path, gro(0.1, velocity=True, box=box))
    np.testing.assert_allclose(trj["velocity"][0, 0], [1, 2, -3], rtol=1e-6)
    np.testing.assert_allclose(trj["cell"][0], [[30, 0, 0], [5, 20, 0], [4, 3, 15]])


def test_box_of_zeros_is_none(tmp_path: Path) -> None:
    trj = ingested(tmp_path, gro(0.1, box="   0.00000   0.00000   0.00000"))
    assert not trj["pbc"].values.any()


def test_more_digits(tmp_path: Path) -> None:
    lines = "t\n 1\n    1SOL     OW    1   0.123456   0.234567   0.345678\n   1.0 1.0 1.0\n"
    trj = ingested(tmp_path, lines)
    np.testing.assert_allclose(trj["positions"][0, 0], [1.23456, 2.34567, 3.45678], rtol=1e-6)


BROKEN = {
    "cut": (gro(0.1) + gro(0.2)[:-70], "truncated"),
    "no box": (gro(0.1) + gro(0.2).rsplit("\n", 2)[0] + "\n", "truncated"),
    "short line": (gro(0.1).replace("   0.113", "   0.1"), "frame 0, atom 0: expected 3 numbers"),
    "long line": (gro(0.1).replace("   0.113", "   0.1135"), "expected|not a number"),
    "text": (gro(0.1).replace("   0.113", "   abcde"), "expected|not a number|recognises"),
    "other atoms": (gro(0.1) + gro(0.2).replace("HW1", "HW2"), "frame 1.*same atoms"),
    "more atoms": (gro(0.1) + gro(0.2).replace("    2\n", "    1\n", 1), "truncated|same atoms"),
    "count": (gro(0.1) + gro(0.2).replace("    2\n", "    x\n", 1), "frame 1.*number of atoms"),
    "bad box": (gro(0.1, box="1.0 1.0"), "neither 3 nor 9|box of 3 or 9"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_blocks(tmp_path: Path, kind: str) -> None:
    text, match = BROKEN[kind]
    with pytest.raises(ice.InputError, match=match):
        ingested(tmp_path, text)
    assert not (tmp_path / "t.zarr").exists()
