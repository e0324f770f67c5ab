"""Run Dask tasks with a progress bar: on the active client if there is one, else here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import dask
from dask.delayed import Delayed
from tqdm import tqdm

from icedask.errors import ComputeError


def _active_client() -> Any | None:
    # distributed is slow to import; a client can only exist where somebody imported it.
    if "distributed" not in sys.modules:
        return None
    import distributed

    try:
        return distributed.get_client()
    except ValueError:
        return None


def run_tasks(tasks: Sequence[Delayed], description: str, *, result: Delayed | None = None) -> Any:
    """Compute `tasks`, showing progress on a terminal.

    Parameters
    ----------
    tasks
        What is waited for one by one. Their values must be small: they come to this process.
    description
        What the progress bar says.
    result
        If given, only this is returned: `tasks` are then steps towards it and stay on the
        workers.

    Returns
    -------
    list or value
        The values of `tasks` in their order, or the value of `result`.
    """
    client = _active_client()
    if client is None:
        return _run_here(tasks, description, result)
    from distributed import as_completed

    futures = client.compute([*tasks] if result is None else [*tasks, result])
    try:
        with tqdm(total=len(futures), desc=description, disable=None, unit="task") as bar:
            for future in as_completed(futures):
                if future.status == "error":
                    _raise(future)
                bar.update()
        if result is not None:
            return futures[-1].result()
        return client.gather(futures)
    finally:
        client.cancel([future for future in futures if not future.done()])


def _raise(future: Any) -> None:
    from distributed.scheduler import KilledWorker

    try:
        future.result()
    except KilledWorker as error:
        raise ComputeError(
            "the worker processes that ran one of the tasks died repeatedly, most often for want "
            "of memory; what is written is kept: give each worker more memory, or use fewer, and "
            "run the same command again"
        ) from error


def _run_here(tasks: Sequence[Delayed], description: str, result: Delayed | None) -> Any:
    from tqdm.dask import TqdmCallback

    with TqdmCallback(desc=description, disable=None):
        if result is not None:
            return dask.compute(result)[0]
        return list(dask.compute(*tasks))
