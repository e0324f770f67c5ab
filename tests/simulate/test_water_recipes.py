"""Recipes of TIP4P/Ice and of ice-water slabs: start structures, options, rates."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from icedask.errors import InputError
from icedask.simulate import checks
from icedask.simulate.openmm import OpenMMEngine
from icedask.simulate.recipe import Options, Recipe, start_name
from icedask.simulate.recipes import amorphous, au309, ice_phases, ice_water, water_classes
from icedask.simulate.stages import Dynamics, Shear, ramp_rates

pytest.importorskip("openmm")
pytest.importorskip("genice2")

RECIPES = (ice_phases.RECIPE, ice_water.RECIPE, amorphous.RECIPE, water_classes.RECIPE)
SLABS = ice_water.RECIPE.systems
HDA = [name for name in amorphous.RECIPE.systems if name.startswith("HDA")]
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


GLASSES = amorphous.RECIPE.systems


def test_published_rates_of_glasses() -> None:
    lda, hda = (GLASSES[name](Options(published=True)) for name in ("LDA", "HDA"))
    assert lda.labels["cooling_rate"] == pytest.approx(10.0)
    quench = _stage(lda, "vitrify")
    per_ns = (quench.temperature - quench.temperature_at(quench.steps)) / (quench.steps * 4e-6)
    assert per_ns == pytest.approx(10.0)
    for name, sign in (("compress", 1), ("release", -1)):
        ramp = _stage(hda, name)
        rise = ramp.pressure_at(ramp.steps) - ramp.pressure_at(0)
        # 100 MPa/ns; the ends are 1 bar off 2 GPa and zero.
        assert rise / (ramp.steps * 4e-6) == pytest.approx(sign * 1000.0, rel=1e-3)
    assert hda.labels["compression_rate"] == pytest.approx(0.1, rel=1e-3)
    assert hda.labels["release_rate"] == pytest.approx(0.1, rel=1e-3)


def test_routes_and_rates_are_in_the_labels() -> None:
    (shear,) = [stage for stage in GLASSES["MDA"](Options()).stages if isinstance(stage, Shear)]
    assert shear.cycles == GLASSES["MDA"](Options()).labels["shears"] == 80
    lda = GLASSES["LDA"](Options())
    # From 220 to 180 K in 650 ps.
    assert lda.labels["cooling_rate"] == pytest.approx(40 / 0.65, rel=1e-4)
    assert ramp_rates(lda.stages, 4.0)["vitrify"]["temperature"] == pytest.approx(-40 / 0.65)
    faster = GLASSES["LDA"](Options(length=77.0))
    assert faster.labels["cooling_rate"] == pytest.approx(10 * 40 / 0.65, rel=1e-3)
    assert faster.check == lda.check
    glasses = [name for name in GLASSES if name != "water"]
    routes = {GLASSES[name](Options()).labels["route"] for name in glasses}
    assert len(routes) == len(glasses)
    stretched = GLASSES["LDA-stretched"](Options()).labels
    assert stretched["phase"] == "LDA" and stretched["peak_pressure"] == -1_500.0
    for name in HDA:
        job = GLASSES[name](Options())
        assert job.labels["phase"] == "HDA"
        release = _stage(job, "release")
        assert release.pressure == job.labels["peak_pressure"]
        assert release.pressure_end == 1.0


@pytest.mark.parametrize("name", ["LDA", "LDA-stretched", *HDA])
def test_ramps_follow_each_other(name: str) -> None:
    for options in (Options(), Options(published=True), Options(length=50.0)):
        stages = [stage for stage in GLASSES[name](options).stages if isinstance(stage, Dynamics)]
        for before, after in pairwise(stages):
            if before.name in ("mix", "equilibrate"):
                continue
            assert before.temperature_at(before.steps) == after.temperature
            assert before.pressure_at(before.steps) == after.pressure
        if options.length:
            names = {"supercool", "vitrify", "cool", "compress", "hold", "release"}
            quench = sum(stage.steps for stage in stages if stage.name in names)
            assert quench * 4e-3 == pytest.approx(50.0, abs=0.05)


def test_states_of_the_classes_change_with_the_seed() -> None:
    systems = water_classes.RECIPE.systems
    assert len(water_classes.RECIPE.default) == 9
    for phase, states in water_classes.STATES.items():
        jobs = [systems[phase](Options(seed=seed)) for seed in range(5)]
        states_of_jobs = [(job.labels["temperature"], job.labels["pressure"]) for job in jobs]
        assert states_of_jobs == [*states, states[0]]
        assert len({job.labels["start"] for job in jobs}) == 5
        if phase != "water":
            # As cold as a glass.
            assert min(states_of_jobs)[0] == GLASSES["LDA"](Options()).labels["temperature"]
    fixed = systems["III"](Options(seed=1, temperature=240.0))
    assert (fixed.labels["temperature"], fixed.labels["pressure"]) == (240.0, 3_000.0)


def test_rates_of_the_classes_are_the_published_ones_where_asked() -> None:
    systems = water_classes.RECIPE.systems
    lda, hda = (systems[phase](Options(published=True)).labels for phase in ("LDA", "HDA"))
    assert lda["cooling_rate"] == pytest.approx(10.0)
    assert hda["compression_rate"] == pytest.approx(0.1, rel=1e-3)


def test_starts_that_are_shared_have_one_name() -> None:
    systems = water_classes.RECIPE.systems
    ih, mda = (systems[phase](Options(seed=2)).labels["start"] for phase in ("Ih", "MDA"))
    assert ih == mda != systems["Ih"](Options(seed=3)).labels["start"]
    # Each seed of a cluster begins with the same icosahedron.
    assert start_name(au309.RECIPE.systems["400K"](Options()).start) is None


def test_the_cell_of_hda_may_collapse() -> None:
    # The engine keeps its cutoff, twice of which the collapsed cell has to be wide.
    job = amorphous.RECIPE.systems["HDA"](Options())
    cell = job.start.build().cell.array
    collapsed = np.cbrt(0.92 / 1.5) * np.diag(cell)
    assert collapsed.min() > 2 * 8.5


def _stage(job: object, name: str) -> Dynamics:
    (stage,) = [stage for stage in job.stages if stage.name == name]  # type: ignore[attr-defined]
    return stage
