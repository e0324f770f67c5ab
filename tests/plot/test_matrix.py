import numpy as np
import pandas as pd
import pytest
from helpers.figures import check_readable, many_states, transitions_of, words

from icedask.errors import InputError
from icedask.plot import confusion, transition_matrix
from icedask.plot.style import count_text


def test_rows_are_the_states_left_and_numbers_per_cent() -> None:
    flux = [[9990, 10, 0], [1, 3, 0], [0, 0, 0]]
    names = {0: "bulk", 1: "edge"}
    figure = transition_matrix(transitions_of(flux), names=names)
    axes, bar = figure.axes
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    # (column, row).
    assert cells == {(0, 0): "99.9", (1, 0): "0.10", (0, 1): "25.0", (1, 1): "75.0"}
    assert [text.get_text() for text in axes.get_yticklabels()] == ["bulk", "edge", "state 2"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("to", "from")
    # The row of a state without pairs is hatched.
    assert [patch.get_hatch() for patch in axes.patches] == ["////"] * 3
    np.testing.assert_allclose(axes.images[0].get_array()[0, :2], [99.9, 0.1])
    assert bar.get_ylabel() == "probability (%)"
    check_readable(figure)


def test_numbers_are_decimals_and_the_bar_marks_its_open_end() -> None:
    figure = transition_matrix(transitions_of([[10**8, 5000, 70, 1], *np.eye(4, dtype=int)[1:]]))
    axes, bar = figure.axes
    row = [text.get_text() for text in axes.texts if text.get_position()[1] == 0]
    assert row == ["99.99", "0.005", "<0.001", "<0.001"]
    assert [text.get_text() for text in bar.get_yticklabels()] == ["0.01", "0.1", "1", "10", "100"]
    colorbar = axes.images[0].colorbar
    assert colorbar.extend == "min"
    check_readable(figure)


def test_the_order_of_dimensions_does_not_matter() -> None:
    transitions = transitions_of([[5, 5], [0, 10]])
    straight = transition_matrix(transitions).axes[0].images[0].get_array()
    other = transition_matrix(transitions.transpose("to", "from")).axes[0].images[0].get_array()
    np.testing.assert_array_equal(straight, other)


def test_names_of_the_states_come_from_their_flags() -> None:
    transitions = transitions_of([[5]], flag_values=[0], flag_meanings="cubic_ice")
    assert words(transition_matrix(transitions)).count("cubic ice") == 2


@pytest.mark.parametrize("n_states", [1, 2, 12])
def test_any_number_of_states_is_readable(n_states: int) -> None:
    check_readable(transition_matrix(many_states(n_states)))


def test_what_are_no_transitions_is_refused() -> None:
    transitions = transitions_of([[1, 2], [3, 4]])
    with pytest.raises(InputError, match="probability"):
        transition_matrix(transitions.drop_vars("probability"))
    with pytest.raises(InputError, match="flux \\(from, to\\), found no such variable"):
        transition_matrix(transitions.drop_vars("flux"))
    with pytest.raises(InputError, match="square"):
        transition_matrix(transitions.isel(to=[0]))


def test_confusion_has_shares_of_rows_counts_and_totals() -> None:
    counts = {"Ih": [1999, 0, 0], "liquid_water": [1, 38000, 0]}
    figure = confusion(pd.DataFrame(counts, index=["Ih", "water", "V"]))
    axes, bar = figure.axes
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    # (column, row).
    assert cells == {
        (0, 0): "99.95\n1999",
        (1, 0): "0.05\n1",
        (2, 0): "2000",
        (1, 1): "100\n38.0k",
        (2, 1): "38.0k",
        (2, 2): "0",
        (0, 3): "5.0\n1999",
        (1, 3): "95.0\n38.0k",
        (2, 3): "40.0k",
    }
    assert [text.get_text() for text in axes.get_xticklabels()] == ["Ih", "liquid water", "total"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Ih", "water", "V", "total"]
    # The phase without atoms is hatched; totals have no colour.
    assert [patch.get_hatch() for patch in axes.patches] == ["////"] * 2
    assert axes.images[0].get_array().mask[:, -1].all()
    assert axes.images[0].get_array().mask[-1].all()
    assert bar.get_ylabel() == "share of the row (%)"
    check_readable(figure)


def test_axes_of_a_confusion_have_the_names_of_the_table() -> None:
    table = pd.DataFrame({"Ih": [3, 4]})
    axes = confusion(table).axes[0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true phase", "label")
    axes = confusion(table.rename_axis("positions").rename_axis("class", axis=1)).axes[0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("positions", "class")
    counted = pd.crosstab(np.array([0, 0, 1]), np.array([0, 1, 1]))
    assert confusion(counted).axes[0].get_ylabel() == "true phase"


@pytest.mark.parametrize("n_phases", [1, 3, 13])
def test_any_number_of_phases_is_readable(n_phases: int) -> None:
    counts = np.random.default_rng(0).integers(0, 10**7, (n_phases, n_phases + 2))
    names = [f"phase {phase}" for phase in range(n_phases)]
    table = pd.DataFrame(counts, index=names, columns=[*names, "liquid", "unknown"])
    check_readable(confusion(table))


def test_counts_have_five_characters_at_most() -> None:
    written = {
        9999: "9999",
        10_000: "10.0k",
        99_949: "99.9k",
        99_950: "100k",
        999_499: "999k",
        999_500: "1.00M",
        12_345_678: "12.3M",
        5 * 10**9: "5.00G",
    }
    assert {count: count_text(count) for count in written} == written


def test_what_are_no_counts_is_refused() -> None:
    table = pd.DataFrame({"Ih": [3, 4]})
    with pytest.raises(InputError, match="found an empty one"):
        confusion(table[:0])
    with pytest.raises(InputError, match="a DataFrame of counts"):
        confusion(table.to_numpy())
    with pytest.raises(InputError, match="found float64; pass how many"):
        confusion(table / 7)
    with pytest.raises(InputError, match="with negative numbers"):
        confusion(-table)
