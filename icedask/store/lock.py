"""The lock of a store: advisory, one writer, dropped by the operating system with its holder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icedask.core.provenance import now
from icedask.errors import StoreError

LOCK_FILE = ".lock"


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Hold the lock of `store`, an existing folder, for the duration of the block.

    Raises StoreError if another process, or another call in this one, is writing to the store.
    """
    path = store / LOCK_FILE
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise StoreError(
                f"{store}: another process is writing to this store ({holder}); wait for it to "
                "end, or write to another store"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {now()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
