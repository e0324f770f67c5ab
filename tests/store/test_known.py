"""Small arrays that are written and read by their content: the same files, damage is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.build import bulk

import icedask as ice
from icedask.store import arrays, stored
from icedask.store.known import Known


def test_the_newest_are_kept() -> None:
    known: Known[int] = Known()
    for number in range(300):
        known.keep(str(number), number)
    assert known.get("299") == 299
    assert known.get("0") is None


def test_the_same_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trj = ice.from_ase([bulk("Cu", cubic=True)] * 2)
    order = ice.coordination(trj, r_cut=3.0)
    for module, name in ((arrays, "_METADATA"), (arrays, "_CHUNKS"), (stored, "_READ")):
        monkeypatch.setattr(module, name, Known())
    for store in ("one.zarr", "two.zarr"):
        ice.save(order, tmp_path / store, label="cn")
    first, second = (tmp_path / store for store in ("one.zarr", "two.zarr"))
    files = [path.relative_to(first) for path in first.rglob("coordination-*/*/**/*")]
    files = [path for path in files if (first / path).is_file()]
    assert len(files) > 4
    assert all((first / path).read_bytes() == (second / path).read_bytes() for path in files)
    # Read before, as the same array of the other store was.
    place = ice.open_run(second, "cn").attrs["run_id"]
    (file,) = (second / "descriptors" / "coordination" / place / "element" / "c").rglob("*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)
    with pytest.raises(ice.DamagedError, match="element"):
        ice.open_run(second, "cn")
    assert ice.open_run(first, "cn")["element"].values.tolist() == ["Cu"] * 4
    values = ice.open_run(first, "cn")["element"].values
    values[:] = "X"
    assert ice.open_run(first, "cn")["element"].values.tolist() == ["Cu"] * 4
