"""Try a profile with one job, and say in words what works and what does not."""

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
from icedask.store.save import versions

_BAD_WORDS = re.compile(r"no such|not found|error|cannot|denied|unable", re.IGNORECASE)
# seconds that a file may take to appear on another node.
_DISK_SETTLES = 30


class Finding(NamedTuple):
    """One thing that was tried."""

    what: str
    good: bool
    words: str


def check_cluster(
    profile: str, folder: str | os.PathLike[str] = ".", *, wait: float = 600, **overrides: Any
) -> Iterator[Finding]:
    """Submit one job of a profile, look at its worker, and end it; each step as it is done.

    Parameters
    ----------
    profile : str
        As for `connect`.
    folder : path
        Where stores are to lie: it is tried whether workers see it.
    wait : float
        Seconds that the job may wait in the queue.
    **overrides
        Settings of the profile.

    Yields
    ------
    Finding
        What was tried, whether it is good, and the words for it.
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
    time.sleep(1)
    left = (loaded.system.queue() or {}).get(job)
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
    words = f"not found: {', '.join(missing)}" if missing else ", ".join(commands)
    yield Finding("commands", not missing, words)
    interface = profile.section["interface"]
    if interface:
        import psutil

        names = sorted(psutil.net_if_addrs())
        words = f"{interface}; this machine has {', '.join(names)}"
        yield Finding("interface", interface in names, words)


def _wait(client: Any, seconds: float) -> Finding:
    begun = time.monotonic()
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError:
        row = client.jobs.status().iloc[0]
        raise ComputeError(
            f"the job still waits after {seconds:.0f} s ({row['reason'] or row['state']})"
        ) from None
    return Finding("queue", True, f"a worker came after {time.monotonic() - begun:.0f} s")


def _prologue(folder: Path, profile: Profile) -> Finding:
    """Look at what the job's script said before the workers did."""
    logs = Path(profile.section["log-directory"] or folder / "logs")
    said = []
    for path in logs.glob(f"{profile.section['name']}*"):
        for line in path.read_text(errors="replace").splitlines():
            if " - distributed" in line:
                break
            said.append(line)
    words = " | ".join(line for line in said if line.strip())
    return Finding("prologue", not _BAD_WORDS.search(words), words or "said nothing")


def _on_the_worker(client: Any, folder: Path) -> Iterator[Finding]:
    address = min(client.scheduler_info(n_workers=-1)["workers"])
    found = client.run(look, str(folder), workers=[address])[address]
    yield Finding(
        "worker",
        True,
        f"{found['host']} at {address}, {found['cores']} cores, "
        f"{found['memory'] / 2**30:.1f} GiB for each process, {found['python']}",
    )
    yield Finding("encryption", address.startswith("tls://"), address.partition(":")[0])
    here = versions()
    different = [
        f"{name} {here.get(name)} here, {found['versions'].get(name)} there"
        for name in sorted({*here, *found["versions"]})
        if here.get(name) != found["versions"].get(name)
    ]
    yield Finding(
        "versions", not different, "; ".join(different) or f"equal ({len(here)} packages)"
    )
    scratch = found["scratch"]
    yield Finding(
        "scratch",
        not scratch["mode"] & 0o077,
        f"{scratch['path']}: mode {scratch['mode']:o}, {scratch['free'] / 1e9:.0f} GB free",
    )
    yield _shared(client, address, folder)


def look(folder: str, dask_worker: Any) -> dict[str, Any]:
    """Return what a worker sees of its machine; runs there."""
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
    """Write on either side, and read on the other."""
    token = secrets.token_hex(8)
    here, there = folder / f".icedask-{token}-here", folder / f".icedask-{token}-there"
    try:
        here.write_text(token)
        seen = client.run(answer, str(here), str(there), _DISK_SETTLES, workers=[address])[address]
        if seen != token:
            return Finding("shared disk", False, f"the worker does not see {folder}")
        if not _wait_for(there, _DISK_SETTLES):
            return Finding("shared disk", False, f"what the worker wrote to {folder} is not here")
        return Finding("shared disk", True, f"{folder} is seen by both")
    except OSError as error:
        return Finding("shared disk", False, f"{folder}: {error.strerror}")
    finally:
        here.unlink(missing_ok=True)
        there.unlink(missing_ok=True)


def answer(here: str, there: str, seconds: float) -> str | None:
    """Read a file that the client wrote and write another; runs on a worker."""
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
