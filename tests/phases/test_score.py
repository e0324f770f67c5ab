"""The network without its framework: the same numbers, equivariant, in parts as in one piece."""

from __future__ import annotations

from typing import Any

import ase
import numpy as np
import pytest
from ase.build import bulk
from helpers.systems import SYSTEMS, system
from scipy.spatial.transform import Rotation

import icedask as ice
from icedask.kernels.neighbors import neighbor_list
from icedask.phases import score as score_module
from icedask.phases.calibration import large_cell, melt
from icedask.phases.score import Denoised, Score, check_weights, denoise_frame, score_from

PBC = np.ones(3, bool)


@pytest.fixture(scope="module")
def score(shipped: ice.Denoiser) -> Score:
    return shipped.score()


def denoised(score: Score, atoms: ase.Atoms, steps: int = 8, clip: float = 0.4) -> Denoised:
    return denoise_frame(score, atoms.positions, atoms.cell.array, atoms.pbc, steps, clip)


def noised(atoms: ase.Atoms, sigma: float = 0.2, seed: int = 0) -> ase.Atoms:
    noisy = atoms.copy()
    rng = np.random.default_rng(seed)
    noisy.positions += rng.normal(0, sigma, noisy.positions.shape)
    return noisy


def hard_cases() -> dict[str, ase.Atoms]:
    """Return frames that are hard in one way each."""
    cases = {name: system(name) for name in SYSTEMS}
    cases["one atom in a small cell"] = bulk("O", "sc", a=2.9)
    cases["one atom alone"] = ase.Atoms("O", [[1.0, 2.0, 3.0]])
    cases["no neighbours"] = ase.Atoms("O2", [[0, 0, 0], [0, 0, 5.0]])
    cases["no atom"] = ase.Atoms(cell=[9, 9, 9], pbc=True)
    twice = noised(bulk("O", "diamond", a=6.37, cubic=True))
    twice += ase.Atom("O", twice.positions[3])
    twice += ase.Atom("O", twice.positions[5] + [0.0, 1e-2, 0.0])
    cases["two in one place"] = twice
    cases["dense"] = noised(bulk("O", "fcc", a=2.0) * 2)
    return cases


CASES = hard_cases()


@pytest.mark.parametrize(("width", "cutoff"), [(8, 4.0), (16, 5.0), (32, 5.0)])
def test_same_as_with_the_framework(width: int, cutoff: float) -> None:
    import torch

    from icedask.nn.torch_utils import reproducible
    from icedask.phases.network import Edges, ScoreNetwork

    with reproducible():
        torch.manual_seed(width)
        network = ScoreNetwork(width, 3, cutoff).double()
    state = {name: tensor.detach().numpy() for name, tensor in network.named_parameters()}
    check_weights(state, width, 3)
    plain = score_from(state, cutoff)
    few = ("triclinic", "two in one place")
    for name, atoms in CASES.items():
        if width != 16 and name not in few:
            continue
        # A longer list than needed, as in use.
        pairs = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, cutoff + 1.0)
        edges = Edges(
            torch.from_numpy(pairs.rows),
            torch.from_numpy(pairs.indices.copy()),
            torch.from_numpy(pairs.vectors),
            len(atoms),
        )
        with reproducible(), torch.no_grad():
            expected = network(edges).numpy()
        largest = max(np.abs(expected).max(initial=0.0), 1e-3)
        np.testing.assert_allclose(
            plain(pairs), expected, rtol=0, atol=1e-5 * largest, err_msg=name
        )


@pytest.mark.parametrize("name", CASES)
def test_frames_that_are_hard(score: Score, name: str) -> None:
    atoms = CASES[name]
    result = denoised(score, atoms)
    assert result.shift.shape == atoms.positions.shape
    assert result.residual.shape == (len(atoms),)
    assert np.isfinite(result.shift).all()
    assert np.isfinite(result.residual).all()
    assert np.linalg.norm(result.shift, axis=1).max(initial=0.0) <= 8 * 0.4 + 1e-9


def test_an_atom_without_neighbours_stays(score: Score) -> None:
    assert not denoised(score, CASES["one atom alone"]).shift.any()
    assert not denoised(score, CASES["lonely"]).shift.any()


def same(result: Denoised, shift: np.ndarray, residual: np.ndarray) -> None:
    np.testing.assert_allclose(result.shift, shift, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.residual, residual, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["triclinic", "small_box", "slab", "cluster"])
def test_symmetries(score: Score, name: str) -> None:
    atoms = system(name)
    plain = denoised(score, atoms)
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn.T)
    turned.positions = atoms.positions @ turn.T
    same(denoised(score, turned), plain.shift @ turn.T, plain.residual)
    mirrored = atoms.copy()
    mirrored.set_cell(-atoms.cell.array)
    mirrored.positions = -atoms.positions
    same(denoised(score, mirrored), -plain.shift, plain.residual)
    order = np.random.default_rng(0).permutation(len(atoms))
    same(denoised(score, atoms[order]), plain.shift[order], plain.residual[order])
    elsewhere = atoms.copy()
    elsewhere.positions += [3.3, -40.0, 0.7]
    same(denoised(score, elsewhere), plain.shift, plain.residual)
    images = atoms.copy()
    cells = np.random.default_rng(1).integers(-3, 4, (len(atoms), 3)) * atoms.pbc
    images.positions += cells @ atoms.cell.array
    same(denoised(score, images), plain.shift, plain.residual)
    if atoms.pbc.any():
        repeats = 1 + atoms.pbc.astype(int)
        many = denoised(score, atoms.repeat(repeats))
        copies = int(repeats.prod())
        same(many, np.tile(plain.shift, (copies, 1)), np.tile(plain.residual, copies))


