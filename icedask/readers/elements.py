"""From the types or names of a source to chemical elements: stated by the user, never guessed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from icedask.errors import InputError

ElementMap = str | Mapping[str | int, str] | None


def map_elements(keys: npt.NDArray[np.str_], elements: ElementMap, what: str) -> npt.NDArray:
    """Return the element of each atom.

    Parameters
    ----------
    keys : (n_atoms,) strings
        Type, or name, of each atom; "" where an atom has none.
    elements : str or mapping
        One symbol for all atoms, or a symbol for each key.
    what : str
        What the keys are, for the error message.
    """
    if isinstance(elements, str):
        return np.full(len(keys), elements)
    found = [str(key) for key in np.unique(keys)]
    table = {str(key): symbol for key, symbol in (elements or {}).items()}
    missing = [key for key in found if key not in table]
    if missing:
        known = any(found)
        shown = ", ".join(repr(key) for key in missing[:10])
        example = ",".join(f"{key}=SYMBOL" for key in missing[:3]) if known else "O"
        raise InputError(
            f"elements: the source does not say which element each atom is; expected one for each "
            f"{what}, found none for {shown if known else 'any atom'}; give elements= "
            f"(--elements), for example --elements {example} (X for a massless site)"
        )
    return np.array([table[str(key)] for key in keys])
