"""Hold a store for several results."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from icedask.store.folder import make_folder
from icedask.store.lock import LOCK_FILE, Wait
from icedask.store.owner import FOLDER as OWNERS
from icedask.store.root import writing


@contextmanager
def hold(
    store: str | os.PathLike[str], *, wait: Wait | None = None, work: str = "hold"
) -> Iterator[None]:
    """Hold the lock of a store for all that is written in the block.

    No other process can write between two calls. Calls of the block share the lock; those of other
    threads are refused, as those of other processes are.

    Parameters
    ----------
    store : path
        A store, or the path of one that is to be made.
    wait : float or bool, optional
        Longest time to wait where another process writes to the store, in seconds; True is for
        ever. By default that of an outer block, else none.
    work : str
        What is done, in a few words, for those who ask or wait.

    Returns
    -------
    context manager
        To be used in a `with` block.

    Raises
    ------
    StoreError
        If another process writes to the store, or it cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True) * (3, 3, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with ice.hold(f"{folder}/cu.zarr", wait=60):
    ...         trj = ice.save(trj, f"{folder}/cu.zarr")
    ...         cn = ice.save(ice.coordination(trj, r_cut=3.0), f"{folder}/cu.zarr")
    """
    path = Path(store).resolve()
    created = make_folder(path)
    try:
        with writing(path, work, wait=wait):
            yield
    finally:
        if created and path.exists() and set(os.listdir(path)) <= {LOCK_FILE, OWNERS}:
            shutil.rmtree(path)


def hold_if_writable(store: Path, work: str) -> AbstractContextManager[None]:
    """Hold a store for several results, unless it is read-only: finished ones open without."""
    if store.is_dir() and not os.access(store, os.W_OK):
        return nullcontext()
    return hold(store, work=work)
