"""Chosen frames of a freezing liquid: a value of the atoms above, their class by CHILL+ below."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
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
from icedask.plot import style
from icedask.plot.balls import (
    Scene,
    View,
    draw_length,
    draw_scene,
    labelled_atoms,
    one_frame,
    radii_of,
    scene_of,
    view_of,
)
from icedask.plot.inputs import ICES, check_same, chill_variable, value_variable

_MAX_FRAMES = 5
# Classes in the order of the legend; atoms of all others are drawn as liquid, smaller.
_SOLIDS = (*ICES, "hydrate", "interfacial hydrate")
_SMALL = 0.45
# Variables of the trajectory that are read.
_READ = ("positions", "cell", "pbc", "cell_origin", "element")
# Angstrom: neighbours in a cluster of ice, and the depth of a slab.
_BOND, _THICK = 3.5, 10.0
# A cluster of ice of fewer molecules may be a fluctuation.
_NUCLEUS = 100
# Inches: between panels, below them, beside them at least, and a line of the title.
_GAP, _BELOW, _BESIDE, _LINE = 0.08, 0.2, 0.95, 0.14
# Letters of the title, per inch.
_LETTERS = 15
# White in the colour of the farthest ball of a slab.
_HAZE = 0.2


@style.in_style
def stages(
    trj: xr.Dataset,
    values: xr.DataArray,
    chill: xr.Dataset,
    frames: Sequence[int],
    *,
    view: str | None = None,
) -> Figure:
    """Draw chosen frames as balls: a value of the atoms above, their class by CHILL+ below.

    Thick cells are cut to a slab of 10 Å across the view, so that a nucleus within shows: through
    the largest cluster of ice of the first chosen frame in which it has 100 molecules, or, where
    there is none, through the middle of the cell. Periodic cells are shifted so that the slab is
    in their middle. Balls of the liquid are small in the lower row.

    Parameters
    ----------
    trj : xarray.Dataset
        The trajectory; only the chosen frames are read.
    values : xarray.DataArray
        Values (frame, atom) of the atoms of `chill`, with the attributes long_name and units.
        Colours range from the 1st to the 99th percentile of those drawn.
    chill : xarray.Dataset
        label (frame, atom) of `chill_plus`.
    frames : sequence of int
        Positions of one to five frames; negative ones count from the end.

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
    label = chill_variable(chill, "stages")
    value_variable(values, "stages: values")
    check_same_rows(label, values, "stages: values")
    check_same("stages", trj, chill, FRAME)
    seen = view_of(view, trj, "stages")
    chosen = [whole_number(frame, "stages: frames", at_least=-trj.sizes[FRAME]) for frame in frames]
    if not 1 <= len(chosen) <= _MAX_FRAMES:
        raise InputError(f"stages: frames: expected 1 to {_MAX_FRAMES}, found {len(chosen)}")
    place = labelled_atoms(trj, chill, "stages")
    for frame in chosen:
        one_frame(trj, frame, "stages")
    # All at once: a lazy variable may compute many frames for one.
    here = trj[[name for name in _READ if name in trj]].isel({FRAME: chosen}).compute()
    of_atoms, of_classes = (array.isel({FRAME: chosen}).compute() for array in (values, label))
    names = style.names_of(label)
    drawn = [
        _atoms(here.isel({FRAME: k}), of_atoms[k], of_classes[k], place, names)
        for k in range(len(chosen))
    ]
    times = [style.frame_times(trj).text(frame) for frame in chosen]
    middle, where = _middle(drawn, times)
    slabs = [_slab(atoms, middle, seen) for atoms in drawn]
    name = str(values.attrs.get("long_name", values.name or "value"))
    title = [f"above: {name}; below: class by CHILL+"]
    if slabs[0].is_cut:
        title.append(f"slab of {_THICK:g} Å {where}")
    return _draw(slabs, title, style.units_text(values), times)


class _Atoms(NamedTuple):
    """Atoms of a frame: places in the cell, values, and names of classes."""

    fractions: FloatArray
    cell: FloatArray
    pbc: npt.NDArray[np.bool_]
    elements: npt.NDArray[np.str_]
    values: FloatArray
    classes: npt.NDArray[np.object_]


class _Slab(NamedTuple):
    """The balls of a slab, in the corners of all atoms, with their values and classes."""

    scene: Scene
    values: FloatArray
    classes: npt.NDArray[np.object_]
    is_cut: bool


