"""Recipes of TIP4P/Ice and of ice-water slabs: start structures, options, rates."""

from __future__ import annotations

import numpy as np
import pytest

from icedask.errors import InputError
from icedask.simulate import checks
from icedask.simulate.openmm import OpenMMEngine
from icedask.simulate.recipe import Options, Recipe
from icedask.simulate.recipes import amorphous, ice_phases, ice_water
from icedask.simulate.stages import Dynamics, Shear

pytest.importorskip("openmm")
pytest.importorskip("genice2")

RECIPES = (ice_phases.RECIPE, ice_water.RECIPE, amorphous.RECIPE)
SLABS = ice_water.RECIPE.systems
SYSTEMS = [(recipe, system) for recipe in RECIPES for system in recipe.systems]


@pytest.mark.parametrize(("recipe", "system"), SYSTEMS, ids=[f"{r.name}-{s}" for r, s in SYSTEMS])
def test_number_of_atoms_and_labels(
    recipe: Recipe, system: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    job = recipe.systems[system](Options(seed=3))
    atoms = job.start.build()
    assert len(atoms) == job.n_atoms
    assert hasattr(checks, job.check.function)  # type: ignore[union-attr]
    assert job.labels["seed"] == job.seed == 3
    assert (job.recipe, job.system) == (recipe.name, system)
    if job.potential.engine == "openmm":
        engine = OpenMMEngine(job, 1, lambda step: None)
        engine.begin(atoms, str(tmp_path_factory.mktemp("begin") / "0"))


@pytest.mark.parametrize(("recipe", "system"), SYSTEMS, ids=[f"{r.name}-{s}" for r, s in SYSTEMS])
def test_options_change_the_job(recipe: Recipe, system: str) -> None:
    make = recipe.systems[system]
    usual = make(Options())
    changed = make(Options(temperature=199.0, pressure=77.0, length=40.0, interval=2.0))
    last = changed.stages[-1]
    assert isinstance(last, Dynamics)
    assert (last.temperature, last.pressure) == (199.0, 77.0)
    assert last.every * changed.potential.timestep == 2000.0
    assert changed.labels["temperature"] == 199.0
    assert changed.labels["pressure"] == 77.0
    assert usual.labels["temperature"] != 199.0
    published = make(Options(published=True))
    assert published.n_atoms > 1.5 * usual.n_atoms
    assert published.n_frames >= usual.n_frames
    with pytest.raises(InputError, match="interval"):
        make(Options(length=10.0, interval=-1.0))


def test_frames_of_the_defaults() -> None:
    for make in ice_phases.RECIPE.systems.values():
        assert make(Options()).n_frames == 12
    assert SLABS["Ih"](Options(published=True)).n_frames == 500


def test_published_slabs_have_the_published_atoms() -> None:
    atoms = {name: make(Options(published=True)).n_atoms for name, make in SLABS.items()}
    assert (atoms["Ih"], atoms["Ic"], atoms["sI"]) == (6144, 24_000, 37_260)


def test_rates_of_glasses() -> None:
    lda, hda, mda = (amorphous.RECIPE.systems[name](Options()) for name in ("LDA", "HDA", "MDA"))
    quench = _stage(lda, "quench")
    per_ns = (quench.temperature - quench.temperature_at(quench.steps)) / (quench.steps * 4e-6)
    assert per_ns == pytest.approx(10.0)
    for name, sign in (("compress", 1), ("release", -1)):
        ramp = _stage(hda, name)
        rise = ramp.pressure_at(ramp.steps) - ramp.pressure_at(0)
        # 100 MPa/ns; the ends are 1 bar off 2 GPa and zero.
        assert rise / (ramp.steps * 4e-6) == pytest.approx(sign * 1000.0, rel=1e-3)
    (shear,) = [stage for stage in mda.stages if isinstance(stage, Shear)]
    assert shear.cycles == 80
    faster = amorphous.RECIPE.systems["LDA"](Options(length=50.0))
    assert _stage(faster, "quench").steps * 4 == 50_000
    assert faster.check == lda.check


def test_the_cell_of_hda_may_collapse() -> None:
    # The engine keeps its cutoff, twice of which the collapsed cell has to be wide.
    job = amorphous.RECIPE.systems["HDA"](Options())
    cell = job.start.build().cell.array
    collapsed = np.cbrt(0.92 / 1.5) * np.diag(cell)
    assert collapsed.min() > 2 * 8.5


def _stage(job: object, name: str) -> Dynamics:
    (stage,) = [stage for stage in job.stages if stage.name == name]  # type: ignore[attr-defined]
    return stage
