"""How far counts of a Markov chain are from what the counts at a shorter lag predict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from icedask.core.labels import Counts
from icedask.core.types import FloatArray


def prediction_noise(counts: Counts, lags: Sequence[int]) -> FloatArray:
    """Return the standard deviations of the counted less the predicted probabilities.

    For the chain that the counts at the first lag show, to first order in its deviations. Each
    step s of an atom, from state c to d, deviates from what was expected of it at c: by
    e[m] = P^m[d, b] - P^(m + 1)[c, b] in the probability to be in b after m more steps. The
    probability that is counted for k steps from a gathers these deviations from the steps j after
    a, with m = k - 1 - j; the prediction gathers the same deviations, but from all steps out of
    c, weighted with the probability P^j[a, c] to be there. The difference is the sum over s and j
    of e[k - 1 - j] (1[in a at s - j] / n_a - P^j[a, c] / n_c). Deviations of different steps are
    uncorrelated, so that the variance is a sum over steps, with the states before a step from the
    chain in reverse.

    Parameters
    ----------
    counts : (n_lags, n_states, n_states) array
        Pairs of frames.
    lags
        In frames; all are multiples of the first.

    Returns
    -------
    (n_lags, n_states, n_states) array
        Zero for the first lag.
    """
    n_states = counts.shape[1]
    # One pair more from each state, so that a transition that was not seen may still exist.
    flux = counts[0] + 1 / n_states
    # Intervals of several frames that overlap are taken as one.
    n_from = flux.sum(axis=1) / lags[0]
    ahead = flux / flux.sum(axis=1, keepdims=True)
    back = (flux / flux.sum(axis=0)).T
    seen = counts.sum(axis=2) / np.maximum(counts[0].sum(axis=1), 1)
    steps = [lag // lags[0] for lag in lags]
    return np.stack(
        [
            np.sqrt(_variance(ahead, back, n_from, np.clip(part, 1e-9, 1), k))
            for part, k in zip(seen, steps, strict=True)
        ]
    )


def _variance(
    ahead: FloatArray, back: FloatArray, n_from: FloatArray, part: FloatArray, k: int
) -> FloatArray:
    """Return the variance of each probability of transition in k steps.

    Parameters
    ----------
    ahead, back : (n_states, n_states) arrays
        Of the chain in time and in reverse.
    n_from : (n_states,) array
        Steps out of each state.
    part : (n_states,) array
        Of these, those that a pair of k steps begins with: the last frames begin none.
    k
        Steps.
    """
    after, before = _powers(ahead, k), [power.T for power in _powers(back, k)]
    part, n_a = part[:, None], n_from[:, None]
    # Drift: the chain in reverse is not the one in time where populations change.
    drift = [before[j] / n_a - after[j] / n_from for j in range(k)]
    variance = np.zeros(ahead.shape)
    for i in range(k):
        for j in range(i, k):
            both = before[i] * np.diagonal(before[j - i])[:, None]
            weight = (both - part * before[i] * before[j]) / (part * n_a**2) + drift[i] * drift[j]
            m, n = k - 1 - i, k - 1 - j
            spread = ahead @ (after[m] * after[n]) - after[m + 1] * after[n + 1]
            variance += (1 if i == j else 2) * (weight * n_from) @ spread
    return np.maximum(variance, 0)


def _powers(matrix: FloatArray, last: int) -> list[FloatArray]:
    powers = [np.eye(len(matrix))]
    for _ in range(last):
        powers.append(powers[-1] @ matrix)
    return powers
