"""Reliability diagram of a classifier's probabilities."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from icedask.core.variables import CONFIDENCE_BIN
from icedask.errors import InputError
from icedask.plot import style
from icedask.plot.inputs import required


@style.in_style
def reliability(scores: xr.Dataset) -> Figure:
    """Draw the accuracy of a classifier against its probability, and how many rows have it.

    Calibrated probabilities lie on the diagonal. The expected calibration error is written.

    Parameters
    ----------
    scores : xarray.Dataset
        What `classification_scores` returned for labels with probability: bin_count,
        bin_confidence and bin_accuracy (confidence_bin).

    Raises
    ------
    InputError
        If a variable is missing, or no bin has rows.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from icedask.plot import reliability
    >>> confidence = np.array([0.3, 0.6, 0.9])
    >>> dim = "confidence_bin"
    >>> bins = {"bin_confidence": (dim, confidence), "bin_accuracy": (dim, confidence - 0.05)}
    >>> bins |= {"bin_low": (dim, confidence - 0.2), "bin_high": (dim, confidence + 0.1)}
    >>> bins |= {"bin_count": (dim, np.array([5, 20, 200])), "calibration_error": 0.05}
    >>> [axes.get_ylabel() for axes in reliability(xr.Dataset(bins)).axes]
    ['accuracy', 'share of rows']
    """
    names = ("bin_low", "bin_high", "bin_count", "bin_confidence", "bin_accuracy")
    source = "classification_scores for labels with probability"
    low, high, count, confidence, accuracy = (
        required(scores, name, (CONFIDENCE_BIN,), "reliability", source).values for name in names
    )
    there = count > 0
    if not there.any():
        raise InputError("reliability: expected rows with an answer, found none; nothing to draw")
    figure = style.new_figure(style.COLUMN, 3.4)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    axes.plot([0, 1], [0, 1], color=style.GUIDE, ls="--", lw=0.8)
    axes.plot(confidence[there], accuracy[there], "o-", color=style.PALETTE[0], ms=4, lw=1.3)
    error = float(required(scores, "calibration_error", (), "reliability", source))
    style.write(axes, f"calibration error {error:.2g}", (0, 1), (4, -6), "axes fraction")
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("accuracy")
    edges = np.append(low, high[-1])
    below.stairs(count / count.sum(), edges, color=style.PALETTE[0], fill=True, alpha=0.6)
    below.set_xlim(0, 1)
    below.set_ylim(0, None)
    below.set_ylabel("share of rows")
    below.set_xlabel("probability of the label")
    return figure
