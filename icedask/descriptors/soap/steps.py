"""The steps of the SOAP kernel in explicit vectors.

Compilers do not keep the accumulators of these loops in registers by themselves. Radial functions
are the lanes of the contraction, neighbours the lanes of the harmonics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import float32, types
from numba.core import cgutils
from numba.extending import intrinsic

from icedask.kernels.simd import Emitter, data_of, integer

# Neighbours that are expanded together: their radial functions and harmonics stay in the L1 cache.
BLOCK = 32
# Off the powers of two, where rows of harmonics would compete for the same cache lines.
STRIDE = BLOCK + 8
VECTOR_BYTES = 32
# Of the 16; with more in use the compiler's schedule spills them.
_REGISTERS = 12


def _emitter(builder: ir.IRBuilder, dtype: Any) -> Emitter:
    return Emitter(builder, dtype, VECTOR_BYTES // (4 if dtype == float32 else 8))


def _groups(rows: Sequence[tuple[int, int]], lanes: int) -> list[list[tuple[int, int]]]:
    """Split rows (degree, place) into groups whose sums and vectors fit into the registers.

    Rows of several low degrees share a group: enough sums at a time to hide the latency of one.
    """
    groups: list[list[tuple[int, int]]] = []
    for row in rows:
        degrees = {degree for degree, _ in groups[-1]} | {row[0]} if groups else set()
        if not groups or lanes * (len(groups[-1]) + 1 + len(degrees)) + 1 > _REGISTERS:
            groups.append([])
        groups[-1].append(row)
    return groups


def _multiply(
    v: Emitter,
    lanes: int,
    rows: Sequence[tuple[int, int]],
    count: ir.Value,
    left: Callable[[int, ir.Value], ir.Value],
    right: Callable[[int, int, ir.Value], ir.Value],
    start: Callable[[int, int], ir.Value],
    finish: Callable[[int, int, ir.Value], None],
) -> None:
    """Emit, for rows (degree, place), the products of a matrix with the matrix of the degree.

    finish(place, lane, start(place, lane) + sum_k left(place, k) right(degree, lane, k)).
    """
    builder = v.builder
    for group in _groups(rows, lanes):
        sums = {}
        for _, place in group:
            for lane in range(lanes):
                sums[place, lane] = cgutils.alloca_once(builder, v.type)
                builder.store(start(place, lane), sums[place, lane])
        with cgutils.for_range(builder, count) as loop:
            vectors = {
                (degree, lane): right(degree, lane, loop.index)
                for degree in dict.fromkeys(degree for degree, _ in group)
                for lane in range(lanes)
            }
            for degree, place in group:
                factor = v.splat(left(place, loop.index))
                for lane in range(lanes):
                    total = builder.load(sums[place, lane])
                    total = v.fma(factor, vectors[degree, lane], total)
                    builder.store(total, sums[place, lane])
        for (place, lane), total in sums.items():
            finish(place, lane, builder.load(total))


@intrinsic
def expand(
    typing: Any,
    vectors: Any,
    knots_at: Any,
    ylm: Any,
    weights: Any,
    knots: Any,
    j: Any,
    degrees: Any,
) -> Any:
    """Harmonics and places in the radial table of the neighbours j, j + 1, ...

    vectors : (4 * BLOCK,) float64: x, y, z and squared distances. knots_at : two numbers, see
    `soap_basis.radial_table`. ylm : ((l_max + 1)^2 * STRIDE,).
    weights : (4 * BLOCK,) of the Hermite polynomials. knots : (BLOCK,) int32.
    """
    signature = types.void(vectors, knots_at, ylm, weights, knots, j, degrees)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        v = _emitter(builder, kinds[2].dtype)
        source, out, hermite, place = (
            data_of(context, builder, kinds[n], arguments[n]) for n in (0, 2, 3, 4)
        )
        j = arguments[5]

        def at(offset: int) -> ir.Value:
            return builder.add(j, integer(offset))

        x, y, z, squared = (v.load(source, at(n * BLOCK), v.double) for n in range(4))
        unity = v.constant(1.0, v.double)
        r = v.sqrt(squared)
        per_angstrom, bend = (
            v.splat(builder.extract_value(arguments[1], n), v.double) for n in range(2)
        )
        straight = builder.fmul(builder.fmul(r, per_angstrom), v.fma(builder.fneg(bend), r, unity))
        _hermite_weights(v, straight, hermite, place, at)
        length, nothing = v.narrow(r), v.constant(0.0)
        inverse = builder.fdiv(v.constant(1.0), length)
        inverse = builder.select(builder.fcmp_ordered(">", length, nothing), inverse, nothing)
        unit = [builder.fmul(v.narrow(part), inverse) for part in (x, y, z)]
        for row, value in enumerate(_harmonics(v, unit, kinds[6].count - 1)):
            v.store(value, out, at(row * STRIDE))
        return context.get_dummy_value()

    return signature, generate


def _hermite_weights(
    v: Emitter, place: ir.Value, weights: ir.Value, knots: ir.Value, at: Callable[[int], ir.Value]
) -> None:
    """Store the knot below each place, and the weights of values and slopes at it and above."""
    builder = v.builder
    knot = builder.fptosi(place, ir.VectorType(ir.IntType(32), v.width))
    v.store(knot, knots, at(0))
    u = v.narrow(builder.fsub(place, builder.sitofp(knot, v.double)))
    unit, two = v.constant(1.0), v.constant(2.0)
    left = builder.fsub(unit, u)
    u2, left2 = builder.fmul(u, u), builder.fmul(left, left)
    polynomials = (
        builder.fmul(v.fma(two, u, unit), left2),
        builder.fmul(u, left2),
        builder.fmul(v.fma(two, left, unit), u2),
        builder.fneg(builder.fmul(left, u2)),
    )
    for number, value in enumerate(polynomials):
        v.store(value, weights, at(number * BLOCK))


@lru_cache(maxsize=16)
def harmonic_norms(l_max: int) -> npt.NDArray[np.float64]:
    """Return the factors that make the harmonics of `_harmonics` orthonormal, ((l_max + 1)^2,)."""
    norms = np.empty((l_max + 1) ** 2)
    diagonal = np.sqrt(1 / (4 * np.pi))
    for m in range(l_max + 1):
        if m:
            diagonal *= np.sqrt((2 * m + 1) / (2 * m)) * (np.sqrt(2) if m == 1 else 1)
        norm = diagonal
        for degree in range(m, l_max + 1):
            norm *= _rise(degree, m) if degree > m else 1.0
            norms[degree**2 + max(2 * m - 1, 0)] = norms[degree**2 + 2 * m] = norm
    return norms


def _rise(degree: int, m: int) -> float:
    """Return the factor of z in the recurrence of normalised Legendre functions."""
    return float(np.sqrt((4 * degree**2 - 1) / (degree**2 - m**2)))


def _harmonics(v: Emitter, unit: Sequence[ir.Value], l_max: int) -> list[ir.Value]:
    """Return the real harmonics up to their norms; degree l has the places l^2 to (l + 1)^2.

    Recurrences in l of Legendre functions with leading coefficient one, without their factor
    sin^m, which goes with the cosines and sines of m phi. Norms are left to the sums: they are
    the same for all neighbours. Signs are of no consequence.
    """
    builder = v.builder
    x, y, z = unit
    result: list[Any] = [None] * (l_max + 1) ** 2
    cosine, sine = v.constant(1.0), v.constant(0.0)
    for m in range(l_max + 1):
        if m:
            cosine, sine = (
                builder.fsub(builder.fmul(x, cosine), builder.fmul(y, sine)),
                v.fma(y, cosine, builder.fmul(x, sine)),
            )
        last, legendre = v.constant(0.0), v.constant(1.0)
        for degree in range(m, l_max + 1):
            if degree > m:
                step = builder.fmul(z, legendre) if degree > m + 1 else z
                if degree > m + 1:
                    step = v.fma(v.constant(-1 / _rise(degree - 1, m) ** 2), last, step)
                last, legendre = legendre, step
            first = degree**2
            if m == 0:
                result[first] = legendre
            elif degree == m:
                result[first + 2 * m - 1], result[first + 2 * m] = cosine, sine
            else:
                result[first + 2 * m - 1] = builder.fmul(legendre, cosine)
                result[first + 2 * m] = builder.fmul(legendre, sine)
    return result


@intrinsic
def radial_values(
    typing: Any,
    table: Any,
    weights: Any,
    knots: Any,
    count: Any,
    out: Any,
    degrees: Any,
    lanes: Any,
) -> Any:
    """Radial functions of the first `count` neighbours, out[degree, neighbour, n].

    table : (n_knots * (l_max + 1) * 2 * n_padded,). out : ((l_max + 1) * BLOCK * n_padded,).
    """
    signature = types.void(table, weights, knots, count, out, degrees, lanes)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        v = _emitter(builder, kinds[0].dtype)
        source, hermite, place, target = (
            data_of(context, builder, kinds[n], arguments[n]) for n in (0, 1, 2, 4)
        )
        n_degrees, n_lanes = kinds[5].count, kinds[6].count
        row = n_lanes * v.width
        step = n_degrees * 2 * row
        with cgutils.for_range(builder, arguments[3]) as loop:
            j = loop.index
            factors = [
                v.splat(builder.load(v.element(hermite, builder.add(j, integer(n * BLOCK)))))
                for n in range(4)
            ]
            knot = builder.sext(builder.load(v.element(place, j)), ir.IntType(64))
            begin = v.element(source, builder.mul(knot, integer(step)))
            end = v.element(target, builder.mul(j, integer(row)))
            for degree in range(n_degrees):
                for lane in range(n_lanes):
                    at = degree * 2 * row + lane * v.width
                    value = builder.fmul(factors[0], v.load(begin, at))
                    value = v.fma(factors[1], v.load(begin, at + row), value)
                    value = v.fma(factors[2], v.load(begin, at + step), value)
                    value = v.fma(factors[3], v.load(begin, at + step + row), value)
                    v.store(value, end, degree * BLOCK * row + lane * v.width)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def contract(
    typing: Any,
    ylm: Any,
    radial: Any,
    count: Any,
    coefficients: Any,
    first: Any,
    degrees: Any,
    lanes: Any,
) -> Any:
    """Add the sum over neighbours of Y_lm R_ln to coefficients[first + (l m, n)]."""
    signature = types.void(ylm, radial, count, coefficients, first, degrees, lanes)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        v = _emitter(builder, kinds[0].dtype)
        harmonics, functions, total = (
            data_of(context, builder, kinds[n], arguments[n]) for n in (0, 1, 3)
        )
        total = v.element(total, arguments[4])
        n_lanes = kinds[6].count
        row = n_lanes * v.width

        def left(place: int, j: ir.Value) -> ir.Value:
            return builder.load(v.element(v.element(harmonics, place * STRIDE), j))

        def right(degree: int, lane: int, j: ir.Value) -> ir.Value:
            begin = v.element(functions, degree * BLOCK * row + lane * v.width)
            return v.load(begin, builder.mul(j, integer(row)))

        def start(place: int, lane: int) -> ir.Value:
            return v.load(total, place * row + lane * v.width)

        def finish(place: int, lane: int, value: ir.Value) -> None:
            v.store(value, total, place * row + lane * v.width)

        rows = [
            (degree, place)
            for degree in range(kinds[5].count)
            for place in range(degree**2, (degree + 1) ** 2)
        ]
        _multiply(v, n_lanes, rows, arguments[2], left, right, start, finish)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def spectrum(
    typing: Any, coefficients: Any, a: Any, b: Any, out: Any, degrees: Any, lanes: Any
) -> Any:
    """Store the sum over m of c_nlm c_n'lm, out[l, n, n'], of the species that begin at a and b."""
    signature = types.void(coefficients, a, b, out, degrees, lanes)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        v = _emitter(builder, kinds[0].dtype)
        source, target = (data_of(context, builder, kinds[n], arguments[n]) for n in (0, 3))
        first, second = (v.element(source, arguments[n]) for n in (1, 2))
        n_lanes = kinds[5].count
        row = n_lanes * v.width
        zero = v.constant(0.0)
        for degree in range(kinds[4].count):

            def left(n: int, m: ir.Value, degree: int = degree) -> ir.Value:
                begin = v.element(first, degree**2 * row + n)
                return builder.load(v.element(begin, builder.mul(m, integer(row))))

            def right(degree: int, lane: int, m: ir.Value) -> ir.Value:
                begin = v.element(second, degree**2 * row + lane * v.width)
                return v.load(begin, builder.mul(m, integer(row)))

            def finish(n: int, lane: int, value: ir.Value, degree: int = degree) -> None:
                v.store(value, target, (degree * row + n) * row + lane * v.width)

            rows = [(degree, n) for n in range(row)]
            orders = integer(2 * degree + 1)
            _multiply(v, n_lanes, rows, orders, left, right, lambda n, lane: zero, finish)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def copy_run(typing: Any, source: Any, begin: Any, target: Any, end: Any, lanes: Any) -> Any:
    """Copy source[begin:] to target[end:], as many numbers as the lanes hold."""
    signature = types.void(source, begin, target, end, lanes)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        v = _emitter(builder, kinds[0].dtype)
        there, here = (
            v.element(data_of(context, builder, kinds[n], arguments[n]), arguments[n + 1])
            for n in (0, 2)
        )
        for lane in range(kinds[4].count):
            v.store(v.load(there, lane * v.width), here, lane * v.width)
        return context.get_dummy_value()

    return signature, generate
