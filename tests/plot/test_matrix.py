import numpy as np
import pytest
from figures import check_readable, many_states, transitions_of, words

from icedask.errors import InputError
from icedask.plot import transition_matrix


def test_rows_are_the_states_left_and_numbers_per_cent() -> None:
    flux = [[9990, 10, 0], [1, 3, 0], [0, 0, 0]]
    names = {0: "bulk", 1: "edge"}
    figure = transition_matrix(transitions_of(flux), names=names)
    axes, bar = figure.axes
    cells = {one.get_position(): one.get_text() for one in axes.texts}
    # (column, row).
    assert cells == {(0, 0): "99.9", (1, 0): "0.10", (0, 1): "25.0", (1, 1): "75.0"}
    assert [one.get_text() for one in axes.get_yticklabels()] == ["bulk", "edge", "state 2"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("to", "from")
    # The row of a state without pairs is hatched.
    assert [one.get_hatch() for one in axes.patches] == ["////"] * 3
    np.testing.assert_allclose(axes.images[0].get_array()[0, :2], [99.9, 0.1])
    assert bar.get_ylabel() == "probability (%)"
    check_readable(figure)


def test_the_order_of_dimensions_does_not_matter() -> None:
    transitions = transitions_of([[5, 5], [0, 10]])
    one = transition_matrix(transitions).axes[0].images[0].get_array()
    other = transition_matrix(transitions.transpose("to", "from")).axes[0].images[0].get_array()
    np.testing.assert_array_equal(one, other)


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
