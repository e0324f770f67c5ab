"""The program: its commands, and its exit status after an error."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import NamedTuple

import click

from icedask.cli.startup import defer_imports
from icedask.core.text import did_you_mean, printable
from icedask.errors import IcedaskError, InputError


class _Entry(NamedTuple):
    """Module of a command, imported when the command is used, and its line in the list."""

    module: str
    summary: str


_COMMANDS = {
    "ingest": _Entry("stores", "Read trajectory files into a new store."),
    "info": _Entry("stores", "Show the trajectory and the runs of a store."),
    "remove": _Entry("stores", "Delete a run from a store."),
    "verify": _Entry("stores", "Compare a store with its checksums, and repair it."),
    "describe": _Entry("describe", "Compute a descriptor and save it."),
    "plan": _Entry("plan", "Predict time, memory and disk of a computation."),
    "export": _Entry("export", "Write atoms, with stored results as columns, to a file."),
    "run": _Entry("run", "Run a published analysis of a trajectory."),
    "simulate": _Entry("simulate", "Make trajectories by molecular dynamics."),
    "demo": _Entry("run", "Run the main job on the shipped trajectory."),
    "cluster": _Entry("cluster", "Clusters whose workers are jobs of a batch system."),
    "submit": _Entry("cluster", "Run a command inside the batch system."),
    "jobs": _Entry("cluster", "List the submitted commands and their states."),
    "watch": _Entry("stores", "Show the progress of the computations of a store."),
}


class Program(click.Group):
    """The commands by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None if there is none of this name."""
        if cmd_name not in _COMMANDS:
            if hint := did_you_mean(cmd_name, list(_COMMANDS)):
                raise click.UsageError(f"no command {cmd_name!r}{hint}", ctx)
            return None
        module = importlib.import_module(f"icedask.cli.{_COMMANDS[cmd_name].module}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the commands, for which none is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in _COMMANDS.items()])


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="icedask", prog_name="icedask")
def cli() -> None:
    """Analyse molecular-dynamics trajectories of any size, in parallel."""


class Interrupted(SystemExit):
    """End of a command after Ctrl-C."""


def main() -> None:
    """Run the command line; a mistake is one line on stderr, and the exit status 1 or 2.

    Status 2: the command cannot be carried out as it was given. Status 1: it failed on the way.
    """
    defer_imports()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("icedask").setLevel(logging.INFO)
    # Its warnings about optional readers come at every start.
    logging.getLogger("MDAnalysis").setLevel(logging.ERROR)
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("icedask: interrupted; the same command continues the work", err=True)
        raise Interrupted(1) from None
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except InputError as error:
        click.echo(f"icedask: {printable(error, lines=True)}", err=True)
        sys.exit(2)
    except (IcedaskError, OSError) as error:
        click.echo(f"icedask: {printable(error, lines=True)}", err=True)
        sys.exit(1)
