"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import pandas as pd

from icedask.hpc.systems import SYSTEMS


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every computing command has."""
    function = click.option(
        "--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."
    )(function)
    function = click.option(
        "--jobs", help="Jobs of a batch system: a number, or the fewest and the most, 0:8."
    )(function)
    return click.option(
        "--profile",
        default="local",
        show_default=True,
        help=f"Place of the workers: local, {', '.join(SYSTEMS)}, a profile of your own, the name "
        "of a running cluster, the address of a Dask scheduler, or a scheduler file.",
    )(function)


def settings_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option for settings of a profile."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Setting of the profile, such as queue=short or walltime=00:30:00.",
    )(function)


def as_settings(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return settings given as KEY=VALUE by their names in Python."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"expected KEY=VALUE, found {pair!r}", param_hint="--set")
        settings[key.strip().replace("-", "_")] = value
    return settings


def echo_table(table: pd.DataFrame, as_json: bool, nothing: str) -> None:
    """Print a table as text or as JSON."""
    if as_json:
        click.echo(table.reset_index().to_json(orient="records", date_format="iso"))
    else:
        click.echo(table.reset_index().to_string(index=False) if len(table) else nothing)
