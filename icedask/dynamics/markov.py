"""Chapman-Kolmogorov test of a Markov chain of states, with the noise of finite counts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
import xarray as xr

from icedask.core.collection import over_members
from icedask.core.features import whole_number
from icedask.core.labels import checked_labels, padded
from icedask.core.options import Option, takes_options
from icedask.core.provenance import stamped
from icedask.core.trajectory import check_atom_order
from icedask.core.types import FloatArray, IntArray
from icedask.core.variables import FROM, LAG, TO, summary_variables
from icedask.dynamics.lagged_counts import count_over_pairs, transitions_between
from icedask.dynamics.transitions import LABELS, row_shares
from icedask.errors import InputError

# Standard deviations of each probability that count as noise.
_DEVIATIONS = 4.0
# Smallest probability of staying: a mean residence of two lags.
_STAYS = 0.5


def _checked_lags(lags: Any, where: str) -> tuple[int, ...]:
    if isinstance(lags, str) or not np.iterable(lags):
        raise InputError(f"{where}: expected whole numbers, found {lags!r}")
    values = tuple(whole_number(lag, where, at_least=1) for lag in lags)
    if not values:
        raise InputError(f"{where}: expected whole numbers, found none")
    if list(values) != sorted(set(values)) or any(lag % values[0] for lag in values):
        raise InputError(
            f"{where}: expected ascending multiples of the first, for example (1, 2, 4, 8), found "
            f"{values}"
        )
    return values


@over_members
@takes_options(LABELS)
def markov_test(
    labels: xr.Dataset,
    *,
    lags: Annotated[
        Sequence[int],
        Option("Lags, ascending multiples of the first.", "frame", check=_checked_lags),
    ] = (1, 2, 4, 8),
) -> xr.Dataset:
    """Test whether the states follow a Markov chain; computes, in one pass for all lags.

    The transition probabilities of a Markov chain at the shortest lag predict those at its
    multiples, as powers of the matrix (Chapman-Kolmogorov). The test compares the rows of counted
    and predicted matrices by the total variation distance: half the sum of the absolute
    differences, the part of the probability that is in the wrong states.

    Counts are finite, so that a Markov chain has an error, too. Its size follows from the counts:
    only a distance above that of four standard deviations in each probability of the row is an
    error beyond noise. Atoms count as independent of each other; where they change together, the
    noise is larger than stated. With many atoms and frames an error beyond noise may still be a
    small one: look at its size.

    {parameters}

    Returns
    -------
    xarray.Dataset
        probability, predicted (lag, from, to): counted, and by the power of that at the first
        lag; rows of states without pairs are NaN, and count in the powers as states that are
        never left. row_error, row_noise (lag, from): the distance, and its upper limit for a
        Markov chain. error (lag): the largest of the distances. implied_time (lag, process):
        -lag / ln|eigenvalue| of the counted matrix, the slowest first, without the eigenvalue 1
        of the equilibrium; in picosecond if all times are known and even, else in frames, the
        unit of the variable. For a Markov chain it is constant from some lag on. Attribute
        verdict: the states for which the time between frames is too long, and whether errors are
        beyond noise.

    Raises
    ------
    InputError
        If there is no such variable, no atom has a state, the lags are not as described, or there
        are fewer frames than the longest needs.

    References
    ----------
    Prinz et al., J. Chem. Phys. 134, 174105 (2011), doi:10.1063/1.3565032;
    Swope, Pitera and Suits, J. Phys. Chem. B 108, 6571 (2004), doi:10.1021/jp037421y

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> label = np.random.default_rng(0).integers(0, 2, (50, 40)).astype("int32")
    >>> test = ice.markov_test(xr.Dataset({"label": (("frame", "atom"), label)}), lags=(1, 2))
    >>> bool((test["row_error"] <= test["row_noise"]).all())
    True
    """
    longest = lags[-1]
    check_atom_order(labels, "markov_test")
    checked = checked_labels(labels, "markov_test", span=longest, because=f"lag {longest}")
    counts, _ = count_over_pairs(
        checked.blocks, partial(transitions_between, lags=lags), longest, "Markov test"
    )
    counts = padded(counts, len(lags), checked.n_named, checked.n_named)
    if counts.shape[1] == 0:
        raise InputError("markov_test: expected labels of at least one state, found none")
    probability = row_shares(counts)
    steps = [lag // lags[0] for lag in lags]
    predicted = np.stack([_power(probability[0], step) for step in steps])
    row_error = total_variation(probability, predicted)
    noise = _DEVIATIONS / 2 * prediction_noise(counts, lags).sum(axis=2)
    row_noise = np.where(np.isfinite(row_error), noise, np.nan)
    error = np.fmax.reduce(row_error, axis=1)
    times, units = checked.time_of(implied_times(probability, lags))
    variables = summary_variables(
        "markov_test",
        units,
        probability=probability,
        predicted=predicted,
        error=error,
        row_error=row_error,
        row_noise=row_noise,
        implied_time=times,
    )
    attrs = {"long_name": "lag", "units": "frame"}
    coords = {
        LAG: (LAG, np.array(lags, np.int64), attrs),
        **checked.states(counts.shape[1], FROM, TO),
    }
    names = [_name(state, checked.names.get(state)) for state in range(counts.shape[1])]
    verdict = _verdict(lags, probability[0], row_error, row_noise, names)
    ds = xr.Dataset(variables, coords, {"verdict": verdict})
    record = checked.record.child("results", "markov_test", 1, {"lags": list(lags)})
    return stamped(ds, record)


def _power(probability: FloatArray, steps: int) -> FloatArray:
    """Return the power of a transition matrix; rows of NaN stay."""
    known = np.isfinite(probability).all(axis=1, keepdims=True)
    whole = np.where(known, probability, np.eye(len(probability)))
    return np.where(known, np.linalg.matrix_power(whole, steps), np.nan)


def total_variation(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return half the sum of the absolute differences along the last axis."""
    return np.abs(first - second).sum(axis=-1) / 2


