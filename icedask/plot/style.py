"""Colours of all figures, safe for colour blindness; their look, legends, times and numbers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, NamedTuple, ParamSpec

import matplotlib
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from scipy.optimize import isotonic_regression

from icedask.core.types import FloatArray
from icedask.core.variables import FRAME

# Okabe and Ito's palette (jfly.uni-koeln.de/color), yellow last: it is weak on white. Then eight
# more, each as far as can be from those before and from the grey of noise, for normal vision and
# for the three kinds of colour blindness: in CIELAB no two are closer than the palette's own.
PALETTE = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"),
    *("#7F0DF2", "#663319", "#293856", "#ADFA9E", "#400679", "#F20D59", "#856EF7", "#D6AD5C"),
)
# Named classes: the same colour in every figure, whatever their number in the labels. What CHILL+
# calls hexagonal ice and what a classifier of phases calls Ih is one class. Liquid and unknown are
# as far from all others as these are from each other.
CLASS_COLORS = {
    "hexagonal ice": PALETTE[0],
    "cubic ice": PALETTE[4],
    "interfacial ice": PALETTE[2],
    "hydrate": PALETTE[3],
    "interfacial hydrate": PALETTE[14],
    "liquid": "#AECCEA",
    "unknown": "#423630",
    "Ih": PALETTE[0],
    "Ic": PALETTE[4],
    "II": PALETTE[1],
    "III": PALETTE[5],
    "IV": PALETTE[11],
    "V": PALETTE[8],
    "VI": PALETTE[6],
    "VII": PALETTE[9],
    "XII": PALETTE[10],
    "XVII": PALETTE[15],
    "sI": PALETTE[3],
    "sII": PALETTE[14],
    "sH": PALETTE[13],
}
NOISE = "#BBBBBB"
# Text and frames, the paper, lines that guide the eye, and what lies behind the data.
INK, PAPER, DARK, GUIDE, PALE = "#000000", "#FFFFFF", "#404040", "#737373", "#DDDDDD"
# Categories of motifs, fill and text: greys, since colours are those of motifs.
CATEGORY_BOXES = {
    "ice": (PAPER, INK),
    "transient": ("#B8B8B8", INK),
    "liquid": ("#303030", PAPER),
}
TIME_MAP, VALUE_MAP = colormaps["cividis"], colormaps["viridis"]
# White is for nothing: the smallest share begins with a tint.
SHARE_MAP = ListedColormap(colormaps["Blues"](np.linspace(0.1, 1, 256)))
# Per cent of the values: what lies beyond takes the colours of the ends.
ROBUST = (1, 99)

# Inches: the width of a column and of a page of two columns.
COLUMN = 3.4
PAGE = 7.0

# Points: no text is smaller.
SMALL = 7
_LOOK: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "legend.frameon": False,
    "legend.handletextpad": 0.4,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_PRINTED = {"angstrom": "Å", "picosecond": "ps", "g/cm^3": "g/cm³"}
# In heights of the legend's font: from the x axis to a legend under its label.
_BELOW = 4.5
# Parameters of many figures, for their docstrings.
SHARED = {
    "trj": "trj : xarray.Dataset\n    The trajectory.",
    "labels": "labels : xarray.Dataset\n    label (frame, atom).",
    "latent": "latent : xarray.Dataset\n    latent (frame, atom, component).",
    "transitions": "transitions : xarray.Dataset\n    Result of `transitions`: flux (from, to).",
    "populations": (
        "populations : xarray.Dataset\n    Result of `populations`: population (frame, state)."
    ),
    "categories": (
        "categories : mapping of int to str\n    Category of each motif: ice, transient or liquid."
    ),
    "components": "components : two int\n    Components to draw.",
    "max_points": (
        "max_points : int\n    Rows to draw in each map, the same number from each frame."
    ),
    "seed": "seed : int\n    Seed of the sample.",
    "names": (
        "names : mapping of int to str, optional\n"
        "    Names of states; by default those of the flags, else their numbers."
    ),
    "variance": (
        "variance : PCA or array, optional\n"
        "    The fitted PCA, or its explained_variance_ratio: the axes of the latent space then\n"
        "    have the share of each component."
    ),
    "view": (
        "view : str, optional\n"
        "    The axis to look along: x (y to the right, z up), y (x to the right, z up) or z (x\n"
        "    to the right, y up). Or a rotation as ASE writes it, in degrees about the axes of\n"
        '    paper, such as "-70x,20y", or "180x" for z from below. By default x where a slab\n'
        "    lies across z (not periodic there, or by far longer than wide), to see it from its\n"
        "    side; else z."
    ),
}
_P = ParamSpec("_P")
Names = Mapping[int, str]


def in_style(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Decorate a function that draws a figure: the common look, and a complete docstring.

    The look is the same whatever the user's settings. The docstring gets the section Returns, and
    the entries of parameters that many figures share, unless it has its own.
    """

    @wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with matplotlib.rc_context(_LOOK):
            figure = draw(*args, **kwargs)
        for axes in figure.axes:
            # Ticks are made when they are drawn, with the settings of that moment.
            axes.tick_params(labelsize=SMALL, width=0.7)
        return figure

    parameters = inspect.signature(draw).parameters
    drawn.__doc__ = _docstring(inspect.getdoc(draw) or "", parameters)
    return drawn


