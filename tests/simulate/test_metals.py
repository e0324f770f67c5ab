"""Recipes cu211 and au309: published systems, at their temperature from the first frame on."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from helpers.lammps_child import run

from icedask.errors import InputError
from icedask.simulate.potentials import CU_MISHIN
from icedask.simulate.recipe import Options, Recipe
from icedask.simulate.recipes.au309 import RECIPE as AU309
from icedask.simulate.recipes.cu211 import RECIPE as CU211
from icedask.simulate.recipes.cu211 import lattice_constant
from icedask.simulate.stages import Dynamics, Minimise

BOTH = pytest.mark.parametrize("recipe", [CU211, AU309], ids=lambda recipe: recipe.name)


@BOTH
def test_start_structures_of_jobs(recipe: Recipe) -> None:
    for system, make in recipe.systems.items():
        job = make(Options(seed=4))
        atoms = job.start.build()
        assert len(atoms) == job.n_atoms
        assert set(atoms.symbols) <= set(job.potential.masses)
        assert job.periodic == atoms.pbc.any()
        assert (job.recipe, job.system, job.seed) == (recipe.name, system, 4)
        assert job.labels["temperature"] == float(system.removesuffix("K"))
    assert set(recipe.default) <= set(recipe.systems)


@BOTH
def test_default_jobs_take_minutes(recipe: Recipe) -> None:
    for system in recipe.default:
        job = recipe.systems[system](Options())
        steps = sum(stage.steps for stage in job.stages if isinstance(stage, Dynamics))
        assert steps * job.n_atoms / (1e6 * job.potential.speed) <= 600
        assert job.n_frames >= 100


@pytest.mark.parametrize(
    ("recipe", "system", "frames", "apart"),
    [(CU211, "600K", 500, 300.0), (AU309, "200K", 2000, 1000.0)],
    ids=["cu211", "au309"],
)
def test_published_lengths(recipe: Recipe, system: str, frames: int, apart: float) -> None:
    job = recipe.systems[system](Options(published=True))
    assert job.n_frames == frames
    production = job.stages[-1]
    assert isinstance(production, Dynamics)
    assert production.every * job.potential.timestep == pytest.approx(apart * 1000)


@BOTH
def test_options_are_followed(recipe: Recipe) -> None:
    make = recipe.systems[recipe.default[0]]
    job = make(Options(temperature=321.0, length=50.0, interval=2.0))
    assert job.n_frames == 25
    assert job.labels["temperature"] == 321.0
    dynamics = [stage for stage in job.stages if isinstance(stage, Dynamics)]
    assert [stage.temperature for stage in dynamics] == [321.0, 321.0]
    with pytest.raises(InputError, match="vacuum surrounds the metal"):
        make(Options(pressure=1.0))


@BOTH
def test_velocities_at_twice_the_temperature_lead_to_the_temperature(recipe: Recipe) -> None:
    job = recipe.systems[recipe.default[0]](Options())
    settle = job.stages[-2]
    assert isinstance(settle, Dynamics)
    assert settle.velocities == 2 * settle.temperature
    # Without a thermostat: half of the kinetic energy remains, that of the temperature.
    commands = [
        *(["minimize 0 1e-6 100 1000"] if isinstance(job.stages[0], Minimise) else []),
        f"velocity all create {settle.velocities} 11 mom yes rot yes dist gaussian",
        "fix nve all nve",
        "run 300",
    ]
    means = run(job.potential, job.start.build(), commands, average=500)
    assert means.temperature == pytest.approx(settle.temperature, rel=0.06)


@pytest.mark.slow
def test_the_slab_is_as_wide_as_the_hot_crystal() -> None:
    temperature = 900.0
    start = bulk("Cu", a=3.65, cubic=True) * (4, 4, 4)
    commands = [
        f"velocity all create {2 * temperature} 3 mom yes rot no dist gaussian",
        f"fix npt all npt temp {temperature} {temperature} 0.4 iso 0 0 2",
        "run 1500",
    ]
    means = run(CU_MISHIN, start, commands, average=4000)
    mass = 63.546 * 4 / 0.602214076
    assert np.cbrt(mass / means.density) == pytest.approx(lattice_constant(temperature), abs=0.004)
    for job in (CU211.systems["900K"](Options()), CU211.systems["600K"](Options(temperature=900))):
        atoms = job.start.build()
        assert atoms.cell.array[1, 1] == pytest.approx(
            10 / np.sqrt(2) * lattice_constant(900), rel=2e-5
        )
