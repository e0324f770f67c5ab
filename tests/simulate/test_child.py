"""Files of an unfinished simulation: damaged ones are refused."""

from __future__ import annotations

from pathlib import Path

import ase
import pytest

from icedask.errors import InputError, StoreError
from icedask.simulate.child import check_restart, keep_restart, load_start, save_start


def test_a_damaged_restart_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("restart-3.partial").write_bytes(b"positions and velocities")
    keep_restart(3)
    check_restart(3)
    Path("restart-3").write_bytes(b"positions and velocitieS")
    with pytest.raises(InputError, match="the restart file is damaged"):
        check_restart(3)
    # Written before: no checksum.
    Path("checksum-3").unlink()
    check_restart(3)


def test_a_damaged_start_structure(tmp_path: Path) -> None:
    path = tmp_path / "start.npz"
    save_start(ase.Atoms("Cu2", positions=[(0, 0, 0), (1, 1, 1)], cell=[4, 4, 4], pbc=True), path)
    assert len(load_start(path)) == 2
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StoreError, match="remove the store and simulate again"):
        load_start(path)
