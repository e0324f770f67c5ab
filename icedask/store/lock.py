"""The lock of a store: one writer, re-entrant, dropped with its process.

It is flock, and numbered files of owners (`icedask.store.owner`) where the file system has none.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from icedask.core.provenance import now
from icedask.core.text import printable
from icedask.errors import InputError, StoreError
from icedask.store.owner import (
    Busy,
    OwnerLock,
    present_owner,
    read_record,
    this_process,
    write_record,
)

logger = logging.getLogger("icedask")

LOCK_FILE = ".lock"
# NFS and Lustre without it, and file systems that never had it.
_NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
# Looks at the lock hold it for microseconds.
_TRIES, _PAUSE_SECONDS = 4, 0.05
_POLL_SECONDS = 0.5
# Between two looks at whether the lock is still held.
_LOOK_SECONDS = 1.0
_READS = 3

Wait = bool | int | float


class _Lock(Protocol):
    def is_held(self) -> bool: ...
    def write(self, record: Mapping[str, Any]) -> None: ...
    def release(self) -> None: ...


@dataclass(frozen=True)
class Holder:
    """The process that writes to a store."""

    process: str  # Process id and host
    since: str
    work: str  # The command or function that it runs
    writes: tuple[str, ...] | None  # Run ids, or "trajectory"; None where that is not known
    is_this_process: bool = False

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Holder:
        """Return the holder of a record, which may be damaged or of another version."""
        writes, pid = record.get("writes"), record.get("pid")
        return cls(
            f"process {pid} on {record.get('host')}" if pid else "a process that is not known",
            str(record.get("since") or ""),
            str(record.get("work") or ""),
            tuple(map(str, writes)) if isinstance(writes, list) else None,
            bool(record) and all(record.get(k) == v for k, v in this_process().items()),
        )

    def __str__(self) -> str:
        text = f"{self.process} since {self.since}" if self.since else self.process
        text += f", {self.work}" if self.work else ""
        text += f"; it writes {', '.join(self.writes)}" if self.writes else ""
        return printable(text)


class Held:
    """A lock that this process holds, with the record of what it writes."""

    def __init__(self, store: Path, lock: _Lock, record: dict[str, Any], left: list[str]) -> None:
        self.store, self.pid, self.left = store, os.getpid(), left
        # Whether what dead writers left is deleted.
        self.swept = False
        self.identity = _identity(store)
        self._lock, self._record = lock, record
        self._looked = time.monotonic()

    @contextmanager
    def writing(self, writes: Sequence[str]) -> Iterator[None]:
        """State in the record that `writes` are written too, during the block."""
        before = self._record
        added = [run for run in writes if run not in before["writes"]]
        self._update({**before, "writes": [*before["writes"], *added]})
        try:
            yield
        finally:
            with suppress(OSError):
                self._update(before)

    def note_swept(self) -> None:
        """Record in the lock that the leftovers of dead writers are deleted."""
        self.swept = True
        self._update({**self._record, "left": []})

    def _update(self, record: dict[str, Any]) -> None:
        if record != self._record:
            self._record = record
            self._lock.write(record)

    def check(self) -> None:
        """Raise StoreError if another process took the lock over."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        if not self._lock.is_held():
            raise StoreError(
                f"{self.store}: lost the lock, which another process took over or somebody "
                "deleted (this process may have been suspended); what is written stays valid: "
                "run the same command again to continue"
            )
        self._looked = time.monotonic()

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()


