"""Messages in the words of commands."""

from __future__ import annotations

import pytest

from icedask.cli.words import in_options
from icedask.core.text import did_you_mean

FLAGS = {"r_cut": "--r-cut", "frames": "--frames", "columns": "--column", "units": "--units"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("lens: expected one of r_cut and n", "lens: expected one of --r-cut and n"),
        ("soap: r_cut: expected a number", "soap: --r-cut: expected a number"),
        ("columns: the dump has no q", "--column: the dump has no q"),
        ("frames: none is in slice(200, None, None)", "--frames: none is in 200:"),
        ("give frames=slice(8) (--frames :8)", "give --frames :8"),
        ("give units= (--units) real or metal", "give --units real or metal"),
        ('elements={"1": "O"} or --elements 1=O', "--elements 1=O"),
        ("raise r_cut=3.5", "raise --r-cut 3.5"),
        ("slice(1, 9, 2)", "1:9:2"),
        ("expected r_cut (--r-cut) or units (--units)", "expected --r-cut or --units"),
        # Words that are no names of options.
        ("a.dump: 3 frames of other units", "a.dump: 3 frames of other units"),
        ("icedask.r_cut(x)", "icedask.r_cut(x)"),
    ],
)
def test_options_in_messages(message: str, expected: str) -> None:
    assert in_options(message, FLAGS) == expected


def test_similar_names() -> None:
    assert did_you_mean("sope", ["soap", "lens"]) == "; did you mean soap?"
    assert did_you_mean("xyz", ["soap", "lens"]) == ""
