"""Profiles: sections of Dask's own `jobqueue` configuration, completed and checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import dask
import yaml
from dask.utils import parse_bytes, parse_timedelta

from icedask.errors import InputError
from icedask.hpc.systems import HEADROOM, SYSTEMS, System

# Settings of a section that are icedask's and not dask-jobqueue's.
_OWN = {"system": None, "jobs": [0, 4], "resubmissions": 20, "idle": "2 minutes"}


@dataclass(frozen=True)
class Profile:
    """How to run workers as jobs of a batch system.

    Parameters
    ----------
    name
        Of the section.
    system
        The batch system.
    section
        Settings of dask-jobqueue, all of them, by the names of its configuration.
    jobs
        Fewest and most jobs at a time.
    resubmissions
        How many lost jobs are replaced.
    idle
        Seconds after which a job without work is given back, down to the fewest.
    """

    name: str
    system: System
    section: Mapping[str, Any]
    jobs: tuple[int, int]
    resubmissions: int
    idle: float

    @property
    def walltime(self) -> float:
        """Seconds that a job may run; infinite where the profile leaves it to the system."""
        given = self.section["walltime"]
        return self.system.seconds(given) if given else float("inf")

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
        """Return the profile of which `plain` gave the values."""
        return cls(
            **{
                **values,
                "system": SYSTEMS[values["system"]],
                "jobs": (values["jobs"][0], values["jobs"][1]),
            }
        )

    def job(self, address: str, name: str, log_directory: Path, **security: Any) -> Any:
        """Return dask-jobqueue's job of this profile, whose script starts the workers.

        Parameters
        ----------
        address
            Of the scheduler.
        name
            Of the workers; where there are several, each has "-0", "-1", ... added.
        log_directory
            Where the job's output goes, unless the profile says.
        **security
            protocol and security of `distributed`.
        """
        section = {
            **self.section,
            "log-directory": self.section["log-directory"] or str(log_directory),
            # Nothing that a worker writes is for others to read.
            "job-script-prologue": ["umask 077", *(self.section["job-script-prologue"] or ())],
            "worker-extra-args": [
                *(self.section["worker-extra-args"] or ()),
                "--dashboard-address",
                "127.0.0.1:0",
            ],
        }
        with dask.config.set({f"jobqueue.{self.system.name}": section}):
            return self.system.job()(address, name=name, **security)


def parse_jobs(jobs: Any) -> tuple[int, int]:
    """Return the fewest and most jobs of a number, a pair or "MIN:MAX".

    Raises
    ------
    InputError
        If it is none of these.
    """
    given = str(jobs).split(":") if isinstance(jobs, str | int) else jobs
    try:
        low, high = (int(n) for n in (given if len(given) == 2 else [*given] * 2))
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
        slurm, pbs, sge, lsf; another section of `jobqueue` in Dask's configuration that has a
        setting `system`; or a YAML file with one such section.
    **overrides
        Settings of the section, with underscores. None leaves the profile's.

    Raises
    ------
    InputError
        If the profile is not known, or a setting is not valid.
    """
    name, stated = _stated(profile)
    given = {key.replace("_", "-"): v for key, v in overrides.items() if v is not None}
    wanted = str(given.get("system") or stated.get("system") or name)
    system = SYSTEMS.get(wanted)
    if system is None:
        raise InputError(
            f"profile {profile}: system: expected one of {', '.join(SYSTEMS)}, found {wanted!r}"
        )
    system.job()
    known = _defaults(system)
    own = {**stated, **given}
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
    ours = {key: section.pop(key) for key in _OWN}
    whole = {"cores": section["cores"], "resubmissions": ours["resubmissions"]}
    for key, value in whole.items():
        if value is not None and not str(value).isdigit():
            raise InputError(f"profile {profile}: {key}: expected a whole number, found {value!r}")
    _complete(profile, system, section)
    return Profile(
        name,
        system,
        section,
        parse_jobs(ours["jobs"]),
        int(ours["resubmissions"]),
        _seconds(profile, ours["idle"]),
    )


