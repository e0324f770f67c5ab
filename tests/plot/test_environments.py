import ase
import numpy as np
import pytest
from ase.build import bulk
from helpers.figures import check_readable
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_rgb
from scipy.spatial.transform import Rotation

from icedask.errors import InputError
from icedask.plot import environments
from icedask.plot.balls import _DISCS
from icedask.plot.environments import _turned
from icedask.plot.style import state_color


@pytest.fixture
def cubic() -> ase.Atoms:
    """A molecule of cubic ice and those within 6 angstrom."""
    block = bulk("O", "diamond", a=6.37, cubic=True) * 4
    middle = np.argmin(np.abs(block.positions - 12).sum(axis=1))
    vectors = block.positions - block.positions[middle]
    near = vectors[np.linalg.norm(vectors, axis=1) < 6]
    return ase.Atoms(f"O{len(near)}", near[np.argsort(np.linalg.norm(near, axis=1))])


@pytest.mark.parametrize("n_motifs", [1, 7, 18])
def test_motifs_and_categories_are_titles(cubic, n_motifs: int) -> None:
    figure = environments(dict.fromkeys(range(n_motifs), cubic))
    assert [axes.get_title() for axes in figure.axes] == [str(one) for one in range(n_motifs)]
    check_readable(figure)
    known = dict.fromkeys(range(n_motifs), "transient")
    figure = environments(dict.fromkeys(range(n_motifs), cubic), categories=known)
    assert figure.axes[0].get_title() == "0 (transient)"
    check_readable(figure)


def test_balls_have_bonds_and_the_centre_its_colour(cubic) -> None:
    axes = environments({4: cubic}).axes[0]
    balls = [one for one in axes.collections if isinstance(one, EllipseCollection)]
    sticks = [one for one in axes.collections if isinstance(one, LineCollection)]
    assert sum(len(one.get_offsets()) for one in balls) == len(_DISCS) * len(cubic)
    distances = cubic.get_all_distances()
    halves = np.count_nonzero((distances > 0) & (distances < 3.5))
    assert sum(len(one.get_segments()) for one in sticks) == halves
    faces = np.concatenate([one.get_facecolors()[1 :: len(_DISCS), :3] for one in balls])
    assert np.isclose(faces, to_rgb(state_color(4))).all(axis=1).sum() == 1


def test_all_are_turned_the_same_way(cubic) -> None:
    # No two neighbours at the same distance.
    places = cubic.positions * (1 + 0.01 * np.arange(len(cubic)))[:, None]
    turned = _turned(places)
    np.testing.assert_allclose(
        np.linalg.norm(turned, axis=1), np.linalg.norm(places, axis=1), atol=1e-9
    )
    for seed in range(3):
        rotation = Rotation.random(random_state=seed).as_matrix()
        np.testing.assert_allclose(_turned(places @ rotation + 5), turned, atol=1e-9)
    assert turned[1, 1] > 0.9 * np.linalg.norm(turned[1])


def test_few_atoms_are_drawn_too() -> None:
    line = np.array([[0.0, 0, 0], [0, 0, 2.8], [0, 0, -2.9]])
    for n_atoms in (1, 2, 3):
        environments({0: ase.Atoms("O" * n_atoms, line[:n_atoms])}).draw_without_rendering()


def test_what_is_no_environment_is_refused(cubic) -> None:
    with pytest.raises(InputError, match="at least one"):
        environments({})
    with pytest.raises(InputError, match="found none for 3"):
        environments({0: cubic, 3: ase.Atoms()})
    with pytest.raises(InputError, match="found none for 1"):
        environments({0: cubic, 1: cubic}, categories={0: "ice"})
