"""Commands that run wholly inside the batch system: scheduler and client in a job of their own.

    python -m icedask.hpc.submit FOLDER

runs the command of a folder in its job: the command is interrupted before the walltime, and the
job is submitted again to continue.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from dask.utils import parse_bytes

from icedask.errors import IcedaskError
from icedask.hpc.folders import IDS, home, make_folder, submitted, sweep, write_private
from icedask.hpc.profiles import Profile, load_profile
from icedask.hpc.quoting import quoted_python
from icedask.hpc.systems import SYSTEMS

COMMAND, STATE = "command.json", "state.json"

# A job without workers holds a scheduler, a client, and the results in the client.
_CORES, _MEMORY = 2, "4GiB"
_LAST_LINES = 5
# States of a command that has ended.
_ENDS = ("complete", "failed", "interrupted")


def submit(
    command: Sequence[str],
    profile: str,
    *,
    local: bool = False,
    resubmissions: int = 20,
    **overrides: Any,
) -> str:
    """Submit an icedask command as a job of its own.

    Before its walltime the command is interrupted and submitted again, to continue.

    Parameters
    ----------
    command : sequence of str
        Words that follow `icedask` on a command line. They are not checked here.
    profile : str
        Settings of the job, as for `connect`.
    local : bool
        Whether the workers of the command are processes of this job ("--profile local"), which
        then has the cores and the memory of the profile; else they are jobs beside this one.
    resubmissions : int
        Number of times the command may be submitted again.
    **overrides
        Settings of this job in the names of dask-jobqueue: walltime, queue, cores, memory, ...

    Returns
    -------
    str
        The job's id.

    Raises
    ------
    InputError
        If a setting is not valid.
    ComputeError
        With the message of the batch system, if it refuses the job.
    """
    small = {} if local else {"cores": _CORES, "memory": _MEMORY}
    loaded = load_profile(profile, **{**small, "processes": 1, **overrides})
    sweep_commands()
    folder = make_folder("submitted", f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}")
    record = {
        "command": list(command),
        "folder": os.getcwd(),  # noqa: PTH109
        "profile": loaded.plain(),
        "resubmissions": resubmissions,
        "submitted": time.time(),
        "python": sys.executable,
    }
    write_private(folder / COMMAND, json.dumps(record, indent=1))
    return submit_again(folder)


def submit_again(folder: Path) -> str:
    """Submit the command of a folder, for the first time or to continue; return the job's id."""
    record = read_command(folder)
    profile = Profile.from_plain(record["profile"])
    script = folder / "job.sh"
    text = job_script(profile, folder, record["python"])
    profile.check_nodes(text)
    script.write_text(text)
    job_id = profile.submit(script)
    # Appended: the job may run already, and submit itself again.
    with (folder / IDS).open("a") as file:
        file.write(f"{job_id}\n")
    return job_id


def job_ids(folder: Path) -> list[str]:
    """Return the ids of the jobs of a command, oldest first."""
    path = folder / IDS
    return path.read_text().split() if path.exists() else []


def job_script(profile: Profile, folder: Path, python: str) -> str:
    """Return the script of the job that runs the command of a folder."""
    job = profile.job("tls://none:0", "icedask", folder / "logs")
    header, output = profile.output(job.job_header, folder / "logs")
    python = quoted_python(profile.section["python"] or python)
    memory = parse_bytes(profile.section["memory"])
    return "\n".join(
        [
            profile.section["shebang"],
            header,
            "umask 077",
            *output,
            *(profile.section["job-script-prologue"] or ()),
            f"export ICEDASK_HOME={shlex.quote(str(home()))}",
            # For --profile local: limits of the job, also where the system enforces none.
            f"export DASK_JOBQUEUE__LOCAL__N_WORKERS={profile.section['cores']}",
            f"export DASK_JOBQUEUE__LOCAL__MEMORY_LIMIT={memory // profile.section['cores']}",
            # The process takes the place of the shell, so that signals reach it.
            f"exec {python} -m icedask.hpc.submit {shlex.quote(str(folder))}",
            "",
        ]
    )


