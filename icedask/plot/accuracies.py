"""Accuracies of classifiers: by representation, and against the cutoff radius."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from icedask.errors import InputError
from icedask.plot import style


@style.in_style
def accuracies(
    values: Mapping[str, Sequence[float]], published: Mapping[str, float] | None = None
) -> Figure:
    """Draw the accuracies of several classifiers, a point for each split, and published ones.

    Parameters
    ----------
    values : mapping
        Accuracies of the splits, 0 to 1, by the title of the classifier.
    published : mapping, optional
        A published accuracy by title.

    Raises
    ------
    InputError
        If there are none.

    Examples
    --------
    >>> from icedask.plot import accuracies
    >>> figure = accuracies({"SOAP": [0.97, 0.96], "bispectrum": [0.91]}, {"SOAP": 0.9588})
    >>> figure.axes[0].get_xlabel()
    'accuracy on test trajectories (%)'
    """
    known = {title: np.asarray(each, float) for title, each in values.items() if len(each)}
    if not known:
        raise InputError("accuracies: expected accuracies by title, found none")
    figure = style.new_figure(style.PAGE * 0.7, 0.9 + 0.26 * len(known))
    axes = figure.subplots()
    for row, (title, each) in enumerate(known.items()):
        axes.plot(each, [row] * len(each), "o", color=style.PALETTE[0], ms=4, alpha=0.6, lw=0)
        axes.plot([each.mean()] * 2, [row - 0.3, row + 0.3], color=style.PALETTE[0], lw=1.6)
        if published and title in published:
            axes.plot(published[title], row, "D", color=style.PALETTE[1], ms=5)
    handles = [
        axes.plot([], [], "o", color=style.PALETTE[0], ms=4, label="split")[0],
        axes.plot([], [], color=style.PALETTE[0], lw=1.6, label="mean")[0],
    ]
    if published:
        handles.append(axes.plot([], [], "D", color=style.PALETTE[1], ms=5, label="published")[0])
    axes.set_yticks(range(len(known)), list(known))
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    axes.set_xlabel("accuracy on test trajectories (%)")
    axes.legend(handles=handles, loc="lower left", ncols=len(handles), bbox_to_anchor=(0, 1))
    return figure


@style.in_style
def accuracy_by_cutoff(values: Mapping[float, Sequence[float]]) -> Figure:
    """Draw the accuracy of classifiers against the cutoff radius of their descriptor.

    Parameters
    ----------
    values : mapping
        Accuracies of the splits, 0 to 1, by the radius in angstrom.

    Raises
    ------
    InputError
        If there are none.

    Examples
    --------
    >>> from icedask.plot import accuracy_by_cutoff
    >>> figure = accuracy_by_cutoff({3.5: [0.8, 0.82], 6.0: [0.95, 0.96]})
    >>> figure.axes[0].get_xlabel()
    'cutoff radius (angstrom)'
    """
    if not values:
        raise InputError("accuracy_by_cutoff: expected accuracies by radius, found none")
    radii = sorted(values)
    figure = style.new_figure(style.COLUMN, 2.4)
    axes = figure.subplots()
    axes.plot(radii, [np.mean(values[r]) for r in radii], color=style.PALETTE[0], lw=1.3)
    for radius in radii:
        each = values[radius]
        axes.plot([radius] * len(each), each, "o", color=style.PALETTE[0], ms=4, alpha=0.6)
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    axes.set_xlabel("cutoff radius (angstrom)")
    axes.set_ylabel("accuracy (%)")
    return figure
