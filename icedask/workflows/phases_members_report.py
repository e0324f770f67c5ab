"""Tables and figures of the phases of a collection."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd

from icedask import plot
from icedask.core.collection import Collection
from icedask.core.variables import ATOM, FRAME
from icedask.plot.report import Drawings, Section
from icedask.workflows.each_member import EachMember, left_out, mean_shares, member_columns
from icedask.workflows.phases import PhaseAnalysis

# Rows of a figure of counts that can be read.
_MOST_ROWS = 30


def sections(
    result: EachMember[PhaseAnalysis], collection: Collection, *, draw: bool
) -> list[Section]:
    """Return the table of the members, and its figure if it is to be drawn."""
    first = next(iter(result.results.values()))
    names = first.after.classifier.classes_
    shares, counts, thresholds = {}, {}, {}
    for name, each in result.results.items():
        shares[name] = mean_shares(each.populations, len(names))
        sizes = each.after.labels.sizes
        counts[name] = np.rint(shares[name] * sizes[FRAME] * sizes[ATOM]).astype(np.int64)
        thresholds[name] = each.after.threshold
    table = member_columns(collection, result.results)
    table["threshold"] = pd.Series(thresholds)
    table = table.join(pd.DataFrame.from_dict(shares, orient="index", columns=list(names)))
    figures = Drawings(draw)
    figures.add(
        "Phases by member: share and number of the atoms of each member (rows) in each class.",
        plot.confusion,
        pd.DataFrame.from_dict(counts, orient="index", columns=list(names))
        .rename_axis("member")
        .rename_axis(columns="class"),
        when=len(counts) <= _MOST_ROWS,
    )
    text = (
        "Each atom has the phase of the nearest ideal crystal after denoising. References, "
        "denoiser and classifier are the same for all members; nothing is learnt from a trajectory "
        "but the threshold, the minimum of the histogram of its own scores: each has its own."
    )
    tables = {
        "Members: shares of the atoms in each class, means over the frames": table.rename_axis(
            "member"
        ),
        **left_out(result.failed),
    }
    settings = {**asdict(result.settings), "store": str(result.store)}
    return [
        Section("Phases of members", text, figures, tables),
        Section("Settings", parameters=settings),
    ]
