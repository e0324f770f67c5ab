"""Arrays that this process wrote or read, by their content.

Members of a collection have the same metadata, elements and times, and zarr takes milliseconds for
each small array.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

# Bytes of a file whose content is kept, and number of these.
SMALL_BYTES = 2**16
_MOST = 128


class Known(Generic[T]):
    """Values by key, the newest ones."""

    def __init__(self) -> None:
        self._values: dict[str, T] = {}

    def get(self, key: str) -> T | None:
        """Return a value, or None if it is not kept."""
        return self._values.get(key)

    def keep(self, key: str, value: T) -> None:
        """Keep a value in place of the oldest one."""
        self._values[key] = value
        if len(self._values) > _MOST:
            # Another thread may have dropped it.
            self._values.pop(next(iter(self._values)), None)
