import numpy as np
import pytest
from helpers.figures import check_readable, some_labels, words
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch, Rectangle

from icedask.errors import InputError
from icedask.plot import sankey
from icedask.plot.style import NOISE, state_color


def drawn(figure, kind):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, kind)]


def test_bars_are_populations_and_ribbons_lose_no_atom() -> None:
    labels = some_labels(3)
    labels["label"][10, :7] = -1
    frames = [0, 10, -1]
    figure = sankey(labels, frames)
    chosen = labels["label"].values[frames]
    bars = drawn(figure, Rectangle)
    for column, row in enumerate(chosen):
        here = [bar for bar in bars if round(bar.get_x() + bar.get_width() / 2) == column]
        heights = {to_hex(bar.get_facecolor()).upper(): bar.get_height() for bar in here}
        states, counts = np.unique(row, return_counts=True)
        colors = [state_color(int(state)) for state in states]
        expected = dict(zip(colors, counts / 60, strict=True))
        assert heights == pytest.approx(expected)
    # Corners of a ribbon: lower left and right, upper right and left.
    corners = [patch.get_path().vertices[[0, 3, 4, 7]] for patch in drawn(figure, PathPatch)]
    for column in (0, 1):
        own = [ribbon for ribbon in corners if int(ribbon[0, 0]) == column]
        pairs = np.unique(np.stack(chosen[column : column + 2]), axis=1).shape[1]
        assert len(own) == pairs
        for ends in ((0, 3), (1, 2)):
            spans = sorted((ribbon[ends[0], 1], ribbon[ends[1], 1]) for ribbon in own)
            heights = np.diff(spans, axis=1)[:, 0]
            assert heights.sum() == pytest.approx(1)
            # Side by side, none over another.
            assert (np.array(spans)[1:, 0] >= np.array(spans)[:-1, 1] - 1e-9).all()
    assert {"0 ps", "500 ps", "950 ps", "noise"} <= set(words(figure))


def test_a_ribbon_has_the_colour_of_the_state_it_leaves() -> None:
    labels = some_labels(2, 2, 4)
    labels["label"][:] = np.array([[0, 0, 1, -1], [1, 1, 1, 0]])
    ribbons = drawn(sankey(labels, [0, 1]), PathPatch)
    heights = {}
    for ribbon in ribbons:
        corners = ribbon.get_path().vertices
        heights[to_hex(ribbon.get_facecolor()).upper()] = corners[7, 1] - corners[0, 1]
    assert heights == pytest.approx({state_color(0): 0.5, state_color(1): 0.25, NOISE: 0.25})


def test_only_the_chosen_frames_are_computed() -> None:
    labels = some_labels(3)
    computed = []

    def noted(block, block_info=None):
        computed.append(block_info[0]["chunk-location"][0])
        return block

    lazy = labels.chunk(frame=5)
    blocks = lazy["label"].data.map_blocks(noted, meta=np.empty((0, 0), "int32"))
    lazy["label"] = (("frame", "atom"), blocks)
    sankey(lazy, [0, 19])
    assert sorted(computed) == [0, 3]


@pytest.mark.parametrize("frames", [[3], [0, 6, 12, 19], range(0, 20, 4)])
@pytest.mark.parametrize("timed", [True, False])
def test_twelve_states_are_readable(frames, timed: bool) -> None:
    check_readable(sankey(some_labels(12, timed=timed), frames))


@pytest.mark.parametrize(
    ("frames", "reason"),
    [([], "at least one"), ([0, 20], "from -20 to 19"), ([5, 0], "later"), ([0.5], "whole")],
)
def test_frames_that_are_not_there_are_refused(frames, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        sankey(some_labels(2), frames)
