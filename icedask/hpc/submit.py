"""Commands that run wholly inside the batch system: scheduler and client in a job of their own."""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from dask.utils import parse_bytes

from icedask.errors import InputError
from icedask.hpc.folders import home, make_folder, write_private
from icedask.hpc.profiles import Profile, load_profile

RECORD = "job.json"

# A head needs a scheduler, a client, and what the client brings together.
_CORES, _MEMORY = 2, "4GiB"


def submit(
    command: Sequence[str], profile: str, *, resubmissions: int = 20, **overrides: Any
) -> str:
    """Submit an icedask command as a job of its own.

    Before its walltime the command is interrupted and submitted again, to go on where it was.

    Parameters
    ----------
    command : sequence of str
        What would follow `icedask` on a command line. Its own --profile says where the workers
        run; without one, it is given `profile`: workers are jobs beside this one. With
        "--profile local" they are processes of this job, which then has the cores and the memory
        of the profile.
    profile : str
        As for `connect`: how the job is submitted.
    resubmissions : int
        How many times the command may be submitted again.
    **overrides
        Settings of this job in the names of dask-jobqueue: walltime, queue, cores, memory, ...

    Returns
    -------
    str
        The job's id.

    Raises
    ------
    InputError
        If there is no such command, or a setting is not valid.
    ComputeError
        With the batch system's own words, if it refuses the job.
    """
    command = list(command)
    _check_command(command)
    if "--profile" not in " ".join(command).replace("=", " ").split():
        command += ["--profile", profile]
    inside = _option(command, "--profile") == "local"
    small = {} if inside else {"cores": _CORES, "memory": _MEMORY}
    loaded = load_profile(profile, **{**small, "processes": 1, **overrides})
    folder = make_folder("submitted", f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}")
    record = {
        "command": command,
        "folder": os.getcwd(),  # noqa: PTH109
        "profile": loaded.plain(),
        "resubmissions": resubmissions,
        "job_ids": [],
        "submitted": time.time(),
        "state": "submitted",
        "python": sys.executable,
    }
    write_record(folder, record)
    return submit_again(folder)


def _check_command(command: Sequence[str]) -> None:
    from icedask.cli.program import cli

    if not command or command[0] not in cli.commands or command[0] in ("submit", "cluster"):
        raise InputError(
            f"submit: expected a command of icedask such as describe or run, found "
            f"{command[0] if command else 'nothing'!r}"
        )


def _option(command: Sequence[str], name: str) -> str | None:
    match = re.search(rf"(?:^|\x00){name}[=\x00]([^\x00]+)", "\x00".join(command))
    return match[1] if match else None


def submit_again(folder: Path) -> str:
    """Submit the command of a folder, for the first time or to go on; return the job's id."""
    record = read_record(folder)
    profile = Profile.from_plain(record["profile"])
    script = folder / "job.sh"
    script.write_text(job_script(profile, folder, record["python"]))
    job_id = profile.system.submit(script)
    record["job_ids"].append(job_id)
    write_record(folder, record)
    return job_id


def job_script(profile: Profile, folder: Path, python: str) -> str:
    """Return the script of the job that runs the command of a folder."""
    job = profile.job("tls://none:0", "icedask", folder / "logs")
    python = profile.section["python"] or python
    memory = parse_bytes(profile.section["memory"])
    return "\n".join(
        [
            profile.section["shebang"],
            job.job_header,
            "umask 077",
            *(profile.section["job-script-prologue"] or ()),
            f"export ICEDASK_HOME='{home()}'",
            # For --profile local: what the job may use, also where nothing keeps it to that.
            f"export DASK_JOBQUEUE__LOCAL__N_WORKERS={profile.section['cores']}",
            f"export DASK_JOBQUEUE__LOCAL__MEMORY_LIMIT={memory // profile.section['cores']}",
            # The process takes the place of the shell, so that signals reach it.
            f"exec {python} -m icedask.hpc.inside '{folder}'",
            "",
        ]
    )


def read_record(folder: Path) -> dict[str, Any]:
    """Return what is known of a submitted command."""
    found: dict[str, Any] = json.loads((folder / RECORD).read_text())
    return found


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write what is known of a submitted command."""
    write_private(folder / RECORD, json.dumps(record, indent=1))


def jobs() -> pd.DataFrame:
    """List the submitted commands, newest first.

    Returns
    -------
    pandas.DataFrame
        Indexed by job (the last id of each): state, command, submitted, jobs (how many the
        command has had), reason (why it waits, or the error), log.
    """
    rows = []
    queues: dict[str, Any] = {}
    for path in sorted((home() / "submitted").glob(f"*/{RECORD}"), reverse=True):
        record = read_record(path.parent)
        profile = Profile.from_plain(record["profile"])
        name = profile.system.name
        if name not in queues:
            queues[name] = profile.system.queue()
        job_id = record["job_ids"][-1] if record["job_ids"] else "none"
        rows.append(
            {
                "job": job_id,
                **_state(record, queues[name], job_id),
                "command": " ".join(record["command"]),
                "submitted": pd.Timestamp(record["submitted"], unit="s").floor("s"),
                "jobs": len(record["job_ids"]),
                "log": str(path.parent / "logs"),
            }
        )
    columns = ["job", "state", "reason", "command", "submitted", "jobs", "log"]
    return pd.DataFrame(rows, columns=columns).set_index("job")


def _state(record: dict[str, Any], queue: Any, job_id: str) -> dict[str, str]:
    reason = record.get("error", "")
    if record["state"] in ("complete", "failed") or queue is None:
        return {"state": record["state"], "reason": reason}
    if job_id in queue:
        return {"state": queue[job_id].state, "reason": queue[job_id].reason}
    return {"state": "lost", "reason": reason or "the job ended without a word; see its log"}
