"""The search of Onion clustering: queries to the data, and the states from their results.

Each query takes one pass over blocks of any size; the results of blocks merge.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import IntArray, LabelArray
from icedask.errors import InputError
from icedask.learn.onion import gaussians, histogram
from icedask.learn.onion.gaussians import Gaussian
from icedask.learn.onion.histogram import Histogram

# Beyond, or below its inverse, squares leave the range of floating-point numbers.
_LARGEST = 1e150


class Result(NamedTuple):
    """Result of a query: numbers of windows, and the histogram of values."""

    counts: IntArray
    values: Histogram


def merge(parts: Sequence[Result]) -> Result:
    """Merge the results of blocks."""
    counts = np.sum([part.counts for part in parts], axis=0)
    return Result(counts, histogram.merge([part.values for part in parts]))


@dataclass(frozen=True)
class Bands:
    """Ends of the bands of states; a window of frames belongs to a band that contains all of it."""

    window: int
    bands: Sequence[tuple[float, float]] = ()

    def with_state(self, state: Gaussian, n_sigma: float) -> Bands:
        """Return these bands and that of one more state."""
        width = n_sigma * state.sigma
        return Bands(self.window, (*self.bands, (state.mean - width, state.mean + width)))

    def cut(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Reshape (n_windows * window, n_atoms) to (n_windows, window, n_atoms)."""
        return values.reshape(-1, self.window, values.shape[1])

    def contain(
        self, low: npt.NDArray[np.floating], high: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.bool_]:
        """Return whether a band contains each window, by its smallest and largest value.

        Windows with NaN are in none.
        """
        result = np.zeros(low.shape, bool)
        for first, last in self.bands:
            result |= (low >= first) & (high <= last)
        return result

    def labels(
        self, values: npt.NDArray[np.floating], states: Sequence[Gaussian], n_sigma: float
    ) -> LabelArray:
        """Return the label of each window of a block (n_windows * window, n_atoms).

        A window in a band belongs to the state whose Gaussian is the highest at its median, unless
        its values differ by more than the width of that state's own band. Others get -1.
        """
        windows = self.cut(values)
        low, high = windows.min(axis=1), windows.max(axis=1)
        inside = self.contain(low, high)
        labels = np.full(inside.shape, -1, np.int32)
        if not states or not inside.any():
            return labels
        medians = np.median(windows.transpose(0, 2, 1)[inside], axis=1).astype(np.float64)
        nearest = np.argmax([state.at(medians) for state in states], axis=0)
        widths = 2 * n_sigma * np.array([state.sigma for state in states])
        labels[inside] = np.where(high[inside] - low[inside] <= widths[nearest], nearest, -1)
        return labels


@dataclass(frozen=True)
class CountUnassigned:
    """Query for the number of windows without NaN in no band, and the histogram of their values."""

    bands: Bands

    def result(self, values: npt.NDArray[np.floating]) -> Result:
        """Return the result for a block (n_windows * window, n_atoms)."""
        windows = self.bands.cut(values)
        low, high = windows.min(axis=1), windows.max(axis=1)
        left = np.isfinite(low) & np.isfinite(high) & ~self.bands.contain(low, high)
        values = windows.transpose(0, 2, 1)[left].ravel()
        return Result(np.array([np.count_nonzero(left)]), histogram.histogram(values))


@dataclass(frozen=True)
class CountStates:
    """Query for the number of windows in each state."""

    bands: Bands
    states: Sequence[Gaussian]
    n_sigma: float

    def result(self, values: npt.NDArray[np.floating]) -> Result:
        """Return the result for a block (n_windows * window, n_atoms)."""
        labels = self.bands.labels(values, self.states, self.n_sigma)
        counts = np.bincount(labels[labels >= 0], minlength=len(self.states))
        return Result(counts, histogram.EMPTY)


Query = CountUnassigned | CountStates


class States(NamedTuple):
    """States of a series.

    Bands of all states, in the order of the search; Gaussians of the states that are not covered by
    another one, in the order of their means; windows without NaN, and windows in each state.
    """

    bands: Bands
    gaussians: list[Gaussian]
    n_windows: int
    counts: IntArray

    @property
    def unclassified(self) -> float:
        """The fraction of the windows that are in no state."""
        return 1 - int(self.counts.sum()) / self.n_windows


def search(window: int, n_sigma: float, bins: int) -> Generator[Query, Result, States]:
    """Search for the states of a series: yields queries, and is sent their results."""
    bands, peaks = Bands(window), list[Gaussian]()
    (n_windows,), values = yield CountUnassigned(bands)
    if not n_windows:
        raise InputError(
            f"OnionClustering: window {window} needs {window} frames in a row with values, no atom "
            "has so many from the beginning of a window on; choose a shorter window"
        )
    if values.low == values.high:
        raise InputError(
            f"OnionClustering: expected values that differ, found {values.low:g} in all windows"
        )
    spread = values.high - values.low
    if not 1 / _LARGEST < spread < _LARGEST:
        raise InputError(
            f"OnionClustering: expected values that differ by {1 / _LARGEST:g} to {_LARGEST:g}, "
            f"found {spread:g}; scale them"
        )
    left = n_windows
    while (state := _highest_peak(values, bins)) is not None:
        wider = bands.with_state(state, n_sigma)
        (now_left,), values = yield CountUnassigned(wider)
        if now_left == left:
            break
        peaks.append(state._replace(area=state.area * float(left / n_windows)))
        bands, left = wider, now_left
    states = gaussians.distinct(peaks)
    while True:
        counts, _ = yield CountStates(bands, states, n_sigma)
        if counts.all():
            return States(bands, states, int(n_windows), counts)
        # Without states that have lost all their windows to others.
        states = [state for state, count in zip(states, counts, strict=True) if count]


def _highest_peak(values: Histogram, bins: int) -> Gaussian | None:
    """Return the Gaussian at the highest peak of the density of values."""
    if not values.low < values.high:
        return None
    points = np.linspace(values.low, values.high, bins)
    return gaussians.fit_peak(points, histogram.smooth_density(values, points))
