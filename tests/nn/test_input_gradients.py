"""Integrated gradients by backpropagation in numpy, against torch's autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from icedask.nn import input_gradients
from icedask.nn.ensemble import Ensemble
from icedask.nn.input_gradients import integrate
from icedask.nn.torch_utils import arrays_of, stack


def ensemble(activation: Any, layers: tuple[int, ...], n: int = 2) -> tuple[Ensemble, list[Any]]:
    """Networks of five features and four classes, with large weights, and the same in torch."""
    rng = np.random.default_rng(1)
    networks, weights = [], {}
    for number in range(n):
        torch.manual_seed(number)
        network = stack([5, *layers, 4], activation)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(2.0)
        weights |= arrays_of(network, f"network_{number}_")
        networks.append(network.double())
    center, scale = rng.normal(size=5), rng.uniform(0.5, 2, 5)
    scale[2] = 0
    return Ensemble(center, scale, weights, activation, n, 1.7), networks


def by_torch(
    model: Ensemble, networks: list[Any], rows: np.ndarray, baseline: np.ndarray, output: str
) -> tuple[np.ndarray, np.ndarray]:
    """Integrated gradients of all classes by 400 steps of the midpoint rule."""

    def answer(places: torch.Tensor) -> torch.Tensor:
        inputs = (places - torch.from_numpy(model.center)) * torch.from_numpy(model.scale)
        logits = torch.stack([network(inputs) for network in networks])
        if output == "logit":
            return logits.mean(0)
        return torch.softmax(logits / model.temperature, dim=2).mean(0)

    steps = 400
    values = np.empty((len(rows), 4, 5))
    for number, row in enumerate(rows):
        fractions = (torch.arange(steps, dtype=torch.float64)[:, None] + 0.5) / steps
        shift = torch.from_numpy(row - baseline)
        places = (torch.from_numpy(baseline) + fractions * shift).requires_grad_()
        for kind in range(4):
            (gradient,) = torch.autograd.grad(answer(places)[:, kind].sum(), places)
            values[number, kind] = (gradient.mean(0) * shift).numpy()
    with torch.no_grad():
        ends = answer(torch.from_numpy(rows)) - answer(torch.from_numpy(baseline[None]))
    return values, ends.numpy()


@pytest.mark.parametrize("output", ["logit", "probability"])
@pytest.mark.parametrize(("activation", "layers"), [("tanh", (9, 7)), ("silu", (6,)), ("tanh", ())])
def test_attributions_are_those_of_autograd(
    activation: Any, layers: tuple[int, ...], output: Any
) -> None:
    model, networks = ensemble(activation, layers)
    rng = np.random.default_rng(0)
    rows, baseline = rng.normal(size=(2, 5)), rng.normal(size=5)
    targets = np.broadcast_to(np.arange(4), (2, 4))
    values, error = integrate(model, rows, baseline, targets, 64, output)
    expected, ends = by_torch(model, networks, rows, baseline, output)
    np.testing.assert_allclose(values, expected, atol=1e-4)
    np.testing.assert_allclose(values.sum(axis=2) - ends, error, atol=1e-9)
    assert np.abs(error).max() < 1e-6
    assert (values[:, :, 2] == 0).all()


def test_batches_and_single_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = ensemble("tanh", (9, 7))
    rng = np.random.default_rng(0)
    rows, baseline = rng.normal(size=(11, 5)), np.zeros(5)
    whole = integrate(model, rows, baseline, np.tile(np.arange(4), (11, 1)), 20, "logit")
    own = rng.integers(0, 4, 11)
    monkeypatch.setattr(input_gradients, "_BATCH_BYTES", 1)
    single = integrate(model, rows, baseline, own[:, None], 20, "logit")
    np.testing.assert_allclose(single.values[:, 0], whole.values[np.arange(11), own], rtol=1e-12)
    assert integrate(model, rows[:0], baseline, own[:0, None], 20, "logit").values.shape == (
        0,
        1,
        5,
    )


def test_few_steps_are_known_by_their_error() -> None:
    model, _ = ensemble("tanh", (9, 7))
    rows = np.random.default_rng(0).normal(0, 5, (20, 5))
    targets = np.zeros((20, 1), int)
    errors = [
        float(np.abs(integrate(model, rows, np.zeros(5), targets, steps, "logit").error).max())
        for steps in (2, 16, 128)
    ]
    assert errors[0] > 0.1
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 1e-4
