import numpy as np
import pytest
import xarray as xr
from helpers.figures import check_readable, some_labels, words

import icedask as ice
from icedask.errors import InputError
from icedask.plot import phase_fractions, timelines
from icedask.plot.rows import label_counts

CLASSES = "other cubic_ice hexagonal_ice interfacial_ice"


def test_populations_of_any_labels_need_no_chill() -> None:
    labels = some_labels(12)
    labels["label"][5:, :3] = -1
    figure = timelines(labels.chunk(frame=3, atom=7), names={0: "bulk"})
    (axes,) = figure.axes
    assert [one.get_label() for one in axes.lines] == [
        "noise",
        "bulk",
        *(f"state {one}" for one in range(1, 12)),
    ]
    total = np.sum([one.get_ydata() for one in axes.lines], axis=0)
    np.testing.assert_allclose(total, 1)
    check_readable(figure)


def test_ice_is_stacked_below() -> None:
    labels, chill = some_labels(2), some_labels(4, seed=3)
    chill["label"].attrs = {"flag_values": [0, 1, 2, 3], "flag_meanings": CLASSES}
    figure = timelines(labels, chill)
    stacks = figure.axes[1].collections
    assert [one.get_label() for one in stacks] == ["cubic ice", "hexagonal ice", "interfacial ice"]
    top = stacks[-1].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx((chill["label"] > 0).mean("atom").max())
    assert "ice by CHILL+" in words(figure)
    check_readable(figure)


def test_counts_do_not_depend_on_blocks() -> None:
    labels = some_labels(5)
    labels["label"][4] = -1
    states, counts = label_counts(labels["label"])
    again, others = label_counts(labels.chunk(frame=6, atom=11)["label"])
    assert states == again == [-1, 0, 1, 2, 3, 4]
    np.testing.assert_array_equal(counts, others)
    np.testing.assert_array_equal(counts.sum(axis=1), 60)
    assert counts[4].tolist() == [60, 0, 0, 0, 0, 0]


def test_one_frame_without_time_has_points() -> None:
    figure = timelines(some_labels(3, 1, timed=False))
    assert [one.get_marker() for one in figure.axes[0].lines] == ["o"] * 3
    check_readable(figure)


def test_frames_must_be_the_same() -> None:
    with pytest.raises(InputError, match="same frames"):
        timelines(some_labels(2), some_labels(2, 5))


PHASES = "Ih Ic II III VI VII sI liquid unknown"


def freezing(n_frames: int = 30) -> xr.Dataset:
    """Return labels of a liquid that freezes to two ices; one molecule of 2000 is once III."""
    label = np.full((n_frames, 2000), 7, np.int32)
    for frame in range(n_frames):
        label[frame, : 40 * frame] = 0
        label[frame, 1200 : 1200 + 20 * frame] = 1
    label[-1, -1] = 3
    labels = xr.Dataset({"label": (("frame", "atom"), label)})
    labels["label"].attrs = {"flag_values": np.arange(9), "flag_meanings": PHASES}
    return labels.assign_coords(
        time=("frame", 50.0 * np.arange(n_frames)), atom=("atom", np.arange(2000))
    )


def test_fractions_are_those_of_the_populations_and_rare_phases_a_note() -> None:
    populations = ice.populations(freezing())
    figure = phase_fractions(populations)
    (axes,) = figure.axes
    assert [one.get_label() for one in axes.lines] == ["Ih", "Ic", "liquid"]
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), populations["population"][:, 1])
    (note,) = [one for one in words(figure) if one.startswith("never")]
    assert note == "never above 0.1 %: II, III, VI, VII, sI, unknown"
    assert {"Ih", "Ic", "liquid"} <= set(words(figure))
    check_readable(figure)


@pytest.mark.parametrize("n_states", [1, 16])
def test_names_of_lines_that_end_together_are_apart(n_states: int) -> None:
    labels = some_labels(n_states, 1)
    check_readable(phase_fractions(ice.populations(labels)))


def test_frames_without_states_are_gaps() -> None:
    labels = freezing()
    labels["label"][-1] = -1
    figure = phase_fractions(ice.populations(labels))
    assert np.isnan(figure.axes[0].lines[0].get_ydata()[-1])
    check_readable(figure)
    with pytest.raises(InputError, match="none but NaN"):
        phase_fractions(ice.populations(labels.isel(frame=[-1])))
    with pytest.raises(InputError, match="found no such variable"):
        phase_fractions(labels)
