"""Files of arrays: damage is found wherever it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from icedask.core.files import load_npz


def test_every_byte_of_an_array_is_compared(tmp_path: Path) -> None:
    file = tmp_path / "arrays.npz"
    with file.open("wb") as opened:
        np.savez(opened, a=np.arange(48.0), text=np.array("x"), none=np.zeros((0, 3)))
    arrays = load_npz(file)
    assert (arrays["a"] == np.arange(48.0)).all() and arrays["none"].shape == (0, 3)
    data = file.read_bytes()
    # numpy.load reads 8 numbers of this one, and no checksum.
    file.write_bytes(data.replace(b"'shape': (48,)", b"'shape': ( 8,)"))
    with pytest.raises(Exception, match="CRC"):
        load_npz(file)
    place = data.index(np.float64(7).tobytes() + np.float64(8).tobytes())
    file.write_bytes(data[:place] + b"\1" + data[place + 1 :])
    with pytest.raises(Exception, match="CRC"):
        load_npz(file)
