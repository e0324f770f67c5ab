"""Text of messages: made safe for a terminal, and similar names."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches

# Control, format (which turns the direction of text), surrogate, private, unassigned; separators
# of lines and paragraphs.
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def printable(text: object, *, lines: bool = False) -> str:
    r"""Return text with escapes, such as \x1b, for what a terminal obeys or does not show.

    With `lines`, line ends and tabs stay.
    """
    kept = "\n\t" if lines else ""
    return "".join(
        character if character in kept or is_printable(character) else _escape(character)
        for character in str(text)
    )


def is_printable(text: str) -> bool:
    """Return whether text has no characters that a terminal obeys or does not show."""
    return (text.isascii() and text.isprintable()) or all(
        unicodedata.category(character) not in _HIDDEN for character in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def did_you_mean(name: str, names: Sequence[str]) -> str:
    """Return a question with similar names, or nothing."""
    similar = get_close_matches(name, names, n=3)
    return f"; did you mean {' or '.join(similar)}?" if similar else ""
