import numpy as np
import pytest
import xarray as xr
from helpers.figures import check_readable, some_labels, words
from matplotlib.colors import to_hex

from icedask.errors import InputError
from icedask.plot import series_states
from icedask.plot.style import state_color


def some_values(labels: xr.Dataset) -> xr.Dataset:
    rng = np.random.default_rng(1)
    values = labels["label"].values + rng.random(labels["label"].shape)
    lens = xr.Dataset({"lens": (("frame", "atom"), values.astype("float32"))}, labels.coords)
    lens["lens"][-1] = np.nan
    return lens


def test_every_step_of_a_chosen_atom_is_a_line_in_the_colour_of_its_state() -> None:
    labels = some_labels(3)
    figure = series_states(some_values(labels), labels, max_atoms=10)
    left, right = figure.axes
    (lines,) = left.collections
    # 20 frames, the last without a value.
    assert len(lines.get_segments()) == 10 * 18
    states = [int(segment[0, 1]) for segment in lines.get_segments()]
    colors = [to_hex(color).upper() for color in lines.get_colors()]
    assert colors == [state_color(state) for state in states]
    # In a random order, so that no state covers the others.
    assert 60 < np.count_nonzero(np.diff(states)) < 179
    assert left.get_ylim() == right.get_ylim()
    assert "10 of 60 atoms" in words(figure)
    check_readable(figure)


def test_density_is_of_all_values_whatever_the_blocks() -> None:
    labels = some_labels(12)
    values = some_values(labels)
    whole = series_states(values, labels)
    blocks = series_states(values.chunk(frame=3, atom=17), labels.chunk(frame=8))
    parts = [patch.get_data() for patch in whole.axes[1].patches]
    others = [patch.get_data() for patch in blocks.axes[1].patches]
    for part, other in zip(parts, others, strict=True):
        np.testing.assert_array_equal(part.values, other.values)
    # Outlines alone, which hide nothing.
    assert not any(patch.get_fill() for patch in whole.axes[1].patches)
    area = sum((part.values * np.diff(part.edges)).sum() for part in parts)
    assert area == pytest.approx(1)
    check_readable(blocks)


def test_long_series_are_thinned() -> None:
    labels = some_labels(2, 4501, 2)
    figure = series_states(some_values(labels), labels)
    drawn = sum(len(artist.get_segments()) for artist in figure.axes[0].collections)
    assert 2 * 1000 <= drawn <= 2 * 2000


@pytest.mark.parametrize("timed", [True, False])
def test_one_frame_of_equal_values_can_be_drawn(timed: bool) -> None:
    labels = some_labels(1, 1, timed=timed)
    values = xr.Dataset({"lens": labels["label"].astype("float32")})
    check_readable(series_states(values, labels))


def test_what_cannot_be_drawn_is_refused() -> None:
    labels = some_labels(2)
    values = some_values(labels)
    with pytest.raises(InputError, match="none but NaN"):
        series_states(values * np.nan, labels)
    with pytest.raises(InputError, match="select one feature"):
        series_states(values.expand_dims(feature=2, axis=2), labels)
    with pytest.raises(InputError, match="same atoms"):
        series_states(values.isel(atom=slice(3)), labels)
    with pytest.raises(InputError, match="max_atoms"):
        series_states(values, labels, max_atoms=0)
