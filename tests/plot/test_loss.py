import numpy as np
import pytest
from helpers.figures import check_readable, words

from icedask.errors import InputError
from icedask.plot import learning_curve, training_curves
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


def test_curves_of_a_training_have_their_best_epoch_marked() -> None:
    training = np.exp(-np.arange(30) / 10)
    held_out = np.full(30, np.nan)
    held_out[4::5] = training[4::5] + 0.05
    figure = training_curves({"training": training, "held out": held_out}, best=25)
    axes = figure.axes[0]
    first, _, second, mark, line = axes.lines
    assert first.get_xdata()[0] == 1
    assert second.get_xdata().tolist() == [5, 10, 15, 20, 25, 30]
    assert (mark.get_xdata(), mark.get_ydata()) == ([25], [held_out[24]])
    assert line.get_label() == "best epoch: 25"
    assert axes.get_yscale() == "log"
    check_readable(figure)


@pytest.mark.parametrize("loss", [[1.0, -0.5, 0.2], [1.0, 0.9, 0.8], [2.0]])
def test_losses_below_zero_or_alike_have_a_linear_scale(loss) -> None:
    figure = training_curves({"training": loss})
    assert figure.axes[0].get_yscale() == "linear"
    check_readable(figure)


def test_what_are_no_curves_is_refused() -> None:
    with pytest.raises(InputError, match="at least one loss"):
        training_curves({})
    with pytest.raises(InputError, match=r"held out: expected one loss .* found the shape"):
        training_curves({"held out": np.ones((2, 2))})
    with pytest.raises(InputError, match="none that is finite"):
        training_curves({"training": [np.nan]})
    with pytest.raises(InputError, match="from 1 to 2, found 0"):
        training_curves({"training": [1.0, 2.0]}, best=0)
