"""What a submitted job runs: the command, interrupted in time and submitted again to go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from icedask.hpc.folders import write_private
from icedask.hpc.profiles import Profile
from icedask.hpc.submit import STATE, job_ids, read_command, submit_again

_LAST_LINES = 5


def margin(walltime: float) -> float:
    """Return how many seconds before its walltime a command is interrupted."""
    return min(max(walltime / 10, 20.0), 300.0, walltime / 2)


def run(folder: Path) -> int:
    """Run the command of a folder, and return its exit status."""
    begun = time.monotonic()
    record = read_command(folder)
    walltime = Profile.from_plain(record["profile"]).walltime
    _note(folder, "running")
    errors = folder / "logs" / "command.err"
    with errors.open("ab") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "icedask", *record["command"]],
            cwd=record["folder"],
            stderr=file,
            stdin=subprocess.DEVNULL,
        )
        told = _pass_on(child)
        try:
            status = child.wait(begun + walltime - margin(walltime) - time.monotonic())
        except subprocess.TimeoutExpired:
            return _go_on(folder, child, begun + walltime)
    if status == 0:
        _note(folder, "complete")
    elif told:
        _note(folder, "interrupted", "ended by the batch system; submit it again to go on")
    else:
        lines = errors.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        _note(folder, "failed", "\n".join(lines))
    return status


def _pass_on(child: subprocess.Popen[bytes]) -> list[int]:
    """Make an interrupt of what the batch system says before it kills; return what it said."""
    told: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        told.append(number)
        child.send_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, interrupt)
    return told


def _go_on(folder: Path, child: subprocess.Popen[bytes], end: float) -> int:
    """Interrupt the command at the end of the walltime, and submit it again."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(max(end - time.monotonic() - 10, 1))
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    so_far = len(job_ids(folder))
    if so_far > read_command(folder)["resubmissions"]:
        _note(folder, "failed", f"not complete after {so_far} jobs; submit the command again")
        return 1
    submit_again(folder)
    return 0


def _note(folder: Path, state: str, error: str = "") -> None:
    said = {"state": state, "host": os.uname().nodename, "error": error}
    write_private(folder / STATE, json.dumps(said))


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
