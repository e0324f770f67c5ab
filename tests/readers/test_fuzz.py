"""Mutated dumps and extended XYZ: nothing that a strict parser refuses is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.fuzz import SAMPLES, Sample, examine, mutated

# tests/benchmarks/fuzz_readers.py tries more of them, with other seeds.
SEED, COUNT = 18, 20


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.kind}-{sample.name}")
def test_good_files_are_read_as_the_strict_parser_reads_them(
    sample: Sample, tmp_path: Path
) -> None:
    assert examine(sample, sample.text, tmp_path, sample.name).verdict == "accepted by both"


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.kind}-{sample.name}")
def test_mutated_files(sample: Sample, tmp_path: Path) -> None:
    for number in range(COUNT):
        text, how = mutated(sample, SEED, number)
        outcome = examine(sample, text, tmp_path, f"{number} {how}")
        assert not outcome.wrong, outcome
