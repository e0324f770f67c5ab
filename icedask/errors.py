"""The exceptions that a caller may want to catch."""

from __future__ import annotations

from collections.abc import Mapping


class IcedaskError(Exception):
    """Base of every error that icedask raises on purpose.

    Attributes
    ----------
    failed
        Messages of the members of a collection by name, where all failed.
    """

    failed: Mapping[str, str] = {}


class InputError(IcedaskError, ValueError):
    """An argument, a Dataset or a source file is not what was expected."""


class StoreError(IcedaskError):
    """A store cannot be used as asked: it exists, is locked, incomplete, full or foreign."""


class DamagedError(StoreError):
    """Part of a store is missing, damaged or was changed.

    Attributes
    ----------
    file
        Path of the file.
    finding
        What is wrong with it; the message has the remedy too.
    """

    file: str = ""
    finding: str = ""


class NotFoundError(StoreError, InputError):
    """There is no store, trajectory or run of the name that was given."""


class ComputeError(IcedaskError):
    """Workers died again and again; finished tasks are kept."""
