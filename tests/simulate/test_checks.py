"""Checks of phases: right labels stay, wrong ones are removed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import ase
import numpy as np
import pytest
import xarray as xr
from conftest import DEMO_DUMP, DEMO_OPTIONS

import icedask as ice_dask
from icedask.core.trajectory import trajectory
from icedask.errors import InputError
from icedask.simulate.checks import amorphous, coexistence, crystal, liquid, metal, plastic
from icedask.simulate.measures import (
    chill_shares,
    coordination,
    density,
    displacement,
    lattice_shares,
    radial_distribution,
    turning,
)
from icedask.simulate.structures import ice
from icedask.simulate.structures import liquid as random_water
from icedask.simulate.structures import metal as packing
from icedask.simulate.structures import plastic as rotors

pytest.importorskip("genice2")

REPEATS = {
    "Ih": (2, 2, 2),
    "Ic": (3, 3, 3),
    "sI": (2, 2, 2),
    "II": (2, 2, 3),
    "III": (2, 2, 2),
    "IV": (1, 1, 1),
    "V": (2, 2, 1),
    "VI": (2, 2, 2),
    "VII": (2, 2, 2),
    "XII": (2, 2, 2),
    "XVII": (2, 1, 2),
    "sII": (1, 1, 1),
    "sH": (1, 1, 1),
}
DENSITY = 18.015 / 0.602214


def compressed(atoms: ase.Atoms, target: float) -> ase.Atoms:
    """Scale one-site water to a density, g/cm3."""
    atoms = atoms.copy()
    now = len(atoms) * DENSITY / atoms.get_volume()
    atoms.set_cell(atoms.cell.array * np.cbrt(now / target), scale_atoms=True)
    return atoms


def shaken(atoms: ase.Atoms, width: float = 0.1, n_frames: int = 3) -> xr.Dataset:
    """Return frames of atoms that vibrate about their places."""
    random = np.random.default_rng(0)
    frames = []
    for _ in range(n_frames):
        frame = atoms.copy()
        frame.positions += random.normal(0, width, frame.positions.shape)
        frame.wrap()
        frames.append(frame)
    return ice_dask.from_ase(frames, frame_interval=1.0)


@cache
def crystal_of(phase: str) -> ase.Atoms:
    """Return a crystal, made once; not to be changed."""
    return ice(phase, REPEATS[phase], seed=0, sites="O")


@pytest.mark.parametrize("phase", REPEATS)
def test_each_crystal_is_itself_at_any_pressure(phase: str) -> None:
    atoms = crystal_of(phase)
    own = len(atoms) * DENSITY / atoms.get_volume()
    for scale in (1.0, 1.03):
        verdict = crystal(shaken(compressed(atoms, own * scale)), phase=phase)
        assert verdict.phase == phase, verdict.reason
        assert verdict.values["density"] == pytest.approx(own * scale, rel=1e-6)


@pytest.mark.parametrize(
    ("phase", "label"),
    [
        *(("Ih", "Ic"), ("Ic", "Ih"), ("Ih", "sI"), ("V", "III"), ("VI", "II"), ("Ih", "V")),
        *(("sI", "sII"), ("sH", "sII"), ("V", "XII"), ("Ih", "XVII")),
    ],
)
def test_a_crystal_of_another_phase(phase: str, label: str) -> None:
    verdict = crystal(shaken(crystal_of(phase)), phase=label)
    assert verdict.phase is None
    assert verdict.reason.startswith(f"not {label}: ")


def test_a_half_melted_crystal_has_no_label() -> None:
    atoms = crystal_of("III").copy()
    random = np.random.default_rng(1)
    melted = atoms.get_scaled_positions()[:, 0] < 0.5
    atoms.positions[melted] += random.normal(0, 1.0, (melted.sum(), 3))
    assert crystal(shaken(atoms), phase="III").phase is None


@pytest.fixture(scope="module")
def supercooled(tmp_path_factory: pytest.TempPathFactory) -> ase.Atoms:
    """Liquid mW at 200 K, before it freezes: like LDA but for its density."""
    store = tmp_path_factory.mktemp("liquid") / "mw.zarr"
    ice_dask.ingest(DEMO_DUMP, store, frames="0:1", **DEMO_OPTIONS)
    return ice_dask.to_ase(ice_dask.open_trajectory(store), 0)


def glass(atoms: ase.Atoms, target: float) -> xr.Dataset:
    """Return water at a density that stands still."""
    return shaken(compressed(atoms, target), 0.02)


def test_amorphous_ices_differ_by_density(supercooled: ase.Atoms) -> None:
    verdict = amorphous(glass(supercooled, 0.95), phase="LDA")
    assert verdict.phase == "LDA", verdict.reason
    assert verdict.values["density"] == pytest.approx(0.95, abs=1e-4)
    assert "density" in amorphous(glass(supercooled, 1.0), phase="LDA").reason
    for other in ("MDA", "HDA"):
        assert "density" in amorphous(glass(supercooled, 0.95), phase=other).reason


@pytest.mark.parametrize(
    ("atoms", "label", "why"),
    [
        (compressed(crystal_of("Ih"), 1.06), "MDA", "ice and hydrate"),
        (crystal_of("Ic"), "LDA", "ice and hydrate"),
        # Its density is that of HDA, and CHILL+ calls it liquid.
        (compressed(crystal_of("II"), 1.17), "HDA", "SOAP distance to II"),
    ],
)
def test_a_crystal_is_not_amorphous(atoms: ase.Atoms, label: str, why: str) -> None:
    verdict = amorphous(shaken(atoms), phase=label)
    assert verdict.phase is None
    assert why in verdict.reason


def test_a_liquid_flows_and_a_glass_does_not(supercooled: ase.Atoms) -> None:
    still = glass(supercooled, 0.95)
    assert "displacement" in liquid(still).reason
    flowing = still.copy(deep=True)
    steps = np.random.default_rng(0).normal(0, 1.0, flowing["positions"].shape[1:])
    flowing["positions"][-1] += steps.astype(np.float32)
    assert "displacement" in amorphous(flowing, phase="LDA").reason
    far = random_water(200, 1.0, seed=0, sites="O")
    walk = [far.copy() for _ in range(3)]
    walk[2].positions += np.random.default_rng(0).normal(0, 0.8, walk[2].positions.shape)
    assert liquid(ice_dask.from_ase(walk), phase="water").phase == "water"


def test_coexistence_needs_both() -> None:
    ordered = ice("Ih", (3, 3, 6), seed=0, sites="O")
    assert coexistence(shaken(ordered), phase="Ih-water", crystal="Ih").phase is None
    half = ordered.copy()
    molten = half.get_scaled_positions()[:, 2] > 0.5
    half.positions[molten] += np.random.default_rng(2).normal(0, 0.8, (molten.sum(), 3))
    verdict = coexistence(shaken(half), phase="Ih-water", crystal="Ih")
    assert verdict.phase == "Ih-water", verdict.reason
    assert coexistence(shaken(half), phase="Ic-water", crystal="Ic").phase is None


PACKINGS = {"fcc": (4, 4, 4), "hcp": (5, 3, 3), "bcc": (5, 5, 5)}


@pytest.mark.parametrize("lattice", PACKINGS)
def test_a_hot_metal_is_its_lattice_and_no_other(lattice: str) -> None:
    hot = shaken(packing("Cu", lattice, 12.0, PACKINGS[lattice]), 0.3, 10)
    assert lattice_shares(hot)[lattice] == 1.0
    for label in PACKINGS:
        verdict = metal(hot, phase=label)
        assert verdict.phase == (label if label == lattice else None), verdict.reason


def test_a_metal_of_diffusing_atoms_has_no_label() -> None:
    atoms = packing("Cu", "fcc", 12.0, (4, 4, 4))
    walk = np.random.default_rng(0).normal(0, 0.5, (10, len(atoms), 3)).cumsum(axis=0)
    frames = [atoms.copy() for _ in walk]
    for frame, step in zip(frames, walk, strict=True):
        frame.positions += step
    trj = ice_dask.from_ase(frames)
    assert max(lattice_shares(trj).values()) < 0.1
    assert "share of fcc" in metal(trj, phase="fcc").reason


def test_order_of_a_lattice_across_faces() -> None:
    atoms = packing("Cu", "hcp", 12.0, (5, 3, 3))
    frames = [atoms.copy() for _ in range(4)]
    for number, frame in enumerate(frames):
        frame.positions += 0.7 * number
        frame.wrap()
    assert lattice_shares(ice_dask.from_ase(frames))["hcp"] == 1.0


def turned(lattice: str, seeds: Sequence[int], width: float = 0.2) -> xr.Dataset:
    """Return frames of molecules on a lattice, each with orientations of its own."""
    random = np.random.default_rng(0)
    frames = []
    for seed in seeds:
        frame = rotors(lattice, 1.64, (4, 4, 4), seed)
        shifts = random.normal(0, width, (len(frame) // 3, 3))
        frame.positions += np.repeat(shifts, 3, axis=0)
        del frame.arrays["molecule"]
        frame.wrap()
        frames.append(frame)
    return ice_dask.from_ase(frames, frame_interval=1.0)


def test_a_plastic_crystal_stays_and_turns() -> None:
    free = turned("fcc", range(6))
    verdict = plastic(free, phase="plastic", lattice="fcc")
    assert verdict.phase == "plastic", verdict.reason
    assert verdict.values["density"] == pytest.approx(1.64)
    assert verdict.values["turning"] == pytest.approx(0, abs=0.1)
    assert "in bcc" in plastic(free, phase="plastic", lattice="bcc").reason
    still = turned("fcc", [1] * 6)
    assert turning(still) == pytest.approx(1, abs=1e-5)
    assert "mean cosine" in plastic(still, phase="plastic", lattice="fcc").reason
    vii = ice("VII", (3, 3, 3), seed=0)
    del vii.arrays["molecule"]
    reason = plastic(ice_dask.from_ase([vii] * 2), phase="plastic", lattice="bcc").reason
    assert reason.startswith("not plastic: mean cosine")


def test_unknown_phases() -> None:
    for check in (crystal, amorphous, metal):
        with pytest.raises(InputError, match="IX"):
            check(shaken(crystal_of("Ih")), phase="IX")


def test_the_radial_distribution_is_that_of_freud() -> None:
    freud = pytest.importorskip("freud")
    random = np.random.default_rng(0)
    cell = np.array([[14.0, 0, 0], [3.0, 13.0, 0], [-2.0, 1.0, 15.0]])
    positions = random.random((4, 150, 3)) @ cell
    cells = np.repeat(cell[None], 4, axis=0)
    trj = trajectory(positions.astype(np.float32), element=["O"] * 150, cell=cells, pbc=[True] * 3)
    r, g = radial_distribution(trj, 6.0, 0.25, frames=3)
    rdf = freud.density.RDF(bins=24, r_max=6.0)
    box = freud.box.Box.from_matrix(cell.T)
    for frame in positions[1:]:
        rdf.compute((box, box.wrap(frame - cell.sum(axis=0) / 2)), reset=False)
    np.testing.assert_allclose(r, rdf.bin_centers, rtol=1e-6)
    np.testing.assert_allclose(g, rdf.rdf, atol=0.02)


def test_hydrogens_do_not_count() -> None:
    whole = ice("Ih", (2, 2, 2), seed=1)
    del whole.arrays["molecule"]
    oxygens = ice_dask.from_ase(whole[whole.symbols == "O"])
    both = ice_dask.from_ase(whole)
    assert density(both) == pytest.approx(density(oxygens))
    assert density(both) == pytest.approx(0.92, abs=0.01)
    assert coordination(both, 3.4) == 4.0
    assert chill_shares(both)["hexagonal_ice"] == 1.0


def test_displacements_are_independent_of_the_choice_of_the_cell() -> None:
    cell = np.array([[10.0, 0, 0], [-5.0, 8.7, 0], [0, 0, 15.0]])
    other = cell.copy()
    other[1] += cell[0]
    places = np.random.default_rng(0).random((20, 3)) @ cell
    wrapped = places @ np.linalg.inv(other) % 1.0 @ other
    trj = _frames([places, wrapped, places], np.array([cell, other, cell]))
    assert displacement(trj) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("stretch", [1.0, 1.01])
def test_displacements_across_faces_without_the_drift(stretch: float) -> None:
    cells = np.array([10.0, 12.0, 15.0]) * np.eye(3) * np.array([1.0, stretch])[:, None, None]
    fractions = np.random.default_rng(0).random((20, 3))
    shift = np.zeros((20, 3))
    shift[::2], shift[1::2] = [2.0, 0, 0], [-2.0, 0, 0]
    after = fractions @ cells[1] + shift + 1.0
    after = (after @ np.linalg.inv(cells[1]) % 1.0) @ cells[1]
    trj = _frames([fractions @ cells[0], after], cells)
    assert displacement(trj) == pytest.approx(2.0, rel=1e-4)


def _frames(positions: Sequence[np.ndarray], cells: np.ndarray) -> xr.Dataset:
    places = np.array(positions, np.float32)
    return trajectory(places, element=["O"] * places.shape[1], cell=cells, pbc=[True] * 3)
