import numpy as np
import pytest
import xarray as xr
from helpers.figures import check_readable, words
from matplotlib.colors import to_hex

from icedask.errors import InputError
from icedask.plot import score_histogram
from icedask.plot.style import CLASS_COLORS

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
    """Return the fraction of all atoms in each bin of a panel."""
    (area,) = [patch for patch in axes.patches if patch.get_fill()]
    return area.get_data().values


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
    for axes, other in zip(figure.axes, again.axes, strict=True):
        np.testing.assert_array_equal(heights(axes), heights(other))
    assert words(figure).count("threshold 5") == 2
    assert not any("threshold" in text for text in words(again))
    check_readable(figure)


def test_states_have_outlines_which_add_up_to_the_area_of_all() -> None:
    scores = {"": some_scores(3.0).chunk(frame=11)}
    (axes, whole) = (score_histogram(scores, by=by).axes[0] for by in ("label", None))
    np.testing.assert_allclose(heights(axes), heights(whole))
    outlines = [patch for patch in axes.patches if not patch.get_fill()]
    np.testing.assert_allclose(
        sum(outline.get_data().values for outline in outlines), heights(axes)
    )
    colors = {to_hex(outline.get_edgecolor()).upper() for outline in outlines}
    assert colors == {CLASS_COLORS[name] for name in ("Ih", "Ic", "liquid")}
    figure = axes.figure
    assert {"Ih", "Ic", "liquid", "all atoms", "label"} <= set(words(figure))
    check_readable(figure)


def test_the_minimum_that_the_threshold_is_taken_from_shows() -> None:
    rng = np.random.default_rng(0)
    crystal, liquid = rng.lognormal(1.0, 0.25, (20, 900)), rng.lognormal(3.0, 0.3, (20, 100))
    score = np.concatenate([crystal, liquid], axis=1).astype("float32")
    nearest = np.zeros(score.shape, np.int32)
    ds = xr.Dataset({"score": (("frame", "atom"), score)})
    ds["nearest"] = (("frame", "atom"), nearest, {"flag_values": [0], "flag_meanings": "Ih"})
    (axes,) = score_histogram({"": ds}, threshold=7.4, by="nearest").axes
    drawn, edges = heights(axes), axes.patches[0].get_data().edges
    place = np.searchsorted(edges, 7.4) - 1
    assert axes.get_xscale() == "log"
    assert drawn[place] < 0.05 * min(drawn[:place].max(), drawn[place:].max())


def test_states_without_scores_are_not_in_the_legend() -> None:
    ds = some_scores(1.0)
    ds["score"] = ds["score"].where(ds["label"] != 1)
    assert "Ic" not in words(score_histogram({"": ds}, by="label"))


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
    with pytest.raises(InputError, match=r"nearest .*of integers, found no such variable"):
        score_histogram({"after": ds}, by="nearest")
    with pytest.raises(InputError, match="none but NaN"):
        score_histogram({"": ds.assign(score=ds["score"] * np.nan)})
