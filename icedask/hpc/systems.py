"""Registry of batch systems; a new one is an entry of SYSTEMS and a YAML file in deploy/."""

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
# Kinds of nodes that a message lists.
_KINDS = 6
# Short names of directives of SLURM.
_SLURM_NAMES = {"-c": "--cpus-per-task", "-t": "--time", "-p": "--partition"}


@dataclass(frozen=True)
class Queued:
    """State of a job in the queue, "pending" or "running", and the reason why it waits."""

    state: str
    reason: str = ""


@dataclass(frozen=True)
class Requested:
    """What a script asks of one node: cores, MB, seconds; queues, none for the default one."""

    cores: int
    memory: float
    walltime: float
    queues: tuple[str, ...]

    def describe(self) -> str:
        """Return cores, memory, walltime and queues in words."""
        return ", ".join(
            [
                f"{self.cores} cores",
                *([f"{self.memory:.0f} MB"] if self.memory else []),
                *([f"walltime {self.walltime / 3600:g} h"] if self.walltime else []),
                f"queue {' or '.join(self.queues)}" if self.queues else "the default queue",
            ]
        )


@dataclass(frozen=True)
class Nodes:
    """Nodes of one kind in a queue, as the system lists them."""

    queue: str
    is_default: bool
    count: str
    cores: str
    memory: str
    walltime: str

    def describe(self) -> str:
        """Return cores, memory, number and longest walltime in words."""
        return (
            f"{self.cores} cores and {self.memory} MB ({self.count} in {self.queue}, up to "
            f"{self.walltime})"
        )

    def holds(self, asked: Requested, seconds: Callable[[str], float]) -> bool:
        """Return whether a node has as much as a job asks for, where both are numbers."""
        limit = seconds(self.walltime) if self.walltime[:1].isdigit() else math.inf
        return (
            _number(self.cores) >= asked.cores
            and _number(self.memory) >= asked.memory
            and limit >= asked.walltime
        )


@dataclass(frozen=True)
class System:
    """A batch system."""

    # Name of its module in dask-jobqueue, of its section of `jobqueue` in Dask's configuration, and
    # of the file `deploy/<name>.yaml` with the project's defaults.
    name: str
    job_class: str  # Class of dask-jobqueue that writes and submits its scripts
    queue_command: tuple[str, ...]  # Command that lists the jobs of a user, "{user}"
    parse_queue: Callable[[str], dict[str, Queued]]  # Parser of its output: the jobs by id
    # Setting of dask-jobqueue that requests the cores and the bytes of a job.
    memory_directive: Callable[[int, int], dict[str, Any]]
    # Seconds of each field of a walltime, by the number of fields: one, two or three.
    walltime_units: Mapping[int, tuple[int, ...]]
    # Command that lists the nodes: queue, with "*" if it is the default one, number, cores, memory
    # (MB) and longest walltime of each kind, separated by "|".
    nodes_command: tuple[str, ...] = ()
    # Parser of what a script asks for, where the nodes are listed.
    requested: Callable[[str], Requested] | None = None
    # Whether the submit command reads the script from standard input only.
    script_on_stdin: bool = False
    # Whether its directives take paths in double quotes, and the variable with a job's number.
    quotes_paths: bool = False
    id_variable: str = ""
    # Whether the output of a job is copied to its place after the job has ended.
    copies_output: bool = False

    def job(self) -> Any:
        """Return the class of dask-jobqueue that writes the script of a job."""
        return getattr(jobqueue(self.name), self.job_class)

    def seconds(self, walltime: str) -> float:
        """Return a walltime in seconds.

        Raises InputError if it has not the form that the system takes.
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
            listing = _call([part.format(user=getpass.getuser()) for part in self.queue_command])
        except ComputeError:
            return None
        return self.parse_queue(listing.stdout) if listing.returncode == 0 else None

    def submit(self, script: Path) -> str:
        """Submit a script and return the job's id.

        Raises ComputeError with the message of the system, if it refuses.
        """
        job = self.job()
        command = job.submit_command.split()
        stdin, arguments = (script, []) if self.script_on_stdin else (None, [str(script)])
        done = _call([*command, *arguments], stdin)
        match = re.search(job.job_id_regexp, done.stdout)
        if done.returncode or match is None:
            message = " ".join((done.stderr or done.stdout).split())
            raise ComputeError(
                f"{command[0]} refused the job: {message or 'no message'}; correct the profile "
                f"(queue, account, memory, walltime, directives); the script is {script}"
            )
        return match["job_id"]

    def nodes(self) -> list[Nodes]:
        """Return the kinds of nodes; empty where the system lists none."""
        try:
            listing = _call(self.nodes_command) if self.nodes_command else None
        except ComputeError:
            return []
        rows = [line.split("|") for line in (listing.stdout if listing else "").splitlines()]
        return [
            Nodes(row[0].rstrip("*"), row[0].endswith("*"), *row[1:])
            for row in rows
            if len(row) == 5
        ]

    def describe_nodes(self) -> str:
        """Return cores and memory of the nodes in words; empty where the system lists none."""
        kinds = [kind.describe() for kind in self.nodes()]
        more = [f"{len(kinds) - _KINDS} further kinds"] if len(kinds) > _KINDS else []
        return ", ".join([*kinds[:_KINDS], *more])

    def unfit(self, script: str) -> Requested | None:
        """Return what a job asks for if no node has it: it would wait in the queue for ever.

        None also where this cannot be seen: without a list of nodes or of those of its queue.
        """
        if self.requested is None:
            return None
        asked = self.requested(script)
        kinds = [
            kind
            for kind in self.nodes()
            if (kind.queue in asked.queues if asked.queues else kind.is_default)
        ]
        fits = not kinds or any(kind.holds(asked, self.seconds) for kind in kinds)
        return None if fits else asked

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel jobs, also where some have ended already."""
        if job_ids:
            with suppress(ComputeError):
                _call([*self.job().cancel_command.split(), *job_ids])


