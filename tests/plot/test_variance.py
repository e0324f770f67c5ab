import numpy as np
import pytest
from helpers.figures import check_readable, some_labels, some_latent, words

import icedask as ice
from icedask.errors import InputError
from icedask.plot import cumulative_variance


def test_the_number_of_components_for_the_threshold_is_marked() -> None:
    slow, fast = 0.5 ** np.arange(1, 20), 0.1 ** np.arange(20) * 0.9
    figure = cumulative_variance({"SOAP": fast, "SOAP & LENS": slow}, threshold=0.95)
    assert {"SOAP: 2", "SOAP & LENS: 5", "components for 95 %"} <= set(words(figure))
    lines = figure.axes[0].lines
    np.testing.assert_allclose(lines[0].get_ydata(), np.cumsum(fast)[:10])
    assert any((np.asarray(line.get_ydata()) == 0.95).all() for line in lines)
    check_readable(figure)


def test_a_fit_that_keeps_too_few_components_says_so() -> None:
    figure = cumulative_variance({"SOAP": np.array([0.5, 0.2])})
    assert "SOAP: more than 2" in words(figure)


def test_a_fitted_pca_is_taken() -> None:
    fit = ice.PCA().fit(some_latent(some_labels()))
    np.testing.assert_allclose(cumulative_variance({"": fit}).axes[0].lines[0].get_ydata()[-1], 1.0)


@pytest.mark.parametrize("ratio", [[0.9, 0.9], [-0.1], [[0.5]], [1, 2], []])
def test_what_are_no_shares_is_refused(ratio) -> None:
    with pytest.raises(InputError, match="explained variance ratios"):
        cumulative_variance({"SOAP": ratio})


def test_a_bad_threshold_is_refused() -> None:
    with pytest.raises(InputError, match="threshold"):
        cumulative_variance({"SOAP": [0.9]}, threshold=99)
    with pytest.raises(InputError, match="at least one"):
        cumulative_variance({})
