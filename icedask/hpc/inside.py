"""What a submitted job runs: the command, interrupted in time and submitted again to go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from icedask.hpc.profiles import Profile
from icedask.hpc.submit import read_record, submit_again, write_record

_LAST_LINES = 5


def margin(walltime: float) -> float:
    """Return how many seconds before its walltime a command is interrupted."""
    return min(max(walltime / 10, 20.0), 300.0, walltime / 2)


def run(folder: Path) -> int:
    """Run the command of a folder, and return its exit status."""
    begun = time.monotonic()
    record = read_record(folder)
    walltime = Profile.from_plain(record["profile"]).walltime
    _note(folder, state="running", host=os.uname().nodename)
    errors = folder / "logs" / "command.err"
    with errors.open("ab") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "icedask", *record["command"]],
            cwd=record["folder"],
            stderr=file,
            stdin=subprocess.DEVNULL,
        )
        # The batch system says so before it kills: pass it on as an interrupt.
        signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGINT))
        try:
            status = child.wait(begun + walltime - margin(walltime) - time.monotonic())
        except subprocess.TimeoutExpired:
            return _go_on(folder, child, begun + walltime)
    if status == 0:
        _note(folder, state="complete")
    else:
        lines = errors.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        _note(folder, state="failed", error="\n".join(lines))
    return status


def _go_on(folder: Path, child: subprocess.Popen[bytes], end: float) -> int:
    """Interrupt the command at the end of the walltime, and submit it again."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(max(end - time.monotonic() - 10, 1))
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    record = read_record(folder)
    if len(record["job_ids"]) > record["resubmissions"]:
        _note(
            folder,
            state="failed",
            error=f"not complete after {len(record['job_ids'])} jobs; submit the command again",
        )
        return 1
    submit_again(folder)
    return 0


def _note(folder: Path, **values: Any) -> None:
    write_record(folder, {**read_record(folder), **values})


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
