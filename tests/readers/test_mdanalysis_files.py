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
from MDAnalysisTests import datafiles as data

import icedask as ice

# The others are in tests/benchmarks/check_mdanalysis_files.py.
_SMALL = 150_000
SMALL = [
    case
    for case in CASES
    if case.path.stat().st_size < _SMALL
    and (case.topology_path is None or case.topology_path.stat().st_size < 6 * _SMALL)
]


@pytest.mark.slow
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


def test_the_cell_before_the_first_model_of_a_pdb(tmp_path) -> None:
    atom = "ATOM      1 CU    CU A   1    %8.3f   1.000   1.000  1.00  0.00          CU\n"
    models = "".join(f"MODEL {k:8d}\n{atom % k}ENDMDL\n" for k in (1, 2))
    path = tmp_path / "a.pdb"
    title = (
        "TITLE     FRAMES\nCRYST1   10.800   11.000   12.000  90.00  90.00  90.00 P 1           1\n"
    )
    path.write_text(title + models + "END\n")
    trj = ice.ingest(path, tmp_path / "a.zarr")
    assert trj["pbc"].values.all()
    np.testing.assert_allclose(trj["cell"].values[1], np.diag([10.8, 11, 12]), atol=1e-9)
    with pytest.raises(ice.InputError, match=r"the cell of the file, 10.8, 11, 12.*leave cell"):
        ice.ingest(path, tmp_path / "b.zarr", cell=(9, 9, 9))


def test_a_netcdf_file_that_is_cut(tmp_path, capfd) -> None:
    path = tmp_path / "cut.ncdf"
    path.write_bytes(Path(data.NCDF).read_bytes()[:-300])
    with pytest.raises(ice.InputError, match=r"expected a whole NetCDF file.*write it again"):
        ice.ingest(path, tmp_path / "a.zarr", topology=data.PRMncdf)
    assert "Traceback" not in capfd.readouterr().err


def test_errors_of_topologies_are_one_line(tmp_path) -> None:
    topology = tmp_path / "a.extxyz"
    topology.write_text("1\n\nCu 0 0 0\n")
    with pytest.raises(ice.InputError, match=r"a.extxyz.*topology") as error:
        ice.ingest(data.XTC, tmp_path / "a.zarr", topology=topology)
    assert "\n" not in str(error.value) and "dict_keys" not in str(error.value)
