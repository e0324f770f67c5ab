"""The lock of a store: advisory, one writer, dropped by the operating system with its holder."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from icedask.core.provenance import now
from icedask.errors import StoreError

LOCK_FILE = ".lock"
# Looks at the lock hold it for microseconds.
_TRIES, _PAUSE_SECONDS = 4, 0.05
_WRITES = "; it writes "


@contextmanager
def locked(store: Path, writes: Sequence[str] = ()) -> Iterator[None]:
    """Hold the lock of `store`, an existing folder, for the duration of the block.

    `writes` are the ids of the runs that the block writes, where they are known. Raises StoreError
    if another process, or another call in this one, is writing to the store.
    """
    path = store / LOCK_FILE
    with path.open("a+") as file:
        try:
            _lock(file)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise StoreError(
                f"{store}: another process is writing to this store ({holder}); wait for it to "
                "end, or write to another store"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {now()}")
        if writes:
            file.write(_WRITES + ", ".join(writes))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _lock(file: IO[str]) -> None:
    """Lock a file; raise BlockingIOError if it stays locked."""
    for attempt in range(_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if attempt == _TRIES - 1:
                raise
            time.sleep(_PAUSE_SECONDS)


def lock_holder(store: Path) -> str | None:
    """Return the text of the lock's holder, None if no process writes to the store."""
    try:
        with (store / LOCK_FILE).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read()
    except OSError:
        pass
    return None


def status_of(run_id: str, status: str, holder: str | None) -> str:
    """Return the status of a run: "interrupted" if it is running and no process writes it."""
    if status != "running":
        return status
    written = None if holder is None else holder.partition(_WRITES)[2]
    # A holder that does not state its runs may write this one.
    is_written = written is not None and (not written or run_id in written.split(", "))
    return "running" if is_written else "interrupted"
