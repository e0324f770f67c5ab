"""A process group: one function on several ranks, with all-reduce and broadcast.

Ranks communicate by torch's gloo over TCP, or by NCCL where each has a GPU of its own. No rank
waits for ever: the end of a peer closes its connections and is noticed at once, and a peer that
is late is given up after `timeout_s`.

These connections are neither encrypted nor protected by a key: other programs on the network may
send to them. Pickled values are therefore signed with the key of the group, which its ranks get
through Dask's connections, and the names in the store of addresses have a secret part.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import pickle
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed
from torch import Tensor

from icedask.errors import ComputeError, InputError

T = TypeVar("T")

_LOOK_SECONDS = 0.05
# The store of addresses answers from a thread of its own, however busy its process is.
_CONNECT_SECONDS = 20.0
# bytes.
_SIGNATURE = 32


class RankLost(ComputeError):
    """A rank whose process or connections were lost."""


class RankLate(ComputeError):
    """A rank that did not reach a collective operation in time."""


class RankCancelled(ComputeError):
    """A rank whose task was cancelled."""


class Group:
    """The ranks that run one function: number of this rank, number of ranks, device of this rank.

    The device is a GPU if the process sees one, if possible not shared with another rank.
    """

    def __init__(
        self, rank: int, size: int, device: torch.device, wire: _Wire | None, key: bytes = b""
    ) -> None:
        self.rank = rank
        self.size = size
        self.device = device
        self._wire = wire
        self._key = key
        self._broadcasts = 0

    def all_reduce_mean(self, vector: Tensor) -> None:
        """Replace a vector by its mean over the ranks, in place; all get the same bits.

        Raises ComputeError, not to be caught, if another rank is lost or late.
        """
        if self._wire is None:
            return
        total = vector.detach().to(self._wire.device, copy=True).contiguous()
        self._wire.run("allreduce", [total])
        with torch.no_grad():
            vector.copy_(total.div_(self.size))

    def broadcast(self, value: T) -> T:
        """Return the value of rank 0, anything that pickles; the values of other ranks are ignored.

        Raises ComputeError, not to be caught, if another rank is lost or late.
        """
        if self._wire is None:
            return value
        sent = torch.zeros(0, dtype=torch.uint8)
        if self.rank == 0:
            content = pickle.dumps(value)
            signed = bytearray(self._signature(content) + content)
            sent = torch.frombuffer(signed, dtype=torch.uint8)
        length = torch.tensor([len(sent)], device=self._wire.device)
        self._wire.run("broadcast", length, 0)
        if self.rank > 0:
            sent = torch.zeros(max(int(length), 0), dtype=torch.uint8)
        sent = sent.to(self._wire.device)
        self._wire.run("broadcast", sent, 0)
        if self.rank > 0:
            value = self._checked(sent.cpu().numpy().tobytes())
        self._broadcasts += 1
        return value

    def _signature(self, content: bytes) -> bytes:
        # With the number of the broadcast: one that is sent again later is none.
        number = self._broadcasts.to_bytes(8, "little")
        return hashlib.blake2b(number + content, key=self._key, digest_size=_SIGNATURE).digest()

    def _checked(self, received: bytes) -> Any:
        """Return the value of signed bytes; others are not unpickled."""
        signature, content = received[:_SIGNATURE], received[_SIGNATURE:]
        if not hmac.compare_digest(signature, self._signature(content)):
            raise ComputeError(
                f"rank {self.rank} received a value that rank 0 did not send: another program "
                "reaches the connections of the ranks; train on one machine, or on a network that "
                "only nodes reach"
            )
        return pickle.loads(content)


def single_rank(device: str = "auto") -> Group:
    """Return a group of one rank, on a torch device; "auto" is a GPU if there is one."""
    chosen = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=chosen)
    except Exception as error:
        raise InputError(
            f"device: expected one that torch has here, such as 'cpu', found {device!r} ({error})"
        ) from error
    return Group(0, 1, torch.device(chosen), None)


class Key(bytes):
    """Secret of a group, which no log shows."""

    def __repr__(self) -> str:
        return "<key>"


def new_key() -> Key:
    """Return a random key."""
    return Key(secrets.token_bytes(32))


class Place(NamedTuple):
    """A rank that a process is to take, and the number of ranks.

    `host` is an address of this machine that other ranks can reach, `timeout_s` the longest wait
    for them; `is_active` returns False once the task of the rank is cancelled; `key` is the secret
    of the group.
    """

    rank: int
    size: int
    host: str
    timeout_s: float
    is_active: Callable[[], bool]
    key: Key


def serve_store(host: str, timeout_s: float) -> torch.distributed.TCPStore:
    """Start the store in which ranks exchange their addresses; its attribute `port` is its port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Bound to one address, not to all of the machine.
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        try:
            listener.bind((host, 0))
        except OSError as error:
            raise ComputeError(
                f"the worker at {host} cannot listen at its own address ({error}); start the "
                "workers with an address or interface of their machine"
            ) from error
        listener.listen(socket.SOMAXCONN)
        port = listener.getsockname()[1]
        return torch.distributed.TCPStore(
            host,
            port,
            is_master=True,
            timeout=timedelta(seconds=timeout_s),
            wait_for_workers=False,
            master_listen_fd=listener.detach(),
        )


