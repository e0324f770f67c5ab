import numpy as np
import pytest
import xarray as xr
from helpers.figures import check_readable, words
from matplotlib.colors import to_hex
from scipy.cluster.hierarchy import linkage

from icedask.errors import InputError
from icedask.plot import dendrogram
from icedask.plot.style import state_color


def merged(macro, leaves, heights, cutoff: float = 1.0) -> xr.Dataset:
    """Return what merge_states does, of states on a line."""
    tree = linkage(np.cumsum([0.0, *heights])[:, None], "single") if heights else np.empty((0, 4))
    return xr.Dataset(
        {
            "macro_state": ("state", np.array(macro, np.int32)),
            "leaf": ("leaf", np.array(leaves, np.int32)),
            "linkage": (("merge", "linkage_column"), tree),
        },
        attrs={"cutoff": cutoff},
    )


def test_branches_below_the_cut_have_the_colour_of_their_macro_state() -> None:
    figure = dendrogram(merged([0, 0, 1, 1], [0, 1, 2, 3], [0.2, 1.5, 0.4]), names={0: "bulk"})
    axes = figure.axes[0]
    branches = {round(max(line.get_ydata()), 1): line.get_color() for line in axes.lines[:3]}
    assert branches[0.2] == state_color(0)
    assert branches[0.4] == state_color(1)
    assert branches[1.5] not in map(state_color, range(4))
    leaves = [to_hex(artist).upper() for artist in axes.collections[0].get_facecolors()]
    order = [int(text.get_text()) for text in axes.get_xticklabels()]
    assert leaves == [state_color([0, 0, 1, 1][leaf]) for leaf in order]
    assert {"bulk", "macro state 1", "cut 1"} <= set(words(figure))
    check_readable(figure)


def test_the_name_of_the_cut_stands_beside_the_axes() -> None:
    figure = dendrogram(merged([0, 0, 1, 1, 2], range(5), [0.2, 1.03, 0.4, 1.3]))
    axes = figure.axes[0]
    (cut,) = [text for text in axes.texts if text.get_text() == "cut 1"]
    figure.draw_without_rendering()
    assert cut.get_window_extent().x0 >= axes.get_window_extent().x1
    check_readable(figure)


def test_names_come_from_flags() -> None:
    states = merged([0, 0, 1], [0, 1, 2], [0.2, 1.5])
    flags = {"flag_values": [0, 1, 2], "flag_meanings": "hexagonal_ice cubic_ice liquid"}
    states["state"] = ("state", np.arange(3), flags)
    new = {"flag_values": [0, 1], "flag_meanings": "ice liquid"}
    states["label"] = (("frame", "atom"), np.zeros((1, 1), np.int32), new)
    figure = dendrogram(states, names={1: "water"})
    assert {"hexagonal ice", "cubic ice", "liquid", "ice", "water"} <= set(words(figure))
    check_readable(figure)


def test_a_state_outside_the_tree_stands_beside_it() -> None:
    figure = dendrogram(merged([0, 1, 0], [0, 2], [0.5]))
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert labels[-1] == "1"
    assert sorted(labels) == ["0", "1", "2"]
    assert max(figure.axes[0].lines[0].get_xdata()) == 1


@pytest.mark.parametrize(
    "states",
    [
        merged([0], [], []),
        merged([0], [0], []),
        merged([0, 1], [], []),
        merged([0, 1], [0, 1], [1.7]),
        merged([0] * 12, range(12), list(np.linspace(0, 0.9, 11))),
    ],
)
def test_one_state_none_merged_and_many_can_be_drawn(states) -> None:
    figure = dendrogram(states)
    assert len(figure.axes[0].get_xticklabels()) == states.sizes["state"]
    check_readable(figure)


def test_without_a_cut_none_is_drawn() -> None:
    figure = dendrogram(merged([0, 1, 2], [0, 1, 2], [0.2, 1.5], cutoff=0.0))
    assert not any(word.startswith("cut") for word in words(figure))
    assert len(figure.axes[0].lines) == 2
    check_readable(dendrogram(merged([0], [0], [], cutoff=0.0)))


def test_what_is_no_tree_is_refused() -> None:
    states = merged([0, 0], [0, 1], [0.5])
    with pytest.raises(InputError, match="without linkage"):
        dendrogram(states.drop_vars("linkage"))
    with pytest.raises(InputError, match="attribute cutoff"):
        dendrogram(states.drop_attrs())
    with pytest.raises(InputError, match="0 merges for 1 leaves"):
        dendrogram(states.isel(leaf=[0]))
