"""Chosen frames of a freezing liquid: a value of the atoms above, their class by CHILL+ below."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from icedask.core.features import check_same_rows, whole_number
from icedask.core.trajectory import check_trajectory
from icedask.core.types import FloatArray
from icedask.core.variables import FRAME
from icedask.errors import InputError
from icedask.kernels.neighbors import complete_cell, neighbor_list
from icedask.plot.balls import View, draw_balls, draw_cell, radii_of, view_of
from icedask.plot.maps import check_values
from icedask.plot.rows import check_same, label_variable
from icedask.plot.snapshot import labelled_atoms, one_frame
from icedask.plot.style import (
    NOISE,
    PAGE,
    axes_at,
    frame_times,
    in_style,
    names_of,
    new_figure,
    units_text,
)

_MAX_FRAMES = 5
# Of Nguyen and Molinero: cubic orange, hexagonal blue, interfacial green, liquid white.
_COLORS = {
    "cubic ice": "#E69F00",
    "hexagonal ice": "#0072B2",
    "interfacial ice": "#009E73",
    "hydrate": "#CC79A7",
    "interfacial hydrate": "#CC79A7",
}
# Of the trajectory.
_READ = ("positions", "cell", "pbc", "cell_origin", "element")
_ICES = tuple(_COLORS)[:3]
_LIQUID, _SMALL = "#F2F2F2", 0.45
_VALUE_MAP = "viridis"
_ROBUST = (1, 99)
# Angstrom: neighbours in a cluster of ice, and how much of the depth is drawn.
_BOND, _THICK = 3.5, 10.0
# A cluster of ice of fewer molecules may be a fluctuation.
_NUCLEUS = 100
# Inches.
_GAP, _BESIDE, _BELOW, _LINE = 0.08, 0.95, 0.2, 0.14
# Of the title, per inch.
_LETTERS = 15
# White in the colour of the farthest ball of a slab.
_HAZE = 0.2


@in_style
def stages(
    trj: xr.Dataset,
    values: xr.DataArray,
    chill: xr.Dataset,
    frames: Sequence[int],
    *,
    view: str = "z",
) -> Figure:
    """Draw chosen frames as balls: a value of the atoms above, their class by CHILL+ below.

    What is thick is cut to a slab of 10 Å across the view, so that a nucleus within shows: through
    the largest cluster of ice of the first chosen frame in which it has 100 molecules, or, where
    there is none, through the middle of the cell. Periodic cells are shifted so that the slab is
    in their middle. Balls of the liquid are small and nearly white in the lower row.

    Parameters
    ----------
    trj : xarray.Dataset
        The trajectory; only the chosen frames are read.
    values : xarray.DataArray
        Values (frame, atom) of the atoms of `chill`, with the attributes long_name and units.
        Colours range from the 1st to the 99th percentile of what is drawn.
    chill : xarray.Dataset
        label (frame, atom) of `chill_plus`.
    frames : sequence of int
        Positions of one to five frames; those from the end are negative.
    view : str
        The axis to look along, or a rotation, as for `snapshot`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the three are not of the same frames, values and classes not of the same atoms, a frame
        is out of range, there are too many, or the labels have no names of CHILL+.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> from icedask.plot import stages
    >>> trj = ice.from_ase([bulk("O", "diamond", a=6.37, cubic=True) * 3] * 2)
    >>> order = ice.tetrahedral(trj)["tetrahedral"]
    >>> figure = stages(trj, order, ice.chill_plus(trj), [0, -1])
    >>> figure.get_suptitle().splitlines()[-1]
    'slab of 10 Å through the largest cluster of ice at frame 0'
    """
    check_trajectory(trj, "stages")
    label = label_variable(chill, "stages")
    check_values(values, "stages: values")
    check_same_rows(label, values, "stages: values")
    check_same("stages", trj, chill, FRAME)
    names = names_of(label)
    if not set(_ICES) <= set(names.values()):
        raise InputError(
            "stages: expected labels with the flags of CHILL+, found "
            f"{', '.join(names.values()) or 'none'}; pass what chill_plus returned"
        )
    seen = view_of(view, "stages")
    chosen = [whole_number(one, "stages: frames", at_least=-trj.sizes[FRAME]) for one in frames]
    if not 1 <= len(chosen) <= _MAX_FRAMES:
        raise InputError(f"stages: frames: expected 1 to {_MAX_FRAMES}, found {len(chosen)}")
    place = labelled_atoms(trj, chill, "stages")
    read = [one for one in _READ if one in trj]
    for one in chosen:
        one_frame(trj, one, "stages")
    # All at once: what is lazy may compute many frames for one.
    here = trj[read].isel({FRAME: chosen}).compute()
    of_atoms, of_classes = (one.isel({FRAME: chosen}).compute() for one in (values, label))
    found = [
        _of_frame(here.isel({FRAME: one}), of_atoms[one], of_classes[one], place, names)
        for one in range(len(chosen))
    ]
    times = [frame_times(trj).text(one) for one in chosen]
    middle, where = _middle(found, times)
    slabs = [_slab(one, middle, seen) for one in found]
    name = str(values.attrs.get("long_name", values.name or "value"))
    title = [f"above: {name}; below: class by CHILL+"]
    if slabs[0].is_cut:
        title.append(f"slab of {_THICK:g} Å {where}")
    return _drawn(slabs, title, units_text(values), times)


class _Atoms(NamedTuple):
    """What of a frame is drawn: places in the cell, values, and names of classes."""

    fractions: FloatArray
    cell: FloatArray
    pbc: npt.NDArray[np.bool_]
    elements: npt.NDArray[np.str_]
    values: FloatArray
    classes: npt.NDArray[np.object_]


class _Slab(NamedTuple):
    """The atoms of a slab seen along a direction, and the corners of the paper of all atoms."""

    points: FloatArray
    radii: FloatArray
    values: FloatArray
    classes: npt.NDArray[np.object_]
    cell: FloatArray
    view: View
    low: FloatArray
    high: FloatArray
    is_cut: bool


def _of_frame(
    here: xr.Dataset,
    values: xr.DataArray,
    label: xr.DataArray,
    place: npt.NDArray[np.int64],
    names: dict[int, str],
) -> _Atoms:
    cell, pbc = complete_cell(here["cell"].values), here["pbc"].values.astype(bool)
    origin = here["cell_origin"].values if "cell_origin" in here else np.zeros(3)
    fractions = (here["positions"].values[place].astype(float) - origin) @ np.linalg.inv(cell)
    fractions[:, pbc] %= 1
    classes = np.array([names.get(int(one), "") for one in label.values])
    return _Atoms(
        fractions,
        cell,
        pbc,
        here["element"].values[place].astype(str),
        values.values.astype(float),
        classes.astype(object),
    )


def _middle(found: Sequence[_Atoms], times: Sequence[str]) -> tuple[FloatArray, str]:
    """Return what the slab goes through, in fractions of the cell, and how this is called."""
    for atoms, time in zip(found, times, strict=True):
        nucleus = _largest_cluster(atoms)
        if len(nucleus) >= _NUCLEUS:
            # The mean of places on a circle: a cluster may lie across a face of the cell.
            turns = np.exp(2j * np.pi * nucleus).mean(axis=0)
            around = np.angle(turns) / (2 * np.pi) % 1
            middle = np.where(atoms.pbc, around, nucleus.mean(axis=0))
            return middle, f"through the largest cluster of ice at {time}"
    middle = np.where(found[0].pbc, 0.5, found[0].fractions.mean(axis=0))
    return middle, "through the middle of the cell"


def _largest_cluster(atoms: _Atoms) -> FloatArray:
    """Return the places of the molecules in the largest cluster of ice."""
    ice = atoms.fractions[np.isin(atoms.classes, _ICES)]
    if len(ice) < _NUCLEUS:
        return ice
    pairs = neighbor_list(ice @ atoms.cell, atoms.cell, atoms.pbc, _BOND)
    bonds = coo_array(
        (np.ones(len(pairs.indices), bool), (pairs.rows, pairs.indices)), shape=(len(ice),) * 2
    )
    _, cluster = connected_components(bonds, directed=False)
    largest: FloatArray = ice[cluster == np.argmax(np.bincount(cluster))]
    return largest


def _slab(atoms: _Atoms, middle: FloatArray, view: View) -> _Slab:
    """Return the atoms that are near enough to the middle of the depth."""
    # The middle comes to that of the cell along its periodic vectors.
    shifted = np.where(atoms.pbc, (atoms.fractions - middle + 0.5) % 1, atoms.fractions)
    center = np.where(atoms.pbc, 0.5, middle) @ atoms.cell @ view.matrix
    points = shifted @ atoms.cell @ view.matrix
    depth = points[:, 2] - center[2]
    is_cut = bool(np.ptp(depth) > 1.5 * _THICK)
    keep = np.abs(depth) <= _THICK / 2 if is_cut else np.full(len(depth), True)
    radii = radii_of(atoms.elements, shifted @ atoms.cell)
    corners = points
    # A box that repeats nothing is no part of the matter.
    cell = atoms.cell if atoms.pbc.all() else np.zeros((3, 3))
    if cell.any():
        bits = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), axis=-1).reshape(-1, 3)
        corners = bits @ cell @ view.matrix
    edge = radii.max()
    return _Slab(
        points[keep],
        radii[keep],
        atoms.values[keep],
        atoms.classes[keep],
        cell,
        view,
        corners[:, :2].min(axis=0) - edge,
        corners[:, :2].max(axis=0) + edge,
        is_cut,
    )


def _drawn(
    slabs: Sequence[_Slab], title: Sequence[str], units: str, times: Sequence[str]
) -> Figure:
    """Draw two rows of panels to one scale, the bar of the values and the legend of the classes."""
    low = np.min([one.low for one in slabs], axis=0)
    high = np.max([one.high for one in slabs], axis=0)
    n = len(slabs)
    width = min(2.2, (PAGE - 0.1 - _BESIDE) / n - _GAP)
    height = width * (high - low)[1] / (high - low)[0]
    across = 0.1 + n * (width + _GAP) + _BESIDE
    lines = [line for one in title for line in wrap(one, int(_LETTERS * across))]
    figure = new_figure(across, 2 * height + _GAP + _BELOW + 0.27 + _LINE * len(lines))
    every = np.concatenate([one.values for one in slabs])
    known = every[np.isfinite(every)]
    limits = np.percentile(known, _ROBUST) if len(known) else (0.0, 1.0)
    scale = ScalarMappable(Normalize(*limits), colormaps[_VALUE_MAP].with_extremes(bad=NOISE))
    for column, slab in enumerate(slabs):
        left = 0.1 + column * (width + _GAP)
        upper = axes_at(figure, left, _BELOW + height + _GAP, width, height)
        lower = axes_at(figure, left, _BELOW, width, height)
        upper.set_title(times[column])
        colors = [to_hex(one) for one in scale.to_rgba(slab.values)]
        _draw_panel(upper, slab, slab.radii, colors, low, high)
        solid = np.isin(slab.classes, list(_COLORS))
        colors = [_COLORS.get(one, _LIQUID) for one in slab.classes]
        _draw_panel(lower, slab, np.where(solid, 1, _SMALL) * slab.radii, colors, low, high)
        if not column:
            _draw_scale(lower, low, high, height)
    right = 0.1 + n * (width + _GAP)
    bar = axes_at(figure, right + 0.05, _BELOW + height + _GAP, 0.1, height)
    figure.colorbar(scale, cax=bar, label=units)
    present = {one for slab in slabs for one in slab.classes}
    figure.legend(
        handles=_class_handles(present),
        loc="upper left",
        bbox_to_anchor=(
            right / figure.get_figwidth(),
            (_BELOW + 0.03 + height) / figure.get_figheight(),
        ),
        handletextpad=0.2,
        borderpad=0,
    )
    figure.suptitle("\n".join(lines), fontsize=8, y=1 - 0.04 / figure.get_figheight())
    return figure


def _draw_panel(
    axes: Axes,
    slab: _Slab,
    radii: FloatArray,
    colors: list[str],
    low: FloatArray,
    high: FloatArray,
) -> None:
    draw_balls(axes, slab.points, radii, colors, haze=_HAZE)
    if slab.cell.any():
        draw_cell(axes, slab.cell, slab.view)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.axis("off")


def _draw_scale(axes: Axes, low: FloatArray, high: FloatArray, height: float) -> None:
    """Draw a bar of round length in angstrom under a panel that is `height` inches high."""
    longest = 0.45 * (high - low)[0]
    power = 10 ** np.floor(np.log10(longest))
    length = power * max(one for one in (1, 2, 5) if one * power <= longest)
    y = low[1] - 0.09 / height * (high - low)[1]
    axes.plot([low[0], low[0] + length], [y, y], color="black", lw=1.5, clip_on=False)
    axes.annotate(
        f"{length:g} Å",
        (low[0] + length, y),
        xytext=(3, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=7,
        annotation_clip=False,
    )


def _class_handles(present: set[str]) -> list[Line2D]:
    """Return what the legend of the classes shows."""
    # Both kinds of hydrate have one colour.
    found = {name.replace("interfacial hydrate", "hydrate") for name in present}
    looks = {name: (color, 6.0) for name, color in _COLORS.items() if name in found}
    looks["liquid"] = (_LIQUID, 6.0 * _SMALL)
    return [
        Line2D(
            [],
            [],
            linestyle="",
            marker="o",
            markersize=size,
            color=color,
            markeredgecolor="0.4",
            markeredgewidth=0.4,
            label=name,
        )
        for name, (color, size) in looks.items()
    ]
