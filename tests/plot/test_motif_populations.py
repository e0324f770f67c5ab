import numpy as np
import pytest
import xarray as xr
from helpers.figures import check_readable, some_labels, words

import icedask as ice
from icedask.errors import InputError
from icedask.plot import motif_populations


def categories(n_motifs: int) -> dict[int, str]:
    return {one: ("ice", "transient", "liquid")[3 * one // n_motifs] for one in range(n_motifs)}


@pytest.mark.parametrize("n_motifs", [3, 18, 60])
def test_each_motif_has_a_line_and_its_number(n_motifs: int) -> None:
    populations = ice.populations(some_labels(n_motifs, n_atoms=240))
    figure = motif_populations(populations, categories(n_motifs))
    assert [axes.get_title() for axes in figure.axes] == ["liquid", "transient", "ice"]
    numbers = [line.get_label() for axes in figure.axes for line in axes.lines[1:]]
    assert sorted(numbers, key=int) == [str(one) for one in range(n_motifs)]
    assert "time (ps)" in words(figure)
    check_readable(figure)


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