def _docstring(text: str, parameters: Iterable[str]) -> str:
    """Return a docstring with all parameters in their order, and the section Returns."""
    before, raises, after = text.partition("Raises\n------\n")
    summary, _, section = before.partition("Parameters\n----------\n")
    own = {
        name: entry
        for entry in re.split(r"\n(?=\S)", section.strip())
        for name in entry.split(" : ")[0].split(", ")
    }
    # One entry may describe several parameters.
    entries = dict.fromkeys(own[name] if name in own else SHARED[name] for name in parameters)
    parts = [summary.strip(), "Parameters\n----------\n" + "\n".join(entries)]
    returns = "Returns\n-------\nmatplotlib.figure.Figure"
    return "\n\n".join([*parts, returns, raises + after.strip()]) + "\n"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, inches, that needs no display."""
    return Figure(figsize=(width, height), layout="constrained", dpi=200)


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes at a place in inches: a drawing to scale does not fit what a layout leaves."""
    figure.set_layout_engine("none")
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def state_color(label: int, names: Names | None = None) -> str:
    """Return the colour of a state, by its class if its name is one, else by its number."""
    known = names or {}
    if known.get(label) in CLASS_COLORS:
        return CLASS_COLORS[known[label]]
    if label < 0:
        return NOISE
    taken = {CLASS_COLORS[name] for name in known.values() if name in CLASS_COLORS}
    free = [color for color in PALETTE if color not in taken] or PALETTE
    return free[label % len(free)]


def state_name(label: int, names: Names | None = None) -> str:
    """Return the name of a state in legends."""
    default = "noise" if label < 0 else f"state {label}"
    return (names or {}).get(label, default)


def state_colors(labels: npt.NDArray[np.integer], names: Names | None = None) -> list[str]:
    """Return the colour of each label."""
    table = {int(label): state_color(int(label), names) for label in np.unique(labels)}
    return [table[int(label)] for label in labels]


def names_of(array: xr.DataArray, names: Names | None = None) -> dict[int, str]:
    """Return the names of states, from `names`, else from the flags of `array`."""
    meanings = [name.replace("_", " ") for name in array.attrs.get("flag_meanings", "").split()]
    values = np.atleast_1d(array.attrs.get("flag_values", np.arange(len(meanings))))
    flags = {int(value): name for value, name in zip(values, meanings, strict=False)}
    return {**flags, **(names or {})}


def is_dark(color: Any) -> bool:
    """Return whether text on a colour is better white than black."""
    return float(np.dot((0.299, 0.587, 0.114), to_rgb(color))) < 0.5


def marker_handle(label: str, color: str, **look: Any) -> Line2D:
    """Return a marker for a legend: a disc of five points unless the look differs."""
    common = {"marker": "o", "markersize": 5, "markeredgewidth": 0, "linestyle": ""}
    return Line2D([], [], label=label, color=color, **{**common, **look})


def state_handles(states: Iterable[int], names: Names | None, marker: str = "o") -> list[Line2D]:
    """Return a marker of each state for a legend."""
    return [
        marker_handle(state_name(int(state), names), state_color(int(state), names), marker=marker)
        for state in states
    ]


def legend_width(handles: Iterable[Artist], title: str = "") -> float:
    """Return the approximate width of one column of a legend, inches."""
    longest = max(len(text) for text in (title, *(str(handle.get_label()) for handle in handles)))
    # In units of the font's size: a letter of some width, and a marker and the spaces.
    return (0.6 * longest + 4) * SMALL / 72


def legend_right(axes: Axes, handles: Iterable[Any], **options: Any) -> None:
    """Put a legend to the right of axes, at their top."""
    axes.legend(handles=list(handles), **{"loc": "upper left", "bbox_to_anchor": (1, 1), **options})


