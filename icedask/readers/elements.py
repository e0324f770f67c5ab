"""Elements of the atom types or names of a source: given by the user, never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import atomic_numbers

from icedask.core.trajectory import check_elements
from icedask.core.types import IntArray
from icedask.errors import InputError

ElementMap = str | Mapping[str | int, str] | None


def check_element_map(value: Any, where: str) -> str | dict[str, str]:
    """Return one symbol for all atoms, or a mapping with the keys as text."""
    if isinstance(value, str) and "=" in value:
        try:
            value = parse_element_map(value)
        except ValueError as error:
            raise InputError(
                f"{where}: expected one symbol for each key, as in 1=O,2=H, found {value!r}"
            ) from error
    if isinstance(value, str):
        check_elements(np.array([value]))
        return value
    if not isinstance(value, Mapping):
        raise InputError(
            f'{where}: expected one symbol or a mapping such as {{"1": "O"}}, found {value!r}'
        )
    wrong = [symbol for symbol in value.values() if not isinstance(symbol, str)]
    if wrong:
        raise InputError(f"{where}: expected a symbol for each key, found {wrong[0]!r}")
    check_elements(np.array(list(value.values()), str))
    return {str(key): symbol for key, symbol in value.items()}


def parse_element_map(text: str) -> str | dict[str, str]:
    """Return the elements in a text such as O or 1=O,2=H.

    Raises ValueError if a part has no symbol, or a key has two.
    """
    if "=" not in text:
        return text.strip()
    pairs = [part.split("=", 1) for part in text.split(",")]
    table = {key.strip(): symbol.strip() for key, symbol in pairs}
    if len(table) < len(pairs):
        raise ValueError("a key has two symbols")
    return table


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


# In the columns of a dump, in the order in which a missing key is asked for.
_KEYS = ("element", "typelabel", "type")
_CARBON = 12.011
_MASS_RANGE = 0.1


def column_symbol(value: str) -> str | None:
    """Return the element that a value of a column `element` states, None if it is not clear.

    AU is Au, because there is no element A; CO may be cobalt or a group of two elements, D is no
    symbol: these are asked for.
    """
    if value in atomic_numbers:
        return value
    clear = len(value) == 2 and value.isupper() and value[0] not in atomic_numbers
    return value.capitalize() if clear and value.capitalize() in atomic_numbers else None


def dump_elements(
    columns: Mapping[str, npt.NDArray[np.str_]],
    elements: ElementMap,
    mass: npt.NDArray[np.float64] | None,
    n_atoms: int,
    kept: IntArray | None = None,
) -> npt.NDArray[np.str_]:
    """Return the element of each atom of a LAMMPS dump, "" where it is not known.

    Parameters
    ----------
    columns
        Any of type, typelabel and element, one text for each atom. An element column that holds C
        for every atom, of a mass that is not that of carbon, states nothing: LAMMPS writes it where
        it was not given elements.
    elements
        One symbol for all atoms, or a symbol for each value of any of these columns.
    mass
        Mass of each atom, where the dump has it.
    n_atoms
        Number of atoms.
    kept
        Atoms whose element must be known; none by default.

    Raises
    ------
    InputError
        If the element of a kept atom is neither stated nor given, or one is both and they differ.
    """
    labels = {
        name: np.unique(columns[name], return_inverse=True) for name in _KEYS & columns.keys()
    }
    stated = [str(value) for value in labels["element"][0]] if "element" in labels else []
    carbon = mass is not None and bool((np.abs(mass - _CARBON) < _MASS_RANGE).all())
    default = stated == ["C"] and not carbon
    symbols = {value: None if default else column_symbol(value) for value in stated}
    names = [name for name in _KEYS if name in labels]
    codes = np.zeros(n_atoms, np.int64)
    for name in names:
        values, inverse = labels[name]
        codes = codes * len(values) + inverse
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    asked_for = set() if kept is None else set(inverse[kept].tolist())
    result, missing = [], []
    for kind, atom in enumerate(first):
        row = {name: str(columns[name][atom]) for name in names}
        symbol = _symbol_of(row, elements, symbols.get(row.get("element", "")))
        asked = [name for name in names if not (default and name == "element")]
        if symbol is None and kind in asked_for:
            missing.append(row[asked[0]] if asked else "")
        result.append(symbol or "")
    if missing:
        raise InputError(_question(sorted(set(missing)), asked[0] if asked else "", default))
    return np.array(result, np.str_)[inverse]


def _symbol_of(row: Mapping[str, str], elements: ElementMap, stated: str | None) -> str | None:
    """Return the element of the atoms with the same values in all columns, None if unknown."""
    if isinstance(elements, str):
        chosen = {"elements": elements}
    else:
        table = {str(key): symbol for key, symbol in (elements or {}).items()}
        chosen = {f"{name} {key}": table[key] for name, key in row.items() if key in table}
    if len(set(chosen.values())) > 1:
        listed = ", ".join(f"{symbol} for {key}" for key, symbol in chosen.items())
        raise InputError(f"elements: expected one element for each atom, found {listed}")
    symbol = next(iter(chosen.values()), None)
    if symbol is not None and stated not in (None, "X", symbol):
        raise InputError(
            f"elements: the column element of the dump states {stated}, elements (--elements) "
            f"gives {symbol} for the same atoms; leave elements out, or name only the values that "
            "are no elements"
        )
    return stated if symbol is None else symbol


def _question(missing: list[str], name: str, default: bool) -> str:
    shown = ", ".join(repr(key) for key in missing[:10])
    pairs = ",".join(f"{key}=SYMBOL" for key in missing[:3])
    reason = "the source does not say which element each atom is"
    example = pairs if name else "O"
    if default:
        reason = (
            "the column element holds C for every atom, which LAMMPS also writes where it was not "
            "given the elements (dump_modify element)"
        )
        example = f"{pairs} (or C for all)" if name else "C"
    what = {"type": "atom type", "typelabel": "type label", "element": "value of element"}
    return (
        f"elements: {reason}; expected one for each {what.get(name, 'atom')}, found none for "
        f"{shown if name else 'any atom'}; give elements= (--elements), for example --elements "
        f"{example} (X for a massless site)"
    )
