import numpy as np
import pytest
import xarray as xr
from helpers.figures import check_readable, words

import icedask as ice
from icedask import plot
from icedask.errors import InputError


def scores(n: int = 2000) -> xr.Dataset:
    """Scores of labels that are right as often as their probability."""
    rng = np.random.default_rng(0)
    probability = rng.uniform(0.4, 1, (1, n))
    right = rng.random((1, n)) < probability
    flags = {"flag_values": [0, 1], "flag_meanings": "ice water"}
    dims = ("frame", "atom")
    labels = xr.Dataset({"label": (dims, np.zeros((1, n), np.int32), flags)})
    labels["probability"] = (dims, probability.astype(np.float32))
    truth = xr.Dataset({"label": (dims, (~right).astype(np.int32), flags)})
    return ice.classification_scores(labels, truth)


def test_calibrated_probabilities_lie_on_the_diagonal() -> None:
    ds = scores()
    figure = plot.reliability(ds)
    diagonal, line = figure.axes[0].lines
    assert diagonal.get_xdata().tolist() == [0, 1]
    assert np.abs(line.get_ydata() - line.get_xdata()).max() < 0.12
    assert f"{float(ds['calibration_error']):.2g}" in " ".join(words(figure))
    check_readable(figure)


def test_scores_without_probabilities_are_refused() -> None:
    ds = scores()
    with pytest.raises(InputError, match="pass what classification_scores for labels with prob"):
        plot.reliability(ds.drop_vars("bin_count"))
    ds["bin_count"] = 0 * ds["bin_count"]
    with pytest.raises(InputError, match="expected rows with an answer"):
        plot.reliability(ds)
