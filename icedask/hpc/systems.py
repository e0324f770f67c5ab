"""What differs between batch systems: how memory is asked for, walltime, the queue's words."""

from __future__ import annotations

import getpass
import importlib
import math
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from icedask.errors import ComputeError, InputError

# A job needs more memory than its workers may use: for the process that watches over them.
HEADROOM = 500 * 2**20
# seconds that a command of the system may take.
_PATIENCE = 30


@dataclass(frozen=True)
class Queued:
    """One job as the queue shows it: "pending" or "running", and why it waits."""

    state: str
    reason: str = ""


@dataclass(frozen=True)
class System:
    """One batch system.

    Parameters
    ----------
    name
        As in dask-jobqueue's configuration.
    job_class
        Class of dask-jobqueue that writes and submits its scripts.
    queue_command
        Lists the jobs of a user, "{user}".
    parse_queue
        From the output of that to the jobs by id.
    memory_directive
        From cores and bytes of a job to the setting of dask-jobqueue that asks for them.
    walltime_units
        Seconds of the fields of a walltime from the last one on, when it has one, two or three.
    """

    name: str
    job_class: str
    queue_command: tuple[str, ...]
    parse_queue: Callable[[str], dict[str, Queued]]
    memory_directive: Callable[[int, int], dict[str, Any]]
    walltime_units: Mapping[int, tuple[int, ...]]

    def job(self) -> Any:
        """Return dask-jobqueue's class, which writes the script of a job."""
        return getattr(jobqueue(self.name), self.job_class)

    def seconds(self, walltime: str) -> float:
        """Return a walltime in seconds.

        Raises
        ------
        InputError
            If it has not the form that the system takes.
        """
        match = re.fullmatch(r"(?:(\d+)-)?(\d+(?::\d+){0,2})", str(walltime).strip())
        fields = [int(part) for part in match[2].split(":")] if match else []
        units = self.walltime_units.get(len(fields))
        if match and match[1] is not None:
            # Days make hours of the field that follows.
            units = (3600, 60, 1)[: len(fields)]
        if match is None or units is None:
            raise InputError(
                f"walltime: expected hours:minutes:seconds in the form that {self.name} takes, "
                f"found {walltime!r}"
            )
        days = int(match[1] or 0)
        return days * 86400 + sum(f * u for f, u in zip(fields, units, strict=True))

    def queue(self) -> dict[str, Queued] | None:
        """Return the jobs of this user by id, or None if the queue does not answer."""
        try:
            found = _call([part.format(user=getpass.getuser()) for part in self.queue_command])
        except ComputeError:
            return None
        return self.parse_queue(found.stdout) if found.returncode == 0 else None

    def submit(self, script: Path) -> str:
        """Submit a script and return the job's id.

        Raises
        ------
        ComputeError
            With the system's own words, if it refuses.
        """
        job = self.job()
        command = job.submit_command.split()
        # LSF reads directives from its standard input only.
        piped = self.name == "lsf"
        found = _call(command if piped else [*command, str(script)], script if piped else None)
        match = re.search(job.job_id_regexp, found.stdout)
        if found.returncode or match is None:
            words = " ".join((found.stderr or found.stdout).split())
            raise ComputeError(
                f"{command[0]} refused the job: {words or 'it said nothing'}; mend the profile "
                f"(queue, account, memory, walltime, directives); the script is {script}"
            )
        return match["job_id"]

    def cancel(self, job_ids: Sequence[str]) -> None:
        """End jobs; those that are gone already are no error."""
        if job_ids:
            with suppress(ComputeError):
                _call([*self.job().cancel_command.split(), *job_ids])


def jobqueue(system: str) -> ModuleType:
    """Return dask-jobqueue's module for a batch system.

    Raises
    ------
    InputError
        If dask-jobqueue is not installed.
    """
    name = f"dask_jobqueue.{system}"
    if name in sys.modules:
        return sys.modules[name]
    # Its import makes every interrupt a silent, successful exit of the process, and fails in
    # other threads than the main one for that.
    kept, signal.signal = signal.signal, lambda *_: None
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"profile of {system}: dask-jobqueue is not installed; pip install icedask[hpc]"
        ) from error
    finally:
        signal.signal = kept


def _call(command: Sequence[str], source: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            input=source.read_text() if source else "",
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except OSError as error:
        raise ComputeError(
            f"{command[0]}: {error.strerror}; use a machine from which jobs can be submitted"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ComputeError(f"{command[0]}: no answer within {_PATIENCE} s") from error


def _rows(text: str) -> list[list[str]]:
    rows = [line.split() for line in text.splitlines()]
    return [row for row in rows if row and row[0][0].isdigit()]


def _by_state(
    rows: Sequence[tuple[str, str, str]], waiting: Sequence[str], going: Sequence[str]
) -> dict[str, Queued]:
    found = {}
    for job, state, reason in rows:
        name = "pending" if state in waiting else "running" if state in going else None
        if name:
            found[re.match(r"\d+", job)[0]] = Queued(name, reason)  # type: ignore[index]
    return found


def _slurm_queue(text: str) -> dict[str, Queued]:
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == 2]
    rows = [[a, b, "" if c == "None" else c] for a, b, c in rows]
    return _by_state([(a, b, c) for a, b, c in rows], ("PD", "RQ", "RH", "S"), ("R", "CF"))


def _pbs_queue(text: str) -> dict[str, Queued]:
    rows = [(row[0], row[-2], "") for row in _rows(text) if len(row) > 5]
    return _by_state(rows, ("Q", "H", "W", "T", "S"), ("R", "B"))


def _sge_queue(text: str) -> dict[str, Queued]:
    rows = [(row[0], row[4], row[4]) for row in _rows(text) if len(row) > 5]
    # A job in error waits for ever, but it is there, and its state is shown as the reason.
    return _by_state(rows, ("qw", "hqw", "Eqw", "hRwq"), ("r", "t", "Rr", "Rt"))


def _lsf_queue(text: str) -> dict[str, Queued]:
    rows = [(row[0], row[1], "") for row in _rows(text) if len(row) > 1]
    return _by_state(rows, ("PEND", "PSUSP", "WAIT"), ("RUN", "USUSP", "SSUSP", "PROV"))


def _mebibytes(size: int) -> int:
    return math.ceil(size / 2**20)


SYSTEMS = {
    system.name: system
    for system in (
        System(
            "slurm",
            "SLURMJob",
            ("squeue", "--noheader", "--user={user}", "--format=%i|%t|%r"),
            _slurm_queue,
            lambda cores, size: {"job-mem": f"{_mebibytes(size)}M"},
            {1: (60,), 2: (60, 1), 3: (3600, 60, 1)},
        ),
        System(
            "pbs",
            "PBSJob",
            ("qstat", "-u", "{user}"),
            _pbs_queue,
            lambda cores, size: {
                "resource-spec": f"select=1:ncpus={cores}:mem={_mebibytes(size)}mb"
            },
            {1: (1,), 2: (60, 1), 3: (3600, 60, 1)},
        ),
        System(
            "sge",
            "SGEJob",
            ("qstat", "-u", "{user}"),
            _sge_queue,
            # h_vmem is counted for each slot.
            lambda cores, size: {"resource-spec": f"h_vmem={_mebibytes(math.ceil(size / cores))}M"},
            {1: (1,), 2: (60, 1), 3: (3600, 60, 1)},
        ),
        System(
            "lsf",
            "LSFJob",
            ("bjobs", "-noheader", "-o", "jobid stat"),
            _lsf_queue,
            lambda cores, size: {"mem": size},
            {1: (60,), 2: (3600, 60)},
        ),
    )
}
