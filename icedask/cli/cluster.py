"""Commands that start, try and steer clusters of jobs."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import click
import pandas as pd

import icedask
from icedask.cli.common import as_settings, echo_table, settings_option

# Characters of a reason in a table.
_REASON = 60


@click.group()
def cluster() -> None:
    """Workers as jobs of a batch system: try a profile, start and steer a cluster."""


@cluster.command()
@click.argument("profile")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    help="Where stores are to lie; the present folder by default.",
)
@click.option(
    "--wait", type=float, default=600, show_default=True, help="Longest time in the queue. [s]"
)
@settings_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def check(profile: str, folder: Path, wait: float, settings: Any, as_json: bool) -> None:
    """Try PROFILE: submit one job, look at what it sees, and end it."""
    from icedask.hpc.check import check_cluster

    # What happens to the job is in the findings.
    logging.getLogger("icedask").setLevel(logging.CRITICAL)
    findings = []
    for finding in check_cluster(profile, folder, wait=wait, **as_settings(settings)):
        findings.append(finding)
        if not as_json:
            mark = "good" if finding.good else "BAD "
            click.echo(f"{mark}  {finding.what:12s} {finding.words}")
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings]))
    bad = [finding.what for finding in findings if not finding.good]
    if bad:
        raise icedask.ComputeError(f"profile {profile}: not good: {', '.join(bad)}")


@cluster.command()
@click.argument("profile")
@click.option("--name", required=True, help="The cluster is then found by --profile NAME.")
@click.option(
    "--jobs",
    help="A number from 1, or the fewest and the most, 0:8; the profile's by default (0:4).",
)
@settings_option
def start(profile: str, name: str, jobs: str | None, settings: Any) -> None:
    """Start a cluster that goes on when this command has ended."""
    with icedask.connect(profile, name=name, jobs=jobs, **as_settings(settings)) as client:
        file = client.jobs.folder / "scheduler.json"
        click.echo(f'{name}: use --profile {name}, ice.connect("{name}"), or {file}')


@cluster.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def list_clusters(as_json: bool) -> None:
    """List the clusters that run."""
    from icedask.hpc.cluster import clusters

    echo_table(clusters(), as_json, "no cluster runs")


@cluster.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def status(name: str, as_json: bool) -> None:
    """Show the jobs of the cluster NAME."""
    with _attached(name) as client:
        table = client.jobs.status()
        where = client.jobs.tunnel()
    echo_table(table, as_json, "no jobs")
    if where and not as_json:
        click.echo(f"\ndashboard: {where}, then http://localhost:8787")


@cluster.command()
@click.argument("name")
@click.argument("jobs")
def scale(name: str, jobs: str) -> None:
    """Ask the cluster NAME for JOBS: a number from 1, or the fewest and the most, 0:8."""
    with _attached(name) as client:
        client.jobs.scale(jobs)


@cluster.command()
@click.argument("name")
def stop(name: str) -> None:
    """End the cluster NAME and its jobs."""
    from icedask.hpc.cluster import stop as stop_cluster

    stop_cluster(name)
    click.echo(f"{name}: ended")


def _attached(name: str) -> Any:
    from icedask.hpc.cluster import attach_by_name

    return attach_by_name(name)


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--profile", required=True, help="slurm, pbs, sge, lsf, or a profile of your own.")
@click.option(
    "--resubmissions",
    type=int,
    default=20,
    show_default=True,
    help="How often COMMAND is submitted again, to go on, where its walltime ends.",
)
@settings_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def submit(profile: str, resubmissions: int, settings: Any, command: tuple[str, ...]) -> None:
    """Run COMMAND inside the batch system: icedask submit --profile slurm -- describe ...

    The scheduler and the client are a job of their own, and the workers are further jobs, unless
    COMMAND has --profile local: then they are processes of that job. Prints the job's id;
    icedask jobs says what became of it.
    """
    from icedask.hpc.submit import submit as submit_command

    settings = as_settings(settings)
    click.echo(submit_command(command, profile, resubmissions=resubmissions, **settings))
    click.echo("icedask jobs says what becomes of it", err=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def jobs(as_json: bool) -> None:
    """List the submitted commands and what became of them."""
    from icedask.hpc.submit import jobs as submitted

    table: pd.DataFrame = submitted()
    if not as_json:
        # Whole in the log, and with --json.
        table["reason"] = table["reason"].str.replace("\n", " ").str.slice(0, _REASON)
    echo_table(table, as_json, "no command was submitted")
