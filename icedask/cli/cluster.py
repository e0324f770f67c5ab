"""Commands for clusters of jobs: check, start, list, status, scale, stop, submit, jobs."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import click
import pandas as pd
from click.core import ParameterSource

from icedask.cli.common import as_settings, echo_table, settings_option
from icedask.errors import ComputeError, InputError
from icedask.hpc.client import connect
from icedask.hpc.folders import running, running_cluster, submitted
from icedask.hpc.systems import SYSTEMS

# Commands whose argument is a store that they make.
_WRITE_STORES = ("ingest",)


@click.group()
def cluster() -> None:
    """Clusters whose workers are jobs of a batch system."""


@cluster.command()
@click.argument("profile")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    help="Folder of stores, which workers must see; the current folder by default.",
)
@click.option(
    "--wait", type=float, default=600, show_default=True, help="Longest time in the queue. [s]"
)
@settings_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def check(profile: str, folder: Path, wait: float, settings: Any, as_json: bool) -> None:
    """Test PROFILE: submit one job, inspect its worker, and cancel it."""
    from icedask.hpc.check import check_cluster

    logger, findings = logging.getLogger("icedask"), []
    level = logger.level
    # The findings report on the job.
    logger.setLevel(logging.CRITICAL)
    try:
        for finding in check_cluster(profile, folder, wait=wait, **as_settings(settings)):
            findings.append(finding)
            if not as_json:
                mark = "good" if finding.good else "BAD "
                click.echo(f"{mark}  {finding.name:12s} {finding.details}")
    finally:
        logger.setLevel(level)
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings]))
    bad = [finding.name for finding in findings if not finding.good]
    if bad:
        raise ComputeError(f"profile {profile}: not good: {', '.join(bad)}")


@cluster.command()
@click.argument("profile")
@click.option("--name", required=True, help="Name of the cluster, for --profile NAME.")
@click.option(
    "--jobs",
    help="Number of jobs, or the fewest and the most, 0:8; the profile's by default (0:4).",
)
@settings_option
def start(profile: str, name: str, jobs: str | None, settings: Any) -> None:
    """Start a cluster that outlives this command."""
    with connect(profile, name=name, jobs=jobs, **as_settings(settings)) as client:
        file = client.jobs.folder / "scheduler.json"
        click.echo(f'{name}: use --profile {name}, ice.connect("{name}"), or {file}')


@cluster.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def list_clusters(as_json: bool) -> None:
    """List running clusters."""
    if not running():
        # Without the imports for a table.
        click.echo("[]" if as_json else "no cluster runs")
        return
    from icedask.hpc.cluster import clusters

    echo_table(clusters(), as_json, "no cluster runs")


@cluster.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def status(name: str, as_json: bool) -> None:
    """Show the jobs of the cluster NAME."""
    with _attached(name) as client:
        table = client.jobs.status()
        where, link = client.jobs.tunnel(), client.jobs.tunnel_link()
    echo_table(table, as_json, "no jobs")
    if where and not as_json:
        click.echo(f"\ndashboard: {where}, then {link}")


@cluster.command()
@click.argument("name")
@click.argument("jobs")
def scale(name: str, jobs: str) -> None:
    """Set the JOBS of cluster NAME: a number from 1, or the fewest and the most, 0:8."""
    with _attached(name) as client:
        client.jobs.scale(jobs)


@cluster.command()
@click.argument("name")
def stop(name: str) -> None:
    """End the cluster NAME and its jobs."""
    running_cluster(name)
    from icedask.hpc.cluster import stop as stop_cluster

    stop_cluster(name)
    click.echo(f"{name}: ended")


def _attached(name: str) -> Any:
    # Before imports that take a second.
    running_cluster(name)
    from icedask.hpc.cluster import attach_by_name

    return attach_by_name(name)


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--profile",
    required=True,
    help=f"Profile of the job: {', '.join(SYSTEMS)}, or a profile of your own.",
)
@click.option(
    "--resubmissions",
    type=int,
    default=20,
    show_default=True,
    help="Number of further jobs in which COMMAND may continue where its walltime ends.",
)
@settings_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def submit(
    context: click.Context,
    profile: str,
    resubmissions: int,
    settings: Any,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND inside the batch system: icedask submit --profile slurm -- describe ...

    The scheduler and the client are a job of their own, and the workers are further jobs, unless
    COMMAND has --profile local: then they are processes of that job. Prints the job's id;
    icedask jobs shows its state.
    """
    from icedask.hpc.submit import submit as submit_command

    inner = _parsed(context.find_root(), command)
    _check_store(inner)
    workers = inner.params.get("profile")
    if workers and inner.get_parameter_source("profile") is ParameterSource.DEFAULT:
        workers, command = profile, (*command, "--profile", profile)
    settings = {"resubmissions": resubmissions, **as_settings(settings)}
    click.echo(submit_command(command, profile, local=workers == "local", **settings))
    click.echo("icedask jobs shows its state", err=True)


def _check_store(context: click.Context | None) -> None:
    """Refuse a command whose store does not exist, unless the command makes it."""
    while context is not None:
        store = context.params.get("store")
        writes = context.command.name in _WRITE_STORES
        if isinstance(store, Path) and not writes and not store.exists():
            raise InputError(
                f"submit: expected a store, found none at {store}; the job starts in this folder, "
                f"{Path.cwd()}"
            )
        context = context.parent


def _parsed(root: click.Context, words: tuple[str, ...]) -> click.Context:
    """Parse the words of a submitted command, and return the context of the innermost command."""
    name, program = words[0], root.command
    assert isinstance(program, click.Group)
    if name not in program.list_commands(root) or name in ("submit", "cluster"):
        raise InputError(
            f"submit: expected a command of icedask such as describe or simulate, found {name!r}"
        )
    command: click.Command | None = program
    rest = list(words)
    parent: click.Context | None = None
    try:
        while True:
            assert command is not None
            parent = command.make_context(command.name or "", rest, parent=parent)
            if not isinstance(command, click.Group):
                return parent
            rest = [*vars(parent).get("_protected_args", ()), *parent.args]
            _, command, rest = command.resolve_command(parent, rest)
    except click.exceptions.ClickException as error:
        raise InputError(f"submit: {error.format_message()}") from error
    except click.exceptions.Exit as error:
        raise InputError("submit: expected a command that computes, found --help") from error


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def jobs(as_json: bool) -> None:
    """List the submitted commands and their states."""
    if not submitted():
        click.echo("[]" if as_json else "no command was submitted")
        return
    from icedask.hpc.submit import jobs as submitted_jobs

    table: pd.DataFrame = submitted_jobs()
    if not as_json:
        # Below the table, where they have room.
        reasons = table.pop("reason")
    echo_table(table, as_json, "no command was submitted")
    if not as_json:
        for job, reason in reasons[reasons != ""].items():
            click.echo(f"\n{job}: " + reason.replace("\n", "\n  "))
