"""Test of a profile with one job: a table of findings."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from icedask.errors import ComputeError, IcedaskError
from icedask.hpc.profiles import Profile, load_profile
from icedask.store.run_writing import versions

_BAD_WORDS = re.compile(r"no such|not found|error|cannot|denied|unable", re.IGNORECASE)
# seconds that a file may take to appear on another node, and a cancelled job to leave the queue.
_DISK_SETTLES = 30
_JOB_ENDS = 15


class Finding(NamedTuple):
    """Result of one step: its name, whether it is good, and details."""

    name: str
    good: bool
    details: str


def check_cluster(
    profile: str, folder: str | os.PathLike[str] = ".", *, wait: float = 600, **overrides: Any
) -> Iterator[Finding]:
    """Submit one job of a profile, inspect its worker and cancel it, step by step.

    Parameters
    ----------
    profile : str
        Profile, as for `connect`.
    folder : path
        Folder of stores, which workers must see.
    wait : float
        Seconds that the job may wait in the queue.
    **overrides
        Settings of the profile.

    Yields
    ------
    Finding
        Name of the step, whether it is good, and details.
    """
    from icedask.hpc.cluster import start

    try:
        loaded = load_profile(profile, **overrides)
        yield Finding("profile", True, _summary(loaded))
        yield from _on_this_machine(loaded)
        client = start(profile, jobs=1, **overrides)
    except IcedaskError as error:
        yield Finding("job", False, str(error))
        return
    with client:
        job = client.jobs.status().index[0]
        yield Finding("job", True, f"{job} submitted; logs in {client.jobs.folder / 'logs'}")
        try:
            yield _wait(client, wait)
            yield _prologue(client.jobs.folder, loaded)
            yield from _on_the_worker(client, Path(folder).resolve())
        except (IcedaskError, TimeoutError) as error:
            yield Finding("worker", False, str(error))
    deadline = time.monotonic() + _JOB_ENDS
    while (left := (loaded.system.queue() or {}).get(job)) and time.monotonic() < deadline:
        time.sleep(0.5)
    yield Finding("end", left is None, f"job {job} is {'gone' if left is None else left.state}")


def _summary(profile: Profile) -> str:
    section = profile.section
    return (
        f"{profile.name} ({profile.system.name}): cores {section['cores']}, processes "
        f"{section['processes']}, memory {section['memory']}, walltime {section['walltime']}, "
        + (f"queue {section['queue']}" if section["queue"] else "the default queue")
    )


def _on_this_machine(profile: Profile) -> Iterator[Finding]:
    job = profile.system.job()
    commands = (job.submit_command, job.cancel_command, profile.system.queue_command[0])
    missing = [command for command in commands if shutil.which(command.split()[0]) is None]
    details = f"not found: {', '.join(missing)}" if missing else ", ".join(commands)
    yield Finding("commands", not missing, details)
    interface = profile.section["interface"]
    if interface:
        import psutil

        names = sorted(psutil.net_if_addrs())
        details = f"{interface}; this machine has {', '.join(names)}"
        yield Finding("interface", interface in names, details)


def _wait(client: Any, seconds: float) -> Finding:
    start = time.monotonic()
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError:
        row = client.jobs.status().iloc[0]
        raise ComputeError(
            f"the job still waits after {seconds:.0f} s ({row['reason'] or row['state']})"
        ) from None
    return Finding("queue", True, f"a worker started after {time.monotonic() - start:.0f} s")


def _prologue(folder: Path, profile: Profile) -> Finding:
    """Search the output of the job's script before that of the workers for errors."""
    logs = Path(profile.section["log-directory"] or folder / "logs")
    output = []
    for path in logs.glob(f"{profile.section['name']}*"):
        for line in path.read_text(errors="replace").splitlines():
            if " - distributed" in line:
                break
            output.append(line)
    details = " | ".join(line for line in output if line.strip())
    return Finding("prologue", not _BAD_WORDS.search(details), details or "no output")


def _on_the_worker(client: Any, folder: Path) -> Iterator[Finding]:
    address = min(client.scheduler_info(n_workers=-1)["workers"])
    machine = client.run(inspect_worker, workers=[address])[address]
    yield Finding(
        "worker",
        True,
        f"{machine['host']} at {address}, {machine['cores']} cores, "
        f"{machine['memory'] / 2**30:.1f} GiB for each process, {machine['python']}",
    )
    yield Finding("encryption", address.startswith("tls://"), address.partition(":")[0])
    here = versions()
    different = [
        f"{name} {here.get(name)} here, {machine['versions'].get(name)} there"
        for name in sorted({*here, *machine["versions"]})
        if here.get(name) != machine["versions"].get(name)
    ]
    yield Finding(
        "versions", not different, "; ".join(different) or f"equal ({len(here)} packages)"
    )
    scratch = machine["scratch"]
    yield Finding(
        "scratch",
        not scratch["mode"] & 0o077,
        f"{scratch['path']}: mode {scratch['mode']:o}, {scratch['free'] / 1e9:.0f} GB free",
    )
    yield _shared(client, address, folder)


def inspect_worker(dask_worker: Any) -> dict[str, Any]:
    """Return host, cores, memory, versions and scratch folder of a worker; runs there."""
    local = dask_worker.local_directory
    return {
        "host": os.uname().nodename,
        "cores": len(os.sched_getaffinity(0)),
        "python": sys.executable,
        "memory": dask_worker.memory_manager.memory_limit or 0,
        "versions": versions(),
        "scratch": {
            "path": local,
            "mode": stat.S_IMODE(Path(local).stat().st_mode),
            "free": shutil.disk_usage(local).free,
        },
    }


def _shared(client: Any, address: str, folder: Path) -> Finding:
    """Write a file on either side, and read it on the other."""
    token = secrets.token_hex(8)
    here, there = folder / f".icedask-{token}-here", folder / f".icedask-{token}-there"
    try:
        here.write_text(token)
        replies = client.run(exchange, str(here), str(there), _DISK_SETTLES, workers=[address])
        if replies[address] != token:
            return Finding("shared disk", False, f"the worker does not see {folder}")
        if not _wait_for(there, _DISK_SETTLES):
            return Finding("shared disk", False, f"a file of the worker in {folder} is not here")
        return Finding("shared disk", True, f"{folder} is seen by both")
    except OSError as error:
        return Finding("shared disk", False, f"{folder}: {error.strerror}")
    finally:
        here.unlink(missing_ok=True)
        there.unlink(missing_ok=True)


def exchange(here: str, there: str, seconds: float) -> str | None:
    """Read the client's file and write another; runs on a worker."""
    if not _wait_for(Path(here), seconds):
        return None
    token = Path(here).read_text()
    Path(there).write_text(token)
    return token


def _wait_for(path: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        # Listing the folder makes a network disk look again.
        os.listdir(path.parent) if path.parent.is_dir() else None
        if path.exists():
            return True
        time.sleep(0.1)
    return False
