import numpy as np
import pytest
from helpers.figures import check_readable, some_labels, some_latent, words
from matplotlib.colors import to_rgb

from icedask.errors import InputError
from icedask.plot import latent_map, latent_maps
from icedask.plot.rows import sample_rows
from icedask.plot.style import NOISE, state_color


@pytest.fixture
def labels():
    return some_labels(12)


def test_latent_map_shows_states_and_times(labels) -> None:
    figure = latent_map(some_latent(labels), labels, max_points=500)
    left, right, _ = figure.axes
    assert [len(one.collections[0].get_offsets()) for one in (left, right)] == [500, 500]
    assert {"state 11", "by time", "time (ps)"} <= set(words(figure))
    check_readable(figure)


def test_maps_side_by_side_have_their_own_states_and_names(labels) -> None:
    other = some_labels(3, seed=4)
    maps = {"SOAP": (some_latent(labels), labels), "SOAP & LENS": (some_latent(other), other)}
    figure = latent_maps(maps, names={"SOAP & LENS": {0: "bulk"}})
    titles = [axes.get_title() for axes in figure.axes]
    legends = [[one.get_text() for one in axes.get_legend().get_texts()] for axes in figure.axes]
    assert titles == ["SOAP", "SOAP & LENS"]
    assert legends == [[f"state {one}" for one in range(12)], ["bulk", "state 1", "state 2"]]
    check_readable(figure)


def test_rows_have_the_labels_of_their_frame_and_atom(labels) -> None:
    latent = some_latent(labels)
    latent["latent"][-1] = np.nan
    latent["latent"][3, 5] = np.nan
    lazy = latent.chunk(frame=7, atom=13)
    rows = sample_rows(lazy, labels.chunk(frame=4), (0, 2), 10**6, 0, "test")
    assert len(rows.values) == 19 * 60 - 1
    centers = {}
    for value, label in zip(rows.values, rows.label, strict=True):
        centers.setdefault(label, []).append(value)
    # Blobs are far apart: a wrong label would widen one.
    assert max(np.std(one, axis=0).max() for one in centers.values()) < 0.5


def test_noise_is_grey(labels) -> None:
    labels["label"][:, :30] = -1
    figure = latent_maps({"": (some_latent(labels), labels)})
    legend = figure.axes[0].get_legend()
    assert legend.get_texts()[0].get_text() == "noise"
    assert legend.get_lines()[0].get_color() == NOISE
    assert legend.get_lines()[1].get_color() == state_color(
        int(legend.get_texts()[1].get_text().split()[1])
    )


def test_what_cannot_be_drawn_is_refused(labels) -> None:
    latent = some_latent(labels)
    with pytest.raises(InputError, match="20 and 5 frames"):
        latent_map(latent, labels.isel(frame=slice(5)))
    with pytest.raises(InputError, match="found atom 10 and 0"):
        latent_map(latent.isel(atom=slice(10, 20)), labels.isel(atom=slice(10)))
    with pytest.raises(InputError, match="components from 0 to 2"):
        latent_map(latent, labels, components=(0, 3))
    with pytest.raises(InputError, match="label \\(frame, atom\\), found no such variable"):
        latent_map(latent, latent)
    with pytest.raises(InputError, match="every row"):
        latent_map(latent * np.nan, labels)
    with pytest.raises(InputError, match="at least one map"):
        latent_maps({})


def test_references_are_marked_in_the_colours_of_their_states(labels) -> None:
    labels["label"].attrs = {"flag_values": [0, 1, 12], "flag_meanings": "Ih Ic ice_II"}
    latent = some_latent(labels)
    maps = {"before": (latent, labels), "after": (latent, labels)}
    points = {"Ih": np.array([[1.0, 2, 3], [4, 5, 6]]), "ice II": np.array([[7.0, 8, 9]])}
    figure = latent_maps(maps, components=(2, 0), references=points)
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    for axes in figure.axes:
        _, first, second = axes.collections
        np.testing.assert_array_equal(first.get_offsets(), [[3, 1], [6, 4]])
        np.testing.assert_array_equal(second.get_offsets(), [[9, 7]])
        np.testing.assert_allclose(second.get_facecolor()[0, :3], to_rgb(state_color(12)))
        # A phase that no atom is of has a reference all the same.
        assert "ice II" in [one.get_text() for one in axes.get_legend().get_texts()]
    check_readable(figure)


def test_references_of_other_spaces_or_states_are_refused(labels) -> None:
    labels["label"].attrs = {"flag_values": [0, 1], "flag_meanings": "Ih Ic"}
    maps = {"before": (some_latent(labels), labels)}
    with pytest.raises(InputError, match=r"Ih: expected points .* at least 2 components"):
        latent_maps(maps, references={"Ih": [[1.0]]})
    with pytest.raises(InputError, match="names of states of 'before', Ih, Ic, found XI"):
        latent_maps(maps, references={"XI": [[1.0, 2.0]]})
