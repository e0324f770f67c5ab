import ase
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from helpers.figures import check_readable, words
from helpers.systems import system
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_rgb
from scipy.spatial.transform import Rotation

import icedask as ice
from icedask.errors import InputError
from icedask.plot import before_and_after, environments, snapshot
from icedask.plot.atoms import oriented
from icedask.plot.balls import DISCS
from icedask.plot.style import state_color


def balls(figure) -> EllipseCollection:
    (drawn,) = [
        artist for artist in figure.axes[0].collections if isinstance(artist, EllipseCollection)
    ]
    return drawn


def outlines(figure) -> np.ndarray:
    """Return the centres of the drawn balls in the order of drawing."""
    return balls(figure).get_offsets()[:: len(DISCS)]


@pytest.fixture
def slab():
    trj = ice.from_ase([system("slab")] * 3)
    labels = ice.coordination(trj, r_cut=3.0).rename(coordination="label").load()
    return trj, labels


@pytest.mark.parametrize("pbc", [True, False])
def test_every_atom_is_a_ball_and_a_periodic_cell_is_drawn(pbc: bool) -> None:
    trj = ice.from_ase(system("slab" if pbc else "cluster"))
    labels = ice.coordination(trj, r_cut=3.0).rename(coordination="label")
    figure = snapshot(trj, labels)
    assert len(outlines(figure)) == trj.sizes["atom"]
    edges = [artist for artist in figure.axes[0].collections if isinstance(artist, LineCollection)]
    assert sum(len(edge.get_segments()) for edge in edges) == (12 if pbc else 0)
    check_readable(figure)


@pytest.mark.parametrize(
    ("view", "seen", "depth", "labels"),
    [
        ("x", (1, 2), (0, 1), ("y (Å)", "z (Å)")),
        ("y", (0, 2), (1, -1), ("x (Å)", "z (Å)")),
        ("z", (0, 1), (2, 1), ("x (Å)", "y (Å)")),
        ("0x", (0, 1), (2, 1), ("Å", "Å")),
    ],
)
def test_views_show_their_plane_the_nearest_on_top(view, seen, depth, labels) -> None:
    trj = ice.from_ase(system("cluster"))
    states = ice.coordination(trj, r_cut=3.0).rename(coordination="label")
    figure = snapshot(trj, states, view=view)
    positions = trj["positions"].values[0].astype(float)
    axis, sign = depth
    # With x to the right and z up, y goes away from the eye.
    expected = positions[np.argsort(sign * positions[:, axis], kind="stable")]
    np.testing.assert_allclose(outlines(figure), expected[:, seen], atol=1e-5)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == labels


def test_atoms_without_a_label_are_small_and_grey(slab) -> None:
    trj, labels = slab
    part = labels.isel(atom=slice(0, 10))
    assert len(outlines(snapshot(trj, part))) == 10
    figure = snapshot(trj, part, others=True)
    assert len(outlines(figure)) == trj.sizes["atom"]
    widths = balls(figure).get_widths()[:: len(DISCS)]
    small = widths < 0.5 * widths.max()
    assert small.sum() == trj.sizes["atom"] - 10
    colors = balls(figure).get_facecolors()[1 :: len(DISCS), :3]
    np.testing.assert_allclose(np.ptp(colors[small], axis=1), 0, atol=1e-12)


def test_the_frame_is_chosen_and_states_are_named(slab) -> None:
    trj, labels = slab
    labels["label"][:] = np.array([0, 1, 2])[:, None]
    # The times of the labels are not known.
    trj = trj.assign_coords(time=("frame", [0.0, 20.0, 40.0]))
    figure = snapshot(trj, labels, 1, names={1: "edge"})
    assert {"edge", "time 20 ps"} <= set(words(figure))
    nearest = balls(figure).get_facecolors()[-len(DISCS) + 1, :3]
    np.testing.assert_allclose(nearest, to_rgb(state_color(1)))


def test_what_does_not_fit_is_refused(slab) -> None:
    trj, labels = slab
    with pytest.raises(InputError, match="from -3 to 2, found 3"):
        snapshot(trj, labels, 3)
    with pytest.raises(InputError, match="same frames"):
        snapshot(trj, labels.isel(frame=[0]))
    with pytest.raises(InputError, match="found atom 7, which it has not"):
        snapshot(trj.isel(atom=slice(0, 7)), labels)
    with pytest.raises(InputError, match="expected x, y, z or a rotation"):
        snapshot(trj, labels, view="sideways")
    with pytest.raises(InputError, match="trajectory Dataset"):
        snapshot(labels, labels)


