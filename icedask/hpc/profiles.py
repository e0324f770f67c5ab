"""Profiles: sections of Dask's own `jobqueue` configuration, completed and checked."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import dask
import yaml
from dask.utils import parse_bytes, parse_timedelta

from icedask.errors import ComputeError, InputError
from icedask.hpc.quoting import quoted_output, quoted_python, quoted_with_variables
from icedask.hpc.systems import HEADROOM, SYSTEMS, System, jobqueue

# bytes. Dask has a worker give every free piece of memory back at once; the blocks of results, and
# what kernels need for them, are then taken from the system again and again, page by page. Keeping
# as much as a few blocks halved the time of SOAP and its moments on a virtual machine, and costs a
# worker about 100 MB.
_KEPT = 2**27
# Environment of every worker process before it starts.
MEMORY = {"MALLOC_TRIM_THRESHOLD_": _KEPT, "MALLOC_MMAP_THRESHOLD_": _KEPT}

# Folders with the YAML file of each batch system: in the installed package, or in a checkout.
_PACKAGE = Path(str(files("icedask")))
FOLDERS = [_PACKAGE / "deploy", _PACKAGE.parent / "deploy"]

_WHOLE = ("cores", "processes", "resubmissions", "job-cpu", "ncpus")
_ANY = ("jobs", "idle", "death-timeout", "use-stdin", "mem", "job-mem", "memory", "walltime")

# bytes that a worker needs to begin with.
_LEAST_MEMORY = 100 * 2**20
# seconds. Shorter jobs end before their workers are there.
_LEAST_WALLTIME = 60

# Settings of a section that are icedask's and not dask-jobqueue's.
_OWN = {"system": None, "jobs": [0, 4], "resubmissions": 20, "idle": "2 minutes"}


@dataclass(frozen=True)
class Profile:
    """Settings of workers as jobs of a batch system."""

    name: str
    system: System
    section: Mapping[str, Any]  # All settings of dask-jobqueue, by the names of its configuration
    jobs: tuple[int, int]  # Fewest and most jobs at a time
    resubmissions: int  # Number of lost jobs that are replaced
    idle: float  # Seconds after which a job without work is released, down to the fewest

    @property
    def walltime(self) -> float:
        """Seconds that a job may run; infinite where the profile leaves it to the system."""
        walltime = self.section["walltime"]
        return self.system.seconds(walltime) if walltime else float("inf")

    @property
    def processes(self) -> int:
        """Worker processes of a job."""
        return int(self.section["processes"])

    def plain(self) -> dict[str, Any]:
        """Return the profile as values that JSON can hold."""
        return {
            "name": self.name,
            "system": self.system.name,
            "section": dict(self.section),
            "jobs": list(self.jobs),
            "resubmissions": self.resubmissions,
            "idle": self.idle,
        }

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Profile:
        """Return the profile from the values of `plain`."""
        return cls(
            **{
                **values,
                "system": SYSTEMS[values["system"]],
                "jobs": (values["jobs"][0], values["jobs"][1]),
            }
        )

    def job(self, address: str, name: str, log_directory: Path, *, security: Any = None) -> Any:
        """Return the job of dask-jobqueue that starts the workers.

        Of several workers each has "-0", "-1", ... added to the name. The folder is that of the
        job's output, unless the profile has one; `security` is a distributed.Security.
        """
        environment = {"distributed": {"nanny": {"pre-spawn-environ": dict(MEMORY)}}}
        logs = self.section["log-directory"] or str(log_directory)
        scratch = self.section["local-directory"]
        python = self.section["python"] or sys.executable
        section = {
            **self.section,
            "log-directory": logs,
            "python": quoted_python(python),
            "local-directory": scratch and quoted_with_variables(scratch),
            "job-script-prologue": [
                # Files of a worker are private.
                "umask 077",
                f"export DASK_INTERNAL_INHERIT_CONFIG={dask.config.serialize(environment)}",
                *(self.section["job-script-prologue"] or ()),
            ],
            "worker-extra-args": [
                *(self.section["worker-extra-args"] or ()),
                # Pages of workers are stopped at once.
                *("--dashboard-address", "127.0.0.1:0", "--preload", "icedask.hpc.pages"),
                *_key_arguments(security),
            ],
        }
        with dask.config.set({f"jobqueue.{self.system.name}": section}):
            return self.system.job()(address, name=name)

    def submit(self, script: Path) -> str:
        """Submit a script and return the job's id.

        Raises ComputeError with the message of the system, if it refuses, with what the profile
        asks for and what the nodes have.
        """
        try:
            return self.system.submit(script)
        except ComputeError as error:
            section = self.section
            asked = [f"{section['cores']} cores", f"{section['memory']} of memory"]
            asked += [f"walltime {section['walltime']}"] if section["walltime"] else []
            asked += [f"queue {section['queue']}" if section["queue"] else "the default queue"]
            raise ComputeError(
                f"{error}; asked for: {', '.join(asked)}{self._nodes_in_words()}"
            ) from None

    def check_nodes(self, script: str) -> None:
        """Raise ComputeError if no node has what the script of a job asks for."""
        asked = self.system.unfit(script)
        if asked is not None:
            raise ComputeError(
                "the job would wait for ever, as no node of its queue has what it asks for: "
                f"{asked.describe()}{self._nodes_in_words()}; change cores, memory, walltime or "
                "queue of the profile"
            )

    def _nodes_in_words(self) -> str:
        nodes = self.system.describe_nodes()
        return f"; the nodes have {nodes}" if nodes else ""

    def output(self, header: str, log_directory: Path) -> tuple[str, list[str]]:
        """Return the directives of a job with its output quoted, and lines for its script."""
        logs = self.section["log-directory"] or str(log_directory)
        return quoted_output(
            header,
            logs,
            self.section["name"],
            self.system.id_variable,
            quotes=self.system.quotes_paths,
        )

    def worker_script(
        self, address: str, name: str, log_directory: Path, *, security: Any = None
    ) -> str:
        """Return the script of a job that starts the workers; the arguments are as for `job`."""
        job = self.job(address, name, log_directory, security=security)
        header, lines = self.output(job.job_header, log_directory)
        script = str(job.job_script())
        return script.replace(job.job_header, "\n".join([header, *lines]), 1)


def _key_arguments(security: Any) -> list[str]:
    """Return the arguments of a worker for encrypted connections, with paths quoted."""
    if security is None:
        return []
    files = security.get_tls_config_for_role("worker")
    pairs = [("ca-file", "ca_file"), ("cert", "cert"), ("key", "key")]
    keys = [word for option, key in pairs for word in (f"--tls-{option}", shlex.quote(files[key]))]
    return ["--protocol", "tls://", *keys]


def parse_jobs(jobs: Any) -> tuple[int, int]:
    """Return the fewest and most jobs of a number, a pair or "MIN:MAX".

    Raises InputError if it is none of these.
    """
    limits = str(jobs).split(":") if isinstance(jobs, str | int) else jobs
    try:
        low, high = (int(n) for n in (limits if len(limits) == 2 else [*limits] * 2))
    except (TypeError, ValueError):
        low, high = 1, 0
    if not 0 <= low <= high or high < 1:
        raise InputError(
            f"jobs: expected a number of jobs, or the fewest and the most such as 0:8, found "
            f"{jobs!r}"
        )
    return low, high


def load_profile(profile: str, **overrides: Any) -> Profile:
    """Return a profile by name or file.

    Parameters
    ----------
    profile : str
        A batch system of `systems.SYSTEMS`; another section of `jobqueue` in Dask's configuration
        that has a setting `system`; or a YAML file with one such section.
    **overrides
        Settings of the section, with underscores. None leaves the profile's.

    Raises
    ------
    InputError
        If the profile is not known, or a setting is not valid.
    """
    name, configured = _section(profile)
    own = configured | {k.replace("_", "-"): v for k, v in overrides.items() if v is not None}
    system_name = str(own.get("system") or name)
    system = SYSTEMS.get(system_name)
    if system is None:
        raise InputError(
            f"profile {profile}: system: expected one of {', '.join(SYSTEMS)}, found "
            f"{system_name!r}"
        )
    known = _defaults(system)
    shipped = _shipped(system.name)
    if "cores" in own:
        # The shipped number of processes goes with the shipped number of cores.
        shipped.pop("processes", None)
    section = {**_OWN, **known, **shipped, **own}
    unknown = sorted(set(section) - set(known) - set(_OWN))
    if unknown:
        raise InputError(
            f"profile {profile}: no setting {', '.join(unknown)}; there are "
            f"{', '.join(sorted({*known, *_OWN}))}"
        )
    # A line alone stands for a list of one.
    section |= {
        key: [section[key]]
        for key, value in known.items()
        if isinstance(value, list) and isinstance(section[key], str)
    }
    _check_kinds(profile, section, known)
    ours = {key: section.pop(key) for key in _OWN}
    _complete(profile, system, section)
    return Profile(
        name,
        system,
        section,
        parse_jobs(ours["jobs"]),
        int(ours["resubmissions"]),
        _seconds(profile, ours["idle"]),
    )


def _check_kinds(profile: str, section: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse values that are no number, no list or no text where one of these is due."""
    for key, value in section.items():
        if key == "scheduler-options":
            kind, good = "settings of their own", isinstance(value or {}, Mapping)
        elif isinstance(known.get(key), list):
            kind = "a list of lines"
            good = isinstance(value, list) and all(isinstance(line, str) for line in value)
        elif key in _WHOLE:
            kind = "a whole number"
            good = (value is None and key in known) or re.fullmatch(
                r"[0-9]+", str(value)
            ) is not None
        else:
            kind = "text"
            good = key in _ANY or value is None or isinstance(value, str)
        if not good:
            raise InputError(f"profile {profile}: {key}: expected {kind}, found {value!r}")


