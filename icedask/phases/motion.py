"""How the interfaces of a slab move: their places without jumps, and how fast it grows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import linregress

from icedask.core.types import FloatArray

# More persistent residuals say nothing of their own variance.
_MOST_PERSISTENT = 0.99


class Motion(NamedTuple):
    """Interfaces of a slab in time.

    Attributes
    ----------
    position : (n_frames, 2) array
        Where the slab begins and ends, angstrom, without jumps over the cell's faces; NaN where
        not known.
    thickness : (n_frames,) array
        Angstrom.
    rate, error : float
        Slope of the straight line through the thickness, and its standard error; angstrom per
        unit of time.
    intercept : float
        Of that line, angstrom.
    """

    position: FloatArray
    thickness: FloatArray
    rate: float
    error: float
    intercept: float


def slab_motion(position: FloatArray, height: FloatArray, time: FloatArray) -> Motion:
    """Follow the interfaces of a slab from frame to frame.

    An interface moves by less than half the cell from one known place to the next. The standard
    error holds for residuals that follow each other as in an autoregressive process of first
    order: each frame counts as (1 - r) / (1 + r) independent ones, r being the correlation of
    neighbouring frames.

    Parameters
    ----------
    position : (n_frames, 2) array
        Where the slab begins and ends, within the cell, angstrom; NaN where not known. Known in
        three frames at least.
    height : (n_frames,) array
        Of the cell, angstrom.
    time : (n_frames,) array
        Of the frames.
    """
    known = np.isfinite(position).all(axis=1)
    share = position[known] / height[known, None]
    begin = np.unwrap(share[:, 0], period=1.0)
    thick = (share[:, 1] - share[:, 0]) % 1.0
    found, thickness = np.full(position.shape, np.nan), np.full(len(position), np.nan)
    thickness[known] = thick * height[known]
    found[known] = np.stack([begin, begin + thick], axis=1) * height[known, None]
    line = linregress(time[known], thickness[known])
    rest = thickness[known] - line.intercept - line.slope * time[known]
    square = rest @ rest
    repeated = rest[1:] @ rest[:-1] / square if square > 0 else 0.0
    repeated = float(np.clip(repeated, 0, _MOST_PERSISTENT))
    error = line.stderr * np.sqrt((1 + repeated) / (1 - repeated))
    return Motion(found, thickness, float(line.slope), float(error), float(line.intercept))
