"""Messages of functions in the words of commands: options in place of Python's arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping

# `frames=slice(8) (--frames :8)`: what follows in Python, and on a command line.
_BOTH = re.compile(r"\b\w+=(?:[^\s()]*(?:\([^()]*\))?)? \((--[a-z][^()]*)\)")
# `frame_interval (--frame-interval)`.
_SAME = re.compile(r"\b(\w+) \((--[a-z-]+)\)")
_EITHER = re.compile(r"\b\w+=\{[^{}]*\} or (?=--[a-z])")
_SLICE = re.compile(r"\bslice\((\w+)(?:, (\w+)(?:, (\w+))?)?\)")


def in_options(message: str, flags: Mapping[str, str]) -> str:
    """Return a message that names the options of a command, by the names of its parameters.

    Only where a name is that of a parameter beyond doubt: before a colon at the beginning, before
    an equals sign, or with an underscore.
    """
    message = _EITHER.sub("", _BOTH.sub(r"\1", message))
    message = _SAME.sub(_option_once, message)
    message = _SLICE.sub(_as_range, message)
    for name, flag in flags.items():
        message = re.sub(rf"^((?:[\w-]+: )?){name}(?=: )", rf"\1{flag}", message)
        message = re.sub(rf"(?<![\w.-]){name}=(?=[^\s=])", f"{flag} ", message)
        message = re.sub(rf"(?<![\w.-]){name}=(?!=)", flag, message)
        if "_" in name:
            message = re.sub(rf"(?<![\w.-]){name}(?![\w.(])", flag, message)
    return message


def _option_once(match: re.Match[str]) -> str:
    name, flag = match.groups()
    return flag if flag == f"--{name.replace('_', '-')}" else match[0]


def _as_range(match: re.Match[str]) -> str:
    """Return start:stop:step of a slice."""
    parts = [part for part in match.groups() if part is not None]
    start, stop, step = [*([None, *parts] if len(parts) == 1 else parts), None, None][:3]
    shown = ["" if part in (None, "None") else part for part in (start, stop, step)]
    return ":".join(shown if shown[2] else shown[:2])
