"""Compressed sources: several streams, padding, damage, and a full disk."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
from pathlib import Path

import pytest
import zstandard

import icedask as ice
from icedask.readers.compressed import SourceFile, pieces

TEXT = b"".join(b"line %d of a long text\n" % i for i in range(20_000))
HALF = len(TEXT) // 2


def zst(text: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(text)


def skippable(n: int) -> bytes:
    return b"\x50\x2a\x4d\x18" + n.to_bytes(4, "little") + bytes(n)


PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zst}


def unpacked(path: Path, content: bytes, scratch: Path) -> bytes:
    path.write_bytes(content)
    file = SourceFile.of(str(path)).unpacked(scratch)
    assert not file.packed
    return Path(file.plain).read_bytes()


@pytest.mark.parametrize("kind", PACK)
def test_several_streams_are_one(tmp_path: Path, kind: str) -> None:
    pack = PACK[kind]
    content = pack(TEXT[:HALF]) + pack(b"") + pack(TEXT[HALF:])
    assert unpacked(tmp_path / "a", content, tmp_path) == TEXT


@pytest.mark.parametrize("n", [4, 100_000])
def test_skippable_frames_of_zstandard(tmp_path: Path, n: int) -> None:
    content = skippable(4) + zst(TEXT[:HALF]) + skippable(n) + zst(TEXT[HALF:]) + skippable(n)
    assert unpacked(tmp_path / "a.zst", content, tmp_path) == TEXT


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_zeros_behind_a_stream(tmp_path: Path, kind: str) -> None:
    assert unpacked(tmp_path / "a", PACK[kind](TEXT) + bytes(1024), tmp_path) == TEXT


@pytest.mark.parametrize("kind", PACK)
def test_garbage_behind_a_stream(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ice.InputError, match=f"expected a whole {kind} file.*other bytes"):
        unpacked(tmp_path / "a", PACK[kind](TEXT) + b"ITEM: TIMESTEP\n", tmp_path)


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("where", ["first", "second"])
def test_stream_that_is_cut(tmp_path: Path, kind: str, where: str) -> None:
    packed = PACK[kind](TEXT)
    content = packed[:-20] if where == "first" else packed + packed[:-20]
    with pytest.raises(ice.InputError, match=f"expected a (whole )?{kind} file.*(damaged|cut)"):
        unpacked(tmp_path / "a", content, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_wrong_checksum(tmp_path: Path, kind: str) -> None:
    content = bytearray(PACK[kind](TEXT))
    content[-6 if kind == "gz" else len(content) // 2] ^= 1
    with pytest.raises(ice.InputError, match="expected a"):
        unpacked(tmp_path / "a", bytes(content), tmp_path)


def test_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bz2"
    path.write_bytes(bz2.compress(TEXT))
    file = SourceFile.of(str(path))

    def full(*_: object) -> object:
        yield b"some"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("icedask.readers.compressed.pieces", full)
    with pytest.raises(ice.StoreError, match=r"disk of the store is full.*No space left"):
        file.unpacked(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bz2"]


@pytest.mark.parametrize("kind", PACK)
def test_nothing_but_a_mark(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(PACK[kind](TEXT)[:6])
    with pytest.raises(ice.InputError, match=r"damaged|empty"):
        ice.ingest(path, tmp_path / "t.zarr")


def test_pieces_are_small(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(bytes(10**7)))
    assert max(map(len, pieces(str(path), "gz"))) <= 10**7


def test_bytes_behind_the_streams_of_a_gzipped_dump(tmp_path: Path) -> None:
    frame = (
        b"ITEM: TIMESTEP\n%d\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
        b"ITEM: ATOMS id type x y z\n1 1 1 1 1\n"
    )
    options = {"units": "metal", "timestep": 1.0, "elements": "Cu"}
    path = tmp_path / "a.dump.gz"
    path.write_bytes(gzip.compress(frame % 0) + gzip.compress(frame % 1))
    assert ice.ingest(path, tmp_path / "a.zarr", **options).sizes["frame"] == 2
    path.write_bytes(gzip.compress(frame % 0) + frame % 1)
    with pytest.raises(ice.InputError, match=r"expected gzip streams only.*ITEM"):
        ice.ingest(path, tmp_path / "b.zarr", **options)


@pytest.mark.parametrize("start", [b"\x1f\x9d\x90", b"\x04\x22\x4d\x18", b"\x5d\x00\x00\x80"])
def test_other_compressions_are_named(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "run.dump"
    for content in (start + b"ITEM", bz2.compress(gzip.compress(b"ITEM"))):
        path.write_bytes(content)
        with pytest.raises(ice.InputError, match=r"compressed twice, or with another.*unpack it"):
            ice.ingest(path, tmp_path / "a.zarr")
