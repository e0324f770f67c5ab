"""The option that chooses frames: a slice, a text start:stop:step or one index."""

from __future__ import annotations

from typing import Any

import numpy as np

from icedask.errors import InputError

_EXPECTED = "expected start:stop:step, for example 0:100 or ::10, or the index of one frame"


def check_frames(value: Any, where: str) -> slice:
    """Return the slice of frames that a value stands for; all for None."""
    if value is None:
        return slice(None)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return _one(int(value))
    if not isinstance(value, slice | str):
        raise InputError(f"{where}: {_EXPECTED}, found {value!r}")
    chosen = value if isinstance(value, slice) else _parsed(value, where)
    if chosen.step is not None and chosen.step < 1:
        raise InputError(f"{where}: expected a positive step, found {chosen.step}")
    return chosen


def _one(index: int) -> slice:
    return slice(index, index + 1 if index != -1 else None)


def _parsed(text: str, where: str) -> slice:
    try:
        parts = [int(part) if part.strip() else None for part in text.split(":")]
    except ValueError as error:
        raise InputError(f"{where}: {_EXPECTED}, found {text!r}") from error
    if len(parts) == 1 and parts[0] is not None:
        return _one(parts[0])
    if not 2 <= len(parts) <= 3:
        raise InputError(f"{where}: {_EXPECTED}, found {text!r}")
    return slice(*parts)
