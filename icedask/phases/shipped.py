"""Denoisers that come with the package."""

from __future__ import annotations

# The element of the crystals of each, by its name.
SHIPPED = {"ices": "O", "metals": "Cu"}