@pytest.mark.parametrize("repeats", [(1, 1, 3), (3, 1, 1), (2, 2, 2)])
def test_before_and_after_are_to_one_scale_with_one_legend(repeats) -> None:
    atoms = bulk("O", "diamond", a=6.37, cubic=True) * repeats
    noisy = atoms.copy()
    noisy.rattle(0.5)
    time = ("frame", [4600.0])
    before, after = (ice.from_ase(crystal).assign_coords(time=time) for crystal in (noisy, atoms))
    names = {"flag_values": [0, 1], "flag_meanings": "Ic liquid"}
    moved = (np.arange(len(atoms)) % 2)[None].astype(np.int32)
    labels = [
        xr.Dataset({"label": (("frame", "atom"), states, names)}, {"atom": before["atom"]})
        for states in (moved, 0 * moved)
    ]
    figure = before_and_after(before, after, *labels, view="y")
    first, second = figure.axes
    assert first.get_xlim() == second.get_xlim()
    assert first.get_ylim() == second.get_ylim()
    assert (first.get_position().y0 > second.get_position().y1) == (repeats == (3, 1, 1))
    (legend,) = [own for axes in figure.axes if (own := axes.get_legend())]
    assert [text.get_text() for text in legend.get_texts()] == ["Ic", "liquid"]
    assert legend.get_title().get_text() == "time 4.6 ns"
    drawn = [
        next(artist for artist in axes.collections if isinstance(artist, EllipseCollection))
        for axes in figure.axes
    ]
    assert len(drawn[0].get_offsets()) == len(drawn[1].get_offsets()) == len(DISCS) * len(atoms)
    check_readable(figure)


def test_before_and_after_are_of_the_same_frames(slab) -> None:
    trj, labels = slab
    with pytest.raises(InputError, match="same frames"):
        before_and_after(trj, trj.isel(frame=[0]), labels, labels.isel(frame=[0]))
    with pytest.raises(InputError, match="before_and_after: frame: expected a number"):
        before_and_after(trj, trj, labels, labels, 5)


@pytest.fixture
def cubic() -> ase.Atoms:
    """A molecule of cubic ice and those within 6 angstrom."""
    block = bulk("O", "diamond", a=6.37, cubic=True) * 4
    middle = np.argmin(np.abs(block.positions - 12).sum(axis=1))
    vectors = block.positions - block.positions[middle]
    near = vectors[np.linalg.norm(vectors, axis=1) < 6]
    return ase.Atoms(f"O{len(near)}", near[np.argsort(np.linalg.norm(near, axis=1))])


@pytest.mark.parametrize("n_motifs", [1, 7])
def test_motifs_and_categories_are_titles(cubic, n_motifs: int) -> None:
    figure = environments(dict.fromkeys(range(n_motifs), cubic))
    assert [axes.get_title() for axes in figure.axes] == [str(state) for state in range(n_motifs)]
    check_readable(figure)
    known = dict.fromkeys(range(n_motifs), "transient")
    figure = environments(dict.fromkeys(range(n_motifs), cubic), categories=known)
    assert figure.axes[0].get_title() == "0 (transient)"
    check_readable(figure)


def test_balls_have_bonds_and_the_centre_its_colour(cubic) -> None:
    axes = environments({4: cubic}).axes[0]
    balls = [artist for artist in axes.collections if isinstance(artist, EllipseCollection)]
    sticks = [artist for artist in axes.collections if isinstance(artist, LineCollection)]
    assert sum(len(ball.get_offsets()) for ball in balls) == len(DISCS) * len(cubic)
    distances = cubic.get_all_distances()
    halves = np.count_nonzero((distances > 0) & (distances < 3.5))
    assert sum(len(stick.get_segments()) for stick in sticks) == halves
    faces = np.concatenate([ball.get_facecolors()[1 :: len(DISCS), :3] for ball in balls])
    assert np.isclose(faces, to_rgb(state_color(4))).all(axis=1).sum() == 1


def test_all_are_turned_the_same_way(cubic) -> None:
    # No two neighbours at the same distance.
    places = cubic.positions * (1 + 0.01 * np.arange(len(cubic)))[:, None]
    turned = oriented(places)
    np.testing.assert_allclose(
        np.linalg.norm(turned, axis=1), np.linalg.norm(places, axis=1), atol=1e-9
    )
    for seed in range(3):
        rotation = Rotation.random(random_state=seed).as_matrix()
        np.testing.assert_allclose(oriented(places @ rotation + 5), turned, atol=1e-9)
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
