import numpy as np
import pytest
from helpers.figures import check_readable, many_states, transitions_of, words
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch, Wedge

from icedask.errors import InputError
from icedask.plot import chord
from icedask.plot.chord import chord_layout
from icedask.plot.style import NOISE, state_color

FLUX = np.array([[900, 40, 10], [20, 100, 0], [10, 0, 50]])


def patches(figure, kind):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, kind)]


@pytest.mark.parametrize("self_transitions", [True, False])
def test_arcs_and_bases_are_as_wide_as_the_flux(self_transitions: bool) -> None:
    arcs, chords = chord_layout(FLUX, self_transitions)
    flux = FLUX if self_transitions else FLUX - np.diag(np.diag(FLUX))
    widths = np.array([end - start for start, end in arcs.values()])
    scale = widths.sum() / flux.sum()
    np.testing.assert_allclose(widths, scale * flux.sum(axis=1))
    assert [chord.states for chord in chords] == [(0, 1), (0, 2)]
    for (a, b), ((a_start, a_end), (b_start, b_end)), _ in chords:
        assert a_end - a_start == pytest.approx(scale * flux[a, b])
        assert b_end - b_start == pytest.approx(scale * flux[b, a])


def test_bases_lie_side_by_side_on_the_arcs_of_their_states() -> None:
    flux = many_states(12)["flux"].values
    arcs, chords = chord_layout(flux, True)
    bases = {state: [] for state in arcs}
    for states, spans, _ in chords:
        for state, span in zip(states, spans, strict=True):
            bases[state].append(span)
    for state, spans in bases.items():
        if not spans:
            continue
        edges = np.sort(np.array(spans), axis=0)
        assert (edges[1:, 0] >= edges[:-1, 1] - 1e-9).all()
        free = arcs[state][1] - arcs[state][0] - np.diff(edges, axis=1).sum()
        assert edges.min() - arcs[state][0] == pytest.approx(free / 2, abs=1e-9)
    everything = np.sort(np.array(list(arcs.values())), axis=0)
    assert (everything[1:, 0] > everything[:-1, 1]).all()


def test_artists_have_these_widths_and_the_colour_of_who_gives_more() -> None:
    figure = chord(transitions_of(FLUX))
    arcs, chords = chord_layout(FLUX, True)
    wedges = patches(figure, Wedge)
    assert [(wedge.theta1, wedge.theta2) for wedge in wedges] == list(arcs.values())
    assert [to_hex(wedge.get_facecolor()).upper() for wedge in wedges] == [
        state_color(state) for state in range(3)
    ]
    drawn = patches(figure, PathPatch)
    colors = [to_hex(patch.get_facecolor()).upper() for patch in drawn]
    # From 0 to 1 go twice as many as back; between 0 and 2 neither gives more.
    assert colors == [state_color(0), NOISE]
    for (_, (here, there), _), patch in zip(chords, drawn, strict=True):
        angles = np.rad2deg(np.arctan2(*patch.get_path().vertices.T[::-1]))
        for edge in (*here, *there):
            assert np.isclose((angles - edge + 180) % 360, 180).any()


def test_rare_exchanges_have_a_line() -> None:
    rare = transitions_of([[10**9, 1], [0, 10**9]])
    (patch,) = patches(chord(rare), PathPatch)
    assert patch.get_linewidth() == 0.5
    assert patch.get_path().vertices.shape[0] > 4
    fills = chord_layout(rare["flux"].values, False)[1][0].bases
    assert fills[0][1] - fills[0][0] > 300
    assert fills[1][1] == fills[1][0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("self_transitions", [True, False])
def test_labels_of_twelve_states_do_not_overlap(seed: int, self_transitions: bool) -> None:
    figure = chord(many_states(12, seed), self_transitions=self_transitions)
    names = {text for text in words(figure) if text.startswith("state")}
    assert names <= {f"state {state}" for state in range(12)}
    assert len(names) >= 5
    check_readable(figure)


def test_bases_have_their_numbers_and_arcs_a_scale() -> None:
    figure = chord(transitions_of([[0, 400, 300], [200, 0, 0], [100, 0, 0]]))
    axes = figure.axes[0]
    numbers = [text for text in axes.texts if text.get_text().isdigit()]
    assert sorted(int(text.get_text()) for text in numbers) == [100, 200, 300, 400]
    arcs, chords = chord_layout(np.array([[0, 400, 300], [200, 0, 0], [100, 0, 0]]), True)
    bases = {300: chords[1].bases[0], 100: chords[1].bases[1]}
    for text in numbers:
        if (count := int(text.get_text())) in bases:
            angle = np.rad2deg(np.arctan2(*text.get_position()[::-1]))
            assert (angle - np.mean(bases[count]) + 180) % 360 == pytest.approx(180)
    # 1,000 transitions: 20 apart.
    assert "from one tick to the next: 20 transitions" in words(figure)
    (ticks,) = [artist for artist in axes.collections if isinstance(artist, LineCollection)]
    assert len(ticks.get_segments()) == sum(
        1 + int((end - start) / (sum(np.diff(list(arcs.values()))[:, 0]) / 50) + 1e-6)
        for start, end in arcs.values()
    )
    check_readable(figure)


def test_one_state_is_a_ring() -> None:
    figure = chord(transitions_of([[5]]), names={0: "bulk"})
    (ring,) = patches(figure, Wedge)
    assert ring.theta2 - ring.theta1 == 360
    assert "bulk" in words(figure)


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(InputError, match="found none"):
        chord(transitions_of(np.zeros((2, 2))))
    with pytest.raises(InputError, match="every atom stays"):
        chord(transitions_of(np.diag([3, 4])), self_transitions=False)
    with pytest.raises(InputError, match="negative"):
        chord(transitions_of([[-1]]))
    with pytest.raises(InputError, match="flux"):
        chord(transitions_of(FLUX)["flux"])
