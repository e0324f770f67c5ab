"""Multilayer perceptrons: fits to numbers and classes, and application in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from icedask.nn import mlp
from icedask.nn.mlp import apply_rows, apply_stack, fit_mlp


def test_fit_of_numbers_and_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp, "FIT_STEPS", 300)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(800, 3)).astype(np.float32)
    targets = np.stack([rows[:, 0] * rows[:, 1], rows[:, 2]], axis=1)
    options: dict[str, Any] = {"layers": (32,), "seed": 3, "description": "network"}
    weights = fit_mlp(rows, targets, 2, loss="squared", **options)
    error = apply_stack(rows, weights, "net") - targets
    assert (error**2).mean() < 0.3 * targets.var()
    again = fit_mlp(rows, targets, 2, loss="squared", **options)
    assert all(weights[name].tobytes() == again[name].tobytes() for name in weights)
    classes = (rows[:, 0] > 0).astype(np.int64) + (rows[:, 1] > 1)
    scores = apply_stack(rows, fit_mlp(rows, classes, 3, loss="classes", **options), "net")
    assert np.mean(scores.argmax(axis=1) == classes) > 0.8


def test_application_to_many_rows() -> None:
    rng = np.random.default_rng(0)
    weights = {
        "net_0_weight": rng.normal(size=(5, 4)),
        "net_0_bias": rng.normal(size=5),
        "net_10_weight": rng.normal(size=(2, 3)),
        "net_10_bias": rng.normal(size=2),
        "net_2_weight": rng.normal(size=(3, 5)),
        "net_2_bias": rng.normal(size=3),
        "other_0_weight": np.full((1, 1), np.nan),
    }
    weights = {name: weight.astype(np.float32) for name, weight in weights.items()}
    rows = rng.normal(0, 20, (5000, 4))
    rows[7] = np.nan
    before = rows.copy()
    center, scale = rng.normal(size=4), rng.uniform(1, 2, 4)
    values = (rows - center) * scale
    for number in (0, 2, 10):
        values = values @ weights[f"net_{number}_weight"].T + weights[f"net_{number}_bias"]
        if number < 10:
            values = values / (1 + np.exp(-values))
    outputs = apply_rows(rows, center, scale, weights, "net")
    np.testing.assert_allclose(outputs, values, rtol=1e-4, atol=1e-3)
    assert np.isnan(outputs).all(axis=1).tolist() == (np.arange(5000) == 7).tolist()
    assert outputs.dtype == np.float32
    np.testing.assert_array_equal(rows, before)
    assert apply_rows(rows[:0], center, scale, weights, "net").shape == (0, 2)
