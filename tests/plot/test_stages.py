import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from helpers.figures import check_readable, words
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_rgb

import icedask as ice
from icedask.errors import InputError
from icedask.plot import stages
from icedask.plot.balls import DISCS
from icedask.plot.style import CLASS_COLORS


def balls(axes) -> EllipseCollection:
    (drawn,) = [artist for artist in axes.collections if isinstance(artist, EllipseCollection)]
    return drawn


def number_of_balls(axes) -> int:
    return len(balls(axes).get_offsets()) // len(DISCS)


@pytest.fixture(scope="module")
def frozen():
    """Two frames of 512 molecules: half of them crystal, across a face of the cell, then none."""
    block = bulk("O", "diamond", a=6.37, cubic=True) * 4
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.6, (len(block), 3))
    height = block.positions[:, 2] / block.cell[2, 2]
    first, second = block.copy(), block.copy()
    first.positions += np.where(np.abs(height - 0.5) < 0.25, 1, 0)[:, None] * noise
    second.positions += noise
    trj = ice.from_ase([first, second])
    chill = ice.chill_plus(trj).load()
    return trj, ice.tetrahedral(trj)["tetrahedral"].load(), chill


def test_a_slab_through_the_ice_is_in_the_middle(frozen) -> None:
    figure = stages(*frozen, [0, 1])
    title = figure.get_suptitle().replace("\n", " ")
    assert title.endswith("slab of 10 Å through the largest cluster of ice at frame 0")
    upper, lower, *_ = figure.axes
    assert 100 < number_of_balls(upper) == number_of_balls(lower) < 300
    # Ice lies about a face of the cell: only where it is shifted is it nearest to the middle.
    faces = balls(lower).get_facecolors()[1 :: len(DISCS), :3]
    assert (np.abs(faces[-20:] - to_rgb(CLASS_COLORS["cubic ice"])).max(axis=1) < 0.2).sum() > 10
    check_readable(figure)


def test_without_ice_the_slab_is_in_the_middle_of_the_cell(frozen) -> None:
    figure = stages(*frozen, [-1])
    assert any(
        "through the middle of the cell" in text.replace("\n", " ") for text in words(figure)
    )
    check_readable(figure)


@pytest.mark.parametrize("view", ["x", "y", "-70x,20y"])
def test_views_and_five_frames(frozen, view: str) -> None:
    figure = stages(*frozen, [0, 0, 1, 1, -1], view=view)
    # Columns of two panels, and the bar.
    assert len(figure.axes) == 11
    check_readable(figure)


def test_the_liquid_is_small_and_a_value_colours_the_upper_row(frozen) -> None:
    trj, values, chill = frozen
    values = values.assign_attrs(long_name="something", units="g/cm^3").copy()
    values[:, ::2] = np.nan
    figure = stages(trj, values, chill, [1])
    upper, lower = figure.axes[:2]
    width = balls(upper).get_widths()[:: len(DISCS)]
    assert np.median(balls(lower).get_widths()[:: len(DISCS)]) < 0.6 * np.median(width)
    assert any(text.startswith("above: something") for text in words(figure))
    assert {"g/cm³", "liquid"} <= set(words(figure))


def test_the_legend_lists_the_classes_that_are_drawn() -> None:
    trj = ice.from_ase(bulk("O", "diamond", a=6.37, cubic=True) * 3)
    figure = stages(trj, ice.tetrahedral(trj)["tetrahedral"], ice.chill_plus(trj), [0])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cubic ice"]
    check_readable(figure)


def test_clusters_that_are_not_periodic_are_drawn_whole() -> None:
    atoms = bulk("O", "diamond", a=6.37, cubic=True) * 2
    atoms.pbc = False
    trj = ice.from_ase(atoms)
    figure = stages(trj, ice.tetrahedral(trj)["tetrahedral"], ice.chill_plus(trj), [0])
    assert number_of_balls(figure.axes[0]) == len(atoms)
    assert not any("slab" in text for text in words(figure))


def test_only_the_atoms_with_classes_are_drawn(frozen) -> None:
    trj, values, chill = frozen
    part = slice(0, 200)
    figure = stages(trj, values.isel(atom=part), chill.isel(atom=part), [0])
    assert number_of_balls(figure.axes[0]) <= 200


def test_what_does_not_fit_is_refused(frozen) -> None:
    trj, values, chill = frozen
    with pytest.raises(InputError, match="same frames"):
        stages(trj.isel(frame=[0]), values, chill, [0])
    with pytest.raises(InputError, match="values: expected the same atoms"):
        stages(trj, values.isel(atom=slice(5)), chill, [0])
    with pytest.raises(InputError, match="values: expected a DataArray"):
        stages(trj, values.to_dataset(name="a"), chill, [0])
    with pytest.raises(InputError, match="frame: expected a number from -2 to 1"):
        stages(trj, values, chill, [2])
    with pytest.raises(InputError, match=r"expected a whole number, found 0\.5"):
        stages(trj, values, chill, [0.5])
    with pytest.raises(InputError, match="1 to 5, found 6"):
        stages(trj, values, chill, [0] * 6)
    with pytest.raises(InputError, match="flags of CHILL\\+, found none"):
        bare = xr.Dataset({"label": chill["label"].drop_attrs()})
        stages(trj, values, bare, [0])
