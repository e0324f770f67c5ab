"""Run Dask tasks with a progress bar: on the active client if there is one, else here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import dask
import dask.array as da
from dask import core
from dask.array.optimization import optimize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from tqdm import tqdm

from icedask.errors import ComputeError


def active_client() -> Any | None:
    """Return the active Dask client, if there is one."""
    # distributed is slow to import; a client can only exist where somebody imported it.
    if "distributed" not in sys.modules:
        return None
    import distributed

    try:
        return distributed.get_client()
    except ValueError:
        return None


def optimize_together(arrays: Sequence[da.Array]) -> list[da.Array]:
    """Return the arrays with one optimised graph, in which what they share is computed once.

    `dask.optimize` treats each array by itself, and fuses a shared layer into each of them.
    """
    graph = HighLevelGraph.merge(*[array.dask for array in arrays])
    keys = list(core.flatten([array.__dask_keys__() for array in arrays]))
    optimized = optimize(graph, keys)
    return [
        da.Array(optimized, array.name, array.chunks, dtype=array.dtype, meta=array._meta)
        for array in arrays
    ]


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
    client = active_client()
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
