"""Profiles: sources of settings, their checks, and job scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import pytest
import yaml

from icedask.cli.simulate import worker_settings
from icedask.errors import InputError
from icedask.hpc import profiles
from icedask.hpc.profiles import Profile, load_profile, parse_jobs, profile_names
from icedask.hpc.submit import job_script
from icedask.hpc.systems import SYSTEMS, Queued, System

SYSTEM_NAMES = ", ".join(SYSTEMS)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of Dask configuration."""
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setattr(dask.config, "paths", [str(folder)])
    return folder


def worker_script(profile: Profile, folder: Path, **security: Any) -> str:
    return profile.worker_script("tls://10.0.0.1:40000", "w", folder, **security)


@pytest.mark.parametrize(
    ("system", "settings", "lines"),
    [
        (
            "slurm",
            {"queue": "short", "account": "p1", "job_extra_directives": ["--qos=long"]},
            [
                "#SBATCH -J icedask",
                "#SBATCH -p short",
                "#SBATCH -A p1",
                "#SBATCH -n 1",
                "#SBATCH --cpus-per-task=8",
                # 32 GiB for the workers and 500 MiB for what watches over them.
                "#SBATCH --mem=33268M",
                "#SBATCH -t 02:00:00",
                "#SBATCH --qos=long",
                "#SBATCH -o {logs}/icedask-%J.out",
            ],
        ),
        (
            "pbs",
            {"queue": "workq", "account": "p1", "job_extra_directives": ["-r n"]},
            [
                "#PBS -N icedask",
                "#PBS -q workq",
                "#PBS -A p1",
                "#PBS -l select=1:ncpus=8:mem=33268mb",
                "#PBS -l walltime=02:00:00",
                "#PBS -o {logs}/",
                "#PBS -r n",
            ],
        ),
        (
            "sge",
            {"queue": "all.q", "project": "p1"},
            [
                "#$ -N icedask",
                "#$ -q all.q",
                "#$ -P p1",
                # For each of the 8 slots.
                "#$ -l h_vmem=4159M",
                "#$ -l h_rt=02:00:00",
                "#$ -pe smp 8",
                "#$ -o {logs}/",
            ],
        ),
        (
            "lsf",
            {"queue": "normal", "project": "p1", "lsf_units": "mb"},
            [
                "#BSUB -J icedask",
                "#BSUB -q normal",
                '#BSUB -P "p1"',
                "#BSUB -n 8",
                '#BSUB -R "span[hosts=1]"',
                "#BSUB -M 34885",
                "#BSUB -W 02:00",
                "#BSUB -o {logs}/w-%J.out",
            ],
        ),
    ],
)
def test_scripts(
    system: str, settings: dict[str, Any], lines: list[str], config: Path, tmp_path: Path
) -> None:
    script = worker_script(load_profile(system, **settings), tmp_path).splitlines()
    for line in lines:
        assert line.format(logs=tmp_path) in script
    assert "umask 077" in script
    command = script[-1]
    for part in (
        "tls://10.0.0.1:40000",
        "--nworkers 8",
        "--nthreads 1",
        "--memory-limit 4.00GiB",
        "--dashboard-address 127.0.0.1:0 --preload icedask.hpc.pages",
    ):
        assert part in command
    head = job_script(load_profile(system, **settings, processes=1), tmp_path, "python")
    for line in lines:
        assert line.format(logs=tmp_path / "logs").replace("/w-", "/icedask-") in head
    assert f"exec python -m icedask.hpc.submit {tmp_path}" in head


