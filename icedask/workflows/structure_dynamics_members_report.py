"""Tables of the structure and dynamics of the members of a collection."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd

from icedask.core.collection import Collection
from icedask.plot.report import Section
from icedask.workflows.each_member import EachMember, left_out, member_columns
from icedask.workflows.structure_dynamics import StructureDynamics


def sections(
    result: EachMember[StructureDynamics], collection: Collection, *, draw: bool
) -> list[Section]:
    """Return the tables of the members and of their states."""
    table = member_columns(collection, result.results)
    states = []
    for name, each in result.results.items():
        for analysis in (each.soap, each.lens, each.joint):
            table.loc[name, f"states of {analysis.title}"] = len(analysis.table)
            rows = analysis.table.reset_index()
            rows.insert(0, "description", analysis.title)
            rows.insert(0, "member", name)
            states.append(rows)
    counted = [column for column in table.columns if column.startswith("states of ")]
    table[counted] = table[counted].astype(np.int64)
    text = (
        "Each member is analysed by itself: its clusters are fitted to its own atoms, so a number "
        "of a state means something else in another member. Figures of a member are those of "
        "icedask run structure-dynamics for its store."
    )
    tables = {
        "Members: number of states by each description": table,
        "States of each member": pd.concat(states, ignore_index=True),
        **left_out(result.failed),
    }
    settings = {**asdict(result.settings), "store": str(result.store)}
    return [
        Section("Structure and dynamics of members", text, tables=tables),
        Section("Settings", parameters=settings),
    ]
