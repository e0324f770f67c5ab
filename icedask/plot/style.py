"""Colours that survive colour blindness, and the look that all figures share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

# Okabe and Ito's palette (jfly.uni-koeln.de/color), yellow last: it is weak on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
NOISE = "#BBBBBB"
TIME_MAP = "cividis"


def state_color(label: int) -> str:
    """Return the colour of a state; noise is grey."""
    return NOISE if label < 0 else PALETTE[label % len(PALETTE)]


def state_name(label: int) -> str:
    """Return how a state is called in legends."""
    return "noise" if label < 0 else f"state {label}"


def state_colors(labels: npt.NDArray[np.integer]) -> list[str]:
    """Return a colour for each label."""
    table = {int(label): state_color(int(label)) for label in np.unique(labels)}
    return [table[int(label)] for label in labels]


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, inches, that needs no display."""
    return Figure(figsize=(width, height), layout="constrained", dpi=150)
