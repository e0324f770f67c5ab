"""The program: its commands, and its exit status after an error."""

from __future__ import annotations

import logging
import sys

import click
import dask

from icedask.cli.cluster import cluster, jobs, submit
from icedask.cli.describe import describe
from icedask.cli.plan import plan
from icedask.cli.run import demo, run
from icedask.cli.simulate import simulate
from icedask.cli.stores import info, ingest, remove, watch
from icedask.errors import IcedaskError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="icedask", prog_name="icedask")
def cli() -> None:
    """Analyse molecular-dynamics trajectories of any size, in parallel."""


for _command in (
    ingest,
    info,
    remove,
    describe,
    plan,
    run,
    simulate,
    demo,
    cluster,
    submit,
    jobs,
    watch,
):
    cli.add_command(_command)


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
