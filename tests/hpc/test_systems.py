"""Batch systems: parsers of queues, forms of walltime, submission."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from icedask.errors import ComputeError, InputError
from icedask.hpc.profiles import load_profile
from icedask.hpc.systems import SYSTEMS, Queued

_PBS = """
pbs01:
                                                            Req'd  Req'd   Elap
Job ID          Username Queue    Jobname    SessID NDS TSK Memory Time  S Time
--------------- -------- -------- ---------- ------ --- --- ------ ----- - -----
1201.pbs01      ada      workq    icedask     41233   1   8   33gb 02:00 R 00:12
1202.pbs01      ada      workq    icedask       --    1   8   33gb 02:00 Q   --
1203.pbs01      ada      workq    icedask     41300   1   8   33gb 02:00 E 00:01
"""

_SGE = """
job-ID  prior   name       user         state submit/start at     queue                   slots ja
-------------------------------------------------------------------------------------------------
     71 0.55500 icedask    ada          r     11/21/2026 10:00:01 all.q@node1                 8
     72 0.00000 icedask    ada          qw    11/21/2026 10:00:02                             8
     73 0.00000 icedask    ada          Eqw   11/21/2026 10:00:03                             8
"""


@pytest.mark.parametrize(
    ("system", "text", "expected"),
    [
        (
            "slurm",
            "11|PD|Priority\n12|R|None\n13|CG|None\n14|CF|None\n",
            {
                "11": Queued("pending", "Priority"),
                "12": Queued("running"),
                "14": Queued("running"),
            },
        ),
        ("pbs", _PBS, {"1201": Queued("running"), "1202": Queued("pending")}),
        (
            "sge",
            _SGE,
            {
                "71": Queued("running", "r"),
                "72": Queued("pending", "qw"),
                "73": Queued("pending", "Eqw"),
            },
        ),
        (
            "lsf",
            "31     RUN\n32     PEND\n33     EXIT\n",
            {"31": Queued("running"), "32": Queued("pending")},
        ),
    ],
)
def test_queue(system: str, text: str, expected: dict[str, Queued]) -> None:
    assert SYSTEMS[system].parse_queue(text) == expected
    assert SYSTEMS[system].parse_queue("") == {}


@pytest.mark.parametrize(
    ("system", "walltime", "seconds"),
    [
        ("slurm", "00:30:00", 1800),
        ("slurm", "30", 1800),
        ("slurm", "30:10", 1810),
        ("slurm", "1-12", 129600),
        ("slurm", "1-12:30", 131400),
        ("pbs", "02:00:00", 7200),
        ("pbs", "90", 90),
        ("sge", "02:00:00", 7200),
        ("lsf", "02:00", 7200),
        ("lsf", "90", 5400),
    ],
)
def test_walltime(system: str, walltime: str, seconds: float) -> None:
    assert SYSTEMS[system].seconds(walltime) == seconds


@pytest.mark.parametrize(
    ("system", "walltime"), [("slurm", "2h"), ("lsf", "02:00:00"), ("pbs", "")]
)
def test_walltime_in_bad_form(system: str, walltime: str) -> None:
    with pytest.raises(InputError, match=f"walltime: expected .* {system}"):
        SYSTEMS[system].seconds(walltime)


def test_missing_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    script = tmp_path / "job.sh"
    script.touch()
    for system in SYSTEMS.values():
        assert system.queue() is None
        system.cancel(["1"])
        with pytest.raises(ComputeError, match="use a machine from which jobs can be submitted"):
            system.submit(script)


def _command(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\n# the script\n")
    _command(tmp_path, "bsub", 'grep -q "the script" && echo "Job <77> is submitted."')
    assert SYSTEMS["lsf"].submit(script) == "77"
    _command(tmp_path, "qsub", '[ -f "$1" ] && echo 81.pbs01')
    assert SYSTEMS["pbs"].submit(script) == "81"
    _command(tmp_path, "qsub", "echo 'qsub: Unknown queue' >&2; exit 1")
    with pytest.raises(ComputeError, match=r"qsub refused the job: qsub: Unknown queue"):
        SYSTEMS["sge"].submit(script)
    _command(tmp_path, "qsub", "exit 0")
    with pytest.raises(ComputeError, match=r"qsub refused the job: no message"):
        SYSTEMS["pbs"].submit(script)


@pytest.mark.parametrize("thread", ["main", "another"])
def test_profiles_keep_the_interrupt_handler(thread: str) -> None:
    """In a process of its own, because dask-jobqueue is imported once in each."""
    read = {
        "main": "load_profile('slurm')",
        "another": "t = threading.Thread(target=lambda: loaded.append(load_profile('slurm'))); "
        "t.start(); t.join(); assert loaded",
    }
    script = (
        "import signal, threading\n"
        "from icedask.hpc.profiles import load_profile\n"
        "loaded, before = [], signal.getsignal(signal.SIGINT)\n"
        f"{read[thread]}\n"
        "assert signal.getsignal(signal.SIGINT) is before\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_dask_jobqueue(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.startswith("dask_jobqueue")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(InputError, match=r"pip install icedask\[hpc\]"):
        load_profile("slurm")
