"""Training: it learns, always the same from one seed, and goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk

import icedask as ice
from icedask.errors import ComputeError, InputError
from icedask.phases import training

SMALL: dict[str, Any] = {"width": 8, "layers": 1, "cutoff": 4.0, "steps": 60, "sigma_max": 0.2}


@pytest.fixture(scope="module")
def metals() -> ice.Phases:
    return ice.Phases.metals()


def trained(phases: ice.Phases, checkpoint: Path | None = None, **changes: Any) -> ice.Denoiser:
    denoiser = ice.Denoiser(**{**SMALL, **changes})
    return denoiser.fit(phases, checkpoint=checkpoint, device="cpu")


@pytest.fixture(scope="module")
def plain(metals: ice.Phases) -> ice.Denoiser:
    return trained(metals)


@pytest.fixture
def settings() -> Iterator[None]:
    """Restore the settings of torch."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


def same(first: ice.Denoiser, other: ice.Denoiser) -> bool:
    assert first.weights_.keys() == other.weights_.keys()
    pairs = [(first.weights_[name], other.weights_[name]) for name in first.weights_]
    pairs.append((first.loss_, other.loss_))
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


def test_it_learns(plain: ice.Denoiser, metals: ice.Phases) -> None:
    assert plain.loss_.shape == (60,)
    assert plain.loss_[:5].mean() > 0.85
    assert plain.loss_[-5:].mean() < 0.75
    assert plain.phases_ == metals
    assert plain.weights_["embedding"].dtype == np.float32
    assert plain.score().cutoff == 4.0


def test_one_seed_gives_the_same_with_any_settings_of_torch(
    plain: ice.Denoiser, metals: ice.Phases, settings: None
) -> None:
    torch.set_num_threads(3)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with torch.no_grad():
        assert same(trained(metals, seed=np.int64(0), width=np.int64(8)), plain)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == 3
    assert torch.get_default_dtype() == torch.float64


def test_another_seed_gives_another(plain: ice.Denoiser, metals: ice.Phases) -> None:
    other = trained(metals, seed=1)
    assert not same(other, plain)
    assert other.digest_ != plain.digest_


def interrupted(
    phases: ice.Phases, path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> None:
    """Train until something breaks after a checkpoint."""
    written: list[int] = []
    original = training.write_checkpoint

    def breaking(*args: Any) -> None:
        original(*args)
        written.append(args[-1]["step"])
        if len(written) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "_CHECKPOINT_STEPS", 20)
        patch.setattr(training, "write_checkpoint", breaking)
        with pytest.raises(KeyboardInterrupt):
            trained(phases, path, **changes)
    assert written == [20, 40]


