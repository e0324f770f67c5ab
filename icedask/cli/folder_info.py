"""What a folder of stores has: members with sizes and labels, and the runs that they share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from icedask.cli.common import echo, text_table
from icedask.cli.folders import listed
from icedask.core.provenance import canonical
from icedask.core.text import printable
from icedask.errors import DamagedError, StoreError
from icedask.store.members import OF_ALL, stores_of
from icedask.store.runs import iter_runs, run_table, trajectory_summary


def show_folder(folder: Path, *, as_json: bool) -> None:
    """Print the members of a folder, what failed, and the runs of members."""
    stores = stores_of(folder)
    shared = stores.pop(OF_ALL, None)
    members, failed = {}, {}
    for name, store in stores.items():
        summary: dict[str, Any] = {"store": str(store), "status": "complete"}
        try:
            summary |= trajectory_summary(store)
            summary["runs"] = _runs(store)
        except StoreError as error:
            damaged = isinstance(error, DamagedError)
            summary["status"] = "damaged" if damaged else "left out"
            failed[name] = str(error)
        members[name] = summary
    runs = _shared_runs({name: each.get("runs", []) for name, each in members.items()})
    of_all = [] if shared is None else run_table(shared)
    if as_json:
        content = {"folder": str(folder), "members": members, "failed": failed, "runs": runs}
        click.echo(json.dumps({**content, OF_ALL: of_all}))
        return
    echo(f"{folder}: {len(members)} members\n")
    click.echo(_member_table(members))
    for name, text in failed.items():
        echo(f"\n{printable(name)}: {printable(text)}")
    click.echo(f"\n{len(runs)} runs of members")
    if runs:
        click.echo(text_table([_run_row(run, len(members)) for run in runs], _RUN_COLUMNS))
    if of_all:
        columns = ["run_id", "group", "label", "status", "created", "bytes"]
        echo(f"\n{len(of_all)} runs of all members together, in {shared}")
        click.echo(text_table(of_all, columns))


_RUN_COLUMNS = ["label", "function", "members", "status", "options", "without"]


def _runs(store: Path) -> list[dict[str, Any]]:
    """Return the runs of a store with their options; of damaged ones these are not known."""
    parameters = {attrs["run_id"]: attrs["parameters"] for _, attrs in iter_runs(store)}
    return [{**row, "parameters": parameters.get(row["run_id"], {})} for row in run_table(store)]


def _shared_runs(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the runs of members, joined by label, or by function and options without one."""
    together: dict[str, dict[str, Any]] = {}
    for name, rows in runs.items():
        for row in rows:
            label = row["label"]
            key = canonical([label or "", row["name"], {} if label else row["parameters"]])
            first = {"label": label, "function": row["name"], "parameters": row["parameters"]}
            shared = together.setdefault(key, {**first, "run_ids": {}, "status": {}, "bytes": 0})
            shared["run_ids"][name] = row["run_id"]
            shared["status"][name] = row["status"]
            shared["bytes"] += row["bytes"]
    for shared in together.values():
        shared["without"] = [name for name in runs if name not in shared["run_ids"]]
    return sorted(together.values(), key=lambda run: (run["label"] is None, -len(run["run_ids"])))


def _run_row(run: Mapping[str, Any], n_members: int) -> dict[str, Any]:
    states = list(run["status"].values())
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    options = [f"{key}={value}" for key, value in run["parameters"].items() if value is not None]
    return {
        "label": run["label"],
        "function": run["function"],
        "members": f"{len(states)} of {n_members}",
        "status": states[0]
        if len(counts) == 1
        else ", ".join(f"{number} {state}" for state, number in counts.items()),
        "options": ", ".join(options) or None,
        "without": listed(run["without"]) or None,
    }


def _member_table(members: Mapping[str, Mapping[str, Any]]) -> str:
    labels = dict.fromkeys(label for each in members.values() for label in each.get("labels", {}))
    columns = ["member", "frames", "atoms", "elements", "time_ps", "status", "runs", *labels]
    rows = []
    for name, each in members.items():
        row: dict[str, Any] = dict.fromkeys(columns)
        row |= {"member": name, "status": each["status"]}
        if each["status"] == "complete":
            time = each["time_ps"]
            row |= {
                "frames": each["frames"],
                "atoms": each["atoms"],
                "elements": " ".join(f"{key}{number}" for key, number in each["elements"].items()),
                "time_ps": None if time is None else f"{time[0]:g} to {time[1]:g}",
                "runs": len(each["runs"]),
                **{label: each.get("labels", {}).get(label) for label in labels},
            }
        rows.append(row)
    return text_table(rows, columns)
