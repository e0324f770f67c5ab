"""The ranks of one function: the same code in several processes, which mean their numbers.

A rank talks to the others by torch's gloo over TCP, or by NCCL where each has a GPU of its own.
No rank waits for ever: a peer that has ended is noticed at once, since its connections close, and
one that is there but does not come after `timeout_s`.
"""

from __future__ import annotations

import json
import os
import pickle
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
# Who keeps the addresses answers from a thread of its own, however busy its process is.
_CONNECT_SECONDS = 20.0


class RankLost(ComputeError):
    """A process with a rank is gone, or its connections are."""


class RankLate(ComputeError):
    """A rank did not come to where the others waited for it."""


class RankUnwanted(ComputeError):
    """Nobody waits for what this rank does any more."""


class Group:
    """The ranks that run one function, as one of them sees them.

    Attributes
    ----------
    rank : int
        Which one this is, from 0 on.
    size : int
        How many there are.
    device : torch.device
        What this rank computes on: a GPU if its process sees one, if possible one that no other
        rank has, else the CPU.
    """

    def __init__(self, rank: int, size: int, device: torch.device, wire: _Wire | None) -> None:
        self.rank = rank
        self.size = size
        self.device = device
        self._wire = wire

    def mean(self, vector: Tensor) -> None:
        """Replace a vector by its mean over the ranks, in place; all get the same bits.

        Parameters
        ----------
        vector : Tensor
            Floating-point numbers on any device; as many on each rank.

        Raises
        ------
        ComputeError
            If another rank is gone, or does not come in time; not to be caught.
        """
        if self._wire is None:
            return
        total = vector.detach().to(self._wire.device, copy=True).contiguous()
        self._wire.run("allreduce", [total])
        with torch.no_grad():
            vector.copy_(total.div_(self.size))

    def shared(self, value: T) -> T:
        """Return rank 0's value.

        Parameters
        ----------
        value : Any
            Arrays, numbers, dicts of them, or whatever else pickles; what other ranks give is
            not looked at.

        Raises
        ------
        ComputeError
            If another rank is gone, or does not come in time; not to be caught.
        """
        if self._wire is None:
            return value
        packed = bytearray(pickle.dumps(value)) if self.rank == 0 else bytearray()
        length = torch.tensor([len(packed)], device=self._wire.device)
        self._wire.run("broadcast", length, 0)
        content = torch.frombuffer(packed or bytearray(int(length)), dtype=torch.uint8)
        content = content.to(self._wire.device)
        self._wire.run("broadcast", content, 0)
        if self.rank == 0:
            return value
        received: T = pickle.loads(content.cpu().numpy().tobytes())
        return received


def alone(device: str = "auto") -> Group:
    """Return a group of one, which talks to nobody.

    Parameters
    ----------
    device : str
        As torch names it; "auto" is "cuda" where there is a GPU, else "cpu".

    Raises
    ------
    InputError
        If torch has no such device here.
    """
    chosen = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=chosen)
    except Exception as error:
        raise InputError(
            f"device: expected one that torch has here, such as 'cpu', found {device!r} ({error})"
        ) from error
    return Group(0, 1, torch.device(chosen), None)


class Place(NamedTuple):
    """Which rank a process is to be.

    Attributes
    ----------
    rank, size
        Of the group.
    host
        An address of this machine that the other ranks can reach.
    timeout_s
        How long it waits for others, seconds.
    wanted
        Says whether somebody still waits for the rank.
    """

    rank: int
    size: int
    host: str
    timeout_s: float
    wanted: Callable[[], bool]


def serve(host: str, timeout_s: float) -> torch.distributed.TCPStore:
    """Return a new store, where ranks tell each other their addresses; `port` is that of it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Bound to one address: what need not be reached from elsewhere is not.
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


def find(host: str, port: int, timeout_s: float) -> torch.distributed.TCPStore:
    """Return the store that another process serves."""
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
def joined(store: torch.distributed.TCPStore, place: Place) -> Iterator[Group]:
    """Wait for the other ranks, and leave them in the end, whatever happens between.

    Raises
    ------
    RankLate
        If they do not all come within the time.
    RankLost
        If one of them has gone.
    RankUnwanted
        If nobody waits for the rank any more.
    """
    try:
        visible = _meet(store, place)
    except RuntimeError as error:
        raise RankLost(f"rank {place.rank}: rank 0 is gone ({_brief(error)})") from error
    chosen = choose_gpus(visible)
    mine = chosen[place.rank]
    device = torch.device("cpu") if mine is None else torch.device("cuda", mine)
    wire = _Wire(store, place, device if _own_gpus(visible, chosen) else torch.device("cpu"))
    try:
        # All are connected when the first one may leave, and with it the store.
        wire.run("allreduce", [torch.zeros(1, device=wire.device)])
        yield Group(place.rank, place.size, device, wire)
    except BaseException:
        wire.close(whole=False)
        raise
    wire.close(whole=True)


def choose_gpus(visible: Sequence[Sequence[str]]) -> list[int | None]:
    """Choose a GPU for each rank: of those that its process sees, the first that fewest have.

    Parameters
    ----------
    visible
        What each rank sees, by names that mean the same GPU everywhere.

    Returns
    -------
    list
        For each rank the place in its list, or None if that is empty.
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
    """Return whether each rank has a GPU that no other has."""
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
    return [f"{host} {getattr(one, 'uuid', i)}" for i, one in enumerate(properties)]


