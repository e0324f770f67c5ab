import numpy as np
import pytest
import xarray as xr
from helpers.figures import check_readable, words

from icedask import plot
from icedask.errors import InputError


def importances(n: int = 50, coords: bool = True) -> xr.Dataset:
    values = np.random.default_rng(0).gamma(0.3, size=(3, n))
    values[:, 7] = 20.0
    names: dict[str, object] = {"class": ["Ih", "Ic", "water"]}
    if coords:
        names |= {name: ("soap_component", np.arange(n) % 6) for name in ("n_a", "n_b", "l")}
        names |= {name: ("soap_component", ["O"] * n) for name in ("species_a", "species_b")}
    return xr.Dataset({"importance": (("class", "soap_component"), values)}, names)


def test_the_most_important_component_is_first() -> None:
    figure = plot.component_importances(importances(), n_components=10)
    left, right = figure.axes[:2]
    shares = left.images[0].get_array()
    assert shares.shape == (3, 10)
    assert (shares[:, 0] == 1).all()
    assert left.get_xticklabels()[0].get_text() == "OO 1,1 1"
    (line,) = right.lines
    assert line.get_ydata()[0] == 1
    assert (np.diff(line.get_ydata()) <= 0).all()
    check_readable(figure)


def test_many_components_have_no_names() -> None:
    figure = plot.component_importances(importances(325, coords=False), n_components=200)
    assert "7" not in words(figure)
    check_readable(figure)
    few = plot.component_importances(importances(8, coords=False))
    assert few.axes[0].get_xticklabels()[0].get_text() == "7"


def test_classes_without_rows_are_left_out() -> None:
    ds = importances()
    ds["importance"][1] = np.nan
    figure = plot.component_importances(ds)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["Ih", "water"]


def test_bad_importances() -> None:
    with pytest.raises(InputError, match="found no such variable; pass what mean_importances"):
        plot.component_importances(importances().rename(importance="other"))
    with pytest.raises(InputError, match="importances above 0"):
        plot.component_importances(importances() * 0)
    with pytest.raises(InputError, match="n_components: expected at least 1"):
        plot.component_importances(importances(), n_components=0)


def test_accuracy_by_components() -> None:
    values = {"accuracy": ("n_components", [0.9, 0.5]), "accuracy_of_all": 0.95}
    figure = plot.accuracy_by_components(xr.Dataset(values, {"n_components": [10, 1]}))
    line, whole = figure.axes[0].lines
    assert line.get_xdata().tolist() == [1, 10]
    assert set(whole.get_ydata()) == {0.95}
    assert any(text.startswith("90") for text in words(figure))
    check_readable(figure)
    with pytest.raises(InputError, match="pass what accuracy_by_components returned"):
        plot.accuracy_by_components(importances())
