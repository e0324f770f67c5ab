"""Ranks whose connections other programs reach: nothing of theirs is unpickled or shown."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch

from icedask.errors import ComputeError
from icedask.nn.process_group import Group, connect_store, joined, new_key, serve_store
from icedask.nn.process_group import Place as RankPlace


class Wire:
    """Wire that records what rank 0 sends, and gives other bytes to rank 1."""

    device = torch.device("cpu")

    def __init__(self, content: bytes | None = None) -> None:
        self.content = content
        self.sent: list[bytes] = []

    def run(self, operation: str, tensor: Any, root: int) -> None:
        if self.content is None:
            self.sent.append(bytes(tensor.numpy().astype("u1")))
        elif tensor.dtype == torch.int64:
            tensor[0] = len(self.content)
        else:
            tensor.copy_(torch.frombuffer(bytearray(self.content), dtype=torch.uint8))


ran: list[str] = []


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return ran.append, ("code",)


def group(rank: int, wire: Wire, key: bytes) -> Group:
    return Group(rank, 2, wire.device, wire, key)  # type: ignore[arg-type]


def test_values_without_the_key_are_not_unpickled() -> None:
    key, sender = new_key(), Wire()
    first = group(0, sender, key)
    first.broadcast([1, 2])
    first.broadcast([3])
    sent, later = sender.sent[1], sender.sent[3]
    assert group(1, Wire(sent), key).broadcast(None) == [1, 2]
    attack = pickle.dumps(Attack())
    forged = Wire()
    group(0, forged, new_key()).broadcast(Attack())
    changed = sent[:-1] + bytes([sent[-1] ^ 1])
    # The second cannot stand for the first, either.
    for content in (attack, b"x" * 32 + attack, forged.sent[1], changed, later, sent[:10]):
        with pytest.raises(ComputeError, match="received a value that rank 0 did not send"):
            group(1, Wire(content), key).broadcast(None)
    assert ran == []


def test_names_of_addresses_are_secret() -> None:
    key = new_key()
    assert repr(key) == "<key>" and repr(pickle.loads(pickle.dumps(key))) == "<key>"
    store = serve_store("127.0.0.1", 5.0)
    with joined(store, RankPlace(0, 1, "127.0.0.1", 5.0, lambda: True, key)) as alone:
        assert alone.broadcast(7) == 7
        other = connect_store("127.0.0.1", store.port, 5.0)
        assert other.num_keys() > 1
        assert not any(other.check([name]) for name in ("begun/0", "gpus/0", "0", "rank_0"))