def _meet(store: torch.distributed.TCPStore, place: Place) -> list[list[str]]:
    """Wait until all ranks have begun; return the GPUs that each sees."""
    # A scheduler begins a task of a lost worker again on one with the same address.
    if store.add(f"begun/{place.rank}", 1) > 1:
        raise RankLost(f"rank {place.rank} was begun twice")
    store.set(f"gpus/{place.rank}", json.dumps(_gpus()))
    keys = [f"gpus/{rank}" for rank in range(place.size)]
    deadline = time.monotonic() + place.timeout_s
    while not store.check(keys):
        if not place.wanted():
            raise RankUnwanted(f"rank {place.rank} is not wanted any more")
        if time.monotonic() > deadline:
            missing = [str(rank) for rank, key in enumerate(keys) if not store.check([key])]
            raise RankLate(
                f"rank {place.rank} waited {place.timeout_s:g} s for the others, and "
                f"{', '.join(missing)} of 0 to {place.size - 1} did not begin"
            )
        time.sleep(_LOOK_SECONDS)
    return [json.loads(store.get(key)) for key in keys]


class _Wire:
    """The connections of one rank to all others, outside of what torch keeps for a process."""

    def __init__(
        self, store: torch.distributed.TCPStore, place: Place, device: torch.device
    ) -> None:
        self.device = device
        self._place = place
        make = _gloo if device.type == "cpu" else _nccl
        begun = time.monotonic()
        try:
            self._backend: Any = make(store, place)
        except RuntimeError as error:
            raise self._failure(error, begun) from error

    def run(self, operation: str, *args: Any) -> None:
        """Take part in what all ranks do together, and wait until it is done."""
        if not self._place.wanted():
            raise RankUnwanted(f"rank {self._place.rank} is not wanted any more")
        begun = time.monotonic()
        try:
            # Under no name here: what a traceback holds would not close its connections.
            getattr(self._backend, operation)(*args).wait()
        except RuntimeError as error:
            raise self._failure(error, begun) from error

    def _failure(self, error: RuntimeError, begun: float) -> ComputeError:
        waited = time.monotonic() - begun
        if waited < self._place.timeout_s:
            return RankLost(f"rank {self._place.rank} lost another rank ({_brief(error)})")
        return RankLate(
            f"rank {self._place.rank} waited {self._place.timeout_s:g} s for the others, who did "
            "not come: all must call mean and shared equally often, and compute no longer than "
            "that in between"
        )

    def close(self, *, whole: bool) -> None:
        """Close the connections; ranks that wait for this one notice at once.

        What is not `whole` has other ranks that do not close theirs.
        """
        if self.device.type == "cuda":
            (self._backend.shutdown if whole else self._backend.abort)()
        self._backend = None


def _gloo(store: torch.distributed.TCPStore, place: Place) -> Any:
    kind: Any = torch.distributed.ProcessGroupGloo
    options = kind._Options()
    # By default that of the host's name, which others may not reach.
    options._devices = [kind.create_device(hostname=place.host)]
    options._timeout = timedelta(seconds=place.timeout_s)
    return kind(store, place.rank, place.size, options)


def _nccl(store: torch.distributed.TCPStore, place: Place) -> Any:
    kind: Any = torch.distributed.ProcessGroupNCCL
    options = kind.Options()
    options._timeout = timedelta(seconds=place.timeout_s)
    name = "TORCH_NCCL_BLOCKING_WAIT"
    before = os.environ.get(name)
    # Read once, here: else a wait has no end, and a lost peer kills this process.
    os.environ[name] = "1"
    try:
        return kind(store, place.rank, place.size, options)
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _brief(error: Exception) -> str:
    """Return what torch says, without where in its source and what it advises."""
    first = str(error).partition("\n")[0]
    if first.startswith("["):
        first = first.partition("] ")[2]
    return first.partition(". ")[0] or type(error).__name__
