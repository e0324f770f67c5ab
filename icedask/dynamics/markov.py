"""Whether the dynamics of states is that of a Markov chain: the Chapman-Kolmogorov test."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import whole_number
from icedask.core.labels import added, checked_labels
from icedask.core.provenance import stamped
from icedask.core.types import FloatArray
from icedask.core.variables import FROM, LAG, TO, summary_variables
from icedask.dynamics.chain_noise import prediction_noise
from icedask.dynamics.lagged_counts import count_over_pairs, transitions_between
from icedask.dynamics.transitions import row_shares
from icedask.errors import InputError

# Standard deviations in each probability that are called noise.
_DEVIATIONS = 4.0
# Below, the mean residence is less than two lags.
_STAYS = 0.5


def markov_test(labels: xr.Dataset, *, lags: Sequence[int] = (1, 2, 4, 8)) -> xr.Dataset:
    """Test whether the states follow a Markov chain; computes, in one pass for all lags.

    The probabilities of transition of a Markov chain at the shortest lag predict those at its
    multiples, as powers of the matrix (Chapman-Kolmogorov). The test compares each row of these
    with the one that is counted, by the total variation distance: half the sum of the absolute
    differences, the part of the probability that is in the wrong states.

    Counts are finite, so that a Markov chain has an error, too. How large one it may have follows
    from the counts: only a distance above that of four standard deviations in each probability of
    the row is called an error beyond noise. Atoms count as independent of each other; where they
    change together, the noise is larger than stated. With many atoms and frames an error beyond
    noise may still be a small one: look at its size.

    Parameters
    ----------
    labels : xarray.Dataset
        label (frame, atom), int32; pairs with a negative one are left out.
    lags : sequence of int, optional
        In frames, ascending; all multiples of the first. Default (1, 2, 4, 8).

    Returns
    -------
    xarray.Dataset
        probability, predicted (lag, from, to): counted, and by the power of that at the first
        lag; rows of states without pairs are NaN, and a state that is never left for want of
        pairs counts in the powers as one that stays. row_error, row_noise (lag, from): the
        distance, and what a Markov chain stays below. error (lag): the largest of the distances.
        implied_time (lag, process): -lag / ln|eigenvalue| of the counted matrix, the slowest
        first, without the eigenvalue of 1, which is the equilibrium; in picosecond if all times
        are known and even, else in frames, as its units say. Constant from some lag on for a
        Markov chain at that lag. Attribute verdict: in words, the states for which the time
        between frames is too long, and whether the errors are beyond noise.

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
    >>> found = ice.markov_test(xr.Dataset({"label": (("frame", "atom"), label)}), lags=(1, 2))
    >>> bool((found["row_error"] <= found["row_noise"]).all())
    True
    """
    checked = _checked_lags(lags)
    longest = checked[-1]
    given = checked_labels(labels, "markov_test", span=longest, because=f"lag {longest}")
    counts, _ = count_over_pairs(
        given.blocks, partial(transitions_between, lags=checked), longest, "Markov test"
    )
    counts = added([counts, np.zeros((len(checked), given.n_named, given.n_named), np.int64)])
    if counts.shape[1] == 0:
        raise InputError("markov_test: expected labels of at least one state, found none")
    probability = row_shares(counts)
    steps = [lag // checked[0] for lag in checked]
    predicted = np.stack([_power(probability[0], step) for step in steps])
    row_error = total_variation(probability, predicted)
    noise = _DEVIATIONS / 2 * prediction_noise(counts, checked).sum(axis=2)
    row_noise = np.where(np.isfinite(row_error), noise, np.nan)
    error = np.fmax.reduce(row_error, axis=1)
    times, units = given.time_of(implied_times(probability, checked))
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
        LAG: (LAG, np.array(checked, np.int64), attrs),
        **given.states(counts.shape[1], FROM, TO),
    }
    names = [_called(state, given.names.get(state)) for state in range(counts.shape[1])]
    verdict = _verdict(checked, probability[0], row_error, row_noise, names)
    ds = xr.Dataset(variables, coords, {"verdict": verdict})
    record = given.record.child("results", "markov_test", 1, {"lags": list(checked)})
    return stamped(ds, record)


def _checked_lags(lags: Sequence[int]) -> tuple[int, ...]:
    if isinstance(lags, str) or not np.iterable(lags):
        raise InputError(f"markov_test: lags: expected whole numbers, found {lags!r}")
    found = tuple(whole_number(lag, "markov_test: lags", at_least=1) for lag in lags)
    if not found:
        raise InputError(f"markov_test: lags: expected whole numbers, found {lags!r}")
    if list(found) != sorted(set(found)) or any(lag % found[0] for lag in found):
        raise InputError(
            "markov_test: lags: expected ascending multiples of the first, for example "
            f"(1, 2, 4, 8), found {found}"
        )
    return found


def _power(probability: FloatArray, steps: int) -> FloatArray:
    """Return the power of a matrix of transitions; rows that are not known stay so."""
    known = np.isfinite(probability).all(axis=1, keepdims=True)
    whole = np.where(known, probability, np.eye(len(probability)))
    return np.where(known, np.linalg.matrix_power(whole, steps), np.nan)


def total_variation(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return half the sum of the absolute differences along the last axis."""
    return np.abs(one - other).sum(axis=-1) / 2


