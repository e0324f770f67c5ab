"""What several commands have: options, workers, tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
import dask

from icedask.cli.startup import load_deferred
from icedask.core.text import printable
from icedask.hpc.client import check_profile, connect
from icedask.hpc.systems import SYSTEMS
from icedask.store.lock import check_wait, lock_wait
from icedask.tasks.run import workers_on_demand

if TYPE_CHECKING:
    import pandas as pd

# Read by distributed when it is first imported, here and in the workers. Commands report a lost
# connection themselves.
dask.config.set({"logging": {"distributed": "error", "distributed.client": "critical"}})


class _Seconds(click.ParamType):
    """A time in seconds, or for ever."""

    name = "seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | bool:
        if value is True or value == "ever":
            return True
        try:
            check_wait(float(value))
        except ValueError:
            self.fail(f"expected seconds, 0 or more, found {value!r}", param, ctx)
        return float(value)


def wait_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option of commands that write to a store: how long to wait for its lock."""

    @wraps(function)
    def waiting(*args: Any, wait: float | bool | None, **options: Any) -> Any:
        with lock_wait(False if wait is None else wait):
            return function(*args, **options)

    return click.option(
        "--wait",
        type=_Seconds(),
        is_flag=False,
        flag_value="ever",
        metavar="[SECONDS]",
        help="Longest time to wait while another process writes to the store; without a number, "
        "until it ends. [s]",
    )(waiting)


def echo(text: str) -> None:
    """Print text that a store may have had a part in, without control characters."""
    click.echo(printable(text, lines=True))


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


@contextmanager
def workers(profile: str, jobs: str | None, **settings: Any) -> Iterator[None]:
    """Check the profile; its workers start when a computation of the block needs them.

    With the profile local, what is one task runs in this process.
    """
    check_profile(profile, jobs)

    def start() -> Any:
        load_deferred()
        return connect(profile, jobs=jobs, **settings)

    with workers_on_demand(start, tasks_here=1 if profile == "local" else 0):
        yield


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


def text_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as text in columns, right-aligned; None is nothing."""
    cells = [list(columns)]
    cells += [
        ["" if row[name] is None else printable(row[name]) for name in columns] for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        " ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    ]
    return "\n".join(lines)
