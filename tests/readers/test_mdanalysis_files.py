"""Public files of MDAnalysis' test suite: read as MDAnalysis reads them, or refused."""

from __future__ import annotations

import importlib.util
import shutil
import warnings
from pathlib import Path

import MDAnalysis
import numpy as np
import pytest
from helpers.mdanalysis_files import CASES, Case, ingest_case

import icedask as ice

# The others are in tests/benchmarks/check_mdanalysis_files.py.
_SMALL = 150_000
SMALL = [
    case
    for case in CASES
    if case.path.stat().st_size < _SMALL
    and (case.topology_path is None or case.topology_path.stat().st_size < 6 * _SMALL)
]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.name}-{case.topology or ''}")
def test_file(tmp_path: Path, case: Case) -> None:
    if case.package and importlib.util.find_spec(case.package) is None:
        with pytest.raises(ice.InputError, match="pip install"):
            ingest_case(case, tmp_path)
        return
    if case.refused:
        with pytest.raises(ice.InputError, match=case.refused):
            ingest_case(case, tmp_path)
        return
    trj = ingest_case(case, tmp_path)
    if case.compared:
        _check(trj, case, tmp_path)


def _check(trj, case: Case, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe(
            *(map(str, filter(None, (case.topology_path, case.path)))), **case.universe
        )
        assert len(universe.trajectory) == trj.sizes["frame"] or case.more_frames
        for number, ts in enumerate(universe.trajectory):
            positions, expected = trj["positions"].values[number], ts.positions
            if case.relative:  # MDAnalysis moves the origin of some boxes
                positions, expected = positions - positions[:1], expected - expected[:1]
            np.testing.assert_allclose(positions, expected, rtol=1e-5, atol=2e-4)
            cell = np.zeros((3, 3)) if ts.dimensions is None else ts.triclinic_dimensions
            np.testing.assert_allclose(trj["cell"][number], cell, rtol=1e-5, atol=2e-4)
            if not np.isnan(trj["time"][number]) and case.timed:
                np.testing.assert_allclose(trj["time"][number], ts.time, rtol=1e-5, atol=1e-6)
    shutil.rmtree(tmp_path)
