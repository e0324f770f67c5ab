"""The option that chooses frames: a slice, a text start:stop:step or one index."""

from __future__ import annotations

from typing import Any

import numpy as np

from icedask.errors import InputError

_EXPECTED = "expected start:stop:step, for example 0:100 or ::10"


def check_slice(value: Any, where: str) -> slice:
    """Return the slice of frames that a slice or a text start:stop:step stands for."""
    if not isinstance(value, slice | str):
        raise InputError(f'{where}: expected a slice or "start:stop:step", found {value!r}')
    chosen = value if isinstance(value, slice) else _parsed(value, where)
    if chosen.step is not None and chosen.step < 1:
        raise InputError(f"{where}: expected a positive step, found {chosen.step}")
    return chosen


def check_frames(value: Any, where: str) -> slice:
    """Return the slice of frames that a slice, a text or the index of one frame stands for."""
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            return check_slice(value, where)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        index = int(value)
        return slice(index, index + 1 if index != -1 else None)
    return check_slice(value, where)


def slice_text(frames: slice) -> str:
    """Return a slice as start:stop:step."""
    bounds = ["" if bound is None else str(bound) for bound in (frames.start, frames.stop)]
    return ":".join([*bounds, *([] if frames.step is None else [str(frames.step)])])


def _parsed(text: str, where: str) -> slice:
    try:
        parts = [int(part) if part.strip() else None for part in text.split(":")]
    except ValueError as error:
        raise InputError(f"{where}: {_EXPECTED}, found {text!r}") from error
    if not 2 <= len(parts) <= 3:
        raise InputError(f"{where}: {_EXPECTED}, found {text!r}")
    return slice(*parts)