def legend_beside(figure: Figure, handles: Iterable[Artist], title: str | None = None) -> None:
    """Put a legend to the right of everything drawn."""
    figure.legend(handles=list(handles), loc="outside right upper", title=title)


def legend_below(axes: Axes, states: Iterable[int], names: Names | None, width: float) -> None:
    """Put the legend of the states under the label of the x axis, `width` inches wide at most."""
    handles = state_handles(states, names)
    columns = width // legend_width(handles)
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=_BELOW,
        ncols=int(np.clip(columns, 1, 4)),
        columnspacing=1.0,
    )


def color_bar(points: ScalarMappable, axes: Axes, **options: Any) -> None:
    """Draw a colour bar beside axes, without the transparency of the points that it belongs to."""
    axes.figure.colorbar(ScalarMappable(points.norm, points.cmap), ax=axes, **options)


def write(
    axes: Axes,
    text: str,
    place: tuple[float, float],
    shift: tuple[float, float] = (0, 0),
    coords: str | tuple[str, str] = "data",
    **options: Any,
) -> None:
    """Write a small text at a place of the axes or of the data, shifted by points."""
    common = {"va": "center", "fontsize": SMALL, "annotation_clip": False}
    axes.annotate(
        text,
        place,
        xycoords=coords,
        xytext=shift,
        textcoords="offset points",
        **{**common, **options},
    )


class Times(NamedTuple):
    """The axis of frames."""

    values: FloatArray  # (n_frames,): time of each frame, or its number where frames have no times
    label: str
    unit: str  # Unit of the values; empty for numbers of frames

    def text(self, frame: int) -> str:
        """Return the time of a frame with its unit."""
        value = self.values[frame]
        return f"{value:.4g} {self.unit}" if self.unit else f"frame {value:.0f}"


def time_scale(last: float) -> tuple[float, str]:
    """Return the factor from ps to a unit in which a time has few digits, and this unit."""
    return (1.0, "ps") if last < 1e3 else (1e-3, "ns") if last < 1e6 else (1e-6, "µs")


def frame_times(ds: xr.Dataset) -> Times:
    """Return the times of the frames in ps, ns or µs, or their numbers if a time is missing."""
    time = ds["time"].values if "time" in ds.coords else np.array([np.nan])
    if np.isnan(time).any():
        return Times(np.arange(ds.sizes[FRAME], dtype=float), "frame", "")
    factor, unit = time_scale(np.abs(time).max())
    return Times(time * factor, f"time ({unit})", unit)


def plain_logarithm(axis: Axis, *, coarse: bool = False) -> None:
    """Write plain numbers at powers of ten, and unless coarse at 2 and 5 times them."""
    axis.set_major_locator(LogLocator(subs=(1,) if coarse else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def units_text(array: xr.DataArray) -> str:
    """Return the units of an array as they are printed; nothing for pure numbers."""
    units = str(array.attrs.get("units", ""))
    return "" if units == "1" else _PRINTED.get(units, units)


def percent_text(value: float) -> str:
    """Return a percentage as a decimal number of at most six characters."""
    if value == 0:
        return "0"
    if value < 0.00095:
        return "<0.001"
    if value < 0.0095:
        return f"{value:.3f}"
    if value < 1:
        return f"{value:.2f}"
    # 99.97 is not 100.
    return f"{value:.1f}" if value < 99.95 else f"{value:.4g}"


def count_text(count: int) -> str:
    """Return a count in at most five characters, from 10,000 on in k, M or G."""
    if count < 10_000:
        return str(count)
    for unit, letter in ((10**3, "k"), (10**6, "M"), (10**9, "G")):
        # 999.6 k are written as 1.00 M.
        if count < 999.5 * unit or letter == "G":
            value = count / unit
            break
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f}{letter}"


def round_step(longest: float) -> float:
    """Return the largest of 1, 2 and 5 times the powers of ten that is not larger."""
    power = 10.0 ** np.floor(np.log10(longest))
    return float(power * max(digit for digit in (1, 2, 5) if digit * power <= longest))


def spread(positions: npt.ArrayLike, gap: float) -> FloatArray:
    """Return positions at least `gap` apart, in their order, nearest to the given ones."""
    wanted = np.asarray(positions, float)
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    moved = np.empty_like(wanted)
    moved[order] = isotonic_regression(wanted[order] - steps).x + steps
    return moved
