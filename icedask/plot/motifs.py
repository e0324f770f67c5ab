"""What the figures of motifs share: their categories, and where their numbers stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from scipy.spatial import cKDTree

from icedask.core.types import FloatArray
from icedask.errors import InputError

CATEGORIES = ("ice", "transient", "liquid")
# Of the boxes about numbers, and of these: greys, since colours are those of motifs.
_BOXES = {"ice": "white", "transient": "#B8B8B8", "liquid": "#303030"}
_TEXTS = {"ice": "black", "transient": "black", "liquid": "white"}
_SIZE = 7
# Points: the width of a digit, the height of a number, and the box about it on all sides.
_DIGIT, _HEIGHT, _PAD = 4.9, 8.2, 2.2
_BOX = {"boxstyle": f"round,pad={_PAD / _SIZE}", "edgecolor": "black", "lw": 0.7}
_ROUNDS = 2000
# Points of a motif among which the densest place is looked for, and the share of them about it.
_SOME, _NEAR = 2000, 0.3


def check_categories(
    categories: Mapping[int, str], motifs: Iterable[int], caller: str
) -> dict[int, str]:
    """Return the category of each motif.

    Raises
    ------
    InputError
        If a motif has none, or one that is not known.
    """
    found = {int(motif): str(name) for motif, name in categories.items()}
    missing = [str(one) for one in motifs if one >= 0 and one not in found]
    if missing:
        raise InputError(
            f"{caller}: categories: expected a category for each motif, found none for "
            f"{', '.join(missing)}"
        )
    unknown = sorted(set(found.values()) - set(CATEGORIES))
    if unknown:
        raise InputError(
            f"{caller}: categories: expected {', '.join(CATEGORIES)}, found {', '.join(unknown)}"
        )
    return found


def category_handles(categories: Iterable[str]) -> list[Patch]:
    """Return what a legend of the boxes about numbers shows."""
    present = set(categories)
    return [
        Patch(facecolor=_BOXES[one], edgecolor="black", lw=0.7, label=one)
        for one in CATEGORIES
        if one in present
    ]


def densest_place(points: FloatArray) -> FloatArray:
    """Return the point of some whose nearest third of the others is nearest."""
    some = points[:: max(1, len(points) // _SOME)]
    reach = int(np.ceil(_NEAR * len(some)))
    distance = cKDTree(some).query(some, [min(reach + 1, len(some))])[0][:, 0]
    place: FloatArray = some[np.argmin(distance)]
    return place


def number_motifs(
    axes: Axes,
    anchors: Mapping[int, npt.ArrayLike],
    size: tuple[float, float],
    categories: Mapping[int, str] | None,
) -> None:
    """Write the numbers of motifs at their places, or beside them where they would overlap.

    Parameters
    ----------
    axes
        With its limits set.
    anchors : mapping of int to (2,) array
        The places.
    size : two float, inches
        Of the axes.
    categories : mapping of int to str, optional
        Of the motifs: the numbers then stand in boxes of the colour of their category.
    """
    if not anchors:
        return
    low = np.array([axes.get_xlim()[0], axes.get_ylim()[0]])
    high = np.array([axes.get_xlim()[1], axes.get_ylim()[1]])
    points = 72 * np.array(size)
    places = (np.array([anchors[one] for one in anchors], float) - low) / (high - low) * points
    widths = np.array([_DIGIT * len(str(one)) for one in anchors])
    boxes = np.stack([widths, np.full(len(widths), _HEIGHT)], axis=1) + 2 * _PAD + 1
    moved = low + apart(places, boxes, points) / points * (high - low)
    for motif, place in zip(anchors, moved, strict=True):
        category = None if categories is None else categories[motif]
        anchor = np.asarray(anchors[motif], float)
        # Under all numbers, so that no line crosses the number of another.
        axes.plot(
            *np.stack([anchor, place], axis=1),
            color="black",
            lw=0.7,
            path_effects=[withStroke(linewidth=1.8, foreground="white")],
            scalex=False,
            scaley=False,
            zorder=5,
        )
        axes.annotate(
            str(motif),
            tuple(anchor),
            xytext=tuple(place),
            ha="center",
            va="center_baseline",
            fontsize=_SIZE,
            fontweight="bold",
            color="black" if category is None else _TEXTS[category],
            path_effects=[withStroke(linewidth=2, foreground="white")] if category is None else [],
            bbox=None if category is None else {**_BOX, "facecolor": _BOXES[category]},
            annotation_clip=False,
            zorder=6,
        )


def apart(places: FloatArray, boxes: FloatArray, room: FloatArray) -> FloatArray:
    """Return the centres of boxes (n, 2) moved until none overlap, within the room from 0 on.

    Each pair that overlaps moves along the direction that takes the shorter way; what the room
    cannot hold overlaps still.
    """
    moved = np.clip(places, boxes / 2, np.maximum(room - boxes / 2, boxes / 2))
    rank = np.arange(len(moved))
    # Of two at the same place, the first moves to the left, or down.
    before = np.sign(rank[:, None] - rank)
    for _ in range(_ROUNDS):
        offset = moved[:, None] - moved
        lack = (boxes[:, None] + boxes) / 2 - np.abs(offset)
        overlap = (lack > 1e-6).all(axis=2) & (before != 0)
        if not overlap.any():
            break
        side = np.where(offset == 0, before[:, :, None], np.sign(offset))
        shorter = np.argmin(lack, axis=2)[:, :, None] == np.arange(2)
        steps = np.where(overlap[:, :, None] & shorter, side * lack / 2, 0)
        moved = moved + 0.6 * steps.sum(axis=1)
        moved = np.clip(moved, boxes / 2, np.maximum(room - boxes / 2, boxes / 2))
    return moved
