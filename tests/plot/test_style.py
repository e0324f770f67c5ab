import matplotlib
import numpy as np
import pytest
import xarray as xr
from helpers.figures import some_labels

from icedask.plot import timelines
from icedask.plot.style import (
    NOISE,
    PALETTE,
    frame_times,
    names_of,
    percent_text,
    spread,
    state_color,
    state_colors,
    state_name,
)


def test_sixteen_states_have_colours_of_their_own() -> None:
    colors = [state_color(one) for one in range(16)]
    assert len({*colors, NOISE}) == 17
    assert colors == list(PALETTE)
    assert state_color(-1) == NOISE
    assert state_color(16) == PALETTE[0]


def test_what_is_no_phase_has_a_colour_whatever_its_number() -> None:
    for name in ("liquid", "unknown"):
        colors = {state_color(one, {one: name}) for one in range(20)}
        assert len(colors) == 1
        assert not colors & {*PALETTE, NOISE}
    assert state_color(3, {3: "Ih"}) == PALETTE[3]
    assert state_colors(np.array([0, 1]), {1: "liquid"})[0] == PALETTE[0]


def test_names_come_from_the_caller_then_from_the_flags() -> None:
    array = xr.DataArray([0], attrs={"flag_values": [0, 4], "flag_meanings": "liquid cubic_ice"})
    names = names_of(array, {0: "water"})
    assert [state_name(one, names) for one in (-1, 0, 1, 4)] == [
        "noise",
        "water",
        "state 1",
        "cubic ice",
    ]
    assert names_of(xr.DataArray([0]), None) == {}


@pytest.mark.parametrize(
    ("last", "label", "text"),
    [
        (900.0, "time (ps)", "900 ps"),
        (4600.0, "time (ns)", "4.6 ns"),
        (2e6, "time (µs)", "2 µs"),
        (np.nan, "frame", "frame 1"),
    ],
)
def test_times_have_the_unit_that_fits(last: float, label: str, text: str) -> None:
    times = frame_times(xr.Dataset(coords={"time": ("frame", [0.0, last])}))
    assert times.label == label
    assert times.text(1) == text


def test_frames_without_times_are_numbered() -> None:
    times = frame_times(some_labels(timed=False))
    assert times.label == "frame"
    np.testing.assert_array_equal(times.values, np.arange(20))


def test_percentages_keep_their_digits() -> None:
    values = (100.0, 99.97, 43.21, 5.0, 0.12, 0.004, 0.0)
    assert [percent_text(one) for one in values] == [
        "100",
        "99.97",
        "43.2",
        "5.0",
        "0.12",
        "4e-3",
        "0",
    ]


def test_spread_keeps_order_and_distance() -> None:
    given = np.array([0.0, 0.01, 5.0, 0.02])
    moved = spread(given, 0.5)
    assert (np.diff(moved[np.argsort(given)]) >= 0.5 - 1e-12).all()
    assert moved[2] == 5.0
    np.testing.assert_allclose(moved[[0, 1, 3]].mean(), 0.01)


def test_the_look_is_the_same_under_other_settings() -> None:
    with matplotlib.rc_context({"font.size": 20, "xtick.labelsize": 20, "axes.labelsize": 20}):
        axes = timelines(some_labels()).axes[0]
        assert axes.xaxis.label.get_fontsize() == 8
        assert axes.get_xticklabels()[0].get_fontsize() == 7
