"""Conditions on columns, such as "lens > 0.3 and element == 'O'": parsed, not run as code."""

from __future__ import annotations

import ast
import difflib
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from icedask.errors import InputError

# Names of the classes of a column of labels, and the numbers that stand for them.
Classes = Mapping[str, int]

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, items: _is_in(value, items),
    ast.NotIn: lambda value, items: ~_is_in(value, items),
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
    ast.Mod: np.mod,
}
_LOGIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.BitAnd: np.logical_and,
    ast.BitOr: np.logical_or,
}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs,
    "isnan": np.isnan,
    "isfinite": np.isfinite,
}
_EXAMPLE = "\"lens > 0.3 and element == 'O'\""


def _is_in(value: Any, items: Sequence[Any]) -> Any:
    # Each at the precision of the column, as in a comparison with a number.
    return np.any([value == item for item in items], axis=0)


# A single =, as in other languages.
_ASSIGNMENT = re.compile(r"(?<![=!<>])=(?!=)")


def _is_writable(name: str) -> bool:
    """Return whether a condition can have this name of a column as it is."""
    try:
        node = ast.parse(name, mode="eval").body
    except (SyntaxError, ValueError):
        return False
    return isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and ast.unparse(node) == name


def writable_name(name: str) -> str:
    """Return the name of a column as a condition can have it, such as v_x for v-x."""
    if _is_writable(name):
        return name
    word = re.sub(r"\W", "_", name)
    return word if _is_writable(word) else f"_{word}"


