"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every computing command has."""
    function = click.option(
        "--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."
    )(function)
    return click.option(
        "--profile",
        default="local",
        show_default=True,
        help="local, the address of a Dask scheduler, or a scheduler file.",
    )(function)