class _Flock:
    """A lock of the operating system on the lock file of a store."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    @classmethod
    def take(cls, path: Path) -> _Flock | None:
        """Take the lock; None if the file system has no flock. Raises Busy if it is held."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            descriptor = os.open(path, flags, 0o666)
            lock = cls(path, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                record = read_record(descriptor)
                os.close(descriptor)
                raise Busy(record) from error
            except OSError as error:
                os.close(descriptor)
                if error.errno in _NO_FLOCK:
                    return None
                raise
            # Its last holder may have deleted it, and another one made it again.
            if lock.is_held():
                return lock
            os.close(descriptor)

    def is_held(self) -> bool:
        """Return whether the file that is locked still is the one of the store."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def left(self) -> dict[str, Any]:
        """Return the record of a holder that died."""
        return read_record(self._descriptor)

    def write(self, record: Mapping[str, Any]) -> None:
        """Replace the record."""
        write_record(self._descriptor, record)

    def release(self) -> None:
        """Give the lock back."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        self.close()

    def close(self) -> None:
        """Give the lock back, and leave the record of a dead holder."""
        os.close(self._descriptor)


# Those of this work: another thread or task of the process has none of them.
_held: ContextVar[tuple[Held, ...]] = ContextVar("icedask_locks", default=())
_wait: ContextVar[Wait] = ContextVar("icedask_wait", default=False)


def _identity(store: Path) -> tuple[int, int]:
    status = store.stat()
    return status.st_dev, status.st_ino


def check_wait(wait: Wait) -> None:
    """Raise InputError unless `wait` is a time in seconds, True or False."""
    if isinstance(wait, bool) or (isinstance(wait, int | float) and 0 <= wait < math.inf):
        return
    raise InputError(f"wait: expected seconds, 0 or more, or True, found {wait!r}")


@contextmanager
def lock_wait(wait: Wait) -> Iterator[None]:
    """Set how long calls in this block wait for the lock of a store: seconds, True is for ever."""
    check_wait(wait)
    token = _wait.set(wait)
    try:
        yield
    finally:
        _wait.reset(token)


def present_wait() -> Wait:
    """Return how long calls wait for the lock of a store."""
    return _wait.get()


@contextmanager
def locked(
    store: Path, writes: Sequence[str] = (), *, work: str = "", wait: Wait | None = None
) -> Iterator[Held]:
    """Hold the lock of `store`, an existing folder, for the duration of the block.

    Nested blocks of the same work share the lock of the outermost one. `writes` are the ids of the
    runs that the block writes, `work` is what the process does, in a word; others read both. `wait`
    is how long to wait for the lock, in seconds; True is for ever.

    Raises StoreError if another process, or other work in this one, is writing to the store, or if
    it cannot be written to.
    """
    wait = _wait.get() if wait is None else wait
    check_wait(wait)
    try:
        identity = _identity(store)
    except OSError as error:
        raise StoreError(f"{store}: cannot be written to ({error.strerror})") from error
    for held in _held.get():
        if held.identity == identity and held.pid == os.getpid():
            held.check()
            with held.writing(writes):
                yield held
            return
    held = _acquired(store, list(writes), work, wait)
    token = _held.set((*_held.get(), held))
    try:
        yield held
    finally:
        _held.reset(token)
        held.release()


def check_locks() -> None:
    """Raise StoreError if this work has lost a lock that it holds."""
    for held in _held.get():
        if held.pid == os.getpid():
            held.check()


def _acquired(store: Path, writes: list[str], work: str, wait: Wait) -> Held:
    start, tries, shown = time.monotonic(), 1, None
    while True:
        try:
            return _take(store, writes, work)
        except Busy as busy:
            holder, tries, waited = Holder.of(busy.record), tries + 1, time.monotonic() - start
            if wait is False or wait == 0:
                ends = tries > _TRIES
            else:
                ends = wait is not True and waited >= wait
            if ends:
                raise StoreError(_refusal(store, holder, waited if wait else 0)) from busy
            if wait and holder != shown:
                logger.info("%s: waiting for %s", store, holder)
                shown = holder
        except OSError as error:
            raise StoreError(
                f"{store}: cannot be written to ({error.strerror}); free space, ask for permission "
                "to write, or write to another store"
            ) from error
        left = math.inf if wait is True else max(wait - waited, 0)
        time.sleep(min(_POLL_SECONDS, left) if wait else _PAUSE_SECONDS)


def _refusal(store: Path, holder: Holder, waited: float) -> str:
    other = "another call of this process" if holder.is_this_process else "another process"
    after = f" after {waited:.0f} s of waiting" if waited else ""
    return (
        f"{store}: {other} is writing to this store{after} ({holder}); wait for it to end (--wait, "
        "or icedask.hold with wait=True), or write to another store"
    )


def _take(store: Path, writes: list[str], work: str) -> Held:
    record = {**this_process(), "since": now(), "work": work, "writes": writes, "left": []}
    flock = _Flock.take(store / LOCK_FILE)
    if flock is None:
        lock, before = OwnerLock.take(store, record)
        return _begun(store, lock, record, before)
    try:
        # Of a host that sees the same disk without flock.
        owner = present_owner(store)
        if owner is not None:
            raise Busy(owner)
    except BaseException:
        flock.close()
        raise
    return _begun(store, flock, record, flock.left())


def _begun(store: Path, lock: _Lock, record: dict[str, Any], before: Mapping[str, Any]) -> Held:
    """Write the record, with the runs that a dead holder was writing, which are to be swept."""
    left = [str(run) for name in ("left", "writes") for run in _listed(before.get(name))]
    record = {**record, "left": sorted(set(left))}
    try:
        lock.write(record)
        return Held(store, lock, record, record["left"])
    except BaseException:
        lock.release()
        raise


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def lock_holder(store: Path) -> Holder | None:
    """Return the process that writes to a store, None if there is none."""
    record = None
    with suppress(OSError):
        descriptor = os.open(store / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            # It may be replaced while it is read.
            for _ in range(_READS):
                if record := read_record(descriptor):
                    break
                time.sleep(_PAUSE_SECONDS / 10)
            record = record or {}
        finally:
            os.close(descriptor)
    if record is None:
        with suppress(OSError):
            record = present_owner(store)
    return None if record is None else Holder.of(record)


def status_of(run_id: str, status: str, holder: Holder | None) -> str:
    """Return the status of a run: "interrupted" if it is running and no process writes it."""
    if status != "running":
        return status
    if holder is None:
        return "interrupted"
    # A holder whose record cannot be read may write this one.
    return "running" if holder.writes is None or run_id in holder.writes else "interrupted"
