"""Where the work runs: a Dask client for this machine or for a cluster that is already up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from icedask.errors import ComputeError, InputError


def connect(profile: str = "local", **overrides: Any) -> Any:
    """Start workers, or find them, and make their client the active one.

    Parameters
    ----------
    profile : str
        "local" starts one single-threaded worker process for each core that this process may
        use. An address ("tcp://host:8786", "tls://...") or the path of a scheduler file (.json)
        connects to a cluster that is already running, such as one of dask-jobqueue.
    **overrides
        Passed to `distributed.LocalCluster` (n_workers, memory_limit, local_directory, ...) for
        "local", else to `distributed.Client`.

    Returns
    -------
    distributed.Client
        To be closed by the caller, or used in a `with` block.

    Raises
    ------
    InputError
        If the profile is not known.
    ComputeError
        If local workers cannot start.
    """
    from distributed import Client

    if profile == "local":
        settings = {
            "n_workers": len(os.sched_getaffinity(0)),
            "threads_per_worker": 1,
            "processes": True,
            # Loopback only: a dashboard is a way into the process.
            "dashboard_address": "127.0.0.1:0",
            "preload": "icedask.worker",
            **overrides,
        }
        try:
            # Without an address the client starts a LocalCluster of its own, and ends it on close.
            return Client(**settings)
        except RuntimeError as error:
            raise ComputeError(
                f"the worker processes could not start ({error}); in a script, call connect under "
                '`if __name__ == "__main__":`, because workers import the script'
            ) from error
    if "://" in profile:
        return Client(profile, **overrides)
    if profile.endswith(".json"):
        if not Path(profile).exists():
            raise InputError(f"profile {profile!r}: no such scheduler file")
        return Client(scheduler_file=profile, **overrides)
    raise InputError(
        f'profile: expected "local", the address of a scheduler such as tcp://host:8786, or a '
        f"scheduler file ending in .json, found {profile!r}"
    )
