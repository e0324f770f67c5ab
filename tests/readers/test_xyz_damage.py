"""XYZ: invalid and damaged files."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from ase import Atoms
from helpers.xyz import EXTENDED, NONE, frame, opened, refused, xyz

import icedask as ice

# What is not valid


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("0\n\n", "number of atoms, found '0'"),
        ("-3\n\nO 0 0 0\n", "number of atoms, found '-3'"),
        (f"1{'0' * 22}\n\nO 0 0 0\n", "number of atoms"),
        ("1000000000000\n\nO 0 0 0\n", "no whole frame: it has 1 of 1000000000000 atoms"),
        ("1.0\n\nO 0 0 0\n", "number of atoms"),
        ("3 water\n1 O 0 0 0\n", "number of atoms, found '3 water'"),
        (f"1\n\nO{' 0' * 20_000}\n", "at most 10000 fields, found 20001"),
        ("1\n\nO 0 0\n", "a label and x, y, z, found 3"),
        ("2\n\nO 0 0 0\n\n", "atom 1: expected 4 fields, found 0"),
        ("2\n\nO 0 0 0\nO 0 0 0 1\n", "atom 1: expected 4 fields, found 5"),
        ("3\n\nO 0 0 0\nO 0 0 0 1\nO 0 0\n", "atom 1: expected 4 fields, found 5"),
        ("2\n\nO 0 0 0\nO 0 0 x\n", "atom 1: expected a number in column 4, found 'x'"),
        ("1\n\nO 0 0 True\n", "expected a number"),
        ("1\n\nO 0 0 1_0\n", "expected a number"),
        ("1\n\nO 0 0 1.0D0\n", "expected a number"),
        ("1\n\nO 0 0 0x1\n", "expected a number"),
        ("1\n\nO 0 0 NA\n", "expected a number"),
        ("1\n\nO 0 0\x0b0\n", "control character 11"),
        ("1\n\nO 0 0 0\n1\n", "truncated|None"),
        ("1\n\nO 0 0 0\nO 0 0 1\n", "frame 1, at byte 11: .*too much or too little in frame 0"),
        ("1\rx\rO 0 0 0\r", "number of atoms"),
        ("2\n\nO 0.10 0.10 0.10\nO 0.10 0.10 0.1", "no whole frame.*may be cut"),
        ("2\n\nO 0 0 0\nO 0 0", "no whole frame.*may be cut"),
        ("2\n\nO 0 0 0\n", "no whole frame: it has 1 of 2 atoms"),
        ("2\nx", "no whole frame: its header"),
        ("\n \n", "empty"),
    ],
)
def test_broken_plain_xyz(tmp_path, text, match) -> None:
    path = xyz(tmp_path, text)
    if "truncated" in match:
        assert opened(path, pbc=NONE).truncated == "its header is incomplete"
    else:
        refused(path, match, pbc=NONE)


PROPERTIES = "pbc=[F F F] Properties="


@pytest.mark.parametrize(
    ("comment", "row", "match"),
    [
        (PROPERTIES + "pos:R:1000000000", "0 0 0", "at most 10000 columns in Prop"),
        (PROPERTIES + "a:R:999:b:R:999:pos:R:3", "0 0 0", "2001 fields .*found 3"),
        (PROPERTIES + "species:S:1:vel:R:3", "O 0 0 0", "expected positions, pos:R:3"),
        (PROPERTIES + "species:S:1:pos:R:2", "O 0 0", "expected positions, pos:R:3"),
        (PROPERTIES + "species:S:1:pos:I:3", "O 0 0 0", "expected positions, pos:R:3"),
        (PROPERTIES + "species:S:1:pos:R:3:pos:R:3", "O 0 0 0 0 0 0", "pos twice"),
        (PROPERTIES + "species:S:1:pos:R", "O 0 0 0", "name:kind:columns"),
        (PROPERTIES + "species:S:1:pos:R:x", "O 0 0 0", "name:kind:columns"),
        (PROPERTIES + "species:S:1:pos:Q:3", "O 0 0 0", "name:kind:columns"),
        (PROPERTIES + "species:S:1:pos:R:-3", "O 0 0 0", "name:kind:columns"),
        (PROPERTIES + "species:I:1:pos:R:3", "1 0 0 0", "expected species:S:1"),
        (PROPERTIES + "pos:R:3", "0 0 0", "elements: the file does not say"),
        (PROPERTIES + "species:S:1:pos:R:3:n:I:1", "O 0 0 0 1.0", "whole number in column 5"),
        (PROPERTIES + "species:S:1:pos:R:3:n:I:1", "O 0 0 0 1e3", "whole number in column 5"),
        (PROPERTIES + "species:S:1:pos:R:3:n:I:1", f"O 0 0 0 {2**40}", "more than 32 bits"),
        (PROPERTIES + "species:S:1:pos:R:3:n:I:1", f"O 0 0 0 {'9' * 30}", "whole number"),
        (PROPERTIES + "species:S:1:pos:R:3:n:L:1", "O 0 0 0 G", "T or F in column 5"),
        (PROPERTIES + "Z:I:1:pos:R:3", "300 0 0 0", "atomic numbers in the column Z, found 300"),
        (PROPERTIES + "species:S:1:pos:R:3:time:R:1", "O 0 0 0 1", "time means something else"),
        (PROPERTIES + "species:S:1:pos:R:3:force:R:1", "O 0 0 0 1", "force means something else"),
        ("Properties=species:S:1:pos:R:3 pbc=[T T]", "O 0 0 0", "three of T and F"),
        ('Lattice="5 0 0 0 5 0 0 0"', "O 0 0 0", "9 numbers as Lattice"),
        ('Lattice="5 0 0 0 5 0 0 0 5', "O 0 0 0", "not closed"),
        ('Lattice=5 0 0 0 5 0 0 0 5"', "O 0 0 0", "not closed"),
        ('Lattice="5 0 0 0 5 0 0 0 5"pbc="T T T"', "O 0 0 0", "touch the next word"),
        ('Lattice="5 0 0 0 5 0 0 0 x"', "O 0 0 0", "9 numbers as Lattice"),
        ('lattice="5 0 0 0 5 0 0 0 5"', "O 0 0 0", "expected Lattice=.*found 'lattice'"),
        ('Mattice="5 0 0 0 5 0 0 0 5" pbc="F F F"', "O 0 0 0", "expected Lattice="),
        ('Lattice="5 0 0 0 5 0 0 0 5" qbc="T T F"', "O 0 0 0", "expected pbc=.*found 'qbc'"),
        ("pbc=[F F F] Proprties=species:S:1:pos:R:3", "O 0 0 0", "expected Properties="),
        ("pbc=[F F F] pbc=[T T T]", "O 0 0 0", "pbc= once"),
    ],
)
def test_broken_extended_xyz(tmp_path, comment, row, match) -> None:
    refused(xyz(tmp_path, frame(row, comment=comment)), match)


@pytest.mark.parametrize(
    ("second", "match"),
    [
        (frame("O 0 0 0", "H 0 0 1"), "expected the 1 atoms of the first frame, found 2"),
        (frame("H 0 0 0"), "other elements"),
        (frame("O 0 0 0", comment='pbc="T T T"'), "expected in the comment a cell"),
        (frame("O 0 0 0", comment=EXTENDED + " step=5"), "no more than in the first.*a step"),
        (frame("O 0 0 0", comment=EXTENDED + " Timestep=5"), "no more than in the first"),
        (frame("O 0 0 0", comment=EXTENDED + ' pbc="T T F"'), "no more than in the first"),
        (frame("O 0 0 0", comment=EXTENDED.split(" Prop")[0]), "expected Properties="),
        (frame("O 0 0 0", comment=EXTENDED.replace("pos", "p")), "frame 1.*expected positions"),
    ],
)
def test_frames_that_differ_from_the_first(tmp_path, second, match) -> None:
    path = xyz(tmp_path, frame("O 0 0 0") + second)
    refused(path, match)
    assert opened(path).read([0]).positions.shape == (1, 1, 3)


# Large and damaged files


def test_blocks_of_the_index_may_end_anywhere(tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(1)
    frames = [Atoms("CuOHH", rng.random((4, 3)), cell=[5] * 3, pbc=True) for _ in range(7)]
    path = tmp_path / "a.extxyz"
    ase.io.write(path, frames)
    whole = opened(path).index
    for size in (1, 2, 3, 7, 64, 127, 1000):
        monkeypatch.setattr("icedask.readers.xyz_index._SCAN_BYTES", size)
        index = opened(path).index
        assert index.starts.tolist() == whole.starts.tolist()
        assert index.ends.tolist() == whole.ends.tolist()
        cut = xyz(tmp_path, path.read_bytes()[:-1], "b.extxyz")
        assert opened(cut).n_frames == 7
        assert opened(xyz(tmp_path, path.read_bytes()[:-2], "c.extxyz")).n_frames == 6


def mutated(text: bytes, rng: np.random.Generator) -> bytes:
    at, kind = int(rng.integers(len(text))), int(rng.integers(6))
    if kind == 0:
        return text[:at] + bytes([text[at] ^ (1 << int(rng.integers(8)))]) + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at + 1 :]
    if kind == 2:
        return text[:at] + bytes([int(rng.choice(list(b" \t\n.-+eE09TFx\x00\xa0")))]) + text[at:]
    if kind == 3:
        return text[: at + 1]
    lines = text.split(b"\n")
    a, b = (int(n) for n in rng.integers(len(lines) - 1, size=2))
    lines[a : a + 1] = [] if kind == 4 else [lines[b], lines[a]]
    return b"\n".join(lines)


def strictly(text: bytes) -> list[list[list[str]]]:
    """Return the fields of every atom of every frame; raise an exception for anything odd."""
    lines = text.decode("latin-1").split("\n")
    frames = []
    while any(line.strip() for line in lines):
        if not lines[0].strip():
            del lines[0]
            continue
        n_atoms = int(lines[0])
        rows = [line.split() for line in lines[2 : 2 + n_atoms]]
        _, *words = lines[1].split('"')
        assert len([float(word) for word in words[0].split(" ")]) == 9
        assert "Properties=species:S:1:pos:R:3:n:I:1" in words[1].replace("= ", "=")
        assert len(rows) == n_atoms > 0 and all(len(row) == 5 for row in rows)
        for row in rows:
            assert row[0] in ("O", "H") and row[4].lstrip("+-").isdecimal()
            assert np.isfinite([float(word) for word in row[1:4]]).all()
            int(row[4])
        frames.append(rows)
        del lines[: 2 + n_atoms]
    assert frames and all([row[0] for row in f] == [row[0] for row in frames[0]] for f in frames)
    return frames


@pytest.mark.slow
def test_damaged_files_are_refused_or_read_as_a_strict_parser_does(tmp_path) -> None:
    rng = np.random.default_rng(4)
    comment = EXTENDED.replace("5", "9.0") + ':n:I:1 energy=-1.5 pbc="T T T"'
    values = rng.normal(size=(3, 3, 3)).round(6)
    rows = [[f"{'OHH'[i]} {' '.join(map(str, v[i]))} {i}" for i in range(3)] for v in values]
    whole = "".join(frame(*row, comment=comment) for row in rows).encode()
    path = tmp_path / "a.extxyz"
    accepted = 0
    for _ in range(600):
        path.write_bytes(text := mutated(whole, rng))
        try:
            source = opened(path)
            result = source.read(range(source.n_frames))
        except ice.InputError:
            continue
        if source.truncated or not np.isfinite(result.positions).all():
            continue
        accepted += 1
        expected = [[row[1:] for row in rows] for rows in strictly(text)]
        np.testing.assert_allclose(result.positions, np.array(expected, float)[:, :, :3], rtol=1e-6)
        np.testing.assert_array_equal(result.columns["n"], np.array(expected)[:, :, 3].astype(int))
    assert 50 < accepted < 400
