import numpy as np
import pytest
import xarray as xr
from helpers.figures import check_readable, some_labels, words
from matplotlib.colors import to_hex

import icedask as ice
from icedask.errors import InputError
from icedask.plot import motif_populations, phase_fractions, timelines
from icedask.plot.style import CLASS_COLORS

CLASSES = "other cubic_ice hexagonal_ice interfacial_ice"


def chill(n_frames: int = 20) -> xr.Dataset:
    """Return labels with the flags of CHILL, all of which occur."""
    labels = some_labels(4, n_frames, seed=3)
    labels["label"].attrs = {"flag_values": [0, 1, 2, 3], "flag_meanings": CLASSES}
    return labels


def test_populations_of_any_labels_need_no_chill() -> None:
    labels = some_labels(12)
    labels["label"][5:, :3] = -1
    figure = timelines(labels.chunk(frame=3, atom=7), names={0: "bulk"})
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == [
        "noise",
        "bulk",
        *(f"state {state}" for state in range(1, 12)),
    ]
    total = np.sum([line.get_ydata() for line in axes.lines], axis=0)
    np.testing.assert_allclose(total, 1)
    check_readable(figure)


def test_ice_is_stacked_below() -> None:
    classes = chill()
    figure = timelines(some_labels(2), classes)
    stacks = figure.axes[1].collections
    assert [stack.get_label() for stack in stacks] == [
        "cubic ice",
        "hexagonal ice",
        "interfacial ice",
    ]
    top = stacks[-1].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx((classes["label"] > 0).mean("atom").max())
    assert "ice by CHILL+" in words(figure)
    colors = [to_hex(stack.get_facecolor()).upper() for stack in stacks]
    assert colors == [CLASS_COLORS[stack.get_label()] for stack in stacks]
    check_readable(figure)


def test_ices_that_do_not_occur_are_not_in_the_legend() -> None:
    labels = some_labels(2)
    figure = timelines(labels, chill().clip(max=1, keep_attrs=True))
    legend = figure.axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["cubic ice"]
    with pytest.raises(InputError, match="flags of CHILL"):
        timelines(labels, labels)


def test_one_frame_without_time_has_points() -> None:
    figure = timelines(some_labels(3, 1, timed=False))
    assert [line.get_marker() for line in figure.axes[0].lines] == ["o"] * 3
    check_readable(figure)


def test_frames_must_be_the_same() -> None:
    with pytest.raises(InputError, match="same frames"):
        timelines(some_labels(2), chill(5))


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
    assert [line.get_label() for line in axes.lines] == ["Ih", "Ic", "liquid"]
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), populations["population"][:, 1])
    (note,) = [text for text in words(figure) if text.startswith("never")]
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


def categories(n_motifs: int) -> dict[int, str]:
    return {
        state: ("ice", "transient", "liquid")[3 * state // n_motifs] for state in range(n_motifs)
    }


@pytest.mark.parametrize("n_motifs", [3, 18, 60])
def test_each_motif_has_a_line_and_its_number(n_motifs: int) -> None:
    populations = ice.populations(some_labels(n_motifs, n_atoms=240))
    figure = motif_populations(populations, categories(n_motifs))
    assert [axes.get_title() for axes in figure.axes] == ["liquid", "transient", "ice"]
    numbers = [line.get_label() for axes in figure.axes for line in axes.lines[1:]]
    assert sorted(numbers, key=int) == [str(state) for state in range(n_motifs)]
    assert "time (ps)" in words(figure)
    check_readable(figure)


def test_names_stand_at_the_ends_of_their_lines_or_in_a_key() -> None:
    time = ("frame", 100.0 * np.arange(3))
    apart = np.array([[0.5, 0.1, 0.4], [0.5, 0.1, 0.4], [0.6, 0.1, 0.3]])
    crowded = np.tile([0.01, 0.98, 0.005, 0.003, 0.002], (3, 1))
    for share, is_key in ((apart, False), (crowded, True)):
        state = ("state", np.arange(share.shape[1], dtype=np.int32))
        populations = xr.Dataset(
            {"population": (("frame", "state"), share)}, {"time": time, "state": state}
        )
        figure = phase_fractions(populations)
        (axes,) = figure.axes
        assert (axes.get_legend() is not None) == is_key
        if is_key:
            keys = [text.get_text() for text in axes.get_legend().get_texts()]
            assert keys == [f"state {state}" for state in (1, 0, 2, 3, 4)]
            continue
        ends = {line.get_label(): line.get_ydata()[-1] for line in axes.lines}
        for text in axes.texts:
            assert text.get_position()[1] == pytest.approx(ends[text.get_text()], abs=0.05)


def test_the_pale_line_is_the_sum() -> None:
    populations = ice.populations(some_labels(4))
    known = {0: "ice", 1: "ice", 2: "liquid", 3: "liquid"}
    liquid, solid = motif_populations(populations, known).axes
    for axes, motifs in ((liquid, [2, 3]), (solid, [0, 1])):
        total, *parts = [line.get_ydata() for line in axes.lines]
        expected = populations["population"].sel(state=motifs).values
        np.testing.assert_allclose(np.stack(parts, axis=1), expected)
        np.testing.assert_allclose(total, expected.sum(axis=1))


def test_one_frame_is_drawn_as_points() -> None:
    populations = ice.populations(some_labels(3, n_frames=1))
    check_readable(motif_populations(populations, categories(3)))


def test_what_are_no_populations_is_refused() -> None:
    populations = ice.populations(some_labels(3))
    with pytest.raises(InputError, match="expected population \\(frame, state\\)"):
        motif_populations(xr.Dataset(), {})
    with pytest.raises(InputError, match="found none for 2"):
        motif_populations(populations, {0: "ice", 1: "liquid"})
    with pytest.raises(InputError, match="none but NaN"):
        motif_populations(populations * np.nan, categories(3))
