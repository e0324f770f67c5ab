"""The decision rule: the threshold between two samples, and the probabilities beside it."""

from __future__ import annotations

import numpy as np
import pytest

from icedask.phases.decision import boundary, separating_threshold


def test_boundary_is_sure_of_the_rarest() -> None:
    rng = np.random.default_rng(0)
    inside, outside = np.exp(rng.normal(0, 0.2, 5000)), np.exp(rng.normal(3, 0.2, 5000))
    limits = boundary([inside[:100], inside[100:]], [outside])
    assert inside.max() < limits.limit < outside.min()
    far = np.quantile(inside, 0.999)
    np.testing.assert_allclose(limits.outside(np.array([far, limits.limit])), [1e-3, 0.5])


def test_separating_threshold() -> None:
    assert separating_threshold(np.array([1.0]), np.array([4.0])) == pytest.approx(2.0)
    assert separating_threshold(np.array([1.0, 0.5]), np.array([100.0, 4.0, 7.0])) == pytest.approx(
        2.0
    )
    # One outlier on each side: the fewest errors are those two, or fewer.
    low, high = np.array([1.0, 2.0, 3.0, 50.0]), np.array([2.5, 10.0, 20.0, 40.0, 60.0])
    number = separating_threshold(low, high)
    assert np.mean(low > number) + np.mean(high <= number) == pytest.approx(1 / 4 + 1 / 5)
    same = np.full(5, 3.0)
    assert separating_threshold(same, same) == pytest.approx(3.0)


@pytest.mark.parametrize("seed", range(5))
def test_separating_threshold_makes_fewest_errors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = np.exp(rng.normal(0, 1, 40)), np.exp(rng.normal(1.5, 1, 70))

    def errors(number: float) -> float:
        return float(np.mean(low > number) + np.mean(high <= number))

    every = np.concatenate([low, high, [low.min() / 2]])
    assert errors(separating_threshold(low, high)) == pytest.approx(min(map(errors, every)))
