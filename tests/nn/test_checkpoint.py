"""Checkpoints: written and read back, refused if damaged or of another training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from icedask.errors import InputError
from icedask.nn.checkpoint import read_checkpoint, remove_checkpoint, write_checkpoint


def test_state_of_a_training(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state"
    assert read_checkpoint(path, "a") is None
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    state = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "curves": {"loss": [1.0, np.pi]},
    }
    write_checkpoint(path, "a", state)
    restored = read_checkpoint(path, "a")
    assert restored is not None and list(restored) == list(state)
    assert (restored["epoch"], restored["curves"]) == (3, {"loss": [1.0, np.pi]})
    for name, weight in network.state_dict().items():
        assert torch.equal(restored["network"][name], weight)
    other = torch.optim.Adam(torch.nn.Linear(3, 2).parameters())
    other.load_state_dict(restored["optimizer"])
    first, second = (adam.state_dict()["state"][0]["exp_avg"] for adam in (optimizer, other))
    assert torch.equal(first, second)
    with pytest.raises(InputError, match="expected a checkpoint of b, found one of a; give"):
        read_checkpoint(path, "b")
    (path.parent / "state.77.new").write_bytes(b"half")
    remove_checkpoint(path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"PK\x03\x04 half of a file"])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"expected a checkpoint of a training, found .* remove"):
        read_checkpoint(path, "a")
    assert path.read_bytes() == content


def test_file_without_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "state"
    torch.save({"weights": torch.zeros(3)}, path)
    for place in (path, tmp_path):
        with pytest.raises(InputError, match="expected a checkpoint of a training"):
            read_checkpoint(place, "a")
    with pytest.raises(InputError, match="in a folder that can be made"):
        read_checkpoint(path / "state", "a")


def test_a_bit_of_a_tensor(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_checkpoint(path, "a", {"tensor": torch.arange(100.0)})
    data = path.read_bytes()
    place = data.index(np.arange(50, 60, dtype="float32").tobytes())
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    with pytest.raises(InputError, match="remove the file to start again"):
        read_checkpoint(path, "a")
