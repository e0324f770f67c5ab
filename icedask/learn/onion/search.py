"""The search of Onion clustering: what it asks of the data, and what it makes of the answers.

Each question is answered in one pass over blocks of any size; the answers of blocks merge.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.errors import InputError
from icedask.learn.onion import gaussians, histogram
from icedask.learn.onion.gaussians import Gaussian
from icedask.learn.onion.histogram import Histogram

# Beyond, or below its inverse, squares leave the range of floating-point numbers.
_LARGEST = 1e150


class Answer(NamedTuple):
    """What is known of some windows: numbers of them, and the histogram of values."""

    counts: npt.NDArray[np.int64]
    values: Histogram


def merge(parts: Sequence[Answer]) -> Answer:
    """Return what is known of the windows of all parts."""
    counts = np.sum([part.counts for part in parts], axis=0)
    return Answer(counts, histogram.merge([part.values for part in parts]))


@dataclass(frozen=True)
class Layers:
    """What has been peeled off: windows that are wholly in one of some bands.

    Attributes
    ----------
    window
        Frames of a window.
    bands
        Ends of each band.
    """

    window: int
    bands: Sequence[tuple[float, float]] = ()

    def with_state(self, state: Gaussian, n_sigma: float) -> Layers:
        """Return these layers and the band of one more state."""
        width = n_sigma * state.sigma
        return Layers(self.window, (*self.bands, (state.mean - width, state.mean + width)))

    def cut(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Return the windows of (n_windows * window, n_atoms): (n_windows, window, n_atoms)."""
        return values.reshape(-1, self.window, values.shape[1])

    def hold(
        self, low: npt.NDArray[np.floating], high: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.bool_]:
        """Return which windows, of these smallest and largest values, are wholly in a band.

        Windows with NaN are in none.
        """
        result = np.zeros(low.shape, bool)
        for first, last in self.bands:
            result |= (low >= first) & (high <= last)
        return result

    def labels(
        self, values: npt.NDArray[np.floating], states: Sequence[Gaussian], n_sigma: float
    ) -> npt.NDArray[np.int32]:
        """Return the label of each window of a block (n_windows * window, n_atoms).

        A window in a band gets the state whose Gaussian is the highest at its median, unless its
        values differ by more than the width of that state's own band. The others get -1.
        """
        windows = self.cut(values)
        low, high = windows.min(axis=1), windows.max(axis=1)
        some = self.hold(low, high)
        labels = np.full(some.shape, -1, np.int32)
        if not states or not some.any():
            return labels
        medians = np.median(windows.transpose(0, 2, 1)[some], axis=1).astype(np.float64)
        nearest = np.argmax([one.at(medians) for one in states], axis=0)
        widths = 2 * n_sigma * np.array([one.sigma for one in states])
        labels[some] = np.where(high[some] - low[some] <= widths[nearest], nearest, -1)
        return labels


@dataclass(frozen=True)
class Rest:
    """The question how many windows without NaN are in no band, and with which values."""

    layers: Layers

    def answer(self, values: npt.NDArray[np.floating]) -> Answer:
        """Answer for the windows of a block (n_windows * window, n_atoms)."""
        windows = self.layers.cut(values)
        low, high = windows.min(axis=1), windows.max(axis=1)
        rest = np.isfinite(low) & np.isfinite(high) & ~self.layers.hold(low, high)
        left = windows.transpose(0, 2, 1)[rest].ravel()
        return Answer(np.array([np.count_nonzero(rest)]), histogram.histogram(left))


@dataclass(frozen=True)
class Tally:
    """The question how many windows each state has."""

    layers: Layers
    states: Sequence[Gaussian]
    n_sigma: float

    def answer(self, values: npt.NDArray[np.floating]) -> Answer:
        """Answer for the windows of a block (n_windows * window, n_atoms)."""
        labels = self.layers.labels(values, self.states, self.n_sigma)
        counts = np.bincount(labels[labels >= 0], minlength=len(self.states))
        return Answer(counts, histogram.EMPTY)


Question = Rest | Tally


class Found(NamedTuple):
    """What a search has found.

    Attributes
    ----------
    layers
        The bands of all states, in the order in which they were found.
    states
        Those that are not covered by another one, in the order of their means.
    n_windows
        Windows without NaN.
    counts
        Windows in each of the states.
    """

    layers: Layers
    states: list[Gaussian]
    n_windows: int
    counts: npt.NDArray[np.int64]

    @property
    def unclassified(self) -> float:
        """The fraction of the windows that are in no state."""
        return 1 - int(self.counts.sum()) / self.n_windows


def search(window: int, n_sigma: float, bins: int) -> Generator[Question, Answer, Found]:
    """Find the states of a series: yields questions about it, takes the answers.

    Raises
    ------
    InputError
        If there is no window without NaN, or all values are the same.
    """
    layers, found = Layers(window), list[Gaussian]()
    (n_windows,), rest = yield Rest(layers)
    if not n_windows:
        raise InputError(
            f"OnionClustering: window {window} needs {window} frames in a row with values, no atom "
            "has so many from the beginning of a window on; choose a shorter window"
        )
    if rest.low == rest.high:
        raise InputError(
            f"OnionClustering: expected values that differ, found {rest.low:g} in all windows"
        )
    spread = rest.high - rest.low
    if not 1 / _LARGEST < spread < _LARGEST:
        raise InputError(
            f"OnionClustering: expected values that differ by {1 / _LARGEST:g} to {_LARGEST:g}, "
            f"found {spread:g}; scale them"
        )
    left = n_windows
    while (state := _highest_peak(rest, bins)) is not None:
        deeper = layers.with_state(state, n_sigma)
        (now_left,), rest = yield Rest(deeper)
        if now_left == left:
            break
        found.append(state._replace(area=state.area * float(left / n_windows)))
        layers, left = deeper, now_left
    states = gaussians.distinct(found)
    while True:
        counts, _ = yield Tally(layers, states, n_sigma)
        if counts.all():
            return Found(layers, states, int(n_windows), counts)
        # Without those that have lost all their windows to others.
        states = [one for one, count in zip(states, counts, strict=True) if count]


def _highest_peak(values: Histogram, bins: int) -> Gaussian | None:
    """Return the Gaussian at the highest peak of the density of some values."""
    if not values.low < values.high:
        return None
    points = np.linspace(values.low, values.high, bins)
    return gaussians.fit_peak(points, histogram.smooth_density(values, points))
