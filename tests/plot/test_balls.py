import ase
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

import icedask as ice
from icedask.plot.balls import DISCS, draw_balls, draw_length, radii_of, view_of
from icedask.plot.style import new_figure


def boxes(*lengths: float, pbc: tuple[bool, bool, bool] = (True, True, True)) -> xr.Dataset:
    """Return a trajectory of one atom in a cell of these lengths."""
    return ice.from_ase(ase.Atoms("O", cell=lengths, pbc=pbc))


@pytest.mark.parametrize(
    ("trj", "seen"),
    [
        (boxes(20, 20, 20), "z"),
        (boxes(20, 20, 60), "x"),
        (boxes(20, 60, 20), "z"),
        (boxes(20, 20, 20, pbc=(True, True, False)), "x"),
        (boxes(20, 20, 60, pbc=(False, False, False)), "z"),
    ],
)
def test_a_slab_is_seen_from_its_side_by_default(trj: xr.Dataset, seen: str) -> None:
    default, expected = view_of(None, trj, "test"), view_of(seen, trj, "test")
    np.testing.assert_array_equal(default.matrix, expected.matrix)
    assert default.labels == expected.labels


def test_the_scale_has_the_length_that_it_states() -> None:
    axes = new_figure(2, 2).subplots()
    axes.set_xlim(0, 50)
    axes.set_ylim(0, 50)
    draw_length(axes, 0.1)
    (bar,) = axes.lines
    assert np.ptp(bar.get_xdata()) == pytest.approx(20)
    assert axes.texts[0].get_text() == "20 Å"


def test_balls_touch_and_the_far_are_paler() -> None:
    positions = np.array([[0.0, 0, 0], [0, 0, 3], [3, 0, 0]])
    radii = radii_of(np.array(["Cu", "Cu", "Cu"]), positions)
    np.testing.assert_allclose(radii, 1.5)
    axes = new_figure(2, 2).subplots()
    draw_balls(axes, positions, radii, ["#FF0000", "#FF0000", "#0000FF"])
    (drawn,) = axes.collections
    bodies = drawn.get_facecolors()[1 :: len(DISCS), :3]
    np.testing.assert_allclose(bodies[-1], to_rgb("#FF0000"))
    assert bodies[0, 1] > 0.3
    np.testing.assert_allclose(drawn.get_widths()[:: len(DISCS)], 3.0)


def test_radii_keep_the_ratio_of_the_elements() -> None:
    positions = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    oxygen, hydrogen, _ = radii_of(np.array(["O", "H", "H"]), positions)
    assert oxygen + hydrogen == pytest.approx(0.96, rel=1e-2)
    assert oxygen / hydrogen == pytest.approx(0.66 / 0.31)
    assert radii_of(np.array(["Cu"]), positions[:1]) == pytest.approx(1.32)


def test_a_view_is_a_rotation() -> None:
    for view in ("x", "y", "z", "-70x,20y"):
        matrix = view_of(view, boxes(1, 1, 1), "test").matrix
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)
