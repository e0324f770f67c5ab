"""Colours that survive colour blindness, and the look that all figures share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, NamedTuple, ParamSpec

import matplotlib
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from scipy.optimize import isotonic_regression

from icedask.core.variables import FRAME

# Okabe and Ito's palette (jfly.uni-koeln.de/color), yellow last: it is weak on white. Then eight
# more, each as far as can be from those before and from the grey of noise, for normal vision and
# for the three kinds of colour blindness: in CIELAB no two are closer than the palette's own.
PALETTE = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"),
    *("#7F0DF2", "#663319", "#293856", "#ADFA9E", "#400679", "#F20D59", "#856EF7", "#D6AD5C"),
)
NOISE = "#BBBBBB"
# What is no phase looks the same beside any number of phases: as far from all others as these are
# from each other.
_NO_PHASE = {"liquid": "#AECCEA", "unknown": "#423630"}
TIME_MAP = "cividis"

# Inches: the width of a column and of a page of two columns.
COLUMN = 3.4
PAGE = 7.0

# Points: no text is smaller than the ticks.
_TICKS = 7
_LOOK: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": _TICKS,
    "legend.title_fontsize": _TICKS,
    "legend.frameon": False,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_PRINTED = {"angstrom": "Å", "picosecond": "ps", "g/cm^3": "g/cm³"}
# Of the legend's font size: from the x axis to a legend under its label.
_BELOW = 4.5
_P = ParamSpec("_P")
Names = Mapping[int, str]


def in_style(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Give the figure that a function draws the common look, whatever the user's settings."""

    @wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with matplotlib.rc_context(_LOOK):
            figure = draw(*args, **kwargs)
        for axes in figure.axes:
            # Ticks are made when they are drawn, with the settings of that moment.
            axes.tick_params(labelsize=_TICKS, width=0.7)
        return figure

    return drawn


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, inches, that needs no display."""
    return Figure(figsize=(width, height), layout="constrained", dpi=200)


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes at a place in inches: a drawing to scale does not fit what a layout leaves."""
    figure.set_layout_engine("none")
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def state_color(label: int, names: Names | None = None) -> str:
    """Return the colour of a state; noise is grey, what is named liquid or unknown has its own."""
    default = NOISE if label < 0 else PALETTE[label % len(PALETTE)]
    return _NO_PHASE.get((names or {}).get(label, ""), default)


def state_name(label: int, names: Names | None = None) -> str:
    """Return how a state is called in legends."""
    default = "noise" if label < 0 else f"state {label}"
    return (names or {}).get(label, default)


def state_colors(labels: npt.NDArray[np.integer], names: Names | None = None) -> list[str]:
    """Return a colour for each label."""
    table = {int(label): state_color(int(label), names) for label in np.unique(labels)}
    return [table[int(label)] for label in labels]


def names_of(array: xr.DataArray, names: Names | None = None) -> dict[int, str]:
    """Return the names of states: the given ones, else those that the flags of `array` tell."""
    attrs = array.attrs
    meanings = [one.replace("_", " ") for one in attrs.get("flag_meanings", "").split()]
    values = np.atleast_1d(attrs.get("flag_values", np.arange(len(meanings))))
    flags = {int(value): name for value, name in zip(values, meanings, strict=False)}
    return {**flags, **(names or {})}


def state_handles(states: Iterable[int], names: Names | None, marker: str = "o") -> list[Line2D]:
    """Return what a legend of states shows."""
    return [
        Line2D(
            [],
            [],
            marker=marker,
            markersize=5,
            markeredgewidth=0,
            linestyle="",
            color=state_color(int(one), names),
            label=state_name(int(one), names),
        )
        for one in states
    ]


def legend_width(states: Iterable[int], names: Names | None) -> float:
    """Return about how wide one column of a legend is, inches."""
    longest = max(len(state_name(int(one), names)) for one in states)
    # In units of the font's size: a letter of some width, and a marker and the spaces.
    return (0.6 * longest + 4) * _TICKS / 72


def legend_beside(
    figure: Figure, states: Iterable[int], names: Names | None, marker: str = "o"
) -> None:
    """Put the legend of the states to the right of everything drawn."""
    handles = state_handles(states, names, marker)
    figure.legend(handles=handles, loc="outside right upper", handletextpad=0.2)


def legend_below(axes: Axes, states: Iterable[int], names: Names | None, width: float) -> None:
    """Put the legend of the states under the label of the x axis, `width` inches wide at most."""
    axes.legend(
        handles=state_handles(states, names),
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=_BELOW,
        ncols=int(np.clip(width // legend_width(states, names), 1, 4)),
        handletextpad=0.2,
        columnspacing=1.0,
    )


class Times(NamedTuple):
    """The axis of frames.

    Attributes
    ----------
    values : (n_frames,) array
        Time of each frame, or its number where frames have no times.
    label : str
        Of the axis.
    unit : str
        Of the values; empty for numbers of frames.
    """

    values: npt.NDArray[np.float64]
    label: str
    unit: str

    def text(self, frame: int) -> str:
        """Return the time of a frame with its unit."""
        value = self.values[frame]
        return f"{value:.4g} {self.unit}" if self.unit else f"frame {value:.0f}"


def frame_times(ds: xr.Dataset) -> Times:
    """Return the times of the frames in ps, ns or µs, or their numbers if a time is missing."""
    time = ds["time"].values if "time" in ds.coords else np.array([np.nan])
    if np.isnan(time).any():
        return Times(np.arange(ds.sizes[FRAME], dtype=float), "frame", "")
    last = np.abs(time).max()
    factor, unit = (1.0, "ps") if last < 1e3 else (1e-3, "ns") if last < 1e6 else (1e-6, "µs")
    return Times(time * factor, f"time ({unit})", unit)


def plain_logarithm(axis: Axis) -> None:
    """Write plain numbers at 1, 2 and 5 times the powers of ten of a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def units_text(array: xr.DataArray) -> str:
    """Return the units of an array as they are printed; nothing for pure numbers."""
    units = str(array.attrs.get("units", ""))
    return "" if units == "1" else _PRINTED.get(units, units)


def percent_text(value: float) -> str:
    """Return a number of per cent in at most four characters, or a power of ten below 0.01."""
    if value == 0:
        return "0"
    if value < 0.01:
        power = int(np.floor(np.log10(value)))
        return f"{value / 10.0**power:.0f}e{power}"
    if value < 1:
        return f"{value:.2f}"
    # 99.97 is not 100.
    return f"{value:.1f}" if value < 99.95 else f"{value:.4g}"


def spread(positions: npt.ArrayLike, gap: float) -> npt.NDArray[np.float64]:
    """Return positions at least `gap` apart, in their order, as near to the given as can be."""
    given = np.asarray(positions, float)
    order = np.argsort(given, kind="stable")
    steps = gap * np.arange(len(given))
    moved = np.empty_like(given)
    moved[order] = isotonic_regression(given[order] - steps).x + steps
    return moved
