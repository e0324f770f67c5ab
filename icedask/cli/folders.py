"""Folders of stores in commands: a command for each member, and what failed at its end."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from icedask.cli.common import echo
from icedask.core.text import printable
from icedask.errors import IcedaskError, InputError
from icedask.store.members import is_folder_of_stores

logger = logging.getLogger("icedask")

# Names of members that a sentence lists.
_LISTED = 5


@dataclass
class Outcome:
    """What a command made of each member, and the messages of members that failed."""

    folder: Path
    members: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def call(self, function: Callable[[str, Path], Any], stores: Mapping[str, Path]) -> None:
        """Call a function of name and store of each member; raise the first error if all fail."""
        first: IcedaskError | None = None
        for name, store in stores.items():
            try:
                self.members[name] = function(name, store)
            except IcedaskError as error:
                self.failed[name] = str(error)
                first = first or error
        if not self.members and first is not None:
            raise first

    def show(self, lines: Mapping[str, str], *, as_json: bool) -> None:
        """Print a line for each member, or JSON."""
        if as_json:
            click.echo(json.dumps({"members": self.members, "failed": self.failed}))
            return
        for name, line in lines.items():
            echo(f"{name}: {line}")

    def end(self, remedy: str) -> None:
        """End the command with status 1 and a sentence on the members that failed, if any did."""
        if not self.failed:
            return
        for name, text in self.failed.items():
            click.echo(f"{printable(name)}: {printable(text)}", err=True)
        whole = len(self.members) + len(self.failed)
        click.echo(
            f"icedask: {len(self.failed)} of {whole} members failed ({listed(self.failed)}), the "
            f"others are done; {remedy}",
            err=True,
        )
        sys.exit(1)


def listed(names: Iterable[str]) -> str:
    """Return names as text, the first few of many."""
    every = [printable(name) for name in names]
    rest = len(every) - _LISTED
    return ", ".join(every[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def refuse_folder(store: Path, command: str, remedy: str) -> None:
    """Raise InputError if a path that should be one store is a folder of stores."""
    if is_folder_of_stores(store):
        raise InputError(
            f"{command}: {store}: expected one store, found a folder of them; {remedy}"
        )
