"""Mutated files, read by icedask and by a strict parser: the outcomes compared."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from helpers.mutations import MUTATIONS
from helpers.strict_text import Frame, Refused, parse_dump, parse_extxyz

import icedask as ice


@dataclass(frozen=True)
class Sample:
    """A good file, how it is parsed strictly and ingested."""

    name: str
    kind: str
    text: bytes
    suffix: str
    parse: Callable[[bytes], list[Frame]]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How the two readings of a file compare."""

    what: str
    verdict: str
    wrong: bool = False
    details: str = ""


def _dump(columns: str, n_frames: int, bounds: str, *, n_atoms: int = 6, extra: str = "") -> bytes:
    """A dump of random atoms, ids in disorder."""
    rng = np.random.default_rng(5)
    text = ""
    for frame in range(n_frames):
        text += f"{extra}ITEM: TIMESTEP\n{100 * frame}\nITEM: NUMBER OF ATOMS\n{n_atoms}\n{bounds}"
        text += f"ITEM: ATOMS {columns}\n"
        for atom in rng.permutation(n_atoms) if "id" in columns.split() else range(n_atoms):
            values = {
                "id": str(atom + 1),
                "type": str(atom % 2 + 1),
                "element": ("O", "H")[atom % 2],
                **{name: str(rng.integers(-1, 2)) for name in ("ix", "iy", "iz")},
            }
            row = [values.get(name) or f"{rng.uniform(0, 0.99):.5g}" for name in columns.split()]
            text += " ".join(row) + "\n"
    return text.encode()


def _xyz(properties: str, n_frames: int, comment: str, *, n_atoms: int = 6) -> bytes:
    rng = np.random.default_rng(6)
    words = properties.split(":")
    kinds = [
        kind
        for kind, count in zip(words[1::3], words[2::3], strict=True)
        for _ in range(int(count))
    ]
    text = ""
    for _ in range(n_frames):
        text += f"{n_atoms}\n{comment} Properties={properties}\n"
        for atom in range(n_atoms):
            values = {"S": ("O", "H")[atom % 2], "I": str(atom + 1), "L": "FT"[atom % 2]}
            row = [values.get(kind) or f"{rng.uniform(0, 9):.6f}" for kind in kinds]
            text += " ".join(row) + "\n"
    return text.encode()


_ORTHO = "ITEM: BOX BOUNDS pp pp pp\n0 10.5\n0 11\n-1 12\n"
_SLAB = "ITEM: BOX BOUNDS pp pp ff\n0.0e+00 1.05e+01\n0 11\n-1 12\n"
_TRICLINIC = "ITEM: BOX BOUNDS xy xz yz pp pp pp\n0 12.5 1\n0 11 1\n-1 12 0.5\n"
_GENERAL = "ITEM: BOX BOUNDS abc origin pp pp pp\n10 0 0 1\n1 9 0.5 0\n0.3 0 8 0\n"
_MAP = {"1": "O", "2": "H"}
_REAL = {"units": "real", "timestep": 1.0}
_LATTICE = 'Lattice="10.5 0.0 0.0 1.0 11.0 0.0 0.5 0.25 12.0"'


def _sample_dump(name: str, columns: str, bounds: str, elements: Any, n_frames: int = 3) -> Sample:
    types = set(b"12") if "type" in columns.split() and elements == _MAP else set()
    known = {bytes([each]) for each in types}
    options = {**_REAL, **({} if elements is None else {"elements": elements})}
    text = _dump(columns, n_frames, bounds)
    return Sample(name, "dump", text, ".lammpstrj", lambda data: parse_dump(data, known), options)


def _sample_xyz(name: str, properties: str, comment: str, n_frames: int = 3) -> Sample:
    text = _xyz(properties, n_frames, comment)
    return Sample(name, "xyz", text, ".extxyz", parse_extxyz, {"frame_interval": 1.0})


SAMPLES = (
    _sample_dump("ids", "id type x y z", _ORTHO, _MAP),
    _sample_dump("columns", "id type x y z vx vy vz c_e", _ORTHO, _MAP),
    _sample_dump("slab", "id type xs ys zs ix iy iz", _SLAB, "Cu"),
    _sample_dump("triclinic", "id element xu yu zu fx fy fz", _TRICLINIC, None),
    _sample_dump("general", "type x y z q", _GENERAL, _MAP),
    _sample_dump("frame", "id type xsu ysu zsu", _ORTHO, _MAP, n_frames=1),
    _sample_dump("order", "element x y z", _ORTHO, None),
    _sample_xyz("plain", "species:S:1:pos:R:3", f'{_LATTICE} pbc="T T F"'),
    _sample_xyz("forces", "species:S:1:pos:R:3:forces:R:3", f"energy=-1.25 {_LATTICE}"),
    _sample_xyz("ids", "id:I:1:species:S:1:pos:R:3:move:L:1", f"{_LATTICE} note='a b' n=[1, 2, 3]"),
    _sample_xyz("frame", "species:S:1:pos:R:3:q:R:1", f'{_LATTICE} pbc="T T T" ok', n_frames=1),
)


def mutated(sample: Sample, seed: int, number: int) -> tuple[bytes, str]:
    """Return a mutated sample, always the same for the same numbers, and how it was mutated."""
    rng = np.random.default_rng([seed, number])
    mutation = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
    return mutation(sample.text, rng), mutation.__name__


def _strict(sample: Sample, text: bytes) -> tuple[list[Frame] | None, str]:
    try:
        return sample.parse(text), ""
    except Refused as error:
        return None, str(error)


def _without_blank_lines(text: bytes) -> bytes:
    return b"\n".join(line for line in text.split(b"\n") if line.strip()) + b"\n"


def examine(sample: Sample, text: bytes, folder: Path, what: str) -> Outcome:
    """Ingest a file, and compare with the strict parser."""
    path, store = folder / f"a{sample.suffix}", folder / "a.zarr"
    path.write_bytes(text)
    shutil.rmtree(store, ignore_errors=True)
    expected, why = _strict(sample, text)
    try:
        trj = ice.ingest(path, store, **sample.options).load()
    except ice.IcedaskError as error:
        if store.exists():
            return Outcome(what, "left a store behind", True, str(error))
        if expected is None:
            return Outcome(what, "refused by both")
        return Outcome(what, "refused by icedask alone", False, str(error))
    except Exception:
        return Outcome(what, "traceback", True, traceback.format_exc())
    if expected is None:
        expected, _ = _strict(sample, _without_blank_lines(text))
        if expected is None:
            return Outcome(what, "accepted by icedask alone", True, why)
    return _compared(trj, expected, what)


def _compared(trj: Any, expected: list[Frame], what: str) -> Outcome:
    if trj.sizes["frame"] != len(expected):
        details = f"{trj.sizes['frame']} frames, expected {len(expected)}"
        return Outcome(what, "other numbers", True, details)
    positions = np.array([frame.positions for frame in expected])
    cells = np.array([frame.cell for frame in expected])
    equal = (
        trj["positions"].shape == positions.shape
        and np.allclose(trj["positions"], positions, rtol=1e-6, atol=1e-6)
        and np.allclose(trj["cell"], cells, rtol=1e-9, atol=1e-9)
        and tuple(trj["pbc"].values.tolist()) == expected[0].pbc
    )
    return Outcome(what, "accepted by both" if equal else "other numbers", not equal)
