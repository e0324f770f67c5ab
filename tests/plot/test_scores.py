import numpy as np
import pytest
import xarray as xr
from helpers.figures import check_readable, words

from icedask.errors import InputError
from icedask.plot import score_histogram
from icedask.plot.style import state_color

FLAGS = {"flag_values": [0, 1, 2], "flag_meanings": "Ih Ic liquid"}


def some_scores(width: float, seed: int = 0) -> xr.Dataset:
    """Return scores of two crystals and a liquid."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, (30, 200)).astype(np.int32)
    score = np.array([1.0, 2.0, 15.0])[label] + width * rng.random(label.shape)
    ds = xr.Dataset({"score": (("frame", "atom"), score.astype("float32"))})
    ds["label"] = (("frame", "atom"), label, FLAGS)
    ds["score"][0, :50] = np.nan
    return ds


def heights(axes) -> np.ndarray:
    """Return the sum of the outlines of a panel."""
    outlines = [one for one in axes.patches if not one.get_fill()]
    return np.sum([one.get_data().values for one in outlines], axis=0)


def test_fractions_are_of_all_atoms_over_common_bins_whatever_the_blocks() -> None:
    scores = {"before": some_scores(8.0), "after": some_scores(1.0)}
    figure = score_histogram(scores, threshold=5.0)
    above, below = figure.axes
    np.testing.assert_array_equal(above.patches[0].get_data().edges, below.patches[0].get_data()[1])
    # Those that are NaN are missing.
    for axes in figure.axes:
        assert heights(axes).sum() == pytest.approx(1 - 50 / 6000)
    lazy = {title: ds.chunk(frame=7, atom=33) for title, ds in scores.items()}
    again = score_histogram(lazy)
    for one, other in zip(figure.axes, again.axes, strict=True):
        np.testing.assert_array_equal(heights(one), heights(other))
    assert words(figure).count("threshold 5") == 2
    assert not any("threshold" in one for one in words(again))
    check_readable(figure)


def test_states_have_outlines_which_add_up() -> None:
    scores = {"": some_scores(3.0).chunk(frame=11)}
    whole, parts = score_histogram(scores), score_histogram(scores, by="label")
    np.testing.assert_allclose(heights(parts.axes[0]), heights(whole.axes[0]))
    assert {"Ih", "Ic", "liquid"} <= set(words(parts))
    assert len(parts.axes[0].patches) == 3
    edges = {tuple(np.round(one.get_edgecolor()[:3], 3)) for one in parts.axes[0].patches}
    assert len(edges) == 3
    assert parts.legends[0].get_lines()[2].get_color() == state_color(2, {2: "liquid"})
    check_readable(parts)


def test_equal_scores_can_be_drawn() -> None:
    check_readable(score_histogram({"ideal": some_scores(0).isel(frame=[1]) * 0.0}))


def test_what_has_no_scores_is_refused() -> None:
    ds = some_scores(1.0)
    with pytest.raises(InputError, match=r"at least one Dataset by title.*found Dataset"):
        score_histogram(ds)
    with pytest.raises(InputError, match="found none"):
        score_histogram({})
    with pytest.raises(InputError, match=r"after: expected score .*no such variable"):
        score_histogram({"after": ds[["label"]]})
    with pytest.raises(InputError, match=r"nearest .*an integer, found no such variable"):
        score_histogram({"after": ds}, by="nearest")
    with pytest.raises(InputError, match="none but NaN"):
        score_histogram({"": ds.assign(score=ds["score"] * np.nan)})
