"""Schedules of amorphous ices from start to store: too short ones end without a label."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from helpers import killing
from helpers.small_jobs import run_glass, short_glass

import icedask as ice
from icedask.simulate.recipes.amorphous import RECIPE

pytest.importorskip("openmm")
pytest.importorskip("genice2")


@pytest.mark.slow
@pytest.mark.parametrize("system", [name for name in RECIPE.systems if name != "water"])
def test_a_short_schedule_is_killed_resumed_and_not_labelled(system: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.zarr", tmp_path / "killed.zarr"
    code, changes = killing.run(run_glass, system, str(whole))
    assert code == 0
    code, _ = killing.run(run_glass, system, str(killed), kill_at=changes // 3)
    assert code == -signal.SIGKILL
    run_glass(system, str(killed))
    first, second = (ice.open_trajectory(store) for store in (whole, killed))
    np.testing.assert_array_equal(first["positions"].values, second["positions"].values)
    job, record = short_glass(system), first.attrs["simulation"]
    assert first.attrs["labels"] == {**job.labels, "phase": None}
    assert record["verdict"]["reason"].startswith(f"not {job.labels['phase']}: ")
    expected = {"MDA": set(), "HDA": {"compress", "release"}}
    assert set(record["rates"]) >= expected.get(system, {"vitrify", "cool"})