def _atoms(
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
    classes = [names.get(int(number), "") for number in label.values]
    classes = [name if name in _SOLIDS else "liquid" for name in classes]
    elements = here["element"].values[place].astype(str)
    return _Atoms(
        fractions, cell, pbc, elements, values.values.astype(float), np.array(classes, object)
    )


def _middle(frames: Sequence[_Atoms], times: Sequence[str]) -> tuple[FloatArray, str]:
    """Return the middle of the slab, in fractions of the cell, and its description."""
    for atoms, time in zip(frames, times, strict=True):
        nucleus = _largest_cluster(atoms)
        if len(nucleus) >= _NUCLEUS:
            # The mean of places on a circle: a cluster may lie across a face of the cell.
            turns = np.exp(2j * np.pi * nucleus).mean(axis=0)
            around = np.angle(turns) / (2 * np.pi) % 1
            middle = np.where(atoms.pbc, around, nucleus.mean(axis=0))
            return middle, f"through the largest cluster of ice at {time}"
    middle = np.where(frames[0].pbc, 0.5, frames[0].fractions.mean(axis=0))
    return middle, "through the middle of the cell"


def _largest_cluster(atoms: _Atoms) -> FloatArray:
    """Return the places of the molecules in the largest cluster of ice."""
    ice = atoms.fractions[np.isin(atoms.classes, ICES)]
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
    positions = shifted @ atoms.cell
    center = np.where(atoms.pbc, 0.5, middle) @ atoms.cell @ view.matrix
    # A box that repeats nothing is no part of the matter.
    cell = atoms.cell if atoms.pbc.all() else np.zeros((3, 3))
    scene = scene_of(positions, radii_of(atoms.elements, positions), cell, view)
    depth = scene.points[:, 2] - center[2]
    is_cut = bool(np.ptp(depth) > 1.5 * _THICK)
    keep = np.abs(depth) <= _THICK / 2 if is_cut else np.full(len(depth), True)
    scene = scene._replace(points=scene.points[keep], radii=scene.radii[keep])
    return _Slab(scene, atoms.values[keep], atoms.classes[keep], is_cut)


def _draw(slabs: Sequence[_Slab], title: Sequence[str], units: str, times: Sequence[str]) -> Figure:
    """Draw two rows of panels to one scale, the bar of the values and the legend of the classes."""
    low = np.min([slab.scene.low for slab in slabs], axis=0)
    high = np.max([slab.scene.high for slab in slabs], axis=0)
    handles = _handles({name for slab in slabs for name in slab.classes})
    beside = max(_BESIDE, style.legend_width(handles))
    n = len(slabs)
    width = min(2.2, (style.PAGE - 0.1 - beside) / n - _GAP)
    height = width * (high - low)[1] / (high - low)[0]
    right = 0.1 + n * (width + _GAP)
    across = right + beside
    lines = [line for text in title for line in wrap(text, int(_LETTERS * across))]
    figure = style.new_figure(across, 2 * height + _GAP + _BELOW + 0.27 + _LINE * len(lines))
    every = np.concatenate([slab.values for slab in slabs])
    known = every[np.isfinite(every)]
    limits = np.percentile(known, style.ROBUST) if len(known) else (0.0, 1.0)
    scale = ScalarMappable(Normalize(*limits), style.VALUE_MAP.with_extremes(bad=style.NOISE))
    for column, (slab, time) in enumerate(zip(slabs, times, strict=True)):
        left, scene = 0.1 + column * (width + _GAP), slab.scene
        upper = style.axes_at(figure, left, _BELOW + height + _GAP, width, height)
        lower = style.axes_at(figure, left, _BELOW, width, height)
        upper.set_title(time)
        colors = [to_hex(color) for color in scale.to_rgba(slab.values)]
        draw_scene(upper, scene, colors, low, high, _HAZE)
        radii = np.where(slab.classes == "liquid", _SMALL, 1) * scene.radii
        colors = [style.CLASS_COLORS[name] for name in slab.classes]
        draw_scene(lower, scene._replace(radii=radii), colors, low, high, _HAZE)
        for axes in (upper, lower):
            axes.axis("off")
        if not column:
            draw_length(lower, 0.09 / height)
    bar = style.axes_at(figure, right + 0.05, _BELOW + height + _GAP, 0.1, height)
    figure.colorbar(scale, cax=bar, label=units, extend="both")
    corner = (right / across, (_BELOW + 0.03 + height) / figure.get_figheight())
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=corner, borderpad=0)
    figure.suptitle("\n".join(lines), fontsize=8, y=1 - 0.04 / figure.get_figheight())
    return figure


def _handles(present: set[str]) -> list[Line2D]:
    """Return a marker of each class that is drawn for the legend."""
    edge = {"markeredgecolor": style.GUIDE, "markeredgewidth": 0.4}
    return [
        style.marker_handle(
            name, style.CLASS_COLORS[name], markersize=6 * _SMALL if name == "liquid" else 6, **edge
        )
        for name in (*_SOLIDS, "liquid")
        if name in present
    ]