def test_an_interrupted_training_goes_on(
    plain: ice.Denoiser, metals: ice.Phases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    interrupted(metals, path, monkeypatch)
    threads = torch.get_num_threads()
    steps = []
    original = training._loss

    def counting(*args: Any) -> Any:
        steps.append(1)
        return original(*args)

    monkeypatch.setattr(training, "_loss", counting)
    assert same(trained(metals, path), plain)
    assert len(steps) == 20
    assert list(tmp_path.iterdir()) == []
    assert torch.get_num_threads() == threads


def test_only_the_same_training_goes_on(
    metals: ice.Phases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    interrupted(metals, path, monkeypatch)
    for phases, changes in [
        (metals, {"seed": 1}),
        (metals, {"steps": 80}),
        (metals, {"width": 16}),
        # As many atoms by the same names.
        (ice.Phases.metals(distance=2.6), {}),
        (ice.Phases.from_structures(dict(list(metals.structures.items())[:2])), {}),
    ]:
        with pytest.raises(InputError, match=r"state: expected a checkpoint of .*, found one of"):
            trained(phases, path, **changes)
    assert path.exists()


def test_bad_checkpoints(metals: ice.Phases, tmp_path: Path) -> None:
    path = tmp_path / "state"
    for content in (b"", b"nothing of the kind", b"PK\x03\x04" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"state: expected a checkpoint .* start again"):
            trained(metals, path)
        assert path.read_bytes() == content
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="expected a checkpoint of a training"):
        trained(metals, path)
    with pytest.raises(InputError, match="expected a checkpoint of a training"):
        trained(metals, tmp_path)
    with pytest.raises(InputError, match="in a folder that can be made"):
        trained(metals, path / "state")


def test_crystals_of_your_own() -> None:
    cell = [[4.1, 0.0, 0.0], [1.3, 5.2, 0.0], [-0.9, 1.7, 6.3]]
    fractions = [[0.1, 0.2, 0.3], [0.6, 0.7, 0.1], [0.3, 0.9, 0.7]]
    tilted = ase.Atoms("Si3", scaled_positions=fractions, cell=cell, pbc=True)
    phases = ice.Phases.from_structures({"tilted": tilted, "diamond": bulk("Si")})
    denoiser = trained(phases, cutoff=4.5, layers=2, steps=200)
    # Where noise happens to be weak, errors are a large part of it.
    assert np.median(denoiser.loss_[-20:]) < 0.75
    trj = ice.from_ase(tilted * (3, 3, 3))
    moved = trj.copy(deep=True)
    noise = np.random.default_rng(0).normal(0, 0.15, trj["positions"].shape)
    moved["positions"] += noise.astype(np.float32)
    cold = denoiser.denoise(moved, steps=3)
    off = cold["positions"].values - trj["positions"].values
    assert (off**2).mean() < 0.9 * (noise**2).mean()


def test_a_checkpoint_and_none_give_the_same(
    plain: ice.Denoiser, metals: ice.Phases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_CHECKPOINT_STEPS", 25)
    assert same(trained(metals, tmp_path / "state"), plain)
    assert list(tmp_path.iterdir()) == []


def test_as_few_steps_as_there_may_be(metals: ice.Phases) -> None:
    assert np.isfinite(trained(metals, steps=20).loss_).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 12}, "width: expected a multiple of 8, found 12"),
        ({"width": 0}, "width: expected at least 8, found 0"),
        ({"width": 16.5}, "width: expected a whole number, found 16.5"),
        ({"layers": 0}, "layers: expected at least 1"),
        ({"steps": 19}, "steps: expected at least 20"),
        ({"seed": -1}, "seed: expected at least 0"),
        ({"seed": 2**32}, "seed: expected at most"),
        ({"cutoff": 0.0}, "cutoff: expected a number angstrom above 0, found 0"),
        ({"cutoff": True}, "cutoff: expected a number angstrom, found True"),
        ({"cutoff": "5"}, "cutoff: expected a number angstrom, found '5'"),
        ({"cutoff": 2.0}, "cutoff: expected more than the distance of nearest neighbours in fcc"),
        ({"sigma_max": 0.01}, "sigma_max: expected a number angstrom above 0.01"),
        ({"sigma_max": np.nan}, "sigma_max: expected a finite number angstrom, found nan"),
        ({"learning_rate": np.inf}, "learning_rate: expected a finite number, found inf"),
    ],
)
def test_parameters_are_checked(metals: ice.Phases, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"Denoiser: {message}"):
        trained(metals, **changes)


def test_bad_trainings(metals: ice.Phases) -> None:
    with pytest.raises(InputError, match=r"expected Phases, found dict; for"):
        trained(dict(metals.structures))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"device: expected one that torch has here.*abacus"):
        ice.Denoiser(**SMALL).fit(metals, device="abacus")
    denoiser = ice.Denoiser(**{**SMALL, "learning_rate": 1e4})
    with pytest.raises(ComputeError, match=r"diverged at step .* learning_rate, found 1000"):
        denoiser.fit(metals, device="cpu")
    assert not hasattr(denoiser, "weights_")
