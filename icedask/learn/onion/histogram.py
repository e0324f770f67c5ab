"""Histograms that merge exactly for any blocks: bins of a power of two, aligned at zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray

# A histogram has at least half as many bins, unless its values are too close for floats.
MAX_BINS = 2**13
# Values binned at a time: a few MB.
_CACHED_VALUES = 2**18
_SMALLEST_EXPONENT = -1074


class Histogram(NamedTuple):
    """Counts in bins [k 2^exponent, (k + 1) 2^exponent) for k from `first` on.

    The exponent is the smallest with which the values fit into MAX_BINS bins. Bins of a larger
    exponent consist of whole bins of a smaller one, so that merged histograms equal the histogram
    of all values.
    """

    exponent: int
    first: int
    counts: IntArray
    # Smallest and largest value; infinite if there are none.
    low: float
    high: float

    @property
    def total(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    @property
    def centers(self) -> FloatArray:
        """The middle of each bin."""
        return np.ldexp(self.first + np.arange(len(self.counts)) + 0.5, self.exponent)


EMPTY = Histogram(_SMALLEST_EXPONENT, 0, np.zeros(0, np.int64), math.inf, -math.inf)


def histogram(values: npt.NDArray[np.floating]) -> Histogram:
    """Return the histogram of finite values, one-dimensional."""
    if not len(values):
        return EMPTY
    low, high = float(values.min()), float(values.max())
    exponent = _exponent(low, high)
    first, last = _bin(low, exponent), _bin(high, exponent)
    counts = np.zeros(last - first + 1, np.int64)
    for start in range(0, len(values), _CACHED_VALUES):
        part = values[start : start + _CACHED_VALUES].astype(np.float64)
        places = np.floor(np.ldexp(part, -exponent)).astype(np.int64) - first
        counts += np.bincount(places, minlength=len(counts))
    return Histogram(exponent, first, counts, low, high)


def merge(parts: Sequence[Histogram]) -> Histogram:
    """Return the histogram of the values of all parts."""
    parts = [part for part in parts if len(part.counts)]
    if not parts:
        return EMPTY
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    exponent = _exponent(low, high)
    first, last = _bin(low, exponent), _bin(high, exponent)
    counts = np.zeros(last - first + 1, np.int64)
    for part in parts:
        fine = part.first + np.arange(len(part.counts))
        np.add.at(counts, (fine >> min(exponent - part.exponent, 63)) - first, part.counts)
    return Histogram(exponent, first, counts, low, high)


def _bin(value: float, exponent: int) -> int:
    return math.floor(math.ldexp(value, -exponent))


def _exponent(low: float, high: float) -> int:
    """Return the smallest exponent with which [low, high] fits into MAX_BINS bins."""
    largest = max(abs(low), abs(high))
    # Bins of numbers below 2^52 only: further digits are beyond floats.
    exponent = math.frexp(largest)[1] - 52 if largest > 0 else _SMALLEST_EXPONENT
    exponent = max(exponent, _SMALLEST_EXPONENT)
    if high > low:
        exponent = max(exponent, math.frexp(high - low)[1] - MAX_BINS.bit_length())
    while _bin(high, exponent) - _bin(low, exponent) >= MAX_BINS:
        exponent += 1
    return exponent


def smooth_density(values: Histogram, points: FloatArray) -> FloatArray:
    """Return the kernel density estimate of the values at some points.

    With a Gaussian kernel and the bandwidth of Scott's rule, doi:10.1002/9780470316849, at least
    that of a bin.
    """
    filled = np.flatnonzero(values.counts)
    centers, weights = values.centers[filled], values.counts[filled] / values.total
    mean = weights @ centers
    variance = weights @ (centers - mean) ** 2 * values.total / (values.total - 1)
    bandwidth = max(math.sqrt(variance) * values.total**-0.2, math.ldexp(1, values.exponent))
    distance = (points[:, None] - centers) / bandwidth
    return np.exp(-0.5 * distance**2) @ weights / (math.sqrt(2 * math.pi) * bandwidth)
