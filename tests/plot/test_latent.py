import numpy as np
import pytest
from helpers.figures import check_readable, some_labels, some_latent, words
from matplotlib.colors import to_rgb

import icedask as ice
from icedask.errors import InputError
from icedask.plot import cumulative_variance, latent_map, latent_maps
from icedask.plot.style import NOISE, state_color


@pytest.fixture
def labels():
    return some_labels(12)


def test_latent_map_shows_states_and_times(labels) -> None:
    figure = latent_map(some_latent(labels), labels, max_points=500)
    left, right, _ = figure.axes
    assert [len(axes.collections[0].get_offsets()) for axes in (left, right)] == [500, 500]
    assert {"state 11", "by time", "time (ps)"} <= set(words(figure))
    check_readable(figure)


def test_maps_side_by_side_have_their_own_states_and_names(labels) -> None:
    other = some_labels(3, seed=4)
    maps = {"SOAP": (some_latent(labels), labels), "SOAP & LENS": (some_latent(other), other)}
    figure = latent_maps(maps, names={"SOAP & LENS": {0: "bulk"}})
    titles = [axes.get_title() for axes in figure.axes]
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]
    assert titles == ["SOAP", "SOAP & LENS"]
    assert legends == [[f"state {state}" for state in range(12)], ["bulk", "state 1", "state 2"]]
    check_readable(figure)


def test_axes_have_the_shares_of_the_variance(labels) -> None:
    latent = some_latent(labels)
    fit = ice.PCA().fit(latent)
    figure = latent_map(fit.transform(latent), labels, components=(2, 0), variance=fit)
    shares = 100 * fit.explained_variance_ratio_
    left, right, _ = figure.axes
    for axes in (left, right):
        assert axes.get_xlabel() == f"component 3 ({shares[2]:.3g} % of the variance)"
        assert axes.get_ylabel() == f"component 1 ({shares[0]:.3g} % of the variance)"
    maps = {"SOAP": (latent, labels), "SOAP & LENS": (latent, labels)}
    first, second = latent_maps(maps, variance={"SOAP": np.array([0.75, 0.2])}).axes
    assert first.get_ylabel() == "component 2 (20 % of the variance)"
    assert second.get_ylabel() == "component 2"
    with pytest.raises(InputError, match="latent_map: expected a fitted PCA"):
        latent_map(latent, labels, variance=[0.9, 0.9])
    check_readable(figure)


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
    with pytest.raises(
        InputError, match="label \\(frame, atom\\) of integers, found no such variable"
    ):
        latent_map(latent, latent)
    with pytest.raises(InputError, match="every row"):
        latent_map(latent * np.nan, labels)
    with pytest.raises(InputError, match="at least one map"):
        latent_maps({})


def test_references_are_marked_in_the_colours_of_their_states(labels) -> None:
    labels["label"].attrs = {"flag_values": [0, 1, 12], "flag_meanings": "Ih Ic ice_II"}
    latent = some_latent(labels)
    maps = {"before": (latent, labels), "after": (latent, labels)}
    names = {0: "Ih", 1: "Ic", 12: "ice II"}
    points = {"Ih": np.array([[1.0, 2, 3], [4, 5, 6]]), "ice II": np.array([[7.0, 8, 9]])}
    figure = latent_maps(maps, components=(2, 0), references=points)
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    for axes in figure.axes:
        _, first, second = axes.collections
        np.testing.assert_array_equal(first.get_offsets(), [[3, 1], [6, 4]])
        np.testing.assert_array_equal(second.get_offsets(), [[9, 7]])
        np.testing.assert_allclose(second.get_facecolor()[0, :3], to_rgb(state_color(12, names)))
        # A phase that no atom is of has a reference all the same.
        assert "ice II" in [text.get_text() for text in axes.get_legend().get_texts()]
    check_readable(figure)


def test_references_of_other_spaces_or_states_are_refused(labels) -> None:
    labels["label"].attrs = {"flag_values": [0, 1], "flag_meanings": "Ih Ic"}
    maps = {"before": (some_latent(labels), labels)}
    with pytest.raises(InputError, match=r"Ih: expected points .* at least 2 components"):
        latent_maps(maps, references={"Ih": [[1.0]]})
    with pytest.raises(InputError, match="names of states of 'before', Ih, Ic, found XI"):
        latent_maps(maps, references={"XI": [[1.0, 2.0]]})


def test_the_number_of_components_for_the_threshold_is_marked() -> None:
    slow, fast = 0.5 ** np.arange(1, 20), 0.1 ** np.arange(20) * 0.9
    figure = cumulative_variance({"SOAP": fast, "SOAP & LENS": slow}, threshold=0.95)
    assert {"SOAP: 2", "SOAP & LENS: 5", "components for 95 %"} <= set(words(figure))
    lines = figure.axes[0].lines
    np.testing.assert_allclose(lines[0].get_ydata(), np.cumsum(fast)[:10])
    assert any((np.asarray(line.get_ydata()) == 0.95).all() for line in lines)
    check_readable(figure)


def test_a_fit_that_keeps_too_few_components_says_so() -> None:
    figure = cumulative_variance({"SOAP": np.array([0.5, 0.2])})
    assert "SOAP: more than 2" in words(figure)


def test_a_fitted_pca_is_taken() -> None:
    fit = ice.PCA().fit(some_latent(some_labels()))
    np.testing.assert_allclose(cumulative_variance({"": fit}).axes[0].lines[0].get_ydata()[-1], 1.0)


@pytest.mark.parametrize("ratio", [[0.9, 0.9], [-0.1], [[0.5]], [1, 2], []])
def test_what_are_no_shares_is_refused(ratio) -> None:
    with pytest.raises(InputError, match="explained variance ratios"):
        cumulative_variance({"SOAP": ratio})


def test_a_bad_threshold_is_refused() -> None:
    with pytest.raises(InputError, match="threshold"):
        cumulative_variance({"SOAP": [0.9]}, threshold=99)
    with pytest.raises(InputError, match="at least one"):
        cumulative_variance({})
