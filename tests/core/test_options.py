"""Options of every type: accepted values, refused values and their errors."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import pytest

from icedask.core.options import Option, checked, parameters_of, takes_options
from icedask.errors import InputError


def declared(
    trj: Any,
    *,
    averaged: Annotated[bool, Option("A switch.")] = False,
    degrees: Annotated[Sequence[int], Option("Degrees.", at_least=0)] = (4, 6),
    widths: Annotated[Sequence[float] | None, Option("Widths.", "angstrom", above=0)] = None,
    peaks: Annotated[
        Sequence[
            tuple[
                Annotated[float, Option("place", "angstrom")],
                Annotated[int, Option("order", at_least=1)],
            ]
        ]
        | None,
        Option("Peaks."),
    ] = None,
) -> None:
    raise NotImplementedError


def options(**values: Any) -> dict[str, Any]:
    return checked("declared", parameters_of(declared), values)


def test_defaults() -> None:
    assert options() == {"averaged": False, "degrees": [4, 6], "widths": None, "peaks": None}


def test_plain_types() -> None:
    accepted = options(averaged=True, degrees=(2.0, 8), widths=[1], peaks=([1, 2.0], (0.5, 3)))
    assert accepted == {
        "averaged": True,
        "degrees": [2, 8],
        "widths": [1.0],
        "peaks": [(1.0, 2), (0.5, 3)],
    }
    numbers = (*accepted["degrees"], *accepted["widths"], *accepted["peaks"][0])
    assert [type(v) for v in numbers] == [int, int, float, float, int]


def test_arrays_are_lists_of_tuples() -> None:
    assert options(peaks=np.array([[1.5, 2], [0.5, 3]]))["peaks"] == [(1.5, 2), (0.5, 3)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"averaged": 1}, "averaged: expected True or False, found 1"),
        ({"degrees": 4}, r"degrees: expected a list such as \[4, 6\], found 4"),
        ({"degrees": "46"}, r"degrees: expected a list such as \[4, 6\]"),
        ({"degrees": []}, "found an empty one"),
        ({"degrees": [4, -1]}, "degrees: expected at least 0, found -1"),
        ({"degrees": [4.5]}, "degrees: expected a whole number, found 4.5"),
        ({"widths": [1.0, 0.0]}, "widths: expected a number angstrom above 0, found 0"),
        ({"widths": [float("nan")]}, "widths: expected a finite number angstrom, found nan"),
        ({"widths": [10**400]}, "widths: expected a number angstrom from 1e-15 to 1e.15 in size"),
        ({"widths": [1e-200]}, "found 1e-200"),
        ({"widths": [np.complex128(1)]}, "widths: expected a number angstrom, found"),
        ({"widths": np.array(3.0)}, r"widths: expected a list such as \[0.5, 1.0\], found"),
        ({"widths": ["wide"]}, "widths: expected a number angstrom, found 'wide'"),
        ({"peaks": 1.0}, r"peaks: expected a list such as \[\(place, order\), ...\], found 1.0"),
        ({"peaks": (1.0, 2)}, r"peaks: expected a list of \(place, order\), found 1.0 in it"),
        ({"peaks": [(1.0, 2, 3)]}, r"expected a list of \(place, order\), found \(1.0, 2, 3\)"),
        ({"peaks": ["12"]}, r"expected a list of \(place, order\), found '12'"),
        ({"peaks": []}, "found an empty one"),
        ({"peaks": [(1.0, 2.5)]}, "peaks: order: expected a whole number, found 2.5"),
        ({"peaks": [(1.0, 2), (1.0, 0)]}, "peaks: order: expected at least 1, found 0"),
        ({"peaks": [(float("inf"), 2)]}, "peaks: place: expected a finite number angstrom"),
    ],
)
def test_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        options(**values)


def test_documentation_names_the_type_of_items() -> None:
    text = [parameter.documentation().splitlines()[0] for parameter in parameters_of(declared)]
    assert text == [
        "averaged : bool, optional",
        "degrees : sequence of int, optional",
        "widths : sequence of float, angstrom, optional",
        "peaks : sequence of (place, order), optional",
    ]
    assert parameters_of(declared)[-1].documentation().endswith("Peaks. Units: place angstrom.")


@takes_options("x : float\n    Number.")
def scaled(
    x: float, *, factor: Annotated[int, Option("Factor.", at_least=1)] = 2, offset: float = 0.0
) -> float:
    """Scale a number.

    {parameters}
    """
    assert type(factor) is int
    return factor * x + offset


def test_a_function_checks_and_documents_its_options() -> None:
    assert scaled(3.0) == 6.0
    assert scaled(x=3.0, factor=np.int64(4), offset=1.0) == 13.0
    with pytest.raises(InputError, match="scaled: factor: expected at least 1, found 0"):
        scaled(3.0, factor=0)
    with pytest.raises(TypeError, match="unexpected keyword"):
        scaled(3.0, other=1)  # type: ignore[call-arg]
    assert "    Number.\nfactor : int, optional\n    Factor. Default 2." in str(scaled.__doc__)
    assert "factor: 'int' = 2" in str(inspect.signature(scaled))


def test_long_helps_are_wrapped() -> None:
    (parameter, *_) = parameters_of(declared)
    option = dataclasses.replace(parameter.option, help="Many words. " * 20)
    lines = dataclasses.replace(parameter, option=option).documentation().splitlines()
    assert max(map(len, lines)) <= 96
    assert all(line.startswith("    ") for line in lines[1:])
