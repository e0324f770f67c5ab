"""Strict parser of the atom lines of an XYZ frame: every line has every field, of its kind."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from icedask.core.types import IntArray
from icedask.readers.xyz_comment import NUMBER

_NAN = ["nan", "NaN", "NAN", "-nan", "-NaN", "-NAN"]
_LOGICAL = {"T": True, "True": True, "F": False, "False": False}
_DTYPES = {"R": "float64", "I": "int64", "S": "category", "L": "category"}
_PATTERNS = {
    "R": re.compile(rf"{NUMBER}|[+-]?(nan|inf|infinity)", re.IGNORECASE),
    "I": re.compile(r"[+-]?\d{1,18}"),
    "L": re.compile("|".join(_LOGICAL)),
}
_KINDS = {"R": "a number", "I": "a whole number", "L": "T or F"}

_BLANK, _LINE_END = ord(" "), ord("\n")
# What a number, or nan and inf, begins with, and what a whole number is made of.
_BEGIN = np.zeros(256, bool)
_BEGIN[list(b"+-.0123456789nNiI")] = True
_WHOLE = np.zeros(256, bool)
_WHOLE[list(b"+-0123456789")] = True


def count_fields(body: bytes) -> int:
    """Return the number of fields of the first line."""
    return len(body.split(b"\n", 1)[0].split())


def parse_table(body: bytes, n_atoms: int, kinds: str) -> list[Any]:
    """Return the columns of the lines of all atoms.

    Parameters
    ----------
    body
        The lines, of which the last may have no end.
    n_atoms
        Their number.
    kinds
        Kind of each field: R real, I integer, L logical, S text, as in extended XYZ.

    Returns
    -------
    list
        Arrays of float64 (R), int64 (I) and bool (L), and pandas categories (S).

    Raises
    ------
    ValueError
        If a line has more or fewer fields, or a field is of another kind; it names the atom.
    """
    text = _single_blanks(body)
    codes = np.frombuffer(text, np.uint8)
    starts, ends = _fields(text, codes, n_atoms, len(kinds))
    for number, kind in enumerate(kinds):
        first, last = starts[:, number], ends[:, number]
        if (kind == "R" and not _BEGIN[codes[first]].all()) or (
            kind == "I" and not _all_whole(codes, first, last)
        ):
            raise ValueError(_wrong_field(text, kinds))
    reals = dict.fromkeys((i for i, kind in enumerate(kinds) if kind == "R"), _NAN)
    try:
        try:
            table = _read(text, kinds, na_filter=False)
        except ValueError:
            # NaN is rare, and looking for it takes time.
            table = _read(text, kinds, na_values=reals)
        return [_column(table[number], kind) for number, kind in enumerate(kinds)]
    except (pd.errors.ParserError, ValueError, KeyError, OverflowError) as error:
        raise ValueError(_wrong_field(text, kinds) or str(error)) from error


def _single_blanks(body: bytes) -> bytes:
    """Return the lines with one blank between fields, none around them, and a last line end."""
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n")
    if b"\t" in body:
        body = body.replace(b"\t", b" ")
    if not body.endswith(b"\n"):
        body += b"\n"
    codes = np.frombuffer(body, np.uint8)
    space = codes <= _BLANK
    if np.count_nonzero(codes < _BLANK) != body.count(b"\n"):
        code = int(codes[(codes < _BLANK) & (codes != _LINE_END)][0])
        raise ValueError(f"expected text, found the control character {code}")
    keep = np.ones(len(codes), bool)
    keep[:-1] = ~((codes[:-1] == _BLANK) & space[1:])
    text = codes[keep].tobytes()
    return text.replace(b"\n ", b"\n").removeprefix(b" ") if b"\n " in b"\n" + text else text


def _fields(
    text: bytes, codes: npt.NDArray[np.uint8], n_atoms: int, n_fields: int
) -> tuple[IntArray, IntArray]:
    """Return the offsets of the fields and of their ends, (n_atoms, n_fields)."""
    ends = np.flatnonzero(codes <= _BLANK)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if len(ends) == n_atoms * n_fields and (ends > starts).all():
        separators = codes[ends].reshape(n_atoms, n_fields)
        if (separators[:, -1] == _LINE_END).all() and (separators[:, :-1] == _BLANK).all():
            return starts.reshape(n_atoms, n_fields), ends.reshape(n_atoms, n_fields)
    for atom, line in enumerate(text.split(b"\n")[:n_atoms]):
        width = len(line.split())
        if width != n_fields:
            raise ValueError(
                f"atom {atom}: expected {n_fields} fields, found {width}: {_shown(line)}"
            )
    raise ValueError(f"expected {n_atoms} lines of atoms, found {text.count(_LINE_END)}")


def _all_whole(codes: npt.NDArray[np.uint8], first: IntArray, last: IntArray) -> bool:
    """Return whether fields are made of digits and signs."""
    widest = int((last - first).max())
    if widest > 19:
        return False
    return all(
        bool(_WHOLE[codes[np.minimum(first + place, last - 1)]].all()) for place in range(widest)
    )


def _read(text: bytes, kinds: str, **options: Any) -> pd.DataFrame:
    return pd.read_csv(
        io.BytesIO(text),
        sep=" ",
        header=None,
        names=range(len(kinds)),
        dtype={number: _DTYPES[kind] for number, kind in enumerate(kinds)},
        engine="c",
        quoting=csv.QUOTE_NONE,
        encoding="utf-8" if text.isascii() else "latin-1",
        low_memory=False,
        keep_default_na=False,
        **options,
    )


def _column(values: pd.Series, kind: str) -> Any:
    if kind == "S":
        return values.array
    if kind == "L":
        known = np.array([_LOGICAL[str(word)] for word in values.cat.categories], bool)
        return known[values.cat.codes]
    return values.to_numpy()


def _wrong_field(text: bytes, kinds: str) -> str:
    """Return a message on the first field of another kind; "" if there is none."""
    for atom, line in enumerate(text.decode("latin-1").split("\n")[:-1]):
        for number, (word, kind) in enumerate(zip(line.split(" "), kinds, strict=True), start=1):
            if kind != "S" and not _PATTERNS[kind].fullmatch(word):
                return (
                    f"atom {atom}: expected {_KINDS[kind]} in column {number}, found {word!r:.40}"
                )
    return ""


def _shown(line: bytes) -> str:
    return repr(line[:60].decode("latin-1"))
