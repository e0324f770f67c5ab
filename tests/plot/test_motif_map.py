from itertools import combinations

import numpy as np
import pytest
from helpers.figures import check_readable, some_labels, some_latent, words
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb

from icedask.errors import InputError
from icedask.plot import motif_map
from icedask.plot.motif_map import apart, densest_place
from icedask.plot.style import PALE

MANY = 24


@pytest.fixture
def labels():
    labels = some_labels(MANY, n_atoms=240)
    labels["label"][:, -24:] = -1
    return labels


def categories(n_motifs: int = MANY) -> dict[int, str]:
    return {state: ("ice", "transient", "liquid")[state % 3] for state in range(n_motifs)}


@pytest.mark.parametrize("categorised", [True, False])
def test_each_of_many_motifs_has_its_number_and_none_overlap(labels, categorised: bool) -> None:
    figure = motif_map(
        some_latent(labels), labels, categories=categories() if categorised else None
    )
    numbers = [text for text in words(figure) if text.isdigit()]
    assert sorted(numbers, key=int) == [str(state) for state in range(MANY)]
    assert ("transient" in words(figure)) == categorised
    assert {"UMAP 1", "UMAP 2", "in no motif"} <= set(words(figure))
    boxes = [
        text.get_bbox_patch().get_window_extent() for text in figure.axes[0].texts if categorised
    ]
    assert not any(box.overlaps(other) for box, other in combinations(boxes, 2))
    check_readable(figure)


def test_numbers_stand_in_their_motifs(labels) -> None:
    latent = some_latent(labels)
    figure = motif_map(latent, labels)
    values, label = latent["latent"].values[:, :, :2], labels["label"].values
    for text in figure.axes[0].texts:
        assert np.abs(values[label == int(text.get_text())].mean(axis=0) - text.xy).max() < 0.5


def test_rows_in_no_motif_are_pale_and_below(labels) -> None:
    figure = motif_map(some_latent(labels), labels, max_points=1000)
    below, above = figure.axes[0].collections
    np.testing.assert_allclose(below.get_facecolors()[0, :3], to_rgb(PALE))
    assert len(np.unique(below.get_facecolors(), axis=0)) == 1
    assert len(below.get_offsets()) + len(above.get_offsets()) == 1000
    assert "in no motif" not in words(motif_map(some_latent(some_labels()), some_labels()))


def test_medoids_are_marked_where_their_rows_are(labels) -> None:
    latent = some_latent(labels)
    figure = motif_map(latent.chunk(frame=3), labels, medoids={3: (5, 17), 4: (0, 2)})
    marks = [artist for artist in figure.axes[0].collections if isinstance(artist, PathCollection)][
        2:
    ]
    places = [mark.get_offsets()[0] for mark in marks]
    expected = [latent["latent"].values[row][:2] for row in ((5, 17), (0, 2))]
    np.testing.assert_allclose(places, expected)
    assert "medoid" in words(figure)
    check_readable(figure)


def test_the_scale_is_the_same_along_both_components(labels) -> None:
    latent = some_latent(labels)
    latent["latent"][..., 1] *= 0.2
    axes = motif_map(latent, labels).axes[0]
    axes.figure.draw_without_rendering()
    box = axes.get_window_extent()
    assert box.width / np.diff(axes.get_xlim()) == pytest.approx(
        box.height / np.diff(axes.get_ylim()), rel=1e-3
    )


def test_what_cannot_be_drawn_is_refused(labels) -> None:
    latent = some_latent(labels)
    with pytest.raises(InputError, match="found none for 1, 2"):
        motif_map(latent, labels, categories={0: "ice", **dict.fromkeys(range(3, MANY), "liquid")})
    with pytest.raises(InputError, match="expected ice, transient, liquid, found gas"):
        motif_map(latent, labels, categories={**categories(), 0: "gas"})
    with pytest.raises(InputError, match="3: expected a frame below 20 and an atom below 240"):
        motif_map(latent, labels, medoids={3: (20, 0)})
    latent["latent"][2, 2] = np.nan
    with pytest.raises(InputError, match="the row of 3 has a NaN"):
        motif_map(latent, labels, medoids={3: (2, 2)})
    with pytest.raises(InputError, match="same frames"):
        motif_map(latent, labels.isel(frame=slice(5)))


def test_boxes_move_apart_within_the_room() -> None:
    places = np.array([[50.0, 50], [50, 50], [50, 51], [0, 0], [99, 2]])
    boxes = np.full((5, 2), 12.0)
    moved = apart(places, boxes, np.array([100.0, 100]))
    gaps = np.abs(moved[:, None] - moved).max(axis=2)[~np.eye(5, dtype=bool)]
    assert gaps.min() > 12 - 1e-4
    assert moved.min() >= 6
    assert moved.max() <= 94
    # Those alone stay but for the edge.
    np.testing.assert_allclose(moved[3], [6, 6])


def test_the_densest_place_is_in_the_larger_of_two_blobs() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(0, 1, (700, 2)), rng.normal(20, 1, (300, 2))])
    assert np.abs(densest_place(points)).max() < 1
    np.testing.assert_array_equal(densest_place(points[:1]), points[0])
