"""Text from files, made safe for a terminal."""

from __future__ import annotations

import unicodedata

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
