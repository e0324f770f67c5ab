"""Small Datasets to draw, and what every figure must be like."""

from itertools import combinations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.text import Text


def some_labels(
    n_states: int = 3, n_frames: int = 20, n_atoms: int = 60, *, seed: int = 0, timed: bool = True
) -> xr.Dataset:
    """Return labels of atoms that mostly stay in their states; every state occurs in each frame."""
    rng = np.random.default_rng(seed)
    label = np.empty((n_frames, n_atoms), np.int32)
    label[0] = np.arange(n_atoms) % n_states
    for frame in range(1, n_frames):
        moves = rng.random(n_atoms) < 0.2
        label[frame] = np.where(moves, rng.integers(0, n_states, n_atoms), label[frame - 1])
    coords = {"time": ("frame", np.arange(n_frames) * 50.0)} if timed else {}
    coords["atom"] = ("atom", np.arange(n_atoms))
    return xr.Dataset({"label": (("frame", "atom"), label)}, coords)


def some_latent(labels: xr.Dataset, seed: int = 0) -> xr.Dataset:
    """Return a latent space of three components in which states are blobs."""
    label = labels["label"].values
    centers = np.random.default_rng(seed).normal(0, 5, (label.max() + 2, 3))
    latent = centers[label] + np.random.default_rng(seed + 1).normal(0, 0.3, (*label.shape, 3))
    return xr.Dataset({"latent": (("frame", "atom", "component"), latent)}, labels.coords)


def transitions_of(flux: object, **flags: object) -> xr.Dataset:
    """Return a Dataset of transitions with a given flux."""
    counts = np.asarray(flux, np.int64)
    rows = counts.sum(axis=1, keepdims=True)
    probability = np.divide(counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)
    numbers = np.arange(len(counts), dtype=np.int32)
    return xr.Dataset(
        {"flux": (("from", "to"), counts), "probability": (("from", "to"), probability)},
        {"from": ("from", numbers, flags), "to": ("to", numbers, flags)},
    )


def many_states(n_states: int = 12, seed: int = 0) -> xr.Dataset:
    """Return transitions between states of which some are very rare."""
    rng = np.random.default_rng(seed)
    weight = 10.0 ** rng.uniform(0, 5, n_states)
    flux = rng.poisson(np.outer(weight, weight) / weight.sum() / 50)
    return transitions_of(flux + np.diag(weight.astype(int) + 1))


def texts(figure: Figure) -> list[Text]:
    """Return the texts that a figure shows; ticks beyond the limits exist, but are not drawn."""
    figure.draw_without_rendering()
    beyond = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high or not axes.axison:
                    beyond.update((tick.label1, tick.label2))
    artists = figure.findobj(lambda artist: isinstance(artist, Text) and artist not in beyond)
    return [text for text in artists if text.get_visible() and text.get_text().strip()]


def words(figure: Figure) -> list[str]:
    """Return the texts of a figure as strings."""
    return [text.get_text() for text in texts(figure)]


def check_readable(figure: Figure) -> None:
    """Assert that texts are large enough, on the page and clear of each other."""
    # Of an annotation, the text without its line; the box of a text is wider than its letters.
    boxes = {text: Text.get_window_extent(text).padded(-1) for text in texts(figure)}
    assert figure.get_figwidth() <= 7.01
    for text, box in boxes.items():
        assert text.get_fontsize() >= 7, text
        assert box.x0 >= figure.bbox.x0, text
        assert box.y0 >= figure.bbox.y0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    for text, other in combinations(boxes, 2):
        assert not boxes[text].overlaps(boxes[other]), f"{text} and {other} overlap"
