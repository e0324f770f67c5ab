"""Vectors of eight numbers in compiled kernels, as explicit as the loops around them.

Numba vectorises only innermost loops, and keeps in memory what such a loop adds up, because any
two of its arrays might overlap. A `load`ed vector stays in registers:

    total = splat(0.0)
    for row in range(n):
        total = total + load(a, row) * load(b, row)
    store(c, 0, total)

Rows have WIDTH numbers, and are neither checked against the array's length nor counted from its
end. A product and a sum are rounded once where the host can.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

WIDTH = 8
_LLVM = ir.VectorType(ir.DoubleType(), WIDTH)
_ITEM_BYTES = 8
# Compiled code calls these functions with other arguments than Python: not for the type checker.
_intrinsic: Any = intrinsic


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


def _pointer(context: Any, builder: Any, kind: Any, array: Any, row: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    first = builder.mul(row, ir.Constant(row.type, WIDTH))
    return builder.bitcast(builder.gep(data, [first]), _LLVM.as_pointer())


@_intrinsic
def load(typing: Any, array: Any, row: Any) -> Any:
    """Return a row of an array as a vector."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, sig.args[0], *args)
        return builder.load(pointer, align=_ITEM_BYTES)

    return (vector(array, types.intp), generate) if _has_rows(array) else None


@_intrinsic
def store(typing: Any, array: Any, row: Any, value: Any) -> Any:
    """Write a vector to a row of an array."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, sig.args[0], *args[:2])
        builder.store(args[2], pointer, align=_ITEM_BYTES)
        return context.get_dummy_value()

    return (types.void(array, types.intp, vector), generate) if _has_rows(array) else None


@_intrinsic
def splat(typing: Any, number: Any) -> Any:
    """Return a vector of one number, repeated."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _repeat(builder, args[0], _LLVM)

    return vector(types.float64), generate


def _repeat(builder: Any, number: Any, kind: Any) -> Any:
    nothing, places = ir.Constant(kind, ir.Undefined), ir.VectorType(ir.IntType(32), WIDTH)
    one = builder.insert_element(nothing, number, ir.IntType(32)(0))
    return builder.shuffle_vector(one, nothing, ir.Constant(places, [0] * WIDTH))


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
        integers = ir.VectorType(ir.IntType(32), WIDTH)
        below = builder.fcmp_ordered("<=", value, _repeat(builder, limit, _LLVM))
        mask = builder.bitcast(below, ir.IntType(WIDTH))
        name = "icedask.places_of_bits"
        table = builder.module.globals.get(name)
        if table is None:
            places = _places_of_bits()
            table = ir.GlobalVariable(builder.module, places.type, name)
            table.initializer, table.global_constant = places, True
            table.linkage, table.align = "internal", 32
        index = [ir.IntType(64)(0), builder.zext(mask, ir.IntType(64))]
        row = builder.bitcast(builder.gep(table, index), integers.as_pointer())
        start = _repeat(builder, builder.trunc(first, ir.IntType(32)), integers)
        lanes = builder.add(builder.load(row, align=32), start)
        data = context.make_array(sig.args[3])(context, builder, target).data
        place = builder.bitcast(builder.gep(data, [count]), integers.as_pointer())
        builder.store(lanes, place, align=4)
        return builder.add(count, builder.zext(builder.ctpop(mask), ir.IntType(64)))

    fits = isinstance(target, types.Array) and target.dtype == types.int32
    kind = types.intp(vector, types.float64, types.intp, target, types.intp)
    return (kind, generate) if fits else None


class _Binary(ConcreteTemplate):
    cases = [signature(vector, vector, vector)]  # noqa: RUF012


for _operator in (operator.add, operator.sub, operator.mul, operator.truediv):
    infer_global(_operator)(_Binary)


@lower_builtin(operator.add, vector, vector)
def _add(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.fadd(*args, flags=("contract",))


@lower_builtin(operator.sub, vector, vector)
def _subtract(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.fsub(*args, flags=("contract",))


@lower_builtin(operator.mul, vector, vector)
def _multiply(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.fmul(*args, flags=("contract",))


@lower_builtin(operator.truediv, vector, vector)
def _divide(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.fdiv(*args)
