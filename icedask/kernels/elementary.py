"""Elementary functions for compiled kernels, with the same bits on every host.

The C library and NumPy choose their exponentials, sines and powers by the processor, and these
differ in the last bit. Here each is a fixed sequence of operations that are rounded once; without
branches and calls, so that loops over them run on vectors. Errors are a few units in the last
place.
"""

from __future__ import annotations

from math import factorial, sqrt
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from icedask.core.types import FloatArray
from icedask.kernels.jit import jit, jit_inline
from icedask.kernels.simd import fma

# Compiled code calls these functions with other arguments than Python: not for the type checker.
_intrinsic: Any = intrinsic

_LOG2_E = 1.4426950408889634
_LN_2, _LN_2_REST = 0.6931471805599453, 2.3190468138462996e-17
_TWO_OVER_PI = 0.6366197723675814
_HALF_PI, _HALF_PI_REST, _HALF_PI_END = (
    1.5707963267948966,
    6.123233995736766e-17,
    -1.4973849048591698e-33,
)
_ROOT_2 = sqrt(2.0)
_TAN_EIGHTH_PI = sqrt(2.0) - 1.0
# Added to a whole number, it leaves that number in the lowest bits.
_WHOLE = 1.5 * 2.0**52
_MANTISSA_BITS, _MANTISSA, _ONE_BITS = 52, 2**52 - 1, 1023 << 52
# Coefficients of the Taylor series, the last first, to the precision of doubles.
_EXP = tuple(1 / factorial(n) for n in range(13, -1, -1))
_SIN = tuple((-1) ** n / factorial(2 * n + 1) for n in range(8, -1, -1))
_COS = tuple((-1) ** n / factorial(2 * n) for n in range(8, -1, -1))
_ATAN = tuple((-1) ** n / (2 * n + 1) for n in range(20, -1, -1))
_ATANH = tuple(1 / (2 * n + 1) for n in range(11, -1, -1))


@_intrinsic
def _bits(typing: Any, value: Any) -> Any:
    """Return the bits of a double as an integer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


@_intrinsic
def _from_bits(typing: Any, bits: Any) -> Any:
    """Return the double of some bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@jit_inline
def exponential(x: float) -> float:
    """Return e^x; x is clipped to +-700, where e^x is zero or infinite for all purposes."""
    x = min(max(x, -700.0), 700.0)
    whole = np.floor(fma(x, _LOG2_E, 0.5))
    rest = fma(whole, -_LN_2_REST, fma(whole, -_LN_2, x))
    series = 0.0
    for coefficient in _EXP:
        series = fma(series, rest, coefficient)
    # Times two to the power of the whole part: added to the exponent.
    return _from_bits(_bits(series) + (_bits(whole + _WHOLE) << _MANTISSA_BITS))


@jit_inline
def logarithm(x: float) -> float:
    """Return the natural logarithm of a positive, normal number."""
    bits = _bits(x)
    exponent = (bits >> _MANTISSA_BITS) - 1023
    mantissa = _from_bits((bits & _MANTISSA) | _ONE_BITS)
    if mantissa > _ROOT_2:
        mantissa *= 0.5
        exponent += 1
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square, series = s * s, 0.0
    for coefficient in _ATANH:
        series = fma(series, square, coefficient)
    return fma(float(exponent), _LN_2, fma(float(exponent), _LN_2_REST, 2.0 * s * series))


@jit_inline
def power(base: float, exponent: float) -> float:
    """Return the power of a base that is not negative, to an exponent above zero."""
    return exponential(exponent * logarithm(base)) if base > 1e-300 else 0.0


@jit_inline
def sine_cosine(x: float) -> tuple[float, float]:
    """Return the sine and the cosine of an angle of at most some million radians."""
    quarter = np.floor(fma(x, _TWO_OVER_PI, 0.5))
    rest = fma(quarter, -_HALF_PI, x)
    rest = fma(quarter, -_HALF_PI_END, fma(quarter, -_HALF_PI_REST, rest))
    square = rest * rest
    sine, cosine = 0.0, 0.0
    for coefficient in _SIN:
        sine = fma(sine, square, coefficient)
    for coefficient in _COS:
        cosine = fma(cosine, square, coefficient)
    sine *= rest
    turns = _bits(quarter + _WHOLE)
    if turns & 1:
        sine, cosine = cosine, -sine
    return (-sine, -cosine) if turns & 2 else (sine, cosine)


@jit
def angle(y: float, x: float) -> float:
    """Return the angle of a point from the axis of x, 0 to pi; y is not negative."""
    if x != x or y != y:
        return np.nan
    width = abs(x)
    small, large = min(y, width), max(y, width)
    t = small / large if large > 0.0 else 0.0
    turned = t > _TAN_EIGHTH_PI
    if turned:
        t = (t - 1.0) / (t + 1.0)
    square, series = t * t, 0.0
    for coefficient in _ATAN:
        series = fma(series, square, coefficient)
    result = t * series
    if turned:
        result += 0.5 * _HALF_PI
    if y > width:
        result = _HALF_PI - result
    return 2.0 * _HALF_PI - result if x < 0.0 else result


@jit
def exponentials(values: FloatArray) -> FloatArray:
    """Return the exponential of each value of a vector, clipped to +-700."""
    result = np.empty_like(values)
    for i in range(len(values)):
        result[i] = exponential(values[i])
    return result


@jit
def sines_cosines(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the sine and the cosine of each angle of a vector."""
    sines, cosines = np.empty_like(values), np.empty_like(values)
    for i in range(len(values)):
        sines[i], cosines[i] = sine_cosine(values[i])
    return sines, cosines
