"""A lock for file systems without flock: numbered files of owners, kept alive by a heartbeat.

The owner is the file with the largest number in a folder. It is made by O_EXCL with the number
after the largest one, only when that owner has released the lock or is dead; smaller numbers are
deleted after that only. Of two processes that replace one owner, a single one can make the next
file; one that comes late with an old number finds a larger one, and gives up. An owner that finds a
larger number has lost the lock.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = ".locks"
BEAT_SECONDS = 15.0
# Of an owner on another host; several heartbeats may be late on a busy file system.
STALE_SECONDS = 180.0
# A file that is touched to know the time.
_CLOCK = "time"
_RELEASED = {"released": True}


class Busy(Exception):
    """Another owner holds the lock; its record is the argument, empty where it cannot be read."""

    @property
    def record(self) -> Mapping[str, Any]:
        """The record of the owner."""
        record: Mapping[str, Any] = self.args[0]
        return record


def this_process() -> dict[str, Any]:
    """Return host, boot, process namespace, id and start of this process."""
    return {**_place(), "pid": os.getpid(), "started": _start(os.getpid())}


@cache
def _place() -> dict[str, Any]:
    place = {"host": socket.gethostname(), "boot": None, "namespace": None}
    with suppress(OSError):
        place["boot"] = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # Containers have process ids of their own.
        place["namespace"] = str(Path("/proc/self/ns/pid").readlink())
    return place


def _start(pid: int) -> int | None:
    """Return when a process started, in ticks of the kernel; None where that is not known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # A process that has ended and waits for its parent to notice writes nothing any more.
        return None if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def has_ended(record: Mapping[str, Any]) -> bool:
    """Return whether the process of a record is known to have ended: one of this host."""
    pid = record.get("pid")
    here = all(record.get(name) == value for name, value in _place().items())
    if not here or not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return record.get("started") not in (None, _start(pid))


def read_record(descriptor: int) -> dict[str, Any]:
    """Return the record in an open file; empty where there is none, or not yet a whole one."""
    with suppress(OSError, ValueError, RecursionError):
        record = json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
        if isinstance(record, dict):
            return record
    return {}


def write_record(descriptor: int, record: Mapping[str, Any]) -> None:
    """Replace the record in an open file."""
    data = json.dumps(record).encode()
    os.pwrite(descriptor, data, 0)
    os.ftruncate(descriptor, len(data))


def _newest(folder: Path) -> int:
    """Return the largest number of an owner, 0 where there is none."""
    try:
        return max((int(name) for name in os.listdir(folder) if name.isdecimal()), default=0)
    except FileNotFoundError:
        return 0


def _owner(folder: Path, number: int, now: float) -> dict[str, Any] | None:
    """Return the record of an owner, None if it has released the lock, is dead or gone."""
    try:
        descriptor = os.open(folder / str(number), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        record, beat = read_record(descriptor), os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
    if record == _RELEASED or has_ended(record) or now - beat > STALE_SECONDS:
        return None
    return record


def present_owner(store: Path) -> dict[str, Any] | None:
    """Return the record of the owner of a store, None if it has none."""
    folder = store / FOLDER
    if number := _newest(folder):
        return _owner(folder, number, time.time())
    return None


def _time_of(folder: Path) -> float:
    """Return the time by the clock that dates the files: that of the server of the disk."""
    (folder / _CLOCK).touch()
    return (folder / _CLOCK).stat().st_mtime


class OwnerLock(threading.Thread):
    """The lock as held by this process; a thread that renews its heartbeat."""

    def __init__(self, folder: Path, number: int, descriptor: int) -> None:
        super().__init__(daemon=True, name="icedask-lock")
        self._folder, self._number, self._descriptor = folder, number, descriptor
        self._ended = threading.Event()
        self._lost = False
        self._renewed = time.monotonic()

    @classmethod
    def take(cls, store: Path, record: Mapping[str, Any]) -> tuple[OwnerLock, dict[str, Any]]:
        """Take the lock; return it and the record of an owner that died with it.

        Raises Busy if a living owner has it.
        """
        folder = store / FOLDER
        if folder.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
        folder.mkdir(exist_ok=True)
        while True:
            number = _newest(folder)
            before: dict[str, Any] = {}
            if number:
                owner = _owner(folder, number, _time_of(folder))
                if owner is not None:
                    raise Busy(owner)
                before = _left(folder / str(number))
            path = folder / str(number + 1)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                descriptor = os.open(path, flags, 0o666)
            except FileExistsError:
                # The other one has it now, or has released it already.
                time.sleep(0.01)
                continue
            if _newest(folder) != number + 1:
                os.close(descriptor)
                path.unlink(missing_ok=True)
                continue
            write_record(descriptor, record)
            for name in os.listdir(folder):
                if name.isdecimal() and int(name) <= number:
                    (folder / name).unlink(missing_ok=True)
            lock = cls(folder, number + 1, descriptor)
            lock.start()
            return lock, before

    def run(self) -> None:
        """Renew the heartbeat until the end."""
        while not self._ended.wait(BEAT_SECONDS):
            if not self.is_held():
                return
            # Others see an old heartbeat; after STALE_SECONDS they may have taken the lock.
            with suppress(OSError):
                os.utime(self._descriptor)
                self._renewed = time.monotonic()
            if time.monotonic() - self._renewed > STALE_SECONDS:
                self._lost = True

    def is_held(self) -> bool:
        """Return whether no other owner took the lock over."""
        try:
            self._lost = self._lost or _newest(self._folder) != self._number
        except OSError:
            self._lost = self._lost or time.monotonic() - self._renewed > STALE_SECONDS
        return not self._lost

    def write(self, record: Mapping[str, Any]) -> None:
        """Replace the record."""
        write_record(self._descriptor, record)

    def release(self) -> None:
        """Give the lock back."""
        self._ended.set()
        self.join()
        # The folder may be deleted, the disk full: the end of the process releases the lock then.
        with suppress(OSError):
            write_record(self._descriptor, _RELEASED)
        os.close(self._descriptor)


def _left(path: Path) -> dict[str, Any]:
    """Return what an owner that died left in its record."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        record = read_record(descriptor)
    finally:
        os.close(descriptor)
    return {} if record == _RELEASED else record
