"""Recipe metals: crystals of some 2,000 atoms, each at the state where it lasts."""

from __future__ import annotations

import pytest

from icedask.simulate import checks
from icedask.simulate.recipe import Options
from icedask.simulate.recipes.metals import RECIPE
from icedask.simulate.stages import Dynamics


@pytest.mark.parametrize("system", RECIPE.systems)
def test_number_of_atoms_and_labels(system: str) -> None:
    job = RECIPE.systems[system](Options(seed=3))
    atoms = job.start.build()
    assert 2000 <= len(atoms) == job.n_atoms <= 2500
    assert set(atoms.symbols) == set(job.potential.masses) == {job.labels["element"]}
    assert atoms.pbc.all() and job.periodic
    assert job.n_frames == 20
    assert hasattr(checks, job.check.function)  # type: ignore[union-attr]
    assert job.labels["phase"] == system.split("-")[0]
    published = RECIPE.systems[system](Options(published=True))
    assert published.n_atoms == 27 * job.n_atoms and published.n_frames == 100


def test_options_are_followed() -> None:
    job = RECIPE.systems["hcp"](
        Options(temperature=321.0, pressure=77.0, length=50.0, interval=2.0)
    )
    assert job.n_frames == 25
    assert (job.labels["temperature"], job.labels["pressure"]) == (321.0, 77.0)
    states = {
        (stage.temperature, stage.pressure) for stage in job.stages if isinstance(stage, Dynamics)
    }
    assert states == {(321.0, 77.0)}
