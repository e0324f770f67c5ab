"""The program: its commands, and its exit status after an error."""

from __future__ import annotations

import importlib
import logging
import sys

import click
import dask

from icedask.errors import IcedaskError

# Module of each command, imported when the command is used: none waits for what others import.
_MODULES = {
    "ingest": "stores",
    "info": "stores",
    "remove": "stores",
    "describe": "describe",
    "plan": "plan",
    "export": "export",
    "run": "run",
    "simulate": "simulate",
    "demo": "run",
    "cluster": "cluster",
    "submit": "cluster",
    "jobs": "cluster",
    "watch": "stores",
}


class Program(click.Group):
    """The commands by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None if there is none of this name."""
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(f"icedask.cli.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="icedask", prog_name="icedask")
def cli() -> None:
    """Analyse molecular-dynamics trajectories of any size, in parallel."""


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit status 1 or 2."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("icedask").setLevel(logging.INFO)
    # Its warnings about optional readers come at every start.
    logging.getLogger("MDAnalysis").setLevel(logging.ERROR)
    # Read by distributed when it is first imported, here and in the workers. Commands report a lost
    # connection themselves.
    levels = {"distributed": "error", "distributed.client": "critical"}
    dask.config.set({"logging": levels})
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("icedask: interrupted; the same command continues the work", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (IcedaskError, OSError) as error:
        click.echo(f"icedask: {error}", err=True)
        sys.exit(1)
