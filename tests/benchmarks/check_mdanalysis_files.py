"""Files of MDAnalysis' test suite through `icedask.ingest`: outcomes, and reasons of refusals.

    python tests/benchmarks/check_mdanalysis_files.py

Every file of trajectories and structures in MDAnalysisTests is ingested with the options that a
user would give; where it is refused, the table has the sentence of the error. Writes
`results/mdanalysis_files.md`. A minute of one core.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import MDAnalysis
import numpy as np

import icedask as ice

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.mdanalysis_files import CASES, Case, ingest_case

RESULTS = Path(__file__).parent / "results" / "mdanalysis_files.md"


def row(case: Case) -> tuple[str, bool]:
    """Return a line of the table, and whether the outcome is the one expected."""
    options = {**case.options}
    if case.topology_path is not None:
        options["topology"] = case.topology_path.name
    listed = ", ".join(f"{name} {value}" for name, value in options.items())
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            trj = ingest_case(case, Path(folder))
        except ice.InputError as error:
            text = str(error).replace(f"{folder}/", "").replace("|", "/")
            missing = bool(case.package) and importlib.util.find_spec(case.package) is None
            return f"| {case.path.name} | {listed} | refused: {text} |", bool(
                case.refused or missing
            )
        time = trj["time"].values
        times = "no times" if np.isnan(time).any() else f"{time[0]:g} to {time[-1]:g} ps"
        cell = "cell" if trj["cell"].values.any() else "no cell"
        outcome = f"{trj.sizes['frame']} frames of {trj.sizes['atom']} atoms, {times}, {cell}"
    return f"| {case.path.name} | {listed} | {outcome} |", not case.refused


def main() -> None:
    """Ingest every file, and write the table."""
    logging.disable(logging.CRITICAL)
    rows = []
    for case in CASES:
        line, expected = row(case)
        rows.append(line)
        print(line if expected else f"UNEXPECTED {line}", flush=True)
    read = sum("refused: " not in line for line in rows)
    RESULTS.write_text(
        "# Files of MDAnalysis' test suite\n\n"
        f"MDAnalysisTests {MDAnalysis.__version__}, `tests/benchmarks/check_mdanalysis_files.py`: "
        f"{read} of {len(rows)} are read, the others are refused with the sentence in the table. "
        "Elements are given where a file does not state them. Positions, cells and times of the "
        "small ones are compared with MDAnalysis in `tests/readers/test_mdanalysis_files.py`.\n\n"
        "| file | options | outcome |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    main()
