"""The map of motifs: rows in two components, with the numbers of the motifs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from scipy.spatial import cKDTree

from icedask.core.features import feature_variable
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.plot import style
from icedask.plot.inputs import CATEGORIES, checked_categories, sample_rows
from icedask.plot.latent import scatter
from icedask.plot.maps import COMPONENTS, limit_map, map_limits

# Inches: the longer side of a map that has the figure for itself.
_SIDE = 4.2
# Points: the width of a digit, the height of a number, and the box about it on all sides.
_DIGIT, _HEIGHT, _PAD = 4.9, 8.2, 2.2
_BOX = {"boxstyle": f"round,pad={_PAD / style.SMALL}", "edgecolor": style.INK, "lw": 0.7}
_ROUNDS = 2000
# Points of a motif among which the densest place is looked for, and the share of them about it.
_SOME, _NEAR = 2000, 0.3


@style.in_style
def motif_map(
    latent: xr.Dataset,
    labels: xr.Dataset,
    *,
    categories: Mapping[int, str] | None = None,
    max_points: int = 20_000,
    seed: int = 0,
    medoids: Mapping[int, tuple[int, int]] | None = None,
) -> Figure:
    """Draw a sample of rows in a map of two components, coloured by motif.

    The number of each motif stands at a dense place of it, or beside it with a line to it. Rows
    in no motif are pale grey, below all others.

    Parameters
    ----------
    labels : xarray.Dataset
        label (frame, atom): the motifs, -1 in none.
    categories : mapping of int to str, optional
        Category of each motif: ice, transient or liquid, shown by the box about its number.
    medoids : mapping of int to (frame, atom), optional
        By motif, a row to mark: positions of the frame and of the atom in the Datasets.

    Raises
    ------
    InputError
        If the labels are not of the same frames and atoms, every row has a NaN, a motif has no
        category, or there is no row of a medoid.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from icedask.plot import motif_map
    >>> label = np.arange(40, dtype=np.int32).reshape(2, 20) % 2
    >>> labels = xr.Dataset({"label": (("frame", "atom"), label)})
    >>> place = label[:, :, None] + np.random.default_rng(0).normal(0, 0.2, (2, 20, 2))
    >>> latent = xr.Dataset({"latent": (("frame", "atom", "component"), place)})
    >>> figure = motif_map(latent, labels, categories={0: "ice", 1: "liquid"})
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0', '1']
    """
    rows = sample_rows(latent, labels, COMPONENTS, max_points, seed, "motif_map")
    marked = _places_of(latent, medoids or {})
    motifs = [int(motif) for motif in np.unique(rows.label) if motif >= 0]
    known = categories
    if categories is not None:
        known = checked_categories(categories, motifs, "motif_map")
    extent = np.concatenate([rows.values, *[place[None] for place in marked.values()]])
    low, high = map_limits(extent)
    width, height = _SIDE * (high - low) / (high - low).max()
    inside = rows.label >= 0
    boxes = {known[motif] for motif in motifs} if known else set()
    handles: list[Any] = [
        Patch(facecolor=style.CATEGORY_BOXES[name][0], edgecolor=style.INK, lw=0.7, label=name)
        for name in CATEGORIES
        if name in boxes
    ]
    if marked:
        look = {
            "marker": "X",
            "markersize": 6,
            "markeredgecolor": style.INK,
            "markeredgewidth": 0.8,
        }
        handles.append(style.marker_handle("medoid", style.PAPER, **look))
    if not inside.all():
        handles.append(style.marker_handle("in no motif", style.PALE, markersize=6))
    figure = style.new_figure(width + 0.4 + (0.95 if handles else 0.1), height + 0.4)
    axes = style.axes_at(figure, 0.3, 0.3, width, height)
    limit_map(axes, low, high)
    colors = np.where(inside, style.state_colors(rows.label), style.PALE)
    # Those in no motif first, below the others.
    for keep in (~inside, inside):
        scatter(axes, rows.values[keep], colors[keep], seed)
    for motif, place in marked.items():
        axes.scatter(
            [place[0]],
            [place[1]],
            s=42,
            marker="X",
            color=style.state_color(motif),
            edgecolors=style.INK,
            linewidths=0.8,
            zorder=4,
        )
    dense = {motif: densest_place(rows.values[rows.label == motif]) for motif in motifs}
    number_motifs(axes, dense, (width, height), known)
    if handles:
        style.legend_right(axes, handles, handletextpad=0.4, handlelength=1.2)
    return figure


def _places_of(latent: xr.Dataset, medoids: Mapping[int, tuple[int, int]]) -> dict[int, FloatArray]:
    """Return the two components of the rows of medoids."""
    array = feature_variable(latent)
    n_frames, n_atoms = array.sizes[FRAME], array.sizes[ATOM]
    for motif, (frame, atom) in medoids.items():
        if not (0 <= frame < n_frames and 0 <= atom < n_atoms):
            raise InputError(
                f"motif_map: medoids: {motif}: expected a frame below {n_frames} and an atom below "
                f"{n_atoms}, found {(frame, atom)}"
            )
    if not medoids:
        return {}
    frames, atoms = (
        xr.DataArray([place[k] for place in medoids.values()], dims="medoid") for k in (0, 1)
    )
    rows = array.isel({FRAME: frames, ATOM: atoms}).transpose("medoid", ...).values.astype(float)
    places = {int(motif): row[list(COMPONENTS)] for motif, row in zip(medoids, rows, strict=True)}
    unknown = [str(motif) for motif, place in places.items() if not np.isfinite(place).all()]
    if unknown:
        raise InputError(f"motif_map: medoids: the row of {', '.join(unknown)} has a NaN")
    return places


def densest_place(points: FloatArray) -> FloatArray:
    """Return the point of a sample whose nearest third of the others is nearest."""
    sample = points[:: max(1, len(points) // _SOME)]
    reach = int(np.ceil(_NEAR * len(sample)))
    distance = cKDTree(sample).query(sample, [min(reach + 1, len(sample))])[0][:, 0]
    place: FloatArray = sample[np.argmin(distance)]
    return place


def number_motifs(
    axes: Axes,
    anchors: Mapping[int, npt.ArrayLike],
    size: tuple[float, float],
    categories: Mapping[int, str] | None,
) -> None:
    """Write the numbers of motifs at their places, or beside them where they would overlap.

    The axes have their limits, and a size in inches. Where there are categories, the numbers stand
    in boxes of their colours.
    """
    if not anchors:
        return
    low = np.array([axes.get_xlim()[0], axes.get_ylim()[0]])
    high = np.array([axes.get_xlim()[1], axes.get_ylim()[1]])
    points = 72 * np.array(size)
    places = (np.array(list(anchors.values()), float) - low) / (high - low) * points
    widths = np.array([_DIGIT * len(str(motif)) for motif in anchors])
    boxes = np.stack([widths, np.full(len(widths), _HEIGHT)], axis=1) + 2 * _PAD + 1
    moved = low + apart(places, boxes, points) / points * (high - low)
    for motif, place in zip(anchors, moved, strict=True):
        fill, ink = (
            (style.PAPER, style.INK)
            if categories is None
            else style.CATEGORY_BOXES[categories[motif]]
        )
        anchor = np.asarray(anchors[motif], float)
        # Under all numbers, so that no line crosses the number of another.
        axes.plot(
            *np.stack([anchor, place], axis=1),
            color=style.INK,
            lw=0.7,
            path_effects=[withStroke(linewidth=1.8, foreground=style.PAPER)],
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
            fontsize=style.SMALL,
            fontweight="bold",
            color=ink,
            path_effects=[withStroke(linewidth=2, foreground=style.PAPER)]
            if categories is None
            else [],
            bbox=None if categories is None else {**_BOX, "facecolor": fill},
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
