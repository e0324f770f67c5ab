"""Options of every type: what is accepted, what is refused and how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import pytest

from icedask.descriptors.contract import Descriptor, Kernel, Option, _parameters
from icedask.errors import InputError


def declared(
    trj: Any,
    *,
    averaged: Annotated[bool, Option("A switch.")] = False,
    degrees: Annotated[Sequence[int], Option("Degrees.", at_least=0)] = (4, 6),
    widths: Annotated[Sequence[float] | None, Option("Widths.", "angstrom", above=0)] = None,
) -> Kernel:
    raise NotImplementedError


def options(**given: Any) -> dict[str, Any]:
    known = _parameters(declared)
    return Descriptor("declared", "soap", 1, known, declared, declared).options(given)


def test_defaults() -> None:
    assert options() == {"averaged": False, "degrees": [4, 6], "widths": None}


def test_plain_types() -> None:
    found = options(averaged=True, degrees=(2.0, 8), widths=[1])
    assert found == {"averaged": True, "degrees": [2, 8], "widths": [1.0]}
    assert [type(v) for v in (*found["degrees"], *found["widths"])] == [int, int, float]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"averaged": 1}, "averaged: expected True or False, found 1"),
        ({"degrees": 4}, r"degrees: expected a list such as \[4, 6\], found 4"),
        ({"degrees": "46"}, r"degrees: expected a list such as \[4, 6\]"),
        ({"degrees": []}, "found an empty one"),
        ({"degrees": [4, -1]}, "degrees: expected at least 0, found -1"),
        ({"degrees": [4.5]}, "degrees: expected a whole number, found 4.5"),
        ({"widths": [1.0, 0.0]}, "widths: expected a number angstrom above 0, found 0"),
        ({"widths": [float("nan")]}, "widths: expected a finite number angstrom, found nan"),
        ({"widths": ["wide"]}, "widths: expected a number angstrom, found 'wide'"),
    ],
)
def test_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        options(**given)


def test_documentation_names_the_type_of_items() -> None:
    text = [parameter.documentation().splitlines()[0] for parameter in _parameters(declared)]
    assert text == [
        "averaged : bool, optional",
        "degrees : sequence of int, optional",
        "widths : sequence of float, angstrom, optional",
    ]