def _seconds(profile: str, idle: Any) -> float:
    try:
        return float(parse_timedelta(idle))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"profile {profile}: idle: expected a time such as '2 minutes', found {idle!r}"
        ) from error


def profile_names() -> list[str]:
    """Return the names of the profiles that there are."""
    sections = dask.config.collect(dask.config.paths).get("jobqueue") or {}
    return [*SYSTEMS, *(n for n, s in sections.items() if n not in SYSTEMS and "system" in s)]


def _stated(profile: str) -> tuple[str, dict[str, Any]]:
    """Return the section's name, and what files and the running configuration say."""
    if not profile.endswith((".yaml", ".yml")):
        if profile not in profile_names():
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
    if len(sections) != 1:
        raise InputError(
            f"profile {profile}: expected one section under jobqueue:, found "
            f"{', '.join(sections) or 'none'}"
        )
    name, section = next(iter(sections.items()))
    return name, {**_configured(name), **_kebab(section or {})}


def _configured(name: str) -> dict[str, Any]:
    """Return the settings of a section that somebody made: in files, or in this process."""
    from_files = _kebab(
        (dask.config.collect(dask.config.paths).get("jobqueue") or {}).get(name) or {}
    )
    running = _kebab(dask.config.get(f"jobqueue.{name}", {}) or {})
    defaults = _defaults(SYSTEMS[name]) if name in SYSTEMS else {}
    changed = {k: v for k, v in running.items() if v != defaults.get(k)}
    return {**from_files, **changed}


def _kebab(section: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key).replace("_", "-"): value for key, value in section.items()}


def _defaults(system: System) -> dict[str, Any]:
    text = (files("dask_jobqueue") / "jobqueue.yaml").read_text()
    return _kebab(yaml.safe_load(text)["jobqueue"][system.name])


def _shipped(name: str) -> dict[str, Any]:
    package = Path(str(files("icedask")))
    # In the installed package, or in a checkout.
    for folder in (package / "deploy", package.parent / "deploy"):
        path = folder / f"{name}.yaml"
        if path.exists():
            return _kebab(yaml.safe_load(path.read_text())["jobqueue"][name])
    return {}


def _complete(profile: str, system: System, section: dict[str, Any]) -> None:
    """Check the section, and fill in what follows from the rest of it."""
    cores, memory = section["cores"], section["memory"]
    if cores is None or memory is None:
        raise InputError(f"profile {profile}: cores and memory of a job are not set")
    processes = section["processes"] or cores
    if not 1 <= int(processes) <= int(cores):
        raise InputError(
            f"profile {profile}: processes: expected 1 to {cores}, the cores of a job, found "
            f"{processes}"
        )
    try:
        size = parse_bytes(memory)
    except ValueError as error:
        raise InputError(
            f"profile {profile}: memory: expected a size such as 32GiB, found {memory!r}"
        ) from error
    section |= {"cores": int(cores), "processes": int(processes)}
    if section["walltime"]:
        # YAML reads an unquoted 02:00:00 as a number of seconds.
        if isinstance(section["walltime"], int):
            raise InputError(
                f'profile {profile}: walltime: expected text in quotes, "02:00:00", found the '
                f"number {section['walltime']}"
            )
        system.seconds(section["walltime"])
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


def _check_slots(profile: str, section: Mapping[str, Any]) -> None:
    """Refuse a parallel environment of SGE with another number of slots than the job has cores."""
    for directive in section["job-extra-directives"] or ():
        words = str(directive).split()
        if words[:1] == ["-pe"] and words[2:] != [str(section["cores"])]:
            raise InputError(
                f"profile {profile}: job-extra-directives: expected as many slots as the "
                f"{section['cores']} cores of a job, found {directive!r}"
            )