@pytest.mark.parametrize(
    ("name", "clip"),
    [("two in one place", 0.4), ("small_box", 0.4), ("slab", 0.4), ("cluster", 3.0)],
)
def test_parts_are_the_whole(
    score: Score, name: str, clip: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    atoms = CASES[name]
    whole = denoised(score, atoms, steps=4, clip=clip)
    monkeypatch.setattr(score_module, "MAX_ATOMS", max(1, len(atoms) // 3))
    same(denoised(score, atoms, steps=4, clip=clip), whole.shift, whole.residual)


def test_the_clip_is_the_longest_step(score: Score) -> None:
    liquid = melt(system("orthogonal"), np.random.default_rng(0))
    free = np.linalg.norm(denoised(score, liquid, steps=1, clip=50.0).shift, axis=1)
    assert free.max() > 0.1
    step = denoised(score, liquid, steps=1, clip=0.05)
    np.testing.assert_allclose(np.linalg.norm(step.shift, axis=1), np.minimum(free, 0.05))
    assert step.residual.max() <= 0.05 + 1e-12
    total = np.linalg.norm(denoised(score, liquid, steps=5, clip=0.05).shift, axis=1)
    assert total.max() <= 0.25 + 1e-12


@pytest.mark.parametrize("n", [40, 400])
def test_far_too_dense(score: Score, ices: ice.Phases, n: int) -> None:
    crystal = large_cell(ices.structures["Ic"], 25.0)
    rng = np.random.default_rng(0)
    heap = crystal.positions[0] + 1e-3 * rng.normal(size=(n, 3))
    result = denoised(score, crystal + ase.Atoms(f"O{n}", heap), steps=2)
    assert np.isfinite(result.shift).all()
    assert np.linalg.norm(result.shift, axis=1).max() <= 0.8 + 1e-12
    assert result.residual[len(crystal) :].max() > 0.1
    # Three messages reach no further.
    apart = crystal.positions - crystal.positions[0]
    apart -= np.round(apart / crystal.cell.lengths()) * crystal.cell.lengths()
    far = np.linalg.norm(apart, axis=1) > 20.0
    assert far.any()
    assert np.abs(result.shift[: len(crystal)][far]).max() < 0.01


def test_numbers_that_are_too_large() -> None:
    huge = np.array([[3e200, 4e200, 0], [np.inf, 0, 0], [np.nan, 1, 1], [0, 0, 0], [0, 0.3, 0]])
    move, squares = score_module._clipped(huge, 0.4)
    np.testing.assert_allclose(move[0], [-0.24, -0.32, 0.0])
    np.testing.assert_allclose(move[1:4], 0.0)
    np.testing.assert_allclose(move[4], [0, -0.3, 0])
    np.testing.assert_allclose(squares, [0.16, 0.16, 0.16, 0.0, 0.09])
    assert score_module._clipped(np.empty((0, 3)), 0.4)[0].shape == (0, 3)


def test_steps_are_repeated(score: Score) -> None:
    # So far that the neighbour list is rebuilt.
    atoms = melt(system("triclinic"), np.random.default_rng(0))
    again = atoms.copy()
    for _ in range(6):
        last = denoised(score, again, steps=1)
        again.positions += last.shift
    result = denoised(score, atoms, steps=6)
    assert np.linalg.norm(result.shift, axis=1).max() > 0.5
    same(result, again.positions - atoms.positions, last.residual)


@pytest.mark.parametrize("phase", ["Ih", "Ic", "II", "III", "VI", "VII", "sI"])
def test_ideal_crystals_stay(score: Score, ices: ice.Phases, phase: str) -> None:
    once = denoised(score, ices.structures[phase], steps=1)
    assert np.linalg.norm(once.shift, axis=1).max() < 0.03
    assert denoised(score, ices.structures[phase]).residual.max() < 0.01


@pytest.mark.parametrize("phase", ["Ih", "II", "III", "VI"])
def test_noise_is_taken_away(score: Score, ices: ice.Phases, phase: str) -> None:
    crystal = large_cell(ices.structures[phase], 10.0)
    place = crystal.positions + denoised(score, crystal).shift
    hot = noised(crystal, 0.15)
    apart = hot.positions + denoised(score, hot).shift - place
    # All atoms together went nowhere in particular.
    apart -= apart.mean(axis=0)
    assert np.sqrt((apart**2).sum(1).mean()) < 0.4 * 0.15 * np.sqrt(3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out.weight": None}, r"weights out.weight: expected the shape \(1, 16\), found None"),
        ({"more": np.zeros(3)}, r"weights more: expected the shape None, found \(3,\)"),
        ({"gate.0.bias": np.zeros(8)}, r"expected the shape \(16,\), found \(8,\)"),
        ({"gate.0.bias": np.full(16, np.nan)}, "weights gate.0.bias: not finite"),
        ({"gate.0.bias": np.zeros(16, int)}, "weights gate.0.bias: not finite"),
    ],
)
def test_other_weights_are_refused(
    shipped: ice.Denoiser, changes: dict[str, Any], message: str
) -> None:
    state = {**shipped.weights_, **changes}
    with pytest.raises(ValueError, match=message):
        check_weights({k: v for k, v in state.items() if v is not None}, 16, 3)