def read_command(folder: Path) -> dict[str, Any]:
    """Return the record of a submitted command."""
    record: dict[str, Any] = json.loads((folder / COMMAND).read_text())
    return record


def read_state(folder: Path) -> dict[str, Any]:
    """Return the state that the job wrote, and its error."""
    path = folder / STATE
    return json.loads(path.read_text()) if path.exists() else {"state": "submitted"}


def sweep_commands() -> None:
    """Delete the folders of commands that ended a month ago."""
    sweep("submitted", _has_ended)


def _has_ended(folder: Path) -> bool:
    """Return whether a command has ended for certain: by its state, or as no queue has its job."""
    try:
        if read_state(folder)["state"] in _ENDS:
            return True
        record, ids = read_command(folder), job_ids(folder)
        queue = SYSTEMS[record["profile"]["system"]].queue()
    except (IcedaskError, KeyError, OSError, ValueError):
        return False
    return queue is not None and (not ids or ids[-1] not in queue)


def jobs() -> pd.DataFrame:
    """List the submitted commands, newest first.

    Returns
    -------
    pandas.DataFrame
        Indexed by job (the last id of each): state, reason (of waiting, or the error), command,
        submitted, jobs (number of jobs of the command), log.
    """
    rows = []
    queues: dict[str, Any] = {}
    # A command that the batch system refused has no id; its error was raised by submit.
    for folder in submitted():
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


def _state(written: dict[str, Any], queue: Any, job_id: str) -> dict[str, str]:
    reason = written.get("error", "")
    if written["state"] in _ENDS or queue is None:
        return {"state": written["state"], "reason": reason}
    if job_id in queue:
        return {"state": queue[job_id].state, "reason": queue[job_id].reason}
    return {"state": "lost", "reason": reason or "the job ended without a message; see its log"}


def run_in_job(folder: Path) -> int:
    """Run the command of a folder, and return its exit status."""
    start = time.monotonic()
    record = read_command(folder)
    walltime = Profile.from_plain(record["profile"]).walltime
    _write_state(folder, "running")
    errors = folder / "logs" / "command.err"
    with errors.open("ab") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "icedask", *record["command"]],
            cwd=record["folder"],
            stderr=file,
            stdin=subprocess.DEVNULL,
        )
        signals = _forward_interrupts(child)
        try:
            status = child.wait(start + walltime - margin(walltime) - time.monotonic())
        except subprocess.TimeoutExpired:
            return _continue_in_next_job(folder, child, start + walltime)
    if status == 0:
        _write_state(folder, "complete")
    elif signals:
        _write_state(
            folder, "interrupted", "ended by the batch system; submit it again to continue"
        )
    else:
        lines = errors.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        _write_state(folder, "failed", "\n".join(lines))
    return status


def margin(walltime: float) -> float:
    """Return the seconds before its walltime at which a command is interrupted."""
    return min(max(walltime / 10, 20.0), 300.0, walltime / 2)


def _forward_interrupts(child: subprocess.Popen[bytes]) -> list[int]:
    """Interrupt the child where the batch system is about to kill; return signals received."""
    signals: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        signals.append(number)
        child.send_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, interrupt)
    return signals


def _continue_in_next_job(folder: Path, child: subprocess.Popen[bytes], end: float) -> int:
    """Interrupt the command at the end of the walltime, and submit it again."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(max(end - time.monotonic() - 10, 1))
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    n_jobs = len(job_ids(folder))
    if n_jobs > read_command(folder)["resubmissions"]:
        _write_state(folder, "failed", f"not complete after {n_jobs} jobs; submit it again")
        return 1
    submit_again(folder)
    return 0


def _write_state(folder: Path, state: str, error: str = "") -> None:
    values = {"state": state, "host": os.uname().nodename, "error": error}
    write_private(folder / STATE, json.dumps(values))


if __name__ == "__main__":
    sys.exit(run_in_job(Path(sys.argv[1])))
