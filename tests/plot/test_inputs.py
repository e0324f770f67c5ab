import dask.array as da
import numpy as np
import pytest
from helpers.figures import some_labels, some_latent, transitions_of

from icedask.errors import InputError
from icedask.plot.inputs import flux_of, histograms, label_counts, required, sample_rows


def test_counts_do_not_depend_on_blocks() -> None:
    labels = some_labels(5)
    labels["label"][4] = -1
    states, counts = label_counts(labels["label"])
    again, others = label_counts(labels.chunk(frame=6, atom=11)["label"])
    assert states == again == [-1, 0, 1, 2, 3, 4]
    np.testing.assert_array_equal(counts, others)
    np.testing.assert_array_equal(counts.sum(axis=1), 60)
    assert counts[4].tolist() == [60, 0, 0, 0, 0, 0]


def test_rows_have_the_labels_of_their_frame_and_atom() -> None:
    labels = some_labels(12)
    latent = some_latent(labels)
    latent["latent"][-1] = np.nan
    latent["latent"][3, 5] = np.nan
    lazy = latent.chunk(frame=7, atom=13)
    rows = sample_rows(lazy, labels.chunk(frame=4), (0, 2), 10**6, 0, "test")
    assert len(rows.values) == 19 * 60 - 1
    centers = {}
    for value, label in zip(rows.values, rows.label, strict=True):
        centers.setdefault(label, []).append(value)
    # Blobs are far apart: a wrong label would widen one.
    assert max(np.std(group, axis=0).max() for group in centers.values()) < 0.5


@pytest.mark.parametrize("chunks", [(20, 50), (7, 13)])
def test_histograms_of_states_do_not_depend_on_blocks(chunks: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    values, states = rng.normal(size=(20, 50)), rng.integers(-1, 3, (20, 50))
    values[0, :5] = np.nan
    edges = np.linspace(-1, 1, 9)
    counts = histograms(edges, da.from_array(values, chunks), da.from_array(states, (5, 50)))
    assert sorted(counts) == [-1, 0, 1, 2]
    for state, count in counts.items():
        own = values[(states == state) & np.isfinite(values)]
        np.testing.assert_array_equal(count, np.histogram(np.clip(own, -1, 1), edges)[0])
    (whole,) = histograms(edges, da.from_array(values, chunks)).values()
    np.testing.assert_array_equal(whole, sum(counts.values()))


def test_variables_are_checked_and_turned() -> None:
    transitions = transitions_of([[1, 2], [3, 4]])
    np.testing.assert_array_equal(
        flux_of(transitions.transpose("to", "from"), None, "test").counts, [[1, 2], [3, 4]]
    )
    with pytest.raises(InputError, match=r"test: expected flux \(a, b\), found \('from', 'to'\)"):
        required(transitions, "flux", ("a", "b"), "test", "transitions")
    with pytest.raises(InputError, match=r"flux \(from, to\) of floating-point numbers, found"):
        required(transitions, "flux", ("from", "to"), "test", "transitions", "f")