def jobqueue(system: str) -> ModuleType:
    """Return dask-jobqueue's module for a batch system.

    Raises InputError if dask-jobqueue is not installed.
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


def _call(command: Sequence[str], stdin: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            input=stdin.read_text() if stdin else "",
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
    rows: Sequence[tuple[str, str, str]], pending: Sequence[str], running: Sequence[str]
) -> dict[str, Queued]:
    jobs = {}
    for job, state, reason in rows:
        name = "pending" if state in pending else "running" if state in running else None
        if name:
            jobs[re.match(r"\d+", job)[0]] = Queued(name, reason)  # type: ignore[index]
    return jobs


def _slurm_queue(text: str) -> dict[str, Queued]:
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == 2]
    rows = [[a, b, "" if c == "None" else c] for a, b, c in rows]
    return _by_state([(a, b, c) for a, b, c in rows], ("PD", "RQ", "RH", "S"), ("R", "CF"))


def _number(text: str) -> float:
    """Return a number of a list of nodes, infinite for other text."""
    return float(text) if text.isdecimal() else math.inf


def _slurm_requested(script: str) -> Requested:
    """Return what the directives of a script ask of one node; the last of each kind counts."""
    asked: dict[str, str] = {}
    for line in re.findall(r"^#SBATCH\s+(.+)$", script, re.MULTILINE):
        name, _, value = re.sub(r"^(--?[\w-]+)[\s=]+", r"\1=", line.strip()).partition("=")
        asked[_SLURM_NAMES.get(name, name)] = value.strip().strip('"')
    memory = re.fullmatch(r"(\d+)([KMGT]?)B?", asked.get("--mem", "0"), re.IGNORECASE)
    megabytes = {"K": 2**-10, "": 1, "M": 1, "G": 2**10, "T": 2**20}
    cores, walltime = asked.get("--cpus-per-task", "1"), asked.get("--time", "")
    return Requested(
        int(cores) if cores.isdecimal() else 1,
        int(memory[1]) * megabytes[memory[2].upper()] if memory else 0,
        SYSTEMS["slurm"].seconds(walltime) if walltime else 0,
        tuple(filter(None, asked.get("--partition", "").split(","))),
    )


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
            quotes_paths=True,
            id_variable="SLURM_JOB_ID",
            nodes_command=("sinfo", "--noheader", "--exact", "--format=%P|%D|%c|%m|%l"),
            requested=_slurm_requested,
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
            copies_output=True,
            id_variable="PBS_JOBID",
        ),
        System(
            "sge",
            "SGEJob",
            ("qstat", "-u", "{user}"),
            _sge_queue,
            # h_vmem is counted for each slot.
            lambda cores, size: {"resource-spec": f"h_vmem={_mebibytes(math.ceil(size / cores))}M"},
            {1: (1,), 2: (60, 1), 3: (3600, 60, 1)},
            id_variable="JOB_ID",
        ),
        System(
            "lsf",
            "LSFJob",
            ("bjobs", "-noheader", "-o", "jobid stat"),
            _lsf_queue,
            lambda cores, size: {"mem": size},
            {1: (60,), 2: (3600, 60)},
            # LSF reads directives from standard input only.
            script_on_stdin=True,
            quotes_paths=True,
            id_variable="LSB_JOBID",
        ),
    )
}
