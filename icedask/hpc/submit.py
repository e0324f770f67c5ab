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

import click
import pandas as pd
from dask.utils import parse_bytes

from icedask.errors import InputError
from icedask.hpc.folders import home, make_folder, write_private
from icedask.hpc.profiles import Profile, load_profile
from icedask.hpc.systems import SYSTEMS

COMMAND, STATE, IDS = "command.json", "state.json", "ids"

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
    if "--profile" in _options(command) and _given(command, "--profile") is None:
        command += ["--profile", profile]
    inside = _given(command, "--profile") == "local"
    small = {} if inside else {"cores": _CORES, "memory": _MEMORY}
    loaded = load_profile(profile, **{**small, "processes": 1, **overrides})
    folder = make_folder("submitted", f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}")
    record = {
        "command": command,
        "folder": os.getcwd(),  # noqa: PTH109
        "profile": loaded.plain(),
        "resubmissions": resubmissions,
        "submitted": time.time(),
        "python": sys.executable,
    }
    write_private(folder / COMMAND, json.dumps(record, indent=1))
    return submit_again(folder)


def _options(command: Sequence[str]) -> set[str]:
    """Parse a command, and return the options that it could have."""
    from icedask.cli.program import cli

    if not command or command[0] not in cli.commands or command[0] in ("submit", "cluster"):
        raise InputError(
            f"submit: expected a command of icedask such as describe or simulate, found "
            f"{command[0] if command else 'nothing'!r}"
        )
    found: click.Command = cli
    name, rest, context = "icedask", list(command), None
    try:
        while True:
            context = found.make_context(name, rest, parent=context)
            if not isinstance(found, click.Group):
                return {option for parameter in found.params for option in parameter.opts}
            left = [*vars(context).get("_protected_args", ()), *context.args]
            _, found, rest = found.resolve_command(context, left)  # type: ignore[assignment]
            name = found.name or ""
    except click.exceptions.ClickException as error:
        raise InputError(f"submit: {error.format_message()}") from error
    except click.exceptions.Exit as error:
        raise InputError("submit: expected a command that computes, found --help") from error


def _given(command: Sequence[str], name: str) -> str | None:
    match = re.search(rf"(?:^|\x00){name}[=\x00]([^\x00]+)", "\x00".join(command))
    return match[1] if match else None


def submit_again(folder: Path) -> str:
    """Submit the command of a folder, for the first time or to go on; return the job's id."""
    record = read_command(folder)
    profile = Profile.from_plain(record["profile"])
    script = folder / "job.sh"
    script.write_text(job_script(profile, folder, record["python"]))
    job_id = profile.system.submit(script)
    # Appended, because the job may run already, and writes of its own.
    with (folder / IDS).open("a") as file:
        file.write(f"{job_id}\n")
    return job_id


def job_ids(folder: Path) -> list[str]:
    """Return the ids of the jobs that a command has had, oldest first."""
    path = folder / IDS
    return path.read_text().split() if path.exists() else []


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


def read_command(folder: Path) -> dict[str, Any]:
    """Return what was submitted."""
    found: dict[str, Any] = json.loads((folder / COMMAND).read_text())
    return found


def read_state(folder: Path) -> dict[str, Any]:
    """Return what the job said of itself: its state, and the error."""
    path = folder / STATE
    return json.loads(path.read_text()) if path.exists() else {"state": "submitted"}


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
    # A command that the batch system refused has no id, and its error was told at once.
    for path in sorted((home() / "submitted").glob(f"*/{IDS}"), reverse=True):
        folder = path.parent
        record, ids = read_command(folder), job_ids(folder)
        system = SYSTEMS[record["profile"]["system"]]
        if system.name not in queues:
            queues[system.name] = system.queue()
        rows.append(
            {
                "job": ids[-1],
                **_state(read_state(folder), queues[system.name], ids[-1]),
                "command": " ".join(record["command"]),
                "submitted": pd.Timestamp(record["submitted"], unit="s").floor("s"),
                "jobs": len(ids),
                "log": str(folder / "logs"),
            }
        )
    columns = ["job", "state", "reason", "command", "submitted", "jobs", "log"]
    return pd.DataFrame(rows, columns=columns).set_index("job")


def _state(said: dict[str, Any], queue: Any, job_id: str) -> dict[str, str]:
    reason = said.get("error", "")
    if said["state"] in ("complete", "failed", "interrupted") or queue is None:
        return {"state": said["state"], "reason": reason}
    if job_id in queue:
        return {"state": queue[job_id].state, "reason": queue[job_id].reason}
    return {"state": "lost", "reason": reason or "the job ended without a word; see its log"}
