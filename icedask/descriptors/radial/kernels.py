"""The loops of the radial structure functions."""

from __future__ import annotations

import numpy as np

from icedask.core.types import FloatArray, IntArray
from icedask.kernels.cells import Bins
from icedask.kernels.jit import jit
from icedask.kernels.simd import WIDTH, fma, load, splat, total


@jit
def distances_within(
    bins: Bins, own: IntArray, center: int, place: FloatArray, reach: float, near: FloatArray
) -> int:
    """List the distances from a centre to the other points within reach; return how many."""
    first, last = np.empty(3, np.int64), np.empty(3, np.int64)
    for axis in range(3):
        low, end = bins.low[axis], bins.shape[axis] - 1
        first[axis] = min(max(int((place[axis] - reach - low) / bins.edge), 0), end)
        last[axis] = min(max(int((place[axis] + reach - low) / bins.edge), 0), end)
    n = 0
    for x in range(first[0], last[0] + 1):
        for y in range(first[1], last[1] + 1):
            row = (x * bins.shape[1] + y) * bins.shape[2]
            for point in range(bins.starts[0, row + first[2]], bins.starts[0, row + last[2] + 1]):
                square = 0.0
                for axis in range(3):
                    square += (bins.points[axis, point] - place[axis]) ** 2
                # What is not counted is overwritten by the next.
                near[n] = np.sqrt(square)
                n += (square <= reach * reach) & (own[bins.order[point]] != center)
    return n


@jit
def gaussian_sum(offsets: FloatArray, n_vectors: int, center: float) -> float:
    """Return the sum of exp(-x^2 / 2) over x = offset - center.

    The exponential is 1 / p^32 with p = exp(x^2 / 64) by its series, exact to 1e-11. All terms of
    the series are positive: no x needs a branch, not even infinity.
    """
    unit, sums = splat(1.0), splat(0.0)
    for vector in range(n_vectors):
        x = load(offsets, vector) - splat(center)
        y = x * x * splat(1 / 64)
        p = fma(y, splat(1 / 5040), splat(1 / 720))
        p = fma(p, y, splat(1 / 120))
        p = fma(p, y, splat(1 / 24))
        p = fma(p, y, splat(1 / 6))
        p = fma(p, y, splat(1 / 2))
        p = fma(fma(p, y, unit), y, unit)
        p2 = p * p
        p4 = p2 * p2
        p8 = p4 * p4
        p16 = p8 * p8
        sums = sums + unit / (p16 * p16)
    return total(sums)


@jit
def gaussian_sums(
    bins: Bins,
    own: IntArray,
    centers: IntArray,
    places: FloatArray,
    reach: FloatArray,
    means: FloatArray,
    mu: FloatArray,
    sigma: float,
    window: tuple[float, float],
) -> FloatArray:
    """Return the sum of Gaussians over the neighbours, (n_centers, n_means, n_mu).

    No distance is longer than `reach` of the centre; 0 where a mean is NaN. Distances over sigma
    times the mean that are outside the window add nothing.
    """
    result = np.empty((len(means), means.shape[1], len(mu)))
    size = len(bins.order) + WIDTH
    near, scaled = np.empty(size), np.empty(size)
    for row in range(len(means)):
        n_near = distances_within(bins, own, centers[row], places[row], reach[row], near)
        for number in range(means.shape[1]):
            unit = means[row, number] * sigma
            n = 0
            for neighbor in range(n_near):
                scaled[n] = near[neighbor] / unit
                n += (scaled[n] > window[0]) & (scaled[n] < window[1])
            n_vectors = -(-n // WIDTH)
            scaled[n : n_vectors * WIDTH] = np.inf
            for column in range(len(mu)):
                center = mu[column] / sigma
                result[row, number, column] = gaussian_sum(scaled, n_vectors, center)
    return result
