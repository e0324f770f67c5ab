"""Stages and segments: every step and frame once, the same on any machine."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from icedask.errors import InputError
from icedask.simulate.stages import (
    Dynamics,
    Minimise,
    Shear,
    Stage,
    check_stages,
    count_frames,
    cut,
    steps,
)

STAGES: Sequence[Stage] = (
    Minimise(),
    Dynamics("melt", 1_234, temperature=300.0),
    Dynamics("keep", 50_000, temperature=300.0, temperature_end=200.0, every=700),
    Shear("shear", cycles=7, steps=300, temperature=80.0, pressure=1.0),
    Dynamics("more", 9_000, temperature=200.0, pressure=1.0, pressure_end=11.0, every=3_000),
)


@pytest.mark.parametrize("longest", [100, 1_300, 2_900, 10**9])
def test_segments_cover_every_step_and_frame_once(longest: int) -> None:
    segments = cut(STAGES, longest, timestep=4.0)
    dynamics = [part.steps for part in segments if not isinstance(STAGES[part.stage], Shear)]
    assert max(dynamics) <= longest
    assert [segment.index for segment in segments] == list(range(len(segments)))
    for number, stage in enumerate(STAGES):
        own = [segment for segment in segments if segment.stage == number]
        covered = [range(part.start, part.start + part.steps) for part in own]
        assert [step for part in covered for step in part] == list(range(steps(stage)))
        every = getattr(stage, "every", 0)
        frames = [step for part in own for step in part.frames]
        assert frames == (list(range(every, steps(stage) + 1, every)) if every else [])
        for part in own:
            assert all(part.start < step <= part.start + part.steps for step in part.frames)
    firsts = [segment.first_frame for segment in segments]
    counts = [len(segment.frames) for segment in segments]
    assert firsts == [sum(counts[:i]) for i in range(len(counts))]
    assert sum(counts) == count_frames(STAGES) == 71 + 3


def test_time_starts_with_the_first_stage_that_keeps_frames() -> None:
    segments = cut(STAGES, 2_000, timestep=4.0)
    first = {stage: next(s for s in segments if s.stage == stage) for stage in range(5)}
    assert first[2].time == 0.0
    assert first[3].time == pytest.approx(200.0)
    assert first[4].time == pytest.approx(200.0 + 2_100 * 4e-3)


def test_a_shear_is_a_segment() -> None:
    lengths = [segment.steps for segment in cut(STAGES, 2_000, 4.0) if segment.stage == 3]
    assert lengths == [300] * 7


def test_a_longer_simulation_begins_with_the_same_segments() -> None:
    short = cut([Dynamics("keep", 100_000, temperature=1.0, every=1_000)], 2_900, 10.0)
    long = cut([Dynamics("keep", 250_000, temperature=1.0, every=1_000)], 2_900, 10.0)
    assert len(short) > 10
    assert long[: len(short) - 1] == short[:-1]


def test_ramps() -> None:
    ramp = STAGES[2]
    assert isinstance(ramp, Dynamics)
    assert [ramp.temperature_at(step) for step in (0, 25_000, 50_000)] == [300.0, 250.0, 200.0]
    assert ramp.pressure_at(10) is None
    squeeze = STAGES[4]
    assert isinstance(squeeze, Dynamics)
    assert squeeze.pressure_at(4_500) == 6.0
    assert squeeze.temperature_at(9_000) == 200.0


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "expected one that keeps frames"),
        ([Minimise()], "expected one that keeps frames"),
        ([Dynamics("a", 100, temperature=1.0)], "expected one that keeps frames"),
        ([Dynamics("a", 0, temperature=1.0, every=1)], "stage a: expected at least one step"),
        ([Dynamics("a", 10, temperature=1.0, every=11)], "at most 10 steps apart, found 11"),
        ([Dynamics("a", 10, temperature=0.0, every=1)], "above 0 K, found 0"),
    ],
)
def test_impossible_stages(stages: list[Stage], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_stages(stages)
