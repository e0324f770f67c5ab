"""Whatever a reader or its library raises is an InputError with the file and the frame."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk

import icedask as ice
from icedask.readers.compressed import SourceFile
from icedask.readers.formats import Format, SourceOptions
from icedask.store.frame_block import FrameBlock

ERRORS = [
    struct.error("short"),
    AssertionError(),
    RuntimeError("inside"),
    IndexError("list index"),
    KeyError("name"),
    UnicodeDecodeError("utf-8", b"\xe4", 0, 1, "invalid"),
    MemoryError(),
    OSError(5, "Input/output error"),
]


@dataclass(frozen=True)
class Broken(Format):
    """A format whose third frame raises."""

    title = "broken"
    path: str
    error: Exception
    n_frames: int = 5
    truncated: str = ""

    @classmethod
    def open(cls, file, options, scratch=None):
        raise RuntimeError("no such luck")

    def atoms(self):
        raise self.error

    def read(self, frames):
        if 2 in frames:
            raise self.error
        n = len(frames)
        zeros = np.zeros((n, 1, 3))
        return FrameBlock(zeros, np.zeros((n, 3, 3)), np.zeros(3, bool), zeros[:, 0, 0], zeros)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_name_file_and_frame(tmp_path: Path, error: Exception) -> None:
    file = Broken("some/a.file", error)
    with pytest.raises(ice.InputError, match=r"some/a\.file: frame 2 cannot be read") as caught:
        file.read([0, 1, 2, 3])
    assert "--frames :2" in str(caught.value)
    with pytest.raises(ice.InputError, match=r"some/a\.file: it cannot be read"):
        file.atoms()
    path = tmp_path / "x"
    path.write_text("some text")
    with pytest.raises(ice.InputError, match="no such luck"):
        Broken.open(SourceFile.of(str(path)), SourceOptions(), tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "extra"),
    [
        ("a.gsd", b"\xdf\x65" * 4 + bytes(300), "gsd"),
        ("a.tng", b"=" + bytes(39) + b"GENERAL INFO\0" + bytes(64), "tng"),
        ("a.h5md", b"\x89HDF\r\n\x1a\n" + b"h5md" + bytes(64), "h5md"),
        ("a.cif", b"data_x\n_atom_site.id\n", "mmcif"),
    ],
)
def test_packages_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, extra: str
) -> None:
    for package in ("gsd", "pytng", "h5py", "gemmi"):
        monkeypatch.setitem(sys.modules, package, None)
    path = tmp_path / name
    path.write_bytes(content)
    units = {"units": "metal"} if extra == "gsd" else {}
    with pytest.raises(ice.InputError, match=rf'pip install "icedask\[{extra}\]"'):
        ice.ingest(path, tmp_path / "t.zarr", **units)


def test_gsd_asks_for_its_units(tmp_path: Path) -> None:
    path = tmp_path / "a.gsd"
    path.write_bytes(b"\xdf\x65" * 4 + bytes(300))
    with pytest.raises(ice.InputError, match=r"does not state its units; give units="):
        ice.ingest(path, tmp_path / "t.zarr")


POSCAR = "Cu\n1.0\n5 0 0\n0 5 0\n0 0 5\nCu\n1\nDirect\n0 0 0\n"
PDB = "ATOM      1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O\nEND\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("POSCAR", POSCAR * 2),
        ("a.pdb", PDB * 2),
        ("a.pqr", "ATOM 1 O HOH 1 0.0 0.0 0.0 -0.8 1.5\nEND\n" * 2),
        (
            "geometry.in",
            "lattice_vector 5 0 0\nlattice_vector 0 5 0\nlattice_vector 0 0 5\natom 0 0 0 Cu\n" * 2,
        ),
    ],
)
def test_structures_beyond_the_first_are_not_dropped(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ice.InputError, match=r"expected .*found"):
        options = {"pbc": (False, False, False)} if name == "a.pqr" else {}
        ice.ingest(path, tmp_path / "t.zarr", **options)


def test_a_format_without_a_cell_asks_for_one(tmp_path: Path) -> None:
    path = tmp_path / "a.pqr"
    path.write_text("ATOM 1 O HOH 1 0.0 0.0 0.0 -0.8 1.5\nEND\n")
    with pytest.raises(ice.InputError, match=r"no unit cell; give cell=.*--pbc none"):
        ice.ingest(path, tmp_path / "t.zarr", elements="O")
    trj = ice.ingest(path, tmp_path / "t.zarr", elements="O", cell=[9, 9, 9])
    assert trj["pbc"].values.all()


def test_models_of_a_pdb_are_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.pdb"
    model = PDB.replace("END\n", "ENDMDL\n")
    path.write_text("".join(f"MODEL {k:8d}\n{model}" for k in (1, 2, 3)) + "END\n")
    assert ice.ingest(path, tmp_path / "t.zarr").sizes["frame"] == 3


@pytest.mark.parametrize("name", ["a.traj", "a.xsf"])
def test_formats_of_ase_are_read_once(tmp_path: Path, name: str) -> None:
    crystal = bulk("Cu", cubic=True)
    frames = []
    for shift in range(200):
        frame = crystal.copy()
        frame.positions += 0.01 * shift
        frames.append(frame)
    ase.io.write(tmp_path / name, frames)
    trj = ice.ingest(tmp_path / name, tmp_path / "t.zarr")
    np.testing.assert_allclose(trj["positions"][:, 0, 0], 0.01 * np.arange(200), atol=1e-6)
    assert not (tmp_path / "t.zarr" / ".ingest").exists()