def is_condition(text: str) -> bool:
    """Return whether a text compares something, as a condition on columns does."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.Compare) for node in ast.walk(tree))


class _Text(ast.Constant):
    value: str


def _is_text(node: ast.expr) -> TypeGuard[_Text]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


class Condition:
    """A condition on columns by name, checked when it is made.

    Raises InputError if the text is not understood or a name in it is not among `columns`.
    `classes` are the names of the classes of columns of labels, with which these may be compared;
    `text_columns` the columns that hold text; `remedy` ends the message for an unknown name.
    """

    def __init__(
        self,
        text: str,
        columns: Iterable[str],
        caller: str,
        *,
        classes: Mapping[str, Classes] | None = None,
        text_columns: Iterable[str] = (),
        remedy: str = "",
    ) -> None:
        self.text, self.caller = text, caller
        self._classes, self._text = dict(classes or {}), frozenset(text_columns)
        self._columns, self._remedy = tuple(filter(_is_writable, columns)), remedy
        self.names: set[str] = set()
        self._check(self._tree())

    def _tree(self) -> ast.expr:
        if not isinstance(self.text, str):
            raise InputError(
                f"{self.caller}: expected a condition such as {_EXAMPLE}, found {self.text!r}"
            )
        try:
            return ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            hint = " (== compares)" if _ASSIGNMENT.search(self.text) else ""
            raise InputError(
                f"{self.caller}: {self.text!r} is not understood{hint}; expected a condition such "
                f"as {_EXAMPLE}"
            ) from error

    def _refuse(self, what: str) -> InputError:
        return InputError(
            f"{self.caller}: {self.text!r}: {what}; expected a condition such as {_EXAMPLE}"
        )

    def _check(self, node: ast.expr) -> str:
        """Check a part of the condition; return its kind: "truth", "number" or "text"."""
        kind = self._kind(node)
        if kind != "truth":
            raise self._refuse("compares nothing")
        return kind

    def _kind(self, node: ast.expr) -> str:
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                self._check(value)
            return "truth"
        if isinstance(node, ast.UnaryOp):
            return self._kind_of_unary(node)
        if isinstance(node, ast.Compare):
            return self._kind_of_comparison(node)
        if isinstance(node, ast.BinOp) and type(node.op) in _LOGIC:
            if {self._kind(node.left), self._kind(node.right)} != {"truth"}:
                raise self._refuse(
                    f"{ast.unparse(node)!r} comes before comparisons: write and, or, or brackets "
                    "around each comparison"
                )
            return "truth"
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            return self._number(node.left, node.right)
        if isinstance(node, ast.Call):
            if not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS:
                raise self._refuse(
                    f"knows the functions {', '.join(_FUNCTIONS)} only, found "
                    f"{ast.unparse(node.func)}"
                )
            if len(node.args) != 1 or node.keywords:
                raise self._refuse(f"{node.func.id} takes one column")
            self._number(*node.args)
            return "number" if node.func.id == "abs" else "truth"
        if isinstance(node, ast.Constant):
            if isinstance(node.value, bool) or not isinstance(node.value, int | float | str):
                raise self._refuse(f"{node.value!r} is neither a number nor a text")
            return "text" if isinstance(node.value, str) else "number"
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
            return self._kind_of_column(ast.unparse(node))
        raise self._refuse(f"{ast.unparse(node)!r} has no place in it")

    def _kind_of_unary(self, node: ast.UnaryOp) -> str:
        if isinstance(node.op, ast.Not | ast.Invert):
            return self._check(node.operand)
        return self._number(node.operand)

    def _kind_of_column(self, name: str) -> str:
        if name not in self._columns:
            near = difflib.get_close_matches(name, self._columns, 1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise InputError(
                f"{self.caller}: {self.text!r}: no column {name!r}{meant}; there are "
                f"{', '.join(self._columns)}{self._remedy}"
            )
        self.names.add(name)
        return "text" if name in self._text else "number"

    def _number(self, *nodes: ast.expr) -> str:
        for node in nodes:
            if self._kind(node) != "number":
                raise self._refuse(f"{ast.unparse(node)!r} is not a number")
        return "number"

    def _kind_of_comparison(self, node: ast.Compare) -> str:
        sides = [node.left, *node.comparators]
        for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
            if type(op) not in _COMPARE:
                raise self._refuse(f"{ast.unparse(node)!r} has no place in it")
            listed = isinstance(op, ast.In | ast.NotIn)
            if listed and not (isinstance(right, ast.Tuple | ast.List | ast.Set) and right.elts):
                raise self._refuse("in takes a list, such as label in (1, 2)")
            rights = right.elts if isinstance(right, ast.Tuple | ast.List | ast.Set) else [right]
            for item in rights:
                self._check_pair(left, op, item, listed=listed)
        return "truth"

    def _check_pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr, *, listed: bool) -> None:
        if listed and not isinstance(right, ast.Constant | ast.UnaryOp):
            raise self._refuse(f"{ast.unparse(right)!r} in a list is not a number or a text")
        for side, other in ((left, right), (right, left)):
            text = ast.unparse(side) in self._text or ast.unparse(side) in self._classes
            if text and isinstance(other, ast.Name) and other.id not in self._columns:
                raise self._refuse(f"a text is written '{other.id}'")
        kinds = {self._kind(left), self._kind(right)}
        for one_side, other in ((left, right), (right, left)):
            classes = self._classes.get(ast.unparse(one_side))
            if classes is not None and _is_text(other):
                self._class_number(classes, other.value)
                kinds = {"number"}
        if len(kinds) > 1 or "truth" in kinds:
            raise self._refuse(
                f"{ast.unparse(left)} ({self._kind(left)}) and {ast.unparse(right)} "
                f"({self._kind(right)}) cannot be compared"
            )
        if kinds == {"text"} and isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
            raise self._refuse(f"{ast.unparse(left)} is text, which has no order")

    def _class_number(self, classes: Classes, name: str) -> int:
        if name not in classes:
            raise InputError(
                f"{self.caller}: {self.text!r}: no class {name!r}; there are {', '.join(classes)}"
            )
        return classes[name]

    def __call__(self, columns: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
        """Return where the condition holds, of arrays or numbers by column that fit together."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self._value(self._tree(), columns), bool)

    def _value(self, node: ast.expr, columns: Mapping[str, Any]) -> Any:
        if isinstance(node, ast.BoolOp):
            values = [self._value(value, columns) for value in node.values]
            combine = _LOGIC[ast.BitAnd if isinstance(node.op, ast.And) else ast.BitOr]
            return reduce(combine, values)
        if isinstance(node, ast.UnaryOp):
            value = self._value(node.operand, columns)
            if isinstance(node.op, ast.Not | ast.Invert):
                return np.logical_not(value)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.Compare):
            return self._compared(node, columns)
        if isinstance(node, ast.BinOp):
            combine = {**_ARITHMETIC, **_LOGIC}[type(node.op)]
            return combine(self._value(node.left, columns), self._value(node.right, columns))
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name)
            return _FUNCTIONS[node.func.id](self._value(node.args[0], columns))
        if isinstance(node, ast.Constant):
            return node.value
        return columns[ast.unparse(node)]

    def _compared(self, node: ast.Compare, columns: Mapping[str, Any]) -> Any:
        sides = [node.left, *node.comparators]
        holds: Any = True
        for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
            values = self._side(left, right, columns), self._side(right, left, columns)
            holds = np.logical_and(holds, _COMPARE[type(op)](*values))
        return holds

    def _side(self, node: ast.expr, other: ast.expr, columns: Mapping[str, Any]) -> Any:
        """Return the value of one side of a comparison; a class of the other side by number."""
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            return [self._side(item, other, columns) for item in node.elts]
        classes = self._classes.get(ast.unparse(other))
        if classes is not None and _is_text(node):
            return self._class_number(classes, node.value)
        value = self._value(node, columns)
        # Python's integers overflow where numpy's columns do not hold them.
        return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value
