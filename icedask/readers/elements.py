"""Elements of the atom types or names of a source: given by the user, never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from icedask.errors import InputError

ElementMap = str | Mapping[str | int, str] | None


def check_element_map(value: Any, where: str) -> str | dict[str, str]:
    """Return one symbol for all atoms, or a mapping with the keys as text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        raise InputError(
            f'{where}: expected one symbol or a mapping such as {{"1": "O"}}, found {value!r}'
        )
    return {str(key): symbol for key, symbol in value.items()}


def parse_element_map(text: str) -> str | dict[str, str]:
    """Return the elements in a text such as O or 1=O,2=H."""
    if "=" not in text:
        return text
    return dict(pair.split("=", 1) for pair in text.split(","))


def map_elements(keys: npt.NDArray[np.str_], elements: ElementMap, what: str) -> npt.NDArray:
    """Return the element of each atom.

    Keys are the type, or name, of each atom; "" where an atom has none. Elements are one symbol for
    all atoms, or a symbol for each key. `what` is the kind of the keys, for the error message.
    """
    if isinstance(elements, str):
        return np.full(len(keys), elements)
    kinds = [str(key) for key in np.unique(keys)]
    table = {str(key): symbol for key, symbol in (elements or {}).items()}
    missing = [key for key in kinds if key not in table]
    if missing:
        known = any(kinds)
        shown = ", ".join(repr(key) for key in missing[:10])
        example = ",".join(f"{key}=SYMBOL" for key in missing[:3]) if known else "O"
        raise InputError(
            f"elements: the source does not say which element each atom is; expected one for each "
            f"{what}, found none for {shown if known else 'any atom'}; give elements= "
            f"(--elements), for example --elements {example} (X for a massless site)"
        )
    return np.array([table[str(key)] for key in keys])
