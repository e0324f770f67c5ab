"""Damaged LAMMPS dumps: refused with frame and line, or read as what they are."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

import icedask as ice
from icedask.readers.formats import SourceOptions
from icedask.readers.lammps_body import NUMBER, TEXT, WHOLE, parse_body, skip_lines
from icedask.readers.sources import JoinedSource, open_source
from icedask.store.frame_block import FrameBlock

BOX = "ITEM: BOX BOUNDS pp pp pp\n0 10\n0 11\n0 12\n"
ROWS = ("1 1 0.5 1 2", "2 2 1.5 1 3", "3 2 2.5 2 2")
OPTIONS = {"units": "real", "timestep": 1.0, "elements": {"1": "O", "2": "H"}}


def frame(step=0, rows=ROWS, box=BOX, names="id type x y z", n=None, before=""):
    return (
        f"{before}ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{n or len(rows)}\n{box}"
        f"ITEM: ATOMS {names}\n" + "".join(f"{row}\n" for row in rows)
    )


def opened(folder: Path, text: str | bytes, name="a.lammpstrj", **options) -> JoinedSource:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    values = {k: v for k, v in {**OPTIONS, **options}.items() if v is not None}
    return open_source([str(path)], SourceOptions(**values), folder)


def read(folder: Path, text: str | bytes, **options) -> FrameBlock:
    source = opened(folder, text, **options)
    assert source.truncated == ""
    source.atoms()
    return source.read(range(source.n_frames))


THREE = frame() + frame(100) + frame(200)
MIDDLE = {
    "item with another sign": (frame(100).replace("ITEM: ATOMS", "ITEM; ATOMS"), "ITEM; ATOMS"),
    "no line of columns": (frame(100).replace("ITEM: ATOMS id type x y z\n", ""), "'1 1 0.5 1 2'"),
    "a line more": (frame(100) + "3 2 2.5 2 2\n", "expected 3 lines of atoms, found 4"),
    "a line fewer": (frame(100).replace("3 2 2.5 2 2\n", ""), "3 lines of atoms, found 2"),
    "a cut header": ("ITEM: TIMESTEP\n100\nITEM: NUMBER OF ATOMS\n", "found 'ITEM: TIMESTEP'"),
    "two frames in one line": (frame(100)[:-1], "expected 3 lines of atoms, found 4"),
    "a number of atoms of 10^22": (frame(100, n=10**22), "0000 lines of atoms, found 3"),
    "no atoms": (frame(100).replace("ATOMS\n3", "ATOMS\n0"), "at least one atom"),
    "a negative number": (frame(100, n=-3), "a whole number after ITEM: NUMBER OF ATOMS"),
    "a step that is none": (frame("1e2"), "a whole step after ITEM: TIMESTEP, found '1e2'"),
    "a bound that is none": (frame(100, box=BOX.replace("11", "1l")), "found '0 1l'"),
    "a third bound": (frame(100, box=BOX.replace("0 11", "0 11 0")), "expected 2 numbers"),
    "a boundary that is none": (frame(100, box=BOX.replace("pp pp pp", "pp p0 pp")), "pp p0 pp"),
    "half a boundary": (frame(100, box=BOX.replace("pp pp pp", "pp p pp")), "'pp p pp'"),
    "an unknown item": (frame(100, before="ITEM: TIMF\n0\n"), "found 'TIMF'"),
    "an item twice": (frame(100, before="ITEM: TIMESTEP\n0\n"), "for the second time"),
}


@pytest.mark.parametrize("name", MIDDLE)
def test_damage_in_the_middle(tmp_path, name):
    damaged, match = MIDDLE[name]
    source = opened(tmp_path, frame() + damaged + frame(200))
    assert source.n_frames == 1
    assert "frame 1, from line 13 on" in source.truncated
    assert match in source.truncated
    np.testing.assert_array_equal(source.read([0]).positions[0, :, 0], [0.5, 1.5, 2.5])
    with pytest.raises(ice.InputError, match=r"damaged after 1 whole frames.*--frames :1"):
        ice.ingest(tmp_path / "a.lammpstrj", tmp_path / "t.zarr", **OPTIONS)


def test_a_step_without_its_item(tmp_path):
    # The step is a line too many behind the atoms of the frame before.
    with pytest.raises(ice.InputError, match=r"no whole frame.*expected 3 lines of atoms, found 4"):
        opened(tmp_path, frame() + frame(100).replace("ITEM: TIMESTEP\n", "") + frame(200))


def test_every_bit_of_the_headers(tmp_path):
    text = (frame(names="type x y z", rows=["1 1 2 3", "2 3 2 1"]) * 2).encode()
    places = [n for n in range(len(text)) if b"ITEM" in text[n - 12 : n + 5]]
    for place in places[::5]:
        for bit in (0, 3, 6):
            changed = bytearray(text)
            changed[place] ^= 1 << bit
            if bytes(changed[place : place + 12]) == b"ITEM: " * 2:
                continue
            try:
                block = read(tmp_path, bytes(changed))
            except (ice.InputError, AssertionError):
                continue
            # Nothing but a number can be changed and still be a header.
            assert len(block.positions) == 2
            assert chr(text[place]).isdigit()


BODIES = {
    "too few fields": ("2 2 1.5 1", "line 2 of its atoms: expected 5 fields.*found 4"),
    "too many fields": ("2 2 1.5 1 3 4", "line 2 of its atoms: expected 5 fields.*found 6"),
    "a blank in a number": ("2 1 1 .5 4.5 5.5", "expected 5 fields.*found 6"),
    "a blank line": ("", "expected 5 fields.*found 0"),
    "an underscore": ("2 2 1_5 1 3", "x is not numeric.*'1_5'"),
    "hexadecimal": ("2 2 0x10 1 3", "x is not numeric"),
    "Fortran": ("2 2 1.5d0 1 3", "x is not numeric"),
    "too large": ("2 2 1e400 1 3", "x is not numeric"),
    "no exponent": ("2 2 1e 1 3", "x is not numeric"),
    "two points": ("2 2 1.2.3 1 3", "x is not numeric"),
    "a comma": ("2 2 1,5 1 3", "x is not numeric"),
    "NaN as id": ("nan 2 1.5 1 3", "id is not a whole number"),
    "a float as id": ("2.0 2 1.5 1 3", "id is not a whole number"),
    "an id too large": ("9223372036854775808 2 1.5 1 3", "id is not a whole number"),
    "a negative id": ("-2 2 1.5 1 3", "no negative number"),
    "an id twice": ("3 2 1.5 1 3", "the id 3 stands for two atoms"),
    "a label among types": ("2 H 1.5 1 3", "type is not a whole number"),
    "type 0": ("2 0 1.5 1 3", "numbers from 1 on"),
    "a NUL": ("2 2 1\x005 1 3", "x is not numeric"),
}


@pytest.mark.parametrize("name", BODIES)
def test_lines_that_are_no_atoms(tmp_path, name):
    row, match = BODIES[name]
    with pytest.raises(ice.InputError, match=rf"a.lammpstrj: frame 0: .*{match}"):
        read(tmp_path, frame(rows=[ROWS[0], row, ROWS[2]]))


@pytest.mark.parametrize("field", ["7", "-1.5", "+1.5", "1.", ".5", "1.5e-3", "1E5", "1e-400"])
def test_numbers(tmp_path, field):
    text = frame(rows=[f"{row} {field}" for row in ROWS], names="id type x y z c")
    assert read(tmp_path, text).columns["c"][0, 0] == np.float32(float(field))


def test_numbers_are_exact_to_their_digits():
    rng = np.random.default_rng(0)
    values = rng.normal(size=500) * 10.0 ** rng.integers(-30, 30, 500)
    for pattern, ulps in (("%.12g", 0), ("%.17g", 2)):
        fields = [pattern % value for value in values]
        body = "".join(f"{field}\n" for field in fields).encode()
        read_back = parse_body(body, 500, {"c": NUMBER})["c"]
        exact = np.array([float(field) for field in fields])
        near = np.abs(np.log10(np.abs(exact))) < 8
        assert (np.abs(read_back - exact)[near] <= ulps * np.spacing(np.abs(exact))[near]).all()
        np.testing.assert_allclose(read_back, exact, rtol=1e-15)


def test_large_ids_and_texts():
    body = b"9223372036854775807 Cu\n-9223372036854775807 O\n"
    table = parse_body(body, 2, {"id": WHOLE, "element": TEXT})
    assert table["id"].tolist() == [2**63 - 1, -(2**63) + 1]
    assert table["element"].tolist() == [b"Cu", b"O"]


def test_lines_are_counted_over_blocks():
    text = np.frombuffer(b"ab\n" * 5000, np.uint8)
    assert skip_lines(text, 0, 4321) == (3 * 4321, 4321)
    assert skip_lines(text, 3, 10**6) == (15000, 4999)


@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-inf"])
def test_columns_may_be_not_finite(tmp_path, value):
    text = frame(rows=[f"{row} {value}" for row in ROWS], names="id type x y z c_1")
    np.testing.assert_array_equal(
        read(tmp_path, text).columns["c_1"][0], np.full(3, float(value), np.float32)
    )


def test_a_column_too_large_for_single_precision(tmp_path):
    text = frame(rows=[f"{row} 1e39" for row in ROWS], names="id type x y z c_1")
    with pytest.raises(ice.InputError, match="frame 0: c_1: expected values that fit"):
        read(tmp_path, text)
    assert "c_1" not in read(tmp_path, text, columns={"c_1": None}).columns


WHOLE_FILES = {
    "blank lines at the end": THREE + "\n \n\n",
    "blank lines between": THREE.replace("ITEM: TIMESTEP", "\nITEM: TIMESTEP"),
    "Windows": THREE.replace("\n", "\r\n") + "\r\n",
    "a byte order mark": "\ufeff" + THREE,
    "tabs and blanks": THREE.replace("2 2 1.5", "  2\t2   1.5").replace("0 11", "\t0  11 "),
}


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_odd_but_whole(tmp_path, name):
    block, plain = read(tmp_path, WHOLE_FILES[name]), read(tmp_path, THREE)
    np.testing.assert_array_equal(block.positions, plain.positions)
    np.testing.assert_array_equal(block.step, [0, 100, 200])


def test_last_line_without_its_end(tmp_path):
    assert read(tmp_path, frame()[:-1]).positions.shape == (1, 3, 3)
    assert "no line end" in opened(tmp_path, THREE[:-1]).truncated
    fixed = frame(rows=["1 1 0.50 1.00 2.00", "2 2 1.50 1.00 3.00"])
    assert read(tmp_path, fixed[:-1]).positions.shape == (1, 2, 3)
    for cut in (2, 3):
        with pytest.raises(ice.InputError, match="may be cut"):
            read(tmp_path, fixed[:-cut])
    with pytest.raises(ice.InputError, match="found 4"):
        read(tmp_path, frame()[:-3])


def test_many_columns_for_few_bytes(tmp_path):
    names = " ".join(f"c{n}" for n in range(100_000))
    rows = ["1 1 1"] * 40_000
    with pytest.raises(ice.InputError, match="line 1 of its atoms: expected 100003 fields"):
        read(tmp_path, frame(rows=rows, names=f"{names} x y z"))


@pytest.mark.parametrize(
    ("names", "match"),
    [
        ("id type x y x", "found x twice"),
        ("", "does not name its columns"),
        ("id type x y \x01", "names of columns"),
    ],
)
def test_names_of_columns(tmp_path, names, match):
    with pytest.raises(ice.InputError, match=match):
        read(tmp_path, frame(names=names))


@pytest.mark.parametrize(
    "items", ["NUMBER OF ENTRIES\n3\nITEM: ENTRIES c_1\n", "DIMENSION\n3\nITEM: GRID SIZE\n2 2 2\n"]
)
def test_dumps_without_atoms(tmp_path, items):
    with pytest.raises(ice.InputError, match=r"local or grid holds no atoms; ingest a dump of"):
        read(tmp_path, f"ITEM: TIMESTEP\n0\nITEM: {items}")


def test_gzip_by_its_first_bytes(tmp_path):
    packed = gzip.compress(THREE.encode())
    np.testing.assert_array_equal(
        read(tmp_path, packed, name="a.dat").positions, read(tmp_path, THREE).positions
    )


@pytest.mark.parametrize("place", [-6, -2])
def test_gzip_with_a_wrong_checksum(tmp_path, place):
    # More than is looked at before a format is chosen.
    packed = bytearray(gzip.compress((frame() * 2000).encode()))
    packed[place] ^= 1
    with pytest.raises(ice.InputError, match=r"a.lammpstrj: .*damaged"):
        opened(tmp_path, bytes(packed))
