"""Benchmark of classifiers of amorphous ices: accuracy of each family, cost, unknown classes.

    python tests/benchmarks/check_amorphous.py [FOLDER [EVERY]]

FOLDER is a folder of stores with the label `phase`, of which every so many frames count; without
one the shipped trajectories are written into a temporary folder. Writes results/amorphous.md and
its figures.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import pandas as pd

import icedask as ice
from icedask.plot.report import Section

RESULTS = Path(__file__).parent / "results"


def markdown(table: pd.DataFrame) -> str:
    """A table with its index, numbers of four digits."""
    units = table.attrs.get("units", {})
    names = [f"{name}, {units[name]}" if units.get(name) else str(name) for name in table]
    head = [str(table.index.name or ""), *names]
    rows = [
        [
            str(index),
            *("" if pd.isna(v) else f"{v:.4g}" if isinstance(v, float) else str(v) for v in row),
        ]
        for index, row in zip(table.index, table.itertuples(index=False), strict=True)
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(sections: list[Section], source: str) -> str:
    """The results page, with its figures saved beside it."""
    parts = [
        "# Amorphous ices: what the classifiers reach",
        f"Written by `tests/benchmarks/check_amorphous.py` from {source}; `icedask run amorphous` "
        "with its defaults. Published: document 004, other trajectories.",
    ]
    for section in sections:
        if section.parameters:
            continue
        parts += [f"## {section.title}", section.text]
        for caption, table in section.tables.items():
            parts += [f"{caption}:", markdown(table)]
        for caption, figure in section.figures.items():
            name = f"amorphous_{caption.partition(':')[0].lower()}.png"
            figure.savefig(RESULTS / name, dpi=120)
            parts.append(f"![{caption}]({name})")
    return "\n\n".join(part for part in parts if part) + "\n"


def main(folder: Path, source: str, every: int = 1) -> None:
    """Run the workflow and write the page."""
    members = ice.open_collection(folder)
    members = members.map(lambda trj: trj.isel(frame=slice(None, None, every)))
    result = ice.workflows.amorphous(members)
    sections = ice.workflows.amorphous.workflow.sections(result, members, draw=True)
    (RESULTS / "amorphous.md").write_text(page(sections, source))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if len(sys.argv) > 1:
        every = int(sys.argv[2]) if len(sys.argv) > 2 else 1
        n = len(ice.open_collection(sys.argv[1]))
        main(Path(sys.argv[1]), f"{n} trajectories, every {every}th frame", every)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            ice.amorphous_ices(temporary)
            main(Path(temporary), "the shipped trajectories")
