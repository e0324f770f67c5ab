"""What the figures of transitions share: the flux between states, and its layout as a matrix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.errors import InputError
from icedask.plot.style import Names, names_of, state_color, state_name


class Flux(NamedTuple):
    """Names and colours of states, and how often each was followed by each, (from, to)."""

    names: list[str]
    colors: list[str]
    counts: npt.NDArray[np.int64]


def flux_of(transitions: xr.Dataset, names: Names | None, caller: str) -> Flux:
    """Return the flux of a Dataset of transitions, its states named as given or by their flags.

    Raises
    ------
    InputError
        If there is none, or it is not square or negative somewhere.
    """
    found = transitions.get("flux") if isinstance(transitions, xr.Dataset) else None
    if found is None or set(found.dims) != {"from", "to"}:
        raise InputError(
            f"{caller}: expected a Dataset with flux (from, to), found "
            f"{'no such variable' if found is None else found.dims}; pass what transitions returned"
        )
    counts = found.transpose("from", "to").values
    if counts.shape[0] != counts.shape[1] or not counts.size or (counts < 0).any():
        raise InputError(
            f"{caller}: expected a square matrix of counts, found the shape {counts.shape}"
            f"{' with negative numbers' if (counts < 0).any() else ''}"
        )
    states = [int(one) for one in found["from"].values]
    called = names_of(found["from"], names)
    return Flux(
        [state_name(one, called) for one in states],
        [state_color(one, called) for one in states],
        counts,
    )
