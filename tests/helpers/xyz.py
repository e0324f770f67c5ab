"""XYZ files of tests: written, opened, read or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import icedask as ice
from icedask.readers.formats import SourceOptions, open_file
from icedask.readers.xyz import XyzFile

NONE = (False, False, False)
ALL = (True, True, True)
CUBE = (9.0, 0, 0, 0, 9.0, 0, 0, 0, 9.0)
EXTENDED = 'Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3'


def xyz(tmp_path: Path, text: str | bytes, name: str = "a.xyz") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def opened(path: Path, **options: Any) -> XyzFile:
    source = open_file(str(path), SourceOptions(**options), None)
    assert isinstance(source, XyzFile)
    return source


def block(path: Path, **options: Any):
    source = opened(path, **options)
    source.ask_elements({**source.atoms(), "atom": np.arange(source.n_atoms)})
    return source.read(range(source.n_frames))


def refused(path: Path, match: str, **options: Any) -> str:
    with pytest.raises(ice.InputError, match=match) as caught:
        block(path, **options)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def frame(*rows: str, comment: str = EXTENDED) -> str:
    return f"{len(rows)}\n{comment}\n" + "".join(f"{row}\n" for row in rows)
