"""Potentials give the published energies, lattice constants and densities."""

from __future__ import annotations

import ase
import numpy as np
import pytest
from ase.build import bulk
from helpers.lammps_child import run

from icedask.simulate.gupta import GOLD
from icedask.simulate.potentials import (
    AU_GUPTA,
    CU_MISHIN,
    FE_MENDELEV,
    ML_BOP,
    ML_MW,
    MW,
    POTENTIALS,
    Potential,
)
from icedask.simulate.structures import ice, icosahedron, liquid

BAR_IN_ATM = 1 / 1.01325


def relax(box: str) -> list[str]:
    """Return commands that minimise the energy with the cell."""
    return [
        f"fix relax all box/relax {box} 0.0 vmax 0.001",
        "minimize 0 1e-10 1000 10000",
        "unfix relax",
        "run 0",
    ]


def at_pressure(potential: Potential, temperature: float, steps: int) -> list[str]:
    """Return commands that bring a structure to a temperature and 1 bar."""
    real = potential.units == "real"
    pressure = BAR_IN_ATM if real else 1.0
    unit = potential.timestep * (1.0 if real else 1e-3)
    return [
        "minimize 0 1e-4 50 100",
        f"velocity all create {temperature} 4711 mom yes rot no dist gaussian",
        f"fix npt all npt temp {temperature} {temperature} {100 * unit} "
        f"iso {pressure} {pressure} {500 * unit}",
        f"run {steps}",
    ]


@pytest.mark.parametrize(
    ("potential", "energy"),
    # kcal/mol: minus twice epsilon, as tetrahedral angles cost nothing; the others in eV.
    [(MW, -12.378), (ML_BOP, -0.46419), (ML_MW, -0.52634)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_lattice_energy_of_ice(potential: Potential, energy: float) -> None:
    means = run(potential, ice("Ih", (2, 2, 2), 0, "O"), relax("aniso"))
    assert means.energy == pytest.approx(energy, abs=6e-6)


@pytest.mark.parametrize(
    ("potential", "element", "constant", "energy"),
    [
        (AU_GUPTA, "Au", 4.0790, -3.7792),
        (CU_MISHIN, "Cu", 3.6149, -3.5402),
        (FE_MENDELEV, "Fe", 2.8553, -4.1224),
    ],
    ids=["Au", "Cu", "Fe"],
)
def test_lattice_constant_and_energy_of_metals(
    potential: Potential, element: str, constant: float, energy: float
) -> None:
    start = bulk(element, a=1.02 * constant, cubic=True) * (4, 4, 4)
    means = run(potential, start, relax("iso"))
    np.testing.assert_allclose(means.lengths / 4, constant, atol=6e-5)
    assert means.energy == pytest.approx(energy, abs=6e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("potential", "temperature", "energy", "density"),
    [(MW, 298.0, (-10.057, 0.04), 0.9978), (ML_BOP, 300.0, (-0.3656, 0.0025), 0.994)],
    ids=["mW", "ML-BOP"],
)
def test_liquid_water(
    potential: Potential, temperature: float, energy: tuple[float, float], density: float
) -> None:
    start = liquid(216, 0.95, 1, "O")
    equilibrate = at_pressure(potential, temperature, 3000)
    means = run(potential, start, equilibrate, average=12_000)
    value, tolerance = energy
    assert means.energy == pytest.approx(value, abs=tolerance)
    # Four standard errors of so few molecules in so short a time.
    assert means.density == pytest.approx(density, abs=0.012)


def gupta_energy(atoms: ase.Atoms) -> float:
    """Return the energy of a cluster from the formula itself, eV."""
    r = atoms.get_all_distances()
    other = ~np.eye(len(atoms), dtype=bool)
    x = r / 2.88429 - 1
    pairs = 0.2061 * np.exp(-10.229 * x) * other
    band = 1.790**2 * np.exp(-2 * 4.036 * x) * other
    return float(pairs.sum() - np.sqrt(band.sum(axis=1)).sum())


def test_the_table_of_gold_is_the_formula() -> None:
    # No pair of so small a cluster reaches the switch.
    atoms = icosahedron("Au", 1, 4.0)
    atoms.positions += np.random.default_rng(0).normal(0, 0.15, atoms.positions.shape)
    assert atoms.get_all_distances().max() < GOLD.switch[0]
    means = run(AU_GUPTA, atoms, ["run 0"])
    assert means.energy == pytest.approx(gupta_energy(atoms) / 13, abs=1e-6)


def test_the_switch_is_smooth_and_between_two_shells() -> None:
    low, high = GOLD.switch
    assert GOLD.r0 * np.sqrt(5) < low < high < GOLD.r0 * np.sqrt(6)
    r = np.linspace(low - 0.01, high + 0.01, 20_001)
    for function in (GOLD.repulsion, GOLD.density):
        values = function(r)
        assert (np.diff(values) <= 0).all()
        assert values[-1] == 0
        slope = np.gradient(values, r)
        # A jump of the force would be as large as the force itself.
        assert np.abs(np.diff(slope)).max() < 1e-3 * np.abs(slope).max()


@pytest.mark.parametrize("potential", POTENTIALS.values(), ids=POTENTIALS)
def test_files_have_references(potential: Potential) -> None:
    assert potential.reference.startswith("doi:10.")
    assert potential.checksum() == potential.checksum()
    head = potential.text()[:400]
    # Shipped files name their authors.
    assert potential.reference in head or "Mishin" in head or "Mendelev" in head
