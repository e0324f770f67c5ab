"""Vectors of eight numbers in compiled kernels, as explicit as the loops around them.

Numba vectorises only innermost loops, and keeps in memory what such a loop adds up, because any
two of its arrays might overlap. A `load`ed vector stays in registers:

    total = splat(0.0)
    for row in range(n):
        total = fma(load(a, row), load(b, row), total)
    store(c, 0, total)

Rows have WIDTH numbers, and are neither checked against the array's length nor counted from its
end. Every host gives the same bits: sums are in the order that is written, and a product and a sum
are rounded once, as `fma` does, only where that is asked for.

An `Emitter` writes such instructions for any width and precision: it makes these functions, and the
steps of SOAP, whose loops over lanes and degrees are unrolled while they are compiled.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

WIDTH = 8
_LLVM = ir.VectorType(ir.DoubleType(), WIDTH)
# Compiled code calls these functions with other arguments than Python: not for the type checker.
_intrinsic: Any = intrinsic


def integer(value: Any) -> Any:
    """Return a whole number as a 64-bit constant; values of the compiler pass."""
    return ir.IntType(64)(value) if isinstance(value, int) else value


def data_of(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Return the pointer to the first number of an array."""
    return context.make_array(kind)(context, builder, array).data


class Emitter:
    """Writes instructions on vectors of `width` numbers of one precision.

    Loads and stores are at most aligned to a number: arrays promise no more.
    """

    def __init__(self, builder: Any, dtype: Any = types.float64, width: int = WIDTH) -> None:
        self.builder, self.width = builder, width
        self.type = ir.VectorType(_SCALARS[dtype], width)
        self.double = ir.VectorType(ir.DoubleType(), width)

    def constant(self, value: float, kind: Any = None) -> Any:
        """Return a vector of one number that is known now."""
        return ir.Constant(kind or self.type, [value] * self.width)

    def splat(self, value: Any, kind: Any = None) -> Any:
        """Return a vector of one number that is known when the code runs."""
        kind = kind or self.type
        nothing, places = ir.Constant(kind, ir.Undefined), ir.VectorType(ir.IntType(32), kind.count)
        first = self.builder.insert_element(nothing, value, integer(0))
        return self.builder.shuffle_vector(first, nothing, ir.Constant(places, [0] * kind.count))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c, rounded once: slow, but the same, where the host has no such unit."""
        return self._call("fma", a, b, c)

    def sqrt(self, a: Any) -> Any:
        """Return the square roots."""
        return self._call("sqrt", a)

    def _call(self, name: str, *values: Any) -> Any:
        kind = values[0].type
        letter = "f32" if isinstance(kind.element, ir.FloatType) else "f64"
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(kind, [kind] * len(values)),
            f"llvm.{name}.v{kind.count}{letter}",
        )
        return self.builder.call(function, values)

    def element(self, data: Any, index: Any) -> Any:
        """Return the pointer to a number of an array."""
        return self.builder.gep(data, [integer(index)])

    def load(self, data: Any, index: Any, kind: Any = None) -> Any:
        """Return the vector that begins at a number of an array."""
        kind = kind or self.type
        return self.builder.load(self._place(data, index, kind), align=_bytes(kind.element))

    def store(self, value: Any, data: Any, index: Any) -> None:
        """Write a vector to an array, from a number on."""
        place = self._place(data, index, value.type)
        self.builder.store(value, place, align=_bytes(value.type.element))

    def _place(self, data: Any, index: Any, kind: Any) -> Any:
        return self.builder.bitcast(self.element(data, index), kind.as_pointer())

    def narrow(self, value: Any) -> Any:
        """Return doubles in the precision of the vectors."""
        return value if value.type == self.type else self.builder.fptrunc(value, self.type)


_SCALARS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


def _bytes(scalar: Any) -> int:
    return 8 if isinstance(scalar, ir.DoubleType) else 4


class Vector(types.Type):
    """The type of a vector in compiled code; Python never sees one."""

    def __init__(self) -> None:
        super().__init__(name=f"Vector{WIDTH}")


vector = Vector()


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, _LLVM)


def _has_rows(kind: Any) -> bool:
    return isinstance(kind, types.Array) and kind.dtype == types.float64 and kind.layout == "C"


def _first(builder: Any, row: Any) -> Any:
    return builder.mul(row, ir.Constant(row.type, WIDTH))


@_intrinsic
def load(typing: Any, array: Any, row: Any) -> Any:
    """Return a row of an array as a vector."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = data_of(context, builder, sig.args[0], args[0])
        return Emitter(builder).load(data, _first(builder, args[1]))

    return (vector(array, types.intp), generate) if _has_rows(array) else None


