"""A source keeps its identity when it is touched or moved, and loses it with its content."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import icedask as ice
from icedask.readers import identity
from icedask.readers.identity import (
    content_digests,
    is_same_content,
    source_identity,
    with_contents,
)

TEXT = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
TEXT += "ITEM: ATOMS id type x y z\n1 1 1.25 1 1\n"
METAL = {"units": "metal", "timestep": 0.001, "elements": "Cu"}


@pytest.fixture
def ingested(tmp_path: Path) -> tuple[Path, Path]:
    path, store = tmp_path / "a.lammpstrj", tmp_path / "a.zarr"
    path.write_text(TEXT)
    ice.ingest(path, store, **METAL)
    return path, store


def test_touched(ingested: tuple[Path, Path]) -> None:
    path, store = ingested
    created = ice.open_trajectory(store).attrs["created"]
    os.utime(path, ns=(1, 1))
    assert ice.ingest(path, store, **METAL).attrs["created"] == created


def test_moved(ingested: tuple[Path, Path], tmp_path: Path) -> None:
    path, store = ingested
    other = tmp_path / "disk" / "b.lammpstrj"
    other.parent.mkdir()
    shutil.copyfile(path, other)
    path.unlink()
    ice.ingest(other, store, **METAL)


def test_edited(ingested: tuple[Path, Path]) -> None:
    path, store = ingested
    path.write_text(TEXT.replace("1.25", "1.35"))
    with pytest.raises(ice.StoreError, match="the source changed"):
        ice.ingest(path, store, **METAL)


def test_edited_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_SAMPLE_BYTES", 16)
    path = tmp_path / "a"
    path.write_bytes(bytes(1000))
    (recorded,) = with_contents(source_identity([str(path)], []), [str(path)])
    assert is_same_content(recorded, str(path))
    path.write_bytes(bytes(500) + b"\1" + bytes(499))
    os.utime(path, ns=(1, 1))
    assert not is_same_content(recorded, str(path))


def test_digest_does_not_depend_on_pieces_in_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "_PIECE_BYTES", 2**10)
    monkeypatch.setattr(identity, "_READ_BYTES", 2**8)
    paths = [tmp_path / name for name in "abc"]
    for number, path in enumerate(paths):
        path.write_bytes(os.urandom(1500 * number))
    several = content_digests([str(path) for path in paths])
    assert several == [content_digests([str(path)])[0] for path in paths]
    assert len(set(several)) == 3
