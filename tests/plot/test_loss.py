import numpy as np
import pytest
from figures import check_readable, words

from icedask.errors import InputError
from icedask.plot import learning_curve
from icedask.plot.loss import run_mean


def test_the_mean_is_over_the_loss() -> None:
    rng = np.random.default_rng(0)
    loss = 0.05 + np.exp(-np.arange(4000) / 300) * rng.lognormal(0, 0.3, 4000)
    loss[7] = np.nan
    figure = learning_curve(loss)
    raw, mean = figure.axes[0].lines
    assert len(raw.get_xdata()) == 3999
    assert np.std(np.diff(mean.get_ydata())) < 0.1 * np.std(np.diff(raw.get_ydata()))
    assert "0.05" in words(figure)
    assert figure.axes[0].get_yscale() == "log"
    check_readable(figure)


def test_steps_are_numbered_as_given() -> None:
    (raw, _) = learning_curve([3.0, 2.0, 1.0], steps=[10, 20, 30]).axes[0].lines
    assert raw.get_xdata().tolist() == [10, 20, 30]


def test_the_running_mean_of_a_line_is_the_line_and_of_few_values_exists() -> None:
    line = np.arange(20.0)
    np.testing.assert_allclose(run_mean(line, 4)[2:-2], line[2:-2])
    np.testing.assert_allclose(run_mean(line, 4)[0], 1.0)
    check_readable(learning_curve([1.0]))


def test_what_is_no_loss_is_refused() -> None:
    with pytest.raises(InputError, match="found -1"):
        learning_curve([1.0, -1.0])
    with pytest.raises(InputError, match="found none"):
        learning_curve([np.nan])
    with pytest.raises(InputError, match="the shape \\(2, 2\\)"):
        learning_curve(np.ones((2, 2)))
    with pytest.raises(InputError, match="expected 2 increasing numbers"):
        learning_curve([1.0, 2.0], steps=[3, 2])