def implied_times(probability: FloatArray, lags: Sequence[int]) -> FloatArray:
    """Return the implied time scales in frames, (lag, process), the slowest first.

    Parameters
    ----------
    probability : (n_lags, n_states, n_states) array
    lags
        In frames.
    """
    times = np.full((len(lags), max(probability.shape[1] - 1, 0)), np.nan)
    for number, lag in enumerate(lags):
        known = np.isfinite(probability[number]).all(axis=1)
        values = np.linalg.eigvals(probability[number][np.ix_(known, known)])
        # Beyond 1 by rounding is 1: a process that never ends.
        sizes = np.minimum(np.sort(np.abs(values))[::-1][1:], 1.0)
        with np.errstate(divide="ignore"):
            times[number, : len(sizes)] = -lag / np.log(sizes)
    return times


def _called(state: int, name: str | None) -> str:
    return f"state {state}" if name is None else f"state {state} ({name})"


def _verdict(
    lags: Sequence[int],
    probability: npt.NDArray[np.float64],
    row_error: FloatArray,
    row_noise: FloatArray,
    names: Sequence[str],
) -> str:
    """Say in words what the test found."""
    said = []
    unknown = [name for name, row in zip(names, probability, strict=True) if np.isnan(row).any()]
    if unknown:
        said.append(f"nothing is known of {', '.join(unknown)}: no pairs of frames begin there")
    brief = [
        f"{name} ({stays:.2g})"
        for name, stays in zip(names, np.diagonal(probability), strict=True)
        if stays < _STAYS
    ]
    if brief:
        said.append(
            f"too long a time step for {', '.join(brief)}: less than half of the atoms (the share "
            f"in brackets) are still there after {_frames(lags[0])}, so that changes are missed; "
            "write frames more often, or begin with a shorter lag"
        )
    if len(lags) == 1 or not np.isfinite(row_error[1:]).any():
        said.append("no prediction could be compared: more lags, or more frames, are needed")
        return "; ".join(said)

    def told(number: int, state: int) -> str:
        error, noise = row_error[number, state], row_noise[number, state]
        return (
            f"{error:.2g} where noise explains {noise:.2g} ({names[state]}, lag of "
            f"{_frames(lags[number])})"
        )

    largest = f"the largest error is {told(*_place_of_largest(row_error))}"
    beyond = np.where(row_error > row_noise, row_error - row_noise, np.nan)
    if np.isfinite(beyond).any():
        said.append(f"not a Markov chain at a lag of {_frames(lags[0])}: {largest}")
        clearest = _place_of_largest(beyond)
        if clearest != _place_of_largest(row_error):
            said.append(f"furthest beyond noise is {told(*clearest)}")
    else:
        said.append(
            f"a Markov chain at a lag of {_frames(lags[0])}, as far as the counts can tell: "
            f"{largest}"
        )
    return "; ".join(said)


def _place_of_largest(values: FloatArray) -> tuple[int, int]:
    number, state = divmod(int(np.nanargmax(values)), values.shape[1])
    return number, state


def _frames(number: int) -> str:
    return f"{number} frame" + "s" * (number > 1)
