"""The registry of formats: a class in a new module of the package is a format."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import icedask as ice
import icedask.readers
from icedask.readers.compressed import SourceFile
from icedask.readers.formats import formats

TOY = '''
"""Frames of atoms: one line of coordinates for each frame."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icedask.readers.formats import Format
from icedask.store.frame_block import FrameBlock


@dataclass(frozen=True)
class ToyFile(Format):
    """A line for each frame."""

    title = "toys"
    suffixes = (".toy",)
    options = ("elements",)

    path: str
    n_frames: int
    elements: str
    truncated: str = ""

    @classmethod
    def open(cls, file, options, scratch):
        lines = Path(file.plain).read_text().splitlines()
        return cls(file.path, len(lines), options.elements)

    def atoms(self):
        return {"element": np.full(2, self.elements)}

    def read(self, frames):
        rows = np.loadtxt(self.path, np.float32, ndmin=2)[list(frames)]
        n = len(rows)
        positions = rows.reshape(n, 2, 3)
        cell, time = np.zeros((n, 3, 3)), np.array(frames, float)
        return FrameBlock(positions, cell, np.zeros(3, bool), time, np.array(frames))
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of a format that one module in a folder of its own adds."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "toy.py").write_text(TOY)
    monkeypatch.setattr(icedask.readers, "__path__", [*icedask.readers.__path__, str(folder)])
    path = tmp_path / "x.toy"
    path.write_text("0 0 0 1 1 1\n0 0 0 2 2 2\n0 0 0 3 3 3\n")
    yield path
    sys.modules.pop("icedask.readers.toy", None)


def test_a_module_with_a_format_is_enough(toy: Path) -> None:
    trj = ice.ingest(toy, toy.with_name("t.zarr"), elements="Cu", select="index 1", frames="1:")
    assert trj["positions"].values.tolist() == [[[2.0] * 3], [[3.0] * 3]]
    assert trj["element"].values.tolist() == ["Cu"]
    with pytest.raises(
        ice.InputError, match=r"is read as toys, which states its boundaries: leave out pbc"
    ):
        ice.ingest(toy, toy.with_name("u.zarr"), pbc=(True, True, True))


def test_order_of_formats() -> None:
    names = [kind.__name__ for kind in formats()]
    assert names[-1] == "MDAnalysisFile"
    assert names.index("LammpsDump") < names.index("AseFile")


@pytest.mark.parametrize("name", ["a.xyz", "a.out", "a.dump.gz", "a.lammpstrj"])
def test_dumps_are_recognised_by_name_or_first_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("ITEM: TIMESTEP\n0\n")
    kinds = [
        kind.__name__ for kind in formats() if kind.recognises(SourceFile.of(str(tmp_path / name)))
    ]
    assert kinds[0] == "LammpsDump"


def test_options_of_ingest_are_documented_and_checked(tmp_path: Path) -> None:
    text = ice.ingest.__doc__ or ""
    assert "timestep : int or float, optional" in text
    assert 'units : {"real", "metal", "lj"}, optional' in text
    for options, match in (
        ({"pbc": True}, "pbc: expected three booleans"),
        ({"columns": "c_e"}, "columns: expected a mapping"),
        ({"elements": 8}, "elements: expected one symbol or a mapping"),
        ({"frames": 3}, "frames: expected a slice"),
        ({"overwrite": "yes"}, "overwrite: expected True or False"),
    ):
        with pytest.raises(ice.InputError, match=match):
            ice.ingest(tmp_path / "x", tmp_path / "t.zarr", **options)  # type: ignore[arg-type]
