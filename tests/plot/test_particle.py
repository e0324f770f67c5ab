import numpy as np
import pytest
from helpers.figures import check_readable, some_labels, some_latent, words
from matplotlib.collections import EllipseCollection, LineCollection

from icedask.core.trajectory import trajectory
from icedask.errors import InputError
from icedask.plot import particle_path
from icedask.plot.balls import DISCS
from icedask.plot.particle import unwrapped


def crossing(n_frames: int = 20):
    """Return a crystal of one atom type, whose atom 5 walks through two faces of the cell."""
    grid = np.stack(np.meshgrid(*[np.arange(0, 12, 3.0)] * 3), axis=-1).reshape(-1, 3)[:60]
    positions = np.repeat(grid[None], n_frames, axis=0)
    walk = np.arange(n_frames)[:, None] * np.array([1.0, 0.7, 0.0])
    positions[:, 5] += walk
    expected = positions[:, 5].copy()
    positions[:, 5] %= 12
    labels = some_labels(3, n_frames)
    cell = np.repeat(12 * np.eye(3)[None], n_frames, axis=0)
    trj = trajectory(
        positions.astype("float32"),
        element=["Cu"] * 60,
        cell=cell,
        pbc=(True, True, False),
        time=labels["time"].values,
    )
    return trj, some_latent(labels), labels, expected


def lines(axes) -> np.ndarray:
    (path,) = [artist for artist in axes.collections if isinstance(artist, LineCollection)]
    return np.array(path.get_segments())


def test_the_path_does_not_jump_at_a_face() -> None:
    trj, _, _, expected = crossing()
    path = unwrapped(trj.isel(atom=5))
    np.testing.assert_allclose(path - path[0], expected - expected[0], atol=1e-4)


def test_both_paths_are_drawn_with_their_ends() -> None:
    trj, latent, labels, expected = crossing()
    # As SOAP with LENS: the last frames have no values.
    latent["latent"][-2:] = np.nan
    labels["label"][-2:] = -1
    figure = particle_path(trj, latent, labels, 5, around=4.0, view="z", names={0: "bulk"})
    left, right = figure.axes[:2]
    coordinates = latent["latent"].values[:18, 5, :2]
    np.testing.assert_allclose(lines(left)[:, 0], coordinates[:-1])
    np.testing.assert_allclose(lines(left)[:, 1], coordinates[1:])
    np.testing.assert_allclose(lines(right)[:, 1], expected[1:18, :2], atol=1e-4)
    for axes, end in ((left, coordinates[-1]), (right, expected[17, :2])):
        start_mark, end_mark = axes.lines
        assert (start_mark.get_label(), end_mark.get_label()) == ("start", "end")
        np.testing.assert_allclose(np.ravel(end_mark.get_data()), end, atol=1e-4)
    # The background is grey.
    assert len(np.unique(left.collections[0].get_facecolors(), axis=0)) == 1
    assert {"start", "end", "atom 5 in space", "time (ps)"} <= set(words(figure))
    check_readable(figure)


def test_an_atom_has_its_index_and_the_id_of_the_source() -> None:
    trj, latent, labels, _ = crossing(3)
    trj = trj.assign_coords(id=("atom", np.arange(1, 61)))
    assert "atom 5 (id 6) in space" in words(particle_path(trj, latent, labels, 5, around=4.0))


def test_the_balls_are_the_atoms_around_the_end_images_included() -> None:
    trj, latent, labels, expected = crossing()
    figure = particle_path(trj, latent, labels, 5, around=4.0, view="z")
    (drawn,) = [
        artist for artist in figure.axes[1].collections if isinstance(artist, EllipseCollection)
    ]
    centers = np.asarray(drawn.get_offsets())[:: len(DISCS)]
    others = np.delete(trj["positions"].values[-1].astype(float), 5, axis=0)
    vectors = others - expected[-1]
    vectors[:, :2] -= 12 * np.round(vectors[:, :2] / 12)
    near = vectors[np.linalg.norm(vectors, axis=1) < 4]
    assert len(centers) == len(near) > 0
    offsets = np.sort(np.linalg.norm(centers - expected[-1, :2], axis=1))
    np.testing.assert_allclose(offsets, np.sort(np.linalg.norm(near[:, :2], axis=1)), atol=1e-3)


@pytest.mark.parametrize("around", [0.1, 30.0])
def test_no_neighbour_and_all_can_be_drawn(around: float) -> None:
    trj, latent, labels, _ = crossing(1)
    check_readable(particle_path(trj, latent, labels, 5, around=around, view="20x"))


def test_what_does_not_fit_is_refused() -> None:
    trj, latent, labels, _ = crossing()
    with pytest.raises(InputError, match="atom with a label, found 99"):
        particle_path(trj, latent, labels, 99)
    with pytest.raises(InputError, match="same frames"):
        particle_path(trj.isel(frame=slice(0, None, 2)), latent, labels, 5)
    latent["latent"][:, 5] = np.nan
    with pytest.raises(InputError, match="only NaN"):
        particle_path(trj, latent, labels, 5)
