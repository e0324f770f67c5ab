"""Dask clients of local workers, of a running cluster, or of jobs of a batch system."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from icedask.errors import InputError
from icedask.hpc.folders import cluster_folder, connection
from icedask.hpc.profiles import load_profile, parse_jobs
from icedask.hpc.systems import SYSTEMS

logger = logging.getLogger("icedask")


def connect(
    profile: str = "local",
    *,
    jobs: int | str | tuple[int, int] | None = None,
    name: str | None = None,
    **overrides: Any,
) -> Any:
    """Start workers or connect to a running cluster, and make the client the active one.

    Parameters
    ----------
    profile : str
        Place of the workers:

        - "local": one single-threaded worker process for each core that this process may use;
        - a batch system ({systems}), the name of another section of `jobqueue` in Dask's
          configuration, or a YAML file with one: jobs of a batch system;
        - the name of a cluster that was started with a name;
        - an address ("tcp://host:8786", "tls://...") or the path of a scheduler file (.json).
    jobs : int or pair of int, optional
        For a batch system: number of jobs, or the fewest and the most, between which the number
        follows the work. The profile's by default (0 to 4).
    name : str, optional
        For a batch system: name of a cluster that outlives this process. The same call connects to
        it again; `client.jobs.close()` ends it, as does an hour without work. A cluster without a
        name ends with the client.
    **overrides
        Settings of the profile in the names of dask-jobqueue (cores, processes, memory, walltime,
        queue, account, interface, local_directory, job_script_prologue, python, ...); for
        "local" those of `distributed.LocalCluster` (n_workers, memory_limit, ...); for an address
        those of `distributed.Client`.

    Returns
    -------
    distributed.Client
        To be closed by the caller, or used in a `with` block. That of a batch system has
        `jobs`: `client.jobs.scale(8)`, `client.jobs.scale(0, 8)`, `client.jobs.status()`.

    Raises
    ------
    InputError
        If the profile is not known, or a setting is not valid.
    ComputeError
        If workers cannot start; with the message of the batch system, if it refuses the jobs.
    """
    if profile == "local":
        _refuse(profile, jobs=jobs, name=name)
        from icedask.hpc.local import start_local

        return start_local(overrides)
    if "://" in profile:
        _refuse(profile, jobs=jobs, name=name)
        from icedask.hpc.reach import reach

        return reach(profile, {"address": profile, **overrides})
    if profile.endswith(".json"):
        _refuse(profile, jobs=jobs, name=name)
        return _from_file(Path(profile), overrides)
    from icedask.hpc.cluster import attach, is_alive, start

    if name is None and _is_cluster(profile):
        _refuse(profile, jobs=jobs)
        return attach(cluster_folder(profile), **overrides)
    if name is not None and is_alive(cluster_folder(name)):
        return _join(cluster_folder(name), profile, jobs)
    return start(profile, jobs=jobs, name=name, **overrides)


connect.__doc__ = (connect.__doc__ or "").replace(
    "{systems}", ", ".join(f'"{system}"' for system in SYSTEMS)
)


def check_profile(profile: str, jobs: int | str | tuple[int, int] | None = None) -> None:
    """Raise InputError where `connect` would for such arguments; starts and asks nothing."""
    if profile == "local" or "://" in profile or profile.endswith(".json"):
        _refuse(profile, jobs=jobs)
        if profile.endswith(".json") and "://" not in profile:
            _scheduler_file(Path(profile))
    elif _is_cluster(profile):
        _refuse(profile, jobs=jobs)
    else:
        load_profile(profile, jobs=None if jobs is None else parse_jobs(jobs))


def _join(folder: Path, profile: str, jobs: Any) -> Any:
    """Connect to the cluster that an earlier call started."""
    from icedask.hpc.cluster import attach

    runs_as = (connection(folder) or {}).get("profile_name", profile)
    if runs_as != profile:
        raise InputError(
            f"name: expected one that no other cluster has, found {folder.name!r}, which runs with "
            f"the profile {runs_as!r}; end it with icedask cluster stop {folder.name}"
        )
    limits = None if jobs is None else parse_jobs(jobs)
    client = attach(folder)
    logger.info("connected to the running cluster %s; its settings stay", folder.name)
    if limits is not None:
        client.jobs.scale(*limits)
    return client


def _refuse(profile: str, **arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise InputError(
                f"{name}: expected it for the profile of a batch system only, found it for "
                f"{profile!r}"
            )


def _is_cluster(name: str) -> bool:
    try:
        return connection(cluster_folder(name)) is not None
    except InputError:
        return False


def _from_file(path: Path, overrides: dict[str, Any]) -> Any:
    content = _scheduler_file(path)
    if "dashboard_port" in content:
        from icedask.hpc.cluster import attach

        return attach(path.parent, **overrides)
    from icedask.hpc.reach import reach

    return reach(content["address"], {"scheduler_file": str(path), **overrides})


def _scheduler_file(path: Path) -> dict[str, Any]:
    """Return the content of a scheduler file; raise InputError if there is none."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"profile {str(path)!r}: no such scheduler file") from error
    except ValueError as error:
        raise InputError(f"profile {str(path)!r}: expected a scheduler file, {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("address"), str):
        raise InputError(
            f"profile {str(path)!r}: expected a scheduler file with an address, found "
            f"{content!r:.60}"
        )
    return content
