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
        nothing, places = ir.Constant(_LLVM, ir.Undefined), ir.VectorType(ir.IntType(32), WIDTH)
        one = builder.insert_element(nothing, args[0], ir.IntType(32)(0))
        return builder.shuffle_vector(one, nothing, ir.Constant(places, [0] * WIDTH))

    return vector(types.float64), generate


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
