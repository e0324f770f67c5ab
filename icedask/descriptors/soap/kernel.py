"""SOAP in one fused pass per centre: neighbours, radial functions, harmonics, power spectrum."""

from __future__ import annotations

import numpy as np

from icedask.descriptors.soap.steps import (
    BLOCK,
    contract,
    copy_run,
    expand,
    radial_values,
    spectrum,
)
from icedask.kernels.cells import gather, within
from icedask.kernels.jit import jit


@jit
def _load_block(xs, ys, zs, squared, near, x, y, z, vectors):  # type: ignore[no-untyped-def]
    """Copy the vectors to the neighbours that `near` lists, at most BLOCK."""
    for j in range(len(near)):
        point = np.uint64(near[j])
        vectors[j] = xs[point] - x
        vectors[BLOCK + j] = ys[point] - y
        vectors[2 * BLOCK + j] = zs[point] - z
        vectors[3 * BLOCK + j] = squared[point]


@jit
def power_spectra(  # type: ignore[no-untyped-def]
    bins, centers, reach, table, knots_at, norms, scratch, coefficients, square, pairs, runs,
    degrees, lanes, width, out,
):  # fmt: skip
    """Fill out (n_centers, n_components); `soap_cells.power_spectrum` makes the arguments."""
    points, places, squared, near, vectors, knots, ylm, radial, weights, line = scratch
    center_start, center_order = bins.center_start, bins.center_order
    n_species = len(bins.starts)
    size = len(coefficients) // n_species
    square_size = len(degrees) * (len(lanes) * width) ** 2
    ends = np.zeros(n_species + 1, np.int64)
    for home in range(len(center_start) - 1):
        if center_start[home] == center_start[home + 1]:
            continue
        for species in range(n_species):
            n_points = gather(bins, species, home, reach, points, places, ends[species])
            ends[species + 1] = n_points
        for member in range(center_start[home], center_start[home + 1]):
            center = center_order[member]
            x, y, z = centers[center, 0], centers[center, 1], centers[center, 2]
            coefficients[:] = 0
            for species in range(n_species):
                these = slice(ends[species], ends[species + 1])
                xs, ys, zs = points[0, these], points[1, these], points[2, these]
                count = within(xs, ys, zs, x, y, z, reach * reach, squared, near)
                for begin in range(0, count, BLOCK):
                    block = min(BLOCK, count - begin)
                    part = near[begin : begin + block]
                    _load_block(xs, ys, zs, squared, part, x, y, z, vectors)
                    for j in range(0, block, width):
                        expand(vectors, knots_at, ylm, weights, knots, j, degrees)
                    radial_values(table, weights, knots, block, radial, degrees, lanes)
                    contract(ylm, radial, block, coefficients, species * size, degrees, lanes)
            for number in range(len(coefficients)):
                coefficients[number] *= norms[number]
            for pair in range(len(pairs)):
                a, b = pairs[pair, 0] * size, pairs[pair, 1] * size
                spectrum(coefficients, a, b, square[pair * square_size :], degrees, lanes)
            # Each run overwrites what the one before has copied too much.
            for run in range(len(runs)):
                copy_run(square, runs[run, 0], line, runs[run, 1], lanes)
            row = out[center]
            for component in range(len(row)):
                row[component] = line[component]