def test_new_batch_system(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry of the registry and a YAML file are all that a batch system needs."""
    toy = System(
        name="moab",
        job_class="MoabJob",
        queue_command=("showq", "-u", "{user}"),
        parse_queue=lambda text: dict.fromkeys(text.split(), Queued("pending")),
        memory_directive=lambda cores, size: {"resource-spec": f"procs={cores},mem={size}"},
        walltime_units={3: (3600, 60, 1)},
    )
    monkeypatch.setitem(SYSTEMS, "moab", toy)
    monkeypatch.setattr(profiles, "FOLDERS", [tmp_path])
    settings = {"cores": 4, "processes": 2, "memory": "8GiB", "walltime": "03:00:00"}
    (tmp_path / "moab.yaml").write_text(yaml.safe_dump({"jobqueue": {"moab": settings}}))
    assert "moab" in profile_names()
    profile = load_profile("moab", queue="short")
    assert (profile.system, profile.walltime, profile.processes) == (toy, 10_800, 2)
    script = worker_script(profile, tmp_path)
    for line in ("-q short", f"-l procs=4,mem={2**33 + 500 * 2**20}", "-l walltime=03:00:00"):
        assert f"#PBS {line}\n" in script
    assert "--nworkers 2" in script
    with pytest.raises(InputError, match=r"expected local, slurm, .*, moab, a YAML file"):
        load_profile("nowhere")


def test_directives_that_a_site_refuses(config: Path, tmp_path: Path) -> None:
    profile = load_profile("slurm", job_directives_skip="--mem")
    assert "--mem=" not in worker_script(profile, tmp_path)


def test_user_settings_precede_shipped_ones(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (config / "mine.yaml").write_text(
        "jobqueue:\n  slurm:\n    queue: short\n    cores: 4\n    interface: ib0\n"
        "  fast:\n    system: slurm\n    queue: fast\n    memory: 8GiB\n    jobs: [1, 2]\n"
    )
    profile = load_profile("slurm", queue=None)
    assert (profile.section["queue"], profile.section["interface"]) == ("short", "ib0")
    # Processes follow the cores that the user states.
    assert (profile.processes, profile.section["memory"]) == (4, "32GiB")
    monkeypatch.setenv("DASK_JOBQUEUE__SLURM__QUEUE", "long")
    assert load_profile("slurm").section["queue"] == "long"
    assert load_profile("slurm", queue="now").section["queue"] == "now"
    with dask.config.set({"jobqueue.slurm.account": "p2"}):
        assert load_profile("slurm").section["account"] == "p2"
    assert "fast" in profile_names()
    fast = load_profile("fast")
    assert (fast.name, fast.system.name, fast.jobs) == ("fast", "slurm", (1, 2))
    assert Profile.from_plain(fast.plain()) == fast


def test_profile_from_file(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("jobqueue:\n  pbs:\n    queue: big\n")
    assert load_profile(str(path)).section["queue"] == "big"
    path.write_text("jobqueue:\n  pbs: {}\n  sge: {}\n")
    with pytest.raises(InputError, match="expected one section under jobqueue:, found pbs, sge"):
        load_profile(str(path))
    path.write_text("jobqueue: slurm\n")
    with pytest.raises(InputError, match="expected one section under jobqueue:, found 'slurm'"):
        load_profile(str(path))
    path.write_text("jobqueue:\n  slurm: 8\n")
    with pytest.raises(InputError, match="expected a section with settings, found 8"):
        load_profile(str(path))
    path.write_text("jobqueue: [")
    with pytest.raises(InputError, match="expected YAML"):
        load_profile(str(path))
    with pytest.raises(InputError, match="No such file"):
        load_profile(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"walltime": "2h"}, "walltime: expected hours:minutes:seconds"),
        ({"walltime": 7200}, "expected text in quotes"),
        ({"memory": "lots"}, "memory: expected a size such as 32GiB, found 'lots'"),
        ({"cores": 2, "processes": 3}, "processes: expected 1 to 2"),
        ({"core": 2}, "no setting core; there are account, cores,"),
        ({"system": "torque"}, f"system: expected one of {SYSTEM_NAMES}, found 'torque'"),
        ({"jobs": "many"}, "jobs: expected a number of jobs"),
        ({"cores": "two"}, "cores: expected a whole number, found 'two'"),
        ({"cores": 0}, "cores: expected 1 or more, found 0"),
        ({"processes": 2.5}, "processes: expected a whole number, found 2.5"),
        ({"memory": 32}, "memory: expected a size such as 32GiB, found 32"),
        ({"memory": "-5GiB"}, "memory: expected a size"),
        ({"memory": [1]}, "memory: expected a size"),
        ({"walltime": "00:00:30"}, "walltime: expected a minute or more"),
        ({"job_extra_directives": 5}, "job-extra-directives: expected a list of lines, found 5"),
        ({"job_script_prologue": [5]}, "job-script-prologue: expected a list of lines"),
        ({"log_directory": 5}, "log-directory: expected text, found 5"),
        ({"resubmissions": "often"}, "resubmissions: expected a whole number"),
        ({"idle": ""}, "idle: expected a time"),
        ({"idle": "soon"}, "idle: expected a time such as '2 minutes', found 'soon'"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str, config: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_profile("slurm", **settings)


def test_slots_of_sge(config: Path) -> None:
    with pytest.raises(
        InputError, match="as many slots as the 4 cores of a job, found '-pe smp 8'"
    ):
        load_profile("sge", cores=4)


def test_unknown_profile(config: Path) -> None:
    with pytest.raises(InputError, match=f"expected local, {SYSTEM_NAMES}, a YAML file"):
        load_profile("nowhere")
    (config / "mine.yaml").write_text("jobqueue:\n  mine:\n    queue: short\n")
    with pytest.raises(InputError, match="profile mine: expected a setting system, found none"):
        load_profile("mine")


@pytest.mark.parametrize(
    ("jobs", "expected"), [(3, (3, 3)), ("3", (3, 3)), ("0:8", (0, 8)), ([0, 2], (0, 2))]
)
def test_jobs(jobs: Any, expected: tuple[int, int]) -> None:
    assert parse_jobs(jobs) == expected


@pytest.mark.parametrize("jobs", [0, -1, "2:1", "a:b", "1:2:3", None, (0, 0)])
def test_bad_jobs(jobs: Any) -> None:
    with pytest.raises(InputError, match="jobs: expected"):
        parse_jobs(jobs)


def test_worker_settings_for_replicas(config: Path) -> None:
    assert worker_settings("slurm", 4) == {"processes": 2, "worker_extra_args": ["--nthreads", "1"]}
    assert worker_settings("slurm", 1) == {}
    assert worker_settings("tcp://host:8786", 4) == {}
    assert worker_settings("a-cluster", 4) == {}
    assert worker_settings("local", 1000) == {"n_workers": 1}
    script = worker_script(load_profile("slurm", **worker_settings("slurm", 4)), config)
    assert "--nthreads 4" in script and script.index("--nthreads 1") > script.index("--nthreads 4")
