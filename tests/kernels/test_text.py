"""Numbers as text: read back equal, with the fewest digits."""

from __future__ import annotations

import numpy as np
import pytest

from icedask.kernels.text import float_cells, int_cells, lines


def words(cells: tuple[np.ndarray, np.ndarray]) -> list[str]:
    return [bytes(row[:n]).decode() for row, n in zip(*cells, strict=True)]


def test_every_kind_of_float32_is_read_back_equal() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    powers = [10.0**k for k in range(-44, 39)] + [2.0**k for k in range(-149, 128)]
    near = np.array(powers, np.float32)
    near = np.concatenate(
        [near, np.nextafter(near, np.float32(0)), np.nextafter(near, np.float32(np.inf))]
    )
    values = np.concatenate([bits.view(np.float32), near, -near])
    values = values[np.isfinite(values)]
    text = words(float_cells(values, b"nan"))
    np.testing.assert_array_equal(np.array(text, float).astype(np.float32), values)
    # A reader of single precision rounds once, not twice.
    np.testing.assert_array_equal(np.array([np.float32(word) for word in text]), values)


def test_decimals_come_back_as_they_were_written() -> None:
    decimals = ["12.345", "-0.1", "0.001", "100.0", "99999.99", "1.5e-06", "-0.0", "8.25e+20"]
    assert words(float_cells(np.array(decimals, np.float32), b"nan")) == decimals


def test_what_is_no_number() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 0], np.float32)
    assert words(float_cells(values, b"nan")) == ["nan", "inf", "-inf", "0.0"]
    assert words(float_cells(values, b""))[0] == ""


@pytest.mark.parametrize("value", [0, -1, 7, -10, 10**18, 2**63 - 1, -(2**63)])
def test_integers(value: int) -> None:
    assert words(int_cells(np.array([value]))) == [str(value)]


def test_lines() -> None:
    first, second = int_cells(np.array([-1, 20])), float_cells(np.array([0.5, 3], "f4"), b"")
    assert lines([first, second], b",").tobytes() == b"-1,0.5\n20,3.0\n"