@_intrinsic
def store(typing: Any, array: Any, row: Any, value: Any) -> Any:
    """Write a vector to a row of an array."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = data_of(context, builder, sig.args[0], args[0])
        Emitter(builder).store(args[2], data, _first(builder, args[1]))
        return context.get_dummy_value()

    return (types.void(array, types.intp, vector), generate) if _has_rows(array) else None


@_intrinsic
def splat(typing: Any, number: Any) -> Any:
    """Return a vector of one number, repeated."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return Emitter(builder).splat(args[0])

    return vector(types.float64), generate


@_intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once; three vectors, or three numbers."""
    kind = vector if vector in (a, b, c) else types.float64

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(args[0].type, [args[0].type] * 3),
            f"llvm.fma.v{WIDTH}f64" if kind is vector else "llvm.fma.f64",
        )
        return builder.call(function, args)

    return kind(kind, kind, kind), generate


@_intrinsic
def total(typing: Any, value: Any) -> Any:
    """Return the sum of the lanes of a vector: of its halves, of their halves, and so on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        lanes = [builder.extract_element(args[0], integer(n)) for n in range(WIDTH)]
        while len(lanes) > 1:
            half = len(lanes) // 2
            lanes = [builder.fadd(lanes[n], lanes[n + half]) for n in range(half)]
        return lanes[0]

    return types.float64(vector), generate


def _places_of_bits() -> ir.Constant:
    """Return, for each mask of WIDTH bits, the places of its set bits, then anything."""
    kind = ir.ArrayType(ir.IntType(32), WIDTH)
    rows = []
    for mask in range(2**WIDTH):
        places = [place for place in range(WIDTH) if mask >> place & 1]
        rows.append(ir.Constant(kind, [*places, *[0] * (WIDTH - len(places))]))
    return ir.Constant(ir.ArrayType(kind, len(rows)), rows)


@_intrinsic
def list_lanes(typing: Any, value: Any, limit: Any, first: Any, target: Any, count: Any) -> Any:
    """Append first + lane to the `count` numbers in target for each lane whose value <= limit.

    Returns how many there are then. WIDTH int32 from target[count] on are overwritten.
    """

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, limit, first, target, count = args
        v = Emitter(builder)
        integers = ir.VectorType(ir.IntType(32), WIDTH)
        below = builder.fcmp_ordered("<=", value, v.splat(limit))
        mask = builder.bitcast(below, ir.IntType(WIDTH))
        name = "icedask.places_of_bits"
        table = builder.module.globals.get(name)
        if table is None:
            places = _places_of_bits()
            table = ir.GlobalVariable(builder.module, places.type, name)
            table.initializer, table.global_constant = places, True
            table.linkage, table.align = "internal", 32
        index = [integer(0), builder.zext(mask, ir.IntType(64))]
        row = builder.bitcast(builder.gep(table, index), integers.as_pointer())
        start = v.splat(builder.trunc(first, ir.IntType(32)), integers)
        lanes = builder.add(builder.load(row, align=32), start)
        v.store(lanes, data_of(context, builder, sig.args[3], target), count)
        return builder.add(count, builder.zext(builder.ctpop(mask), ir.IntType(64)))

    fits = isinstance(target, types.Array) and target.dtype == types.int32
    kind = types.intp(vector, types.float64, types.intp, target, types.intp)
    return (kind, generate) if fits else None


class _Binary(ConcreteTemplate):
    cases = [signature(vector, vector, vector)]  # noqa: RUF012


def _lowering(instruction: str) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args)

    return generate


@infer_global(operator.neg)
class _Unary(ConcreteTemplate):
    cases = [signature(vector, vector)]  # noqa: RUF012


lower_builtin(operator.neg, vector)(_lowering("fneg"))

for _operator, _generate in {
    operator.add: _lowering("fadd"),
    operator.sub: _lowering("fsub"),
    operator.mul: _lowering("fmul"),
    operator.truediv: _lowering("fdiv"),
}.items():
    infer_global(_operator)(_Binary)
    lower_builtin(_operator, vector, vector)(_generate)
