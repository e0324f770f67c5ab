"""Frames as slices, as texts and as one index."""

from __future__ import annotations

import pytest

from icedask.core.frames import check_frames, check_slice, slice_text
from icedask.errors import InputError


@pytest.mark.parametrize(
    ("value", "expected"),
    [("3:", [3, 4]), (" :2", [0, 1]), ("::2", [0, 2, 4]), (slice(1, 3), [1, 2])],
)
def test_slices(value: object, expected: list[int]) -> None:
    for check in (check_slice, check_frames):
        assert list(range(5))[check(value, "frames")] == expected


@pytest.mark.parametrize(("value", "expected"), [("3", [3]), (-1, [4]), (0, [0]), ("-2", [3])])
def test_one_index(value: object, expected: list[int]) -> None:
    assert list(range(5))[check_frames(value, "frames")] == expected
    with pytest.raises(InputError, match="frames: expected"):
        check_slice(value, "frames")


@pytest.mark.parametrize("value", ["a:b", "1:2:3:4", "", "::-1", "::0", True, 1.5, [0, 1]])
def test_what_is_no_choice_of_frames(value: object) -> None:
    with pytest.raises(InputError, match="frames: expected"):
        check_frames(value, "frames")


def test_text_of_a_slice() -> None:
    assert slice_text(slice(9, None)) == "9:"
    assert slice_text(slice(None, 5, 2)) == ":5:2"
