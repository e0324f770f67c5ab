"""Conditions on columns: values, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from icedask.core.expressions import Condition, is_condition, writable_name
from icedask.errors import InputError

COLUMNS: dict[str, Any] = {
    "lens": np.array([0.1, 0.5, np.nan], np.float32),
    "element": np.array(["O", "H", "O"]),
    "label": np.array([0, 1, -1]),
    "c_1[2]": np.array([0.0, 1.0, 2.0]),
    "step": 5,
}


def condition(text: str) -> Condition:
    return Condition(
        text,
        COLUMNS,
        "where",
        classes={"label": {"ice": 0, "liquid": 1}},
        text_columns=["element"],
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lens > 0.3", [0, 1, 0]),
        ("lens == 0.1", [1, 0, 0]),
        ("lens in (0.1, 0.5)", [1, 1, 0]),
        ("lens > 0.05 and element == 'O'", [1, 0, 0]),
        ("0.1 < lens <= 0.5", [0, 1, 0]),
        ("label == 'ice' or label == -1", [1, 0, 1]),
        ("label != 'ice'", [0, 1, 1]),
        ("label in ('ice', 'liquid')", [1, 1, 0]),
        ("label not in [0, 1]", [0, 0, 1]),
        ("not label == 0", [0, 1, 1]),
        ("~(label == 0) & (lens < 1)", [0, 1, 0]),
        ("abs(label) == 1", [0, 1, 1]),
        ("isnan(lens)", [0, 0, 1]),
        ("c_1[2] * 2 - 1 >= 1", [0, 1, 1]),
        ("label == 10000000000000000000000000000", [0, 0, 0]),
        (" element in ('O', 'C') ", [1, 0, 1]),
    ],
)
def test_values(text: str, expected: list[int]) -> None:
    assert condition(text)(COLUMNS).tolist() == [bool(value) for value in expected]


def test_a_condition_on_the_frame_is_one_value() -> None:
    assert condition("step >= 5")(COLUMNS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lenz > 1", "no column 'lenz' .did you mean lens.*there are lens, element, label"),
        ("lens", "compares nothing"),
        ("lens = 1", "is not understood"),
        ("lens >", "is not understood"),
        ("", "is not understood"),
        ("element > 'A'", "text, which has no order"),
        ("element == 3", "cannot be compared"),
        ("label == 'vapour'", "no class 'vapour'; there are ice, liquid"),
        ("lens ** 2 > 1", "no place in it"),
        ("lens is None", "no place in it"),
        ("lens > (lambda: 1)()", "knows the functions abs, isnan, isfinite only"),
        ("__import__('os').getcwd() == 1", "knows the functions"),
        ("().__class__ == 1", "no column"),
        ("[x for x in (1, 2)] == 1", "not a number or a text|no place in it"),
        ("label in 3", "in takes a list"),
        ("label == True", "neither a number nor a text"),
        ("(" * 500 + "lens" + ")" * 500 + " > 1", "not understood"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        condition(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("z > 5", True),
        ("state == 1 and z > 5", True),
        ("element O", False),
        ("prop z > 5", False),
        ("not protein", False),
        ("protein or nucleic", False),
        ("index 0:99", False),
        ("around 5 (resid 1)", False),
        ("", False),
    ],
)
def test_what_is_a_condition_and_what_a_selection(text: str, expected: bool) -> None:
    assert is_condition(text) is expected


def test_columns_whose_names_are_no_words_have_another() -> None:
    assert [writable_name(n) for n in ("v-x", "a b", "c_1[2]", "f.x", "2d", "in")] == [
        "v_x",
        "a_b",
        "c_1[2]",
        "f.x",
        "_2d",
        "_in",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("element == O", "a text is written 'O'"),
        ("ice == label", "a text is written 'ice'"),
        ("lens = 0.3", "== compares"),
        ("lens > 0.3 & label == 1", "comes before comparisons"),
        ("label == 1 and element == 1", r"element \(text\) and 1 \(number\)"),
    ],
)
def test_a_common_slip_is_named(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        condition(text)