def _seconds(profile: str, idle: Any) -> float:
    try:
        return float(parse_timedelta(idle))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"profile {profile}: idle: expected a time such as '2 minutes', found {idle!r}"
        ) from error


def profile_names() -> list[str]:
    """Return the names of all profiles: batch systems, and the user's sections."""
    others = [name for name, section in _in_files().items() if "system" in _kebab(section)]
    return [*SYSTEMS, *(name for name in others if name not in SYSTEMS)]


def _in_files() -> dict[str, Any]:
    """Return the sections with settings in the user's files and environment."""
    sections = dask.config.collect(dask.config.paths).get("jobqueue")
    if not isinstance(sections or {}, Mapping):
        raise InputError(f"Dask configuration: jobqueue: expected sections, found {sections!r}")
    return {name: section for name, section in (sections or {}).items() if section}


def _section(profile: str) -> tuple[str, dict[str, Any]]:
    """Return the name of a section, and its settings in files and the running configuration."""
    if not profile.endswith((".yaml", ".yml")):
        if profile not in profile_names():
            if profile in _in_files():
                raise InputError(
                    f"profile {profile}: expected a setting system, found none; add one of "
                    f"{', '.join(f'system: {system}' for system in SYSTEMS)}"
                )
            raise InputError(
                f"profile: expected local, {', '.join(profile_names())}, a YAML file of a "
                f"profile, the name of a cluster that runs, the address of a scheduler such as "
                f"tcp://host:8786, or a scheduler file ending in .json, found {profile!r}"
            )
        return profile, _configured(profile)
    path = Path(profile).expanduser()
    try:
        sections = (yaml.safe_load(path.read_text()) or {}).get("jobqueue") or {}
    except OSError as error:
        raise InputError(f"profile {profile}: {error.strerror}") from error
    except (yaml.YAMLError, AttributeError) as error:
        raise InputError(
            f"profile {profile}: expected YAML of a Dask configuration, {error}"
        ) from error
    if not isinstance(sections, Mapping) or len(sections) != 1:
        names = ", ".join(sections) if isinstance(sections, Mapping) else repr(sections)
        raise InputError(
            f"profile {profile}: expected one section under jobqueue:, found {names or 'none'}"
        )
    name, section = next(iter(sections.items()))
    return name, {**_configured(name), **_kebab(section)}