def connect_store(host: str, port: int, timeout_s: float) -> torch.distributed.TCPStore:
    """Return the store of another process."""
    try:
        store = torch.distributed.TCPStore(
            host,
            port,
            is_master=False,
            timeout=timedelta(seconds=min(timeout_s, _CONNECT_SECONDS)),
            wait_for_workers=False,
        )
    except RuntimeError as error:
        raise RankLost(f"rank 0 cannot be reached at {host}:{port} ({_brief(error)})") from error
    store.set_timeout(timedelta(seconds=timeout_s))
    return store


@contextmanager
def joined(addresses: torch.distributed.TCPStore, place: Place) -> Iterator[Group]:
    """Join the group of all ranks; leave it at the end of the block.

    Raises RankLate, RankLost, RankCancelled if some ranks do not begin in time, one is lost, or the
    task of this rank is cancelled.
    """
    # Who does not know its names cannot read or change the addresses.
    secret = hashlib.blake2b(b"names", key=place.key, digest_size=_SIGNATURE).hexdigest()
    store = torch.distributed.PrefixStore(secret, addresses)
    try:
        visible = _rendezvous(store, place)
    except RuntimeError as error:
        raise RankLost(f"rank {place.rank}: rank 0 is lost ({_brief(error)})") from error
    chosen = choose_gpus(visible)
    mine = chosen[place.rank]
    device = torch.device("cpu") if mine is None else torch.device("cuda", mine)
    wire = _Wire(store, place, device if _own_gpus(visible, chosen) else torch.device("cpu"))
    try:
        # All are connected when the first one may leave, and with it the store.
        wire.run("allreduce", [torch.zeros(1, device=wire.device)])
        yield Group(place.rank, place.size, device, wire, place.key)
    except BaseException:
        wire.close(abort=True)
        raise
    wire.close(abort=False)


def choose_gpus(visible: Sequence[Sequence[str]]) -> list[int | None]:
    """Choose a GPU for each rank: the first with the fewest ranks among those it sees.

    `visible` has the GPUs that each rank sees, by names that are unique over all hosts. Returns
    places in these lists, None where a list is empty.
    """
    taken: Counter[str] = Counter()
    chosen: list[int | None] = []
    for names in visible:
        place = min(range(len(names)), key=lambda i: taken[names[i]], default=None)
        if place is not None:
            taken[names[place]] += 1
        chosen.append(place)
    return chosen


def _own_gpus(visible: Sequence[Sequence[str]], chosen: Sequence[int | None]) -> bool:
    """Return whether each rank has a GPU of its own."""
    names = {
        names[place] for names, place in zip(visible, chosen, strict=True) if place is not None
    }
    if len(names) < len(visible) or not torch.distributed.is_nccl_available():
        return False
    # Older torch cannot close its connections.
    return hasattr(torch.distributed.ProcessGroupNCCL, "abort")