def implied_times(probability: FloatArray, lags: Sequence[int]) -> FloatArray:
    """Return implied time scales in frames, (lag, process), the slowest first."""
    times = np.full((len(lags), max(probability.shape[1] - 1, 0)), np.nan)
    for number, lag in enumerate(lags):
        known = np.isfinite(probability[number]).all(axis=1)
        values = np.linalg.eigvals(probability[number][np.ix_(known, known)])
        # At most 1, but for rounding: a process that never ends.
        sizes = np.minimum(np.sort(np.abs(values))[::-1][1:], 1.0)
        with np.errstate(divide="ignore"):
            times[number, : len(sizes)] = -lag / np.log(sizes)
    return times


def _name(state: int, name: str | None) -> str:
    return f"state {state}" if name is None else f"state {state} ({name})"


def _verdict(
    lags: Sequence[int],
    probability: FloatArray,
    row_error: FloatArray,
    row_noise: FloatArray,
    names: Sequence[str],
) -> str:
    """Return the result of the test in words."""
    clauses = []
    unknown = [name for name, row in zip(names, probability, strict=True) if np.isnan(row).any()]
    if unknown:
        clauses.append(f"no data for {', '.join(unknown)}: no pairs of frames begin there")
    brief = [
        f"{name} ({stays:.2g})"
        for name, stays in zip(names, np.diagonal(probability), strict=True)
        if stays < _STAYS
    ]
    if brief:
        clauses.append(
            f"too long a time step for {', '.join(brief)}: less than half of the atoms (the share "
            f"in brackets) are still there after {_frames(lags[0])}, so that changes are missed; "
            "write frames more often, or begin with a shorter lag"
        )
    if len(lags) == 1 or not np.isfinite(row_error[1:]).any():
        clauses.append("no prediction could be compared: more lags, or more frames, are needed")
        return "; ".join(clauses)

    def entry(number: int, state: int) -> str:
        error, noise = row_error[number, state], row_noise[number, state]
        return (
            f"{error:.2g} where noise explains {noise:.2g} ({names[state]}, lag of "
            f"{_frames(lags[number])})"
        )

    largest = f"the largest error is {entry(*_argmax(row_error))}"
    beyond = np.where(row_error > row_noise, row_error - row_noise, np.nan)
    if np.isfinite(beyond).any():
        clauses.append(f"not a Markov chain at a lag of {_frames(lags[0])}: {largest}")
        clearest = _argmax(beyond)
        if clearest != _argmax(row_error):
            clauses.append(f"furthest beyond noise is {entry(*clearest)}")
    else:
        clauses.append(
            f"a Markov chain at a lag of {_frames(lags[0])}, within the noise of the counts: "
            f"{largest}"
        )
    return "; ".join(clauses)


def _argmax(values: FloatArray) -> tuple[int, int]:
    number, state = divmod(int(np.nanargmax(values)), values.shape[1])
    return number, state


def _frames(number: int) -> str:
    return f"{number} frame" + "s" * (number > 1)


def prediction_noise(counts: IntArray, lags: Sequence[int]) -> FloatArray:
    """Return the standard deviations of counted less predicted probabilities, (lag, from, to).

    For the chain with the counts at the first lag, to first order in its deviations. Each step s of
    an atom, from state c to d, deviates from its expectation at c: by
    e[m] = P^m[d, b] - P^(m + 1)[c, b] in the probability to be in b after m more steps. The counted
    probability of k steps from a gathers these deviations from the steps j after a, with
    m = k - 1 - j; the prediction gathers the same deviations, but from all steps out of c, weighted
    with the probability P^j[a, c] to be there. The difference is the sum over s and j of
    e[k - 1 - j] (1[in a at s - j] / n_a - P^j[a, c] / n_c). Deviations of different steps are
    uncorrelated, so that the variance is a sum over steps, with the states before a step from the
    chain in reverse.
    """
    n_states = counts.shape[1]
    # One more pair from each state, so that a transition without counts may exist.
    flux = counts[0] + 1 / n_states
    # Overlapping intervals of several frames count as one.
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

    From the matrices of the chain in time and in reverse, the number of steps out of each state,
    and the share of these that begin a pair of k steps: the last frames begin none.
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
