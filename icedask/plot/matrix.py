"""Matrices in per cent: transition probabilities, and confusion of labels with true phases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator
from matplotlib.transforms import offset_copy

from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.plot import style
from icedask.plot.inputs import flux_of

# Per cent: smaller shares have the same colour.
_LOWEST, _TICKS = 0.01, (0.01, 0.1, 1, 10, 100)
# Points: the squares in the colours of the states.
_MARK = 5
_TOTAL = "total"


@style.in_style
def transition_matrix(transitions: xr.Dataset, *, names: style.Names | None = None) -> Figure:
    """Draw the transition probabilities in per cent, as colours on a logarithmic scale and numbers.

    Rows are the states that atoms leave, columns those that they enter. Cells without any
    transition are white; a row of a state without any pair of frames is hatched. The colour
    saturates at 0.01 %, the numbers at 0.001 %.

    Parameters
    ----------
    transitions : xarray.Dataset
        What `transitions` returned: flux and probability (from, to).

    Raises
    ------
    InputError
        If a variable is missing, or is not square.
    """
    called, colors, _ = flux_of(transitions, names, "transition_matrix")
    if "probability" not in transitions:
        raise InputError(
            "transition_matrix: expected a Dataset with probability (from, to), found none; pass "
            "what transitions returned"
        )
    percent = 100 * transitions["probability"].transpose("from", "to").values
    written = np.full(percent.shape, "", object)
    for cell in np.argwhere(percent > 0):
        written[tuple(cell)] = style.percent_text(float(percent[tuple(cell)]))
    figure = _matrix_figure(called, called, (0.4, 0.36))
    axes = figure.subplots()
    _draw_shares(axes, percent, written, "probability (%)")
    _name_cells(axes, called, called, pad=_MARK + 5, letters=3)
    shift = -(_MARK / 2 + 2)
    below = offset_copy(axes.get_xaxis_transform(), figure, y=shift, units="points")
    left = offset_copy(axes.get_yaxis_transform(), figure, x=shift, units="points")
    for place, color in enumerate(colors):
        mark: dict[str, Any] = {
            "marker": "s",
            "markersize": _MARK,
            "color": color,
            "clip_on": False,
        }
        axes.plot(place, 0, transform=below, **mark)
        axes.plot(0, place, transform=left, **mark)
    axes.set_xlabel("to")
    axes.set_ylabel("from")
    return figure


@style.in_style
def confusion(table: pd.DataFrame) -> Figure:
    """Draw a confusion matrix: labels of the atoms of each true phase, as shares and counts.

    Colours and upper numbers are the share of the row in per cent, the colours on a logarithmic
    scale from 0.01 % on; lower numbers are counts of atoms, from 10,000 on in k (1,000), M or G.
    Cells without any atom are white; a row without any atom is hatched. The row of totals has the
    shares of all atoms.

    Parameters
    ----------
    table : pandas.DataFrame
        Counts of atoms: a row for each true phase, a column for each label. Names of the index and
        of the columns, where they have one, are those of the axes.

    Raises
    ------
    InputError
        If the table is empty or holds anything but counts.

    Examples
    --------
    >>> import pandas as pd
    >>> from icedask.plot import confusion
    >>> counts = {"Ih": [990, 0], "Ic": [10, 1000], "liquid": [0, 24]}
    >>> figure = confusion(pd.DataFrame(counts, index=["Ih", "Ic"]))
    >>> [text.get_text().split() for text in figure.axes[0].texts][:2]
    [['99.0', '990'], ['1.0', '10']]
    """
    counts = _counts(table)
    whole = np.vstack([counts, counts.sum(axis=0)])
    totals = whole.sum(axis=1)
    percent = np.divide(
        100.0 * whole, totals[:, None], out=np.full(whole.shape, np.nan), where=totals[:, None] > 0
    )
    written = np.full((len(whole), whole.shape[1] + 1), "", object)
    written[:, -1] = [style.count_text(int(total)) for total in totals]
    for row, column in np.argwhere(whole > 0):
        share = style.percent_text(float(percent[row, column]))
        written[row, column] = f"{share}\n{style.count_text(int(whole[row, column]))}"
    # Totals are no part of the colours.
    shown = np.zeros(written.shape)
    shown[:-1, :-1] = percent[:-1]
    rows, columns = (
        [*(str(name).replace("_", " ") for name in axis), _TOTAL]
        for axis in (table.index, table.columns)
    )
    figure = _matrix_figure(rows, columns, (0.46, 0.38))
    axes = figure.subplots()
    _draw_shares(axes, shown, written, "share of the row (%)")
    # More columns than these are narrower on a page.
    _name_cells(axes, rows, columns, pad=3, letters=7 if len(columns) < 12 else 3)
    axes.axhline(len(rows) - 1.5, color=style.GUIDE, lw=0.7)
    axes.axvline(len(columns) - 1.5, color=style.GUIDE, lw=0.7)
    axes.set_xlabel(_axis_name(table.columns, "label"))
    axes.set_ylabel(_axis_name(table.index, "true phase"))
    return figure


def _axis_name(axis: pd.Index, default: str) -> str:
    """Return the name of an axis; pandas.crosstab calls nameless ones row_0 and col_0."""
    return default if axis.name in (None, "row_0", "col_0") else str(axis.name)


def _counts(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    framed = isinstance(table, pd.DataFrame)
    if not framed or table.empty:
        raise InputError(
            "confusion: expected a DataFrame of counts with a row for each true phase and a column "
            f"for each label, found {'an empty one' if framed else type(table).__name__}; make "
            "one, for example with pandas.crosstab"
        )
    kinds = {dtype.kind for dtype in table.dtypes}
    if not kinds <= {"i", "u"} or (table.to_numpy() < 0).any():
        raise InputError(
            "confusion: expected counts, integers of at least 0, found "
            f"{', '.join(sorted({str(dtype) for dtype in table.dtypes}))}"
            f"{' with negative numbers' if kinds <= {'i', 'u'} else ''}; pass how many atoms of "
            "each phase got each label, not their shares"
        )
    return table.to_numpy(np.int64)


def _matrix_figure(
    rows: Sequence[str], columns: Sequence[str], cell: tuple[float, float]
) -> Figure:
    """Return a figure for a matrix with a bar beside it, its cells about as large as given."""
    width = 1.3 + 0.06 * max(map(len, rows)) + cell[0] * len(columns)
    height = 0.6 + 0.06 * max(map(len, columns)) + cell[1] * len(rows)
    return style.new_figure(min(style.PAGE, width), min(style.PAGE, max(1.9, height)))


def _draw_shares(
    axes: Axes, percent: FloatArray, written: npt.NDArray[np.object_], label: str
) -> None:
    """Draw percentages as colours with a bar, hatched where unknown, under texts."""
    norm = LogNorm(_LOWEST, 100, clip=True)
    image = axes.imshow(
        np.ma.masked_invalid(np.where(percent > 0, percent, np.nan)),
        norm=norm,
        cmap=style.SHARE_MAP,
        aspect="auto",
    )
    for row, column in np.argwhere(np.isnan(percent)):
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(
            Rectangle(corner, 1, 1, fill=False, hatch="////", edgecolor=style.NOISE, lw=0)
        )
    for row, column in np.argwhere(written != ""):
        value = percent[row, column]
        dark = value > 0 and style.is_dark(style.SHARE_MAP(norm(value)))
        axes.text(
            column,
            row,
            written[row, column],
            ha="center",
            va="center",
            fontsize=style.SMALL,
            linespacing=1.05,
            color=style.PAPER if dark else style.INK,
        )
    # The arrow at the lower end: smaller shares have the same colour, none are larger than all.
    bar = axes.figure.colorbar(
        image, ax=axes, label=label, fraction=0.06, pad=0.02, extend="min", extendfrac=0.04
    )
    bar.set_ticks(_TICKS, labels=[f"{tick:g}" for tick in _TICKS])
    bar.ax.yaxis.set_minor_locator(NullLocator())


def _name_cells(
    axes: Axes, rows: Sequence[str], columns: Sequence[str], *, pad: float, letters: int
) -> None:
    """Write the names of rows and columns, and part the cells by white lines.

    Names are `pad` points away; those of columns are turned if one has more than `letters`.
    """
    turned = max(map(len, columns)) > letters
    axes.set_xticks(range(len(columns)), columns, rotation=90 if turned else 0)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=style.PAPER, lw=1)
    axes.tick_params(which="both", length=0)
    axes.tick_params(pad=pad)
    axes.spines[:].set_visible(False)