def _configured(name: str) -> dict[str, Any]:
    """Return the settings of a section that differ from defaults: in files, or this process."""
    from_files = _kebab(
        (dask.config.collect(dask.config.paths).get("jobqueue") or {}).get(name) or {}
    )
    running = _kebab(dask.config.get(f"jobqueue.{name}", {}))
    defaults = _defaults(SYSTEMS[name]) if name in SYSTEMS else {}
    changed = {k: v for k, v in running.items() if v != defaults.get(k)}
    return {**from_files, **changed}


def _kebab(section: Any) -> dict[str, Any]:
    if not isinstance(section or {}, Mapping):
        raise InputError(f"profile: expected a section with settings, found {section!r}")
    section = section or {}
    return {str(key).replace("_", "-"): value for key, value in section.items()}


def _defaults(system: System) -> dict[str, Any]:
    jobqueue(system.name)
    text = (files("dask_jobqueue") / "jobqueue.yaml").read_text()
    return _kebab(yaml.safe_load(text)["jobqueue"][system.name])


def _shipped(name: str) -> dict[str, Any]:
    for folder in FOLDERS:
        path = folder / f"{name}.yaml"
        if path.exists():
            return _kebab(yaml.safe_load(path.read_text())["jobqueue"][name])
    return {}


def _complete(profile: str, system: System, section: dict[str, Any]) -> None:
    """Check the section, and fill in what follows from the rest of it."""
    cores, memory = section["cores"], section["memory"]
    if cores is None or memory is None:
        raise InputError(f"profile {profile}: cores and memory of a job are not set")
    if int(cores) < 1:
        raise InputError(f"profile {profile}: cores: expected 1 or more, found {cores}")
    processes = section["processes"] or cores
    if not 1 <= int(processes) <= int(cores):
        raise InputError(
            f"profile {profile}: processes: expected 1 to {cores}, the cores of a job, found "
            f"{processes}"
        )
    size = _bytes(profile, memory)
    section |= {"cores": int(cores), "processes": int(processes)}
    if section["walltime"]:
        # YAML reads an unquoted 02:00:00 as a number of seconds.
        if isinstance(section["walltime"], int):
            raise InputError(
                f'profile {profile}: walltime: expected text in quotes, "02:00:00", found the '
                f"number {section['walltime']}"
            )
        if system.seconds(section["walltime"]) < _LEAST_WALLTIME:
            raise InputError(
                f"profile {profile}: walltime: expected a minute or more, found "
                f"{section['walltime']!r}"
            )
    _check_slots(profile, section)
    directive = system.memory_directive(int(cores), size + HEADROOM)
    section |= {key: value for key, value in directive.items() if section[key] is None}
    if section["name"] == "dask-worker":
        section["name"] = "icedask"
    # The local directory is left as it is: its variables are those of the node.
    if section["log-directory"]:
        section["log-directory"] = str(
            Path(os.path.expandvars(section["log-directory"])).expanduser()
        )


def _bytes(profile: str, memory: Any) -> int:
    try:
        size = parse_bytes(memory) if isinstance(memory, str) else int(memory)
    except (IndexError, TypeError, ValueError):
        size = 0
    if size < _LEAST_MEMORY:
        raise InputError(
            f"profile {profile}: memory: expected a size such as 32GiB, found {memory!r}"
        )
    return size


def _check_slots(profile: str, section: Mapping[str, Any]) -> None:
    """Refuse a parallel environment of SGE with another number of slots than the job has cores."""
    for directive in section["job-extra-directives"] or ():
        words = str(directive).split()
        if words[:1] == ["-pe"] and words[2:] != [str(section["cores"])]:
            raise InputError(
                f"profile {profile}: job-extra-directives: expected as many slots as the "
                f"{section['cores']} cores of a job, found {directive!r}"
            )
