"""Which frames of which files make a trajectory: restarts, overlaps, snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import icedask as ice
from icedask.readers.formats import Format, SourceOptions
from icedask.readers.joining import join_frames
from icedask.store.frame_block import FrameBlock

METAL = {"units": "metal", "timestep": 0.001, "elements": "Cu"}


def frame(step: int, x: float | None = None) -> str:
    """A frame of two atoms in a box of 10 angstrom; the first atom is at x, by default step/100."""
    x = step / 100 if x is None else x
    return (
        f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n"
        f"0 10\n0 10\n0 10\nITEM: ATOMS id type x y z\n1 1 {x} 1 1\n2 1 5 5 5\n"
    )


def dumps(tmp_path: Path, *files: Sequence[str]) -> list[Path]:
    paths = [tmp_path / f"{chr(97 + number)}.lammpstrj" for number in range(len(files))]
    for path, frames in zip(paths, files, strict=True):
        path.write_text("".join(frames))
    return paths


def series(trj) -> tuple[list[int], list[float]]:
    """Steps, and x of the first atom."""
    x = trj["positions"].values[:, 0, 0]
    return trj["step"].values.tolist(), np.round(x, 3).tolist()


def refused(paths: list[Path], match: str, **options) -> None:
    store = paths[0].with_name("out.zarr")
    with pytest.raises(ice.InputError, match=match):
        ice.ingest(paths, store, **{**METAL, **options})
    assert not store.exists()


def test_snapshots_of_one_step_are_no_repetitions(tmp_path: Path) -> None:
    paths = dumps(tmp_path, *([frame(0, x)] for x in (1, 2, 3, 4)))
    refused(paths, r"frame 0 of b.* and frame 0 of a.* are both at 0 ps, with other")
    options = {name: value for name, value in METAL.items() if name != "timestep"}
    trj = ice.ingest(paths, tmp_path / "t.zarr", frame_interval=0.5, **options)
    assert series(trj) == ([0, 0, 0, 0], [1, 2, 3, 4])
    assert trj["time"].values.tolist() == [0, 0.5, 1, 1.5]


def test_the_frame_that_a_run_continues_from(tmp_path: Path, caplog) -> None:
    paths = dumps(tmp_path, [frame(0), frame(100)], [frame(100), frame(200)])
    with caplog.at_level("INFO", "icedask"):
        trj = ice.ingest(paths, tmp_path / "t.zarr", **METAL)
    assert series(trj) == ([0, 100, 200], [0, 1, 2])
    note = "left out frames: 1 of b.lammpstrj (equal to another frame of the same time)"
    assert trj.attrs["notes"] == [note]
    assert note in caplog.text


def test_overlap_of_equal_frames(tmp_path: Path) -> None:
    paths = dumps(tmp_path, map(frame, (0, 100, 200)), map(frame, (100, 200, 300)))
    trj = ice.ingest(paths, tmp_path / "t.zarr", **METAL)
    assert series(trj) == ([0, 100, 200, 300], [0, 1, 2, 3])


def test_overlap_of_different_frames(tmp_path: Path) -> None:
    again = [frame(100), frame(200, 7), frame(300, 8)]
    paths = dumps(tmp_path, map(frame, (0, 100, 200, 250)), again)
    refused(paths, r"frame 1 of b.* and frame 2 of a.* are both at 0.2 ps.*repeated")
    first = ice.ingest(paths, tmp_path / "f.zarr", repeated="first", **METAL)
    assert series(first) == ([0, 100, 200, 250, 300], [0, 1, 2, 2.5, 8])
    last = ice.ingest(paths, tmp_path / "l.zarr", repeated="last", **METAL)
    assert series(last) == ([0, 100, 200, 300], [0, 1, 7, 8])
    assert last.attrs["notes"] == [
        "left out frames: 3 of a.lammpstrj (of times that come twice, kept the last)"
    ]


def test_overlap_without_common_times(tmp_path: Path) -> None:
    paths = dumps(tmp_path, map(frame, (0, 100, 200)), map(frame, (150, 250)))
    refused(paths, "no earlier frame has its time.*repeated")
    trj = ice.ingest(paths, tmp_path / "t.zarr", repeated="last", **METAL)
    assert series(trj)[0] == [0, 100, 150, 250]


def test_files_out_of_order(tmp_path: Path) -> None:
    paths = dumps(tmp_path, map(frame, (200, 300)), map(frame, (0, 100)))
    refused(paths, "before the first frame.*order of time")
    refused(paths, "before the first frame.*order of time", repeated="last")


def test_frame_interval_goes_on_from_file_to_file(tmp_path: Path) -> None:
    paths = dumps(tmp_path, map(frame, (0, 100)), [frame(0, 3), frame(100, 4)])
    options = {name: value for name, value in METAL.items() if name != "timestep"}
    trj = ice.ingest(paths, tmp_path / "t.zarr", frame_interval=2.0, **options)
    assert trj["time"].values.tolist() == [0, 2, 4, 6]
    again = dumps(tmp_path, map(frame, (0, 100)), [frame(0, 1), frame(100, 4)])
    trj = ice.ingest(again, tmp_path / "u.zarr", frame_interval=2.0, **options)
    assert series(trj)[1] == [0, 1, 4]
    assert trj["time"].values.tolist() == [0, 2, 4]


class Clock(Format):
    """Frames of one atom at x, with or without an index of their times."""

    def __init__(self, path, steps, x, times=None, indexed=True) -> None:
        self.path, self.n_frames, self.truncated = path, len(x), ""
        self.steps, self.x, self.indexed = np.array(steps), np.array(x, float), indexed
        self.times = self.steps * 1.0 if times is None else np.array(times, float)

    @classmethod
    def open(cls, file, options, scratch):
        raise NotImplementedError

    def atoms(self):
        return {"element": np.array(["Cu"])}

    def stamps(self):
        return (self.steps, self.times) if self.indexed else None

    def read(self, frames):
        frames = list(frames)
        n = len(frames)
        positions = np.zeros((n, 1, 3), np.float32)
        positions[:, 0, 0] = self.x[frames]
        cell, pbc = np.zeros((n, 3, 3)), np.zeros(3, bool)
        return FrameBlock(positions, cell, pbc, self.times[frames], self.steps[frames])


@pytest.mark.parametrize("indexed", [True, False])
def test_a_file_that_was_appended_to(indexed: bool) -> None:
    source = [Clock("a", [0, 100, 100, 200], [0, 1, 1, 2], indexed=indexed)]
    if indexed:
        table, notes = join_frames(source, SourceOptions())
        assert table[:, 1].tolist() == [0, 1, 3]
        assert notes == ("left out frames: 1 of a (equal to another frame of the same time)",)
    table, _ = join_frames(source, SourceOptions(repeated="last"))
    assert table[:, 1].tolist() == [0, 2, 3]
    table, _ = join_frames(source, SourceOptions(repeated="first"))
    assert table[:, 1].tolist() == [0, 1, 3]


def test_a_file_that_was_appended_to_with_other_positions() -> None:
    source = [Clock("a", [0, 100, 200, 100, 200, 300], [0, 1, 2, 1, 5, 6])]
    with pytest.raises(ice.InputError, match="frame 4 of a and frame 2 of a are both at 200 ps"):
        join_frames(source, SourceOptions())
    table, _ = join_frames(source, SourceOptions(repeated="last"))
    assert table[:, 1].tolist() == [0, 3, 4, 5]
    with pytest.raises(ice.InputError, match="both at step 200"):
        join_frames(source, SourceOptions(frame_interval=1.0))


def test_overlap_of_files_without_index() -> None:
    files = [
        Clock("a", range(40), range(40), indexed=False),
        Clock("b", range(20, 60), range(20, 60), indexed=False),
    ]
    table, _ = join_frames(files, SourceOptions())
    assert [tuple(row) for row in table.tolist()] == [
        *((0, frame) for frame in range(40)),
        *((1, frame) for frame in range(20, 40)),
    ]


def test_files_without_times() -> None:
    nan = [np.nan] * 2
    files = [
        Clock("a", [0, 1], [0, 1], nan, indexed=False),
        Clock("b", [0, 1], [1, 2], nan, indexed=False),
    ]
    table, notes = join_frames(files, SourceOptions())
    assert table.tolist() == [[0, 0], [0, 1], [1, 1]]
    assert "1 of b" in notes[0]
    with pytest.raises(ice.InputError, match="repeated: expected files that state the times"):
        join_frames(files, SourceOptions(repeated="last"))


def test_runs_in_one_file_with_frame_interval(tmp_path: Path) -> None:
    options = {name: value for name, value in METAL.items() if name != "timestep"}
    snapshots = dumps(tmp_path, [frame(0, 1), frame(0, 2), frame(0, 3)])
    trj = ice.ingest(snapshots, tmp_path / "s.zarr", frame_interval=0.5, **options)
    assert series(trj)[1] == [1, 2, 3]
    runs = dumps(tmp_path, [frame(0, 1), frame(100, 2), frame(0, 3), frame(100, 4)])
    trj = ice.ingest(runs, tmp_path / "r.zarr", frame_interval=0.5, **options)
    assert series(trj)[1] == [1, 2, 3, 4]
    restart = dumps(tmp_path, [frame(0, 1), frame(100, 2), frame(100, 3), frame(200, 4)])
    with pytest.raises(ice.InputError, match="both at step 100") as error:
        ice.ingest(restart, tmp_path / "t.zarr", frame_interval=0.5, **options)
    assert "frame_interval" not in str(error.value)  # it is given


def test_a_file_that_is_given_twice(tmp_path: Path) -> None:
    (path,) = dumps(tmp_path, [frame(0)])
    refused([path, tmp_path / "." / path.name], "each file once, found it 2 times")


def test_the_files_up_to_a_truncated_one(tmp_path: Path) -> None:
    paths = dumps(tmp_path, [frame(0), frame(100)[:-9]], [frame(100), frame(200)])
    refused(paths, r"cut off what is behind them, or give the files up to this one alone")
    trj = ice.ingest(paths[:1], tmp_path / "t.zarr", frames="0:1", **METAL)
    assert trj.sizes["frame"] == 1
