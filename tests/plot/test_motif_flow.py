from itertools import combinations

import numpy as np
import pytest
import xarray as xr
from helpers.figures import check_readable, transitions_of, words
from matplotlib.patches import FancyArrowPatch

from icedask.errors import InputError
from icedask.plot import precedence
from icedask.plot.motif_flow import swarm

CATEGORIES = {0: "ice", 1: "transient", 2: "liquid", 3: "liquid"}


def mean_time(*values: float) -> xr.DataArray:
    return xr.DataArray(list(values), attrs={"long_name": "mean time", "units": "ns"})


def arrows(figure) -> list[tuple]:
    drawn = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    return [
        (arrow._posA_posB[0][0], arrow._posA_posB[1][0], arrow.get_linewidth()) for arrow in drawn
    ]


def test_arrows_lead_where_more_go_than_come_back() -> None:
    flux = np.diag([900, 100, 900, 900])
    # 2 to 1 to 0; between 2 and 3 as much as back but for noise; little from 3 to 0.
    flux[2, 1], flux[1, 2], flux[1, 0] = 300, 100, 100
    flux[2, 3], flux[3, 2], flux[3, 0] = 110, 100, 15
    time = mean_time(3.0, 2.0, 0.5, 1.0)
    figure = precedence(transitions_of(flux), time, CATEGORIES, [0.3, 0.1, 0.4, 0.2])
    ends = {(start, end): width for start, end, width in arrows(figure)}
    assert set(ends) == {(0.5, 2.0), (2.0, 3.0)}
    assert ends[0.5, 2.0] > ends[2.0, 3.0]
    assert {"ice", "transient", "liquid", "mean time (ns)"} <= set(words(figure))
    assert any("widest 200 transitions" in text for text in words(figure))
    check_readable(figure)


def test_arrows_lie_over_discs_and_under_numbers() -> None:
    flux = np.diag([900, 100, 900, 900])
    flux[2, 0] = 300
    figure = precedence(transitions_of(flux), mean_time(3.0, 2.0, 0.5, 1.0), CATEGORIES, [1] * 4)
    axes = figure.axes[0]
    (arrow,) = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    (discs,) = axes.collections
    numbers = [text for text in axes.texts if text.get_text().isdigit()]
    assert discs.get_zorder() < arrow.get_zorder()
    assert arrow.get_zorder() < min(text.get_zorder() for text in numbers)


@pytest.mark.parametrize("units", ["picosecond", "ps"])
def test_picoseconds_have_the_unit_of_all_figures(units: str) -> None:
    time = xr.DataArray([500.0, 4600, 1000, 2000], attrs={"long_name": "mean", "units": units})
    figure = precedence(transitions_of(np.eye(4)), time, CATEGORIES, [1] * 4)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "mean (ns)"
    assert axes.collections[0].get_offsets()[:, 0].max() == pytest.approx(4.6)


def test_areas_are_populations_and_bands_do_not_mix() -> None:
    time = mean_time(1.0, 1.0, 1.0, 1.0)
    figure = precedence(transitions_of(np.eye(4)), time, CATEGORIES, [4, 2, 4, 1])
    (discs,) = figure.axes[0].collections
    areas = discs.get_sizes()
    np.testing.assert_allclose(areas / areas[3], [4, 2, 4, 1])
    heights = discs.get_offsets()[:, 1]
    assert heights[0] < heights[1] < min(heights[2:])
    assert any("No net flux" in text for text in words(figure))
    check_readable(figure)


def test_discs_of_many_motifs_do_not_overlap() -> None:
    rng = np.random.default_rng(0)
    across, radii = rng.uniform(0, 2, 40), rng.uniform(0.08, 0.3, 40)
    up = np.full(40, np.nan)
    swarm(range(40), across, radii, up)
    for a, b in combinations(range(40), 2):
        assert np.hypot(across[a] - across[b], up[a] - up[b]) > radii[a] + radii[b]


def test_motifs_without_members_are_not_drawn() -> None:
    time = mean_time(1.0, np.nan, 2.0, 3.0)
    figure = precedence(transitions_of(np.eye(4)), time, CATEGORIES, [0.5, 0, 0.5, 0])
    assert {"0", "2"} == set(words(figure)) & set("0123")
    assert "transient" not in words(figure)


def test_what_does_not_fit_is_refused() -> None:
    flux, time, part = transitions_of(np.eye(4)), mean_time(1, 2, 3, 4), np.full(4, 0.25)
    with pytest.raises(InputError, match="expected flux"):
        precedence(xr.Dataset(), time, CATEGORIES, part)
    with pytest.raises(InputError, match=r"mean_time: expected one for each of 4 motifs.*\(2,\)"):
        precedence(flux, time[:2], CATEGORIES, part)
    with pytest.raises(InputError, match=r"population: expected one .* the shape \(3,\)"):
        precedence(flux, time, CATEGORIES, part[:3])
    with pytest.raises(InputError, match="found none for 3"):
        precedence(flux, time, {0: "ice", 1: "ice", 2: "liquid"}, part)
    with pytest.raises(InputError, match="a motif with members"):
        precedence(flux, time, CATEGORIES, 0 * part)
