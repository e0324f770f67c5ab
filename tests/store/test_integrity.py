"""Damage of stores: nothing that was not written is read without an error that names the file."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from ase.build import bulk
from click.testing import CliRunner

import icedask as ice
from icedask.cli.program import cli
from icedask.errors import DamagedError, StoreError
from icedask.store import chunks
from icedask.store.arrays import update_attrs
from icedask.store.integrity import METADATA

N_FRAMES = 6
# Atoms times frames of a block: two frames.
BLOCK = 32


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a trajectory of three blocks and a column, a descriptor and a model."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(N_FRAMES):
        atoms = bulk("Cu", cubic=True) * (2, 2, 1)
        atoms.rattle(0.1, rng=rng)
        frames.append(atoms)
    trj = ice.from_ase(frames)
    energy = rng.normal(size=(N_FRAMES, len(frames[0]))).astype("float32")
    trj["potential_energy"] = (("frame", "atom"), energy, {"units": "eV"})
    store = tmp_path_factory.mktemp("whole") / "cu.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("icedask.store.trajectory.TRAJECTORY_ATOM_FRAMES", BLOCK)
        patch.setattr(chunks, "BLOCK_ATOM_FRAMES", BLOCK)
        ice.save(trj, store)
        stored = ice.open_trajectory(store)
        result = ice.save(ice.coordination(stored, r_cut=3.2), store, label="cn")
        ice.save(ice.PCA(1).fit(result.astype("float32")), store, label="pca")
    return store


def read(store: Path) -> dict[str, xr.Dataset]:
    """Read everything of a store."""
    everything = {"trajectory": ice.open_trajectory(store).load()}
    for label in ("cn", "pca"):
        everything[label] = ice.open_run(store, label).load()
    ice.load_model(store, "pca")
    return everything


def flipped(place: float) -> Callable[[bytes], bytes]:
    """Return a function that changes one bit of a file, at a part of its length."""

    def flip(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[int(place * (len(data) - 1))] ^= 4
        return bytes(changed)

    return flip


DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    **{f"bit at {place}": flipped(place) for place in (0, 0.13, 0.31, 0.5, 0.68, 0.87, 1)},
    "deleted": lambda data: None,
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "last byte lost": lambda data: data[:-1],
    "zeros": lambda data: bytes(len(data)),
    "longer": lambda data: data + b"\0",
}


def files_of(store: Path) -> list[str]:
    """Return all files of arrays and metadata."""
    files = [path.relative_to(store) for path in store.rglob("*") if path.is_file()]
    return sorted(str(file) for file in files if not any(p.startswith(".") for p in file.parts))


def of_array(store: Path, file: str) -> str:
    """Return the array or group that a file belongs to."""
    path = Path(file)
    while not (store / path / METADATA).exists():
        path = path.parent
    return str(path)


# The others are alike, and slow.
QUICK = ("bit at 0.31", "deleted")


@pytest.mark.parametrize(
    "kind",
    [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in DAMAGE],
)
def test_nothing_is_silent(kind: str, whole: Path, tmp_path: Path) -> None:
    expected = read(whole)
    store = tmp_path / "cu.zarr"
    shutil.copytree(whole, store)
    for file in files_of(whole):
        data = (store / file).read_bytes()
        damaged = DAMAGE[kind](data)
        if damaged is None:
            (store / file).unlink()
        else:
            (store / file).write_bytes(damaged)
        try:
            values = read(store)
        except StoreError as error:
            assert file in str(error) or str(store) in str(error), file
            if isinstance(error, DamagedError):
                assert of_array(whole, file) in error.file, (file, error)
            assert file in "".join(ice.verify(store).damage), file
        else:
            # White space of metadata, and what was never part of it.
            assert Path(file).name == METADATA, file
            for name, ds in expected.items():
                xr.testing.assert_identical(
                    ds.drop_attrs(deep=False), values[name].drop_attrs(deep=False)
                )
        (store / file).write_bytes(data)
    assert ice.verify(store).damage == {}


def damage_of(store: Path, file: str, kind: str) -> None:
    """Damage a file of a store."""
    (store / file).write_bytes(DAMAGE[kind]((store / file).read_bytes()) or b"")


def copy_of(whole: Path, tmp_path: Path) -> Path:
    """Return a copy of a store."""
    return Path(shutil.copytree(whole, tmp_path / "copy.zarr"))


def shard_of(store: Path, label: str) -> str:
    """Return the second shard of the first variable of a run."""
    run = ice.open_run(store, label).attrs
    folder = f"{run['group']}/{run['function']}/{run['run_id']}"
    return f"{folder}/{run['function']}/c/1/0"


def test_one_damaged_run_does_not_hide_the_others(whole: Path, tmp_path: Path) -> None:
    store = copy_of(whole, tmp_path)
    run = ice.open_run(store, "cn").attrs
    group = f"descriptors/coordination/{run['run_id']}"
    damage_of(store, f"{group}/{METADATA}", "cut")
    runs = ice.list_runs(store)
    assert runs["status"].to_dict()[run["run_id"]] == "damaged"
    assert sorted(runs["status"]) == ["complete", "damaged"]
    assert ice.open_run(store, "pca").attrs["status"] == "complete"
    result = CliRunner().invoke(cli, ["info", str(store)])
    assert result.exit_code == 0 and "damaged" in result.output and "pca" in result.output
    ice.verify(store, repair=True)
    assert ice.list_runs(store)["status"].tolist() == ["complete"]
    ice.save(ice.coordination(ice.open_trajectory(store), r_cut=3.2), store)
    assert ice.open_run(store, run["run_id"]).attrs["status"] == "complete"


@pytest.mark.parametrize("kind", ["bit at 0.31", "empty"])
def test_a_repaired_run_computes_what_was_damaged(kind: str, whole: Path, tmp_path: Path) -> None:
    store = copy_of(whole, tmp_path)
    shard = shard_of(store, "cn")
    damage_of(store, shard, kind)
    output = CliRunner().invoke(cli, ["verify", str(store)])
    assert output.exit_code == 1 and shard in output.output
    output = CliRunner().invoke(cli, ["verify", str(store), "--repair"])
    assert (store / ".damaged" / shard).exists()
    assert "interrupted" in ice.list_runs(store)["status"].tolist()
    ice.save(ice.coordination(ice.open_trajectory(store), r_cut=3.2), store)
    assert CliRunner().invoke(cli, ["verify", str(store)]).exit_code == 0
    assert (store / shard).read_bytes() == (whole / shard).read_bytes()


def test_a_repaired_trajectory_reads_its_source_again(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icedask.store.trajectory.TRAJECTORY_ATOM_FRAMES", BLOCK)
    store, trj = copy_of(whole, tmp_path), ice.open_trajectory(whole)
    damage_of(store, "trajectory/potential_energy/c/1/0", "bit at 0.5")
    assert list(ice.verify(store, repair=True).damage)
    with pytest.raises(StoreError, match="incomplete"):
        ice.open_trajectory(store)
    ice.save(trj, store)
    assert ice.verify(store).damage == {}
    xr.testing.assert_identical(
        ice.open_trajectory(store).load().drop_attrs(), trj.load().drop_attrs()
    )
    assert ice.open_run(store, "cn").attrs["status"] == "complete"


def test_a_repaired_root(whole: Path, tmp_path: Path) -> None:
    store = copy_of(whole, tmp_path)
    damage_of(store, METADATA, "zeros")
    with pytest.raises(DamagedError, match=r"zarr\.json"):
        ice.list_runs(store)
    ice.verify(store, repair=True)
    assert ice.verify(store).damage == {}
    assert len(ice.list_runs(store)) == 2


def test_attributes_edited_by_hand(whole: Path, tmp_path: Path) -> None:
    store = copy_of(whole, tmp_path)
    run = ice.open_run(store, "cn").attrs
    file = store / f"descriptors/coordination/{run['run_id']}/{METADATA}"
    metadata = json.loads(file.read_text())
    metadata["attributes"]["parameters"]["r_cut"] = 3.3
    file.write_text(json.dumps(metadata))
    with pytest.raises(DamagedError, match="not the ones that were written"):
        ice.open_run(store, "cn")
    # Nor where the checksum is taken away: the id is a hash of the parameters.
    del metadata["attributes"]["checksums"]
    file.write_text(json.dumps(metadata))
    with pytest.raises(DamagedError, match="those of another"):
        ice.open_run(store, "cn")


def test_attributes_that_a_user_adds(whole: Path, tmp_path: Path) -> None:
    store = copy_of(whole, tmp_path)
    run = ice.open_run(store, "cn").attrs
    file = store / f"descriptors/coordination/{run['run_id']}/{METADATA}"
    metadata = json.loads(file.read_text())
    metadata["attributes"]["note"] = "shown at the group meeting"
    file.write_text(json.dumps(metadata))
    assert ice.open_run(store, "cn").attrs["note"] == "shown at the group meeting"


@pytest.mark.parametrize("kind", ["empty", "cut", "zeros", "last byte lost"])
def test_a_resumed_run_trusts_only_what_is_whole(kind: str, whole: Path, tmp_path: Path) -> None:
    store = copy_of(whole, tmp_path)
    shard = shard_of(store, "cn")
    group = store / Path(shard).parents[3]
    update_attrs(group, {"status": "running"})
    damage_of(store, shard, kind)
    ice.save(ice.coordination(ice.open_trajectory(store), r_cut=3.2), store)
    assert (store / shard).read_bytes() == (whole / shard).read_bytes()
    assert ice.verify(store).damage == {}


def test_what_is_not_written_has_no_value(whole: Path, tmp_path: Path) -> None:
    store = copy_of(whole, tmp_path)
    run, shard = ice.open_run(store, "cn"), shard_of(store, "cn")
    update_attrs(store / Path(shard).parents[3], {"status": "running"})
    (store / shard).unlink()
    part = ice.open_run(store, "cn", allow_incomplete=True)["coordination"]
    lowest = np.iinfo(part.dtype).min
    assert (part.values[2:4] == lowest).all() and (part.values[:2] == run["coordination"][:2]).all()


@pytest.mark.parametrize("folder", ["models", "a"])
def test_the_remedy_names_the_store(folder: str, whole: Path, tmp_path: Path) -> None:
    """Also where it lies in a Zarr group, or a folder that is called like one of its own."""
    zarr.create_group(str(tmp_path / folder))
    store = copy_of(whole, tmp_path / folder)
    damage_of(store, shard_of(store, "cn"), "empty")
    with pytest.raises(DamagedError, match=f"icedask verify {re.escape(str(store))} --repair"):
        ice.open_run(store, "cn")


def test_an_interrupted_run_with_a_damaged_array_is_not_continued(
    whole: Path, tmp_path: Path
) -> None:
    store = copy_of(whole, tmp_path)
    array = store / Path(shard_of(store, "cn")).parents[2]
    update_attrs(array.parent, {"status": "running"})
    damage_of(store, str(array.relative_to(store) / METADATA), "bit at 0.31")
    with pytest.raises(DamagedError, match=r"zarr\.json"):
        ice.save(ice.coordination(ice.open_trajectory(store), r_cut=3.2), store)