def _gpus() -> list[str]:
    if not torch.cuda.is_available():
        return []
    host = socket.gethostname()
    properties = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return [f"{host} {getattr(gpu, 'uuid', i)}" for i, gpu in enumerate(properties)]


def _rendezvous(store: torch.distributed.Store, place: Place) -> list[list[str]]:
    """Wait until all ranks have begun; return the GPUs that each sees."""
    # A scheduler restarts a task of a lost worker on one with the same address.
    if store.add(f"begun/{place.rank}", 1) > 1:
        raise RankLost(f"rank {place.rank} was started twice")
    store.set(f"gpus/{place.rank}", json.dumps(_gpus()))
    keys = [f"gpus/{rank}" for rank in range(place.size)]
    deadline = time.monotonic() + place.timeout_s
    while not store.check(keys):
        if not place.is_active():
            raise RankCancelled(f"rank {place.rank} was cancelled")
        if time.monotonic() > deadline:
            missing = [str(rank) for rank, key in enumerate(keys) if not store.check([key])]
            raise RankLate(
                f"rank {place.rank} waited {place.timeout_s:g} s for the others, and "
                f"{', '.join(missing)} of 0 to {place.size - 1} did not begin"
            )
        time.sleep(_LOOK_SECONDS)
    return [json.loads(store.get(key)) for key in keys]


class _Wire:
    """The connections of one rank to all others, apart from torch's default process group."""

    def __init__(self, store: torch.distributed.Store, place: Place, device: torch.device) -> None:
        self.device = device
        self._place = place
        make = _gloo if device.type == "cpu" else _nccl
        begun = time.monotonic()
        try:
            self._backend: Any = make(store, place)
        except RuntimeError as error:
            raise self._failure(error, begun) from error

    def run(self, operation: str, *args: Any) -> None:
        """Take part in a collective operation, and wait until it is done."""
        if not self._place.is_active():
            raise RankCancelled(f"rank {self._place.rank} was cancelled")
        begun = time.monotonic()
        try:
            # Without a local name: a traceback that holds it would keep its connections open.
            getattr(self._backend, operation)(*args).wait()
        except RuntimeError as error:
            raise self._failure(error, begun) from error

    def _failure(self, error: RuntimeError, begun: float) -> ComputeError:
        waited = time.monotonic() - begun
        if waited < self._place.timeout_s:
            return RankLost(f"rank {self._place.rank} lost another rank ({_brief(error)})")
        return RankLate(
            f"rank {self._place.rank} waited {self._place.timeout_s:g} s for the others: all ranks "
            "must call all_reduce_mean and broadcast equally often, and compute no longer than "
            "that in between"
        )

    def close(self, *, abort: bool) -> None:
        """Close the connections, without waiting for the other ranks if `abort`."""
        if self.device.type == "cuda":
            (self._backend.abort if abort else self._backend.shutdown)()
        self._backend = None


def _gloo(store: torch.distributed.Store, place: Place) -> Any:
    kind: Any = torch.distributed.ProcessGroupGloo
    options = kind._Options()
    # The default is the address of the host's name, which others may not reach.
    options._devices = [kind.create_device(hostname=place.host)]
    options._timeout = timedelta(seconds=place.timeout_s)
    return kind(store, place.rank, place.size, options)


def _nccl(store: torch.distributed.Store, place: Place) -> Any:
    kind: Any = torch.distributed.ProcessGroupNCCL
    options = kind.Options()
    options._timeout = timedelta(seconds=place.timeout_s)
    name = "TORCH_NCCL_BLOCKING_WAIT"
    before = os.environ.get(name)
    # Read at construction; without it a wait has no end, and a lost peer kills this process.
    os.environ[name] = "1"
    try:
        return kind(store, place.rank, place.size, options)
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _brief(error: Exception) -> str:
    """Return the message of a torch error, without source location and advice."""
    first = str(error).partition("\n")[0]
    if first.startswith("["):
        first = first.partition("] ")[2]
    return first.partition(". ")[0] or type(error).__name__
