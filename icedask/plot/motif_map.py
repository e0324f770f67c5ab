"""The map of motifs: rows in two components, with the numbers of the motifs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icedask.core.features import feature_variable
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.plot.latent import draw_rows
from icedask.plot.motifs import category_handles, check_categories, densest_place, number_motifs
from icedask.plot.rows import Rows, sample_rows
from icedask.plot.style import (
    axes_at,
    in_style,
    new_figure,
    state_color,
    state_colors,
)

COMPONENTS = (0, 1)
_NAMES = ("UMAP 1", "UMAP 2")
# What belongs to no motif, or to no part of a run.
PALE = "#DDDDDD"
# Inches: the longer side of a map that has the figure for itself.
_SIDE = 4.2


@in_style
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
    latent : xarray.Dataset
        latent (frame, atom, component): the two components of a UMAP.
    labels : xarray.Dataset
        label (frame, atom): the motifs, -1 in none.
    categories : mapping of int to str, optional
        Of each motif: ice, transient or liquid. The box about its number then tells it.
    max_points : int
        Rows to draw, the same number from each frame.
    seed : int
        Of the sample.
    medoids : mapping of int to (frame, atom), optional
        By motif, a row to mark; frame and atom are positions in the Datasets.

    Returns
    -------
    matplotlib.figure.Figure

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
    motifs = [int(one) for one in np.unique(rows.label) if one >= 0]
    known = categories
    if categories is not None:
        known = check_categories(categories, motifs, "motif_map")
    extent = np.concatenate([rows.values, *[place[None] for place in marked.values()]])
    low, high = map_limits(extent)
    width, height = _SIDE * (high - low) / (high - low).max()
    has_legend = bool(known or marked or (rows.label < 0).any())
    figure = new_figure(width + 0.4 + (0.95 if has_legend else 0.1), height + 0.4)
    axes = axes_at(figure, 0.3, 0.3, width, height)
    limit_map(axes, low, high)
    _draw_motifs(axes, rows, seed)
    for motif, place in marked.items():
        axes.scatter(
            [place[0]],
            [place[1]],
            s=42,
            marker="X",
            color=state_color(motif),
            edgecolors="black",
            linewidths=0.8,
            zorder=4,
        )
    dense = {one: densest_place(rows.values[rows.label == one]) for one in motifs}
    number_motifs(axes, dense, (width, height), known)
    if has_legend:
        handles = category_handles([known[one] for one in motifs] if known else [])
        axes.legend(
            handles=[*handles, *_mark_handles(bool(marked), bool((rows.label < 0).any()))],
            loc="upper left",
            bbox_to_anchor=(1, 1),
            handletextpad=0.4,
            handlelength=1.2,
        )
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
        xr.DataArray([place[one] for place in medoids.values()], dims="medoid") for one in (0, 1)
    )
    rows = array.isel({FRAME: frames, ATOM: atoms}).transpose("medoid", ...).values.astype(float)
    places = {int(one): row[list(COMPONENTS)] for one, row in zip(medoids, rows, strict=True)}
    unknown = [str(one) for one, place in places.items() if not np.isfinite(place).all()]
    if unknown:
        raise InputError(f"motif_map: medoids: the row of {', '.join(unknown)} has a NaN")
    return places


def _draw_motifs(axes: Axes, rows: Rows, seed: int) -> None:
    """Draw the rows, those in no motif first."""
    for within in (False, True):
        keep = (rows.label >= 0) == within
        if not keep.any():
            continue
        some = Rows(rows.values[keep], rows.frame[keep], rows.label[keep])
        colors = state_colors(some.label) if within else [PALE] * len(some.label)
        draw_rows(axes, some, np.array(colors), seed)


def _mark_handles(has_medoids: bool, has_others: bool) -> list[Line2D]:
    """Return what the legend of a map of motifs shows besides the categories."""
    handles = []
    if has_medoids:
        handles.append(_marker("medoid", "X", "white", 0.8))
    if has_others:
        handles.append(_marker("in no motif", "o", PALE, 0))
    return handles


def _marker(label: str, marker: str, color: str, edge: float) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="",
        marker=marker,
        markersize=6,
        color=color,
        markeredgecolor="black",
        markeredgewidth=edge,
        label=label,
    )


def map_limits(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the corners of a map that holds points."""
    low, high = points.min(axis=0), points.max(axis=0)
    # A single point has no extent.
    margin = max(0.03 * (high - low).max(), 1e-6)
    return low - margin, high + margin


def limit_map(axes: Axes, low: FloatArray, high: FloatArray) -> None:
    """Set the limits of a map, whose axes have names but no scale, which is the same for both."""
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(_NAMES[0])
    axes.set_ylabel(_NAMES[1])
