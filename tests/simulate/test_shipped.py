"""Shipped trajectories of nine classes of water: packed and unpacked, stores, labels."""

from __future__ import annotations

from collections import Counter
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import icedask as ice
from icedask.core.trajectory import trajectory
from icedask.errors import InputError, StoreError
from icedask.kernels.neighbors import neighbor_list
from icedask.simulate.measures import density, oxygens
from icedask.simulate.shipped import AMORPHOUS_ICES, amorphous_ices, packed, unpacked
from icedask.simulate.tip4p_ice import molecules_of

NINE = {"Ih", "Ic", "II", "III", "V", "water", "LDA", "MDA", "HDA"}
UNKNOWN = {"VI", "VII", "sI"}


@pytest.fixture(scope="module")
def shipped() -> dict[str, xr.Dataset]:
    """All shipped trajectories by name."""
    with as_file(files("icedask") / "data" / AMORPHOUS_ICES) as path:
        return dict(unpacked(path))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Stores of two phases."""
    return amorphous_ices(tmp_path_factory.mktemp("shipped"), ["HDA", "VI"])


def water(n: int = 4, n_frames: int = 2, seed: int = 0) -> xr.Dataset:
    """Molecules across the faces of a triclinic cell."""
    random = np.random.default_rng(seed)
    cell = np.array([[12.0, 0, 0], [-4.0, 11.0, 0], [1.0, 2.0, 13.0]])
    places = random.random((n_frames, n, 1, 3)) @ cell
    bonds = np.array([[0, 0, 0], [0.9572, 0, 0], [-0.24, 0.9266, 0]])
    return trajectory(
        (places + bonds).reshape(n_frames, 3 * n, 3).astype(np.float32),
        element=["O", "H", "H"] * n,
        cell=np.repeat(cell[None], n_frames, axis=0),
        pbc=[True] * 3,
        time=np.arange(n_frames) * 2.0,
        attrs={"labels": {"phase": "V", "seed": seed}, "simulation": {"recipe": "test"}},
    )


def test_packed_trajectories_come_back(tmp_path: Path) -> None:
    originals = {"V-0": water(), "V-1": water(5, 3, seed=1)}
    with (tmp_path / "packed.npz").open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **packed(originals))
    restored = dict(unpacked(tmp_path / "packed.npz"))
    assert list(restored) == list(originals)
    for name, original in originals.items():
        trj = restored[name]
        assert trj.attrs == original.attrs
        for same in ("cell", "time", "step", "element", "pbc"):
            np.testing.assert_array_equal(trj[same].values, original[same].values)
        moved = trj["positions"].values.astype(float) - original["positions"].values
        shifts = moved @ np.linalg.inv(original["cell"].values)
        # By lattice vectors, the same for the atoms of a molecule.
        lattice = shifts.round().reshape(len(shifts), -1, 3, 3)
        assert (lattice == lattice[:, :, :1]).all()
        np.testing.assert_allclose(shifts, shifts.round(), atol=2e-5)


def test_other_atoms_are_not_packed() -> None:
    with pytest.raises(InputError, match="V-0: expected periodic molecules"):
        packed({"V-0": water().isel(atom=slice(1, None))})


def test_every_class_is_there_and_independent(shipped: dict[str, xr.Dataset]) -> None:
    labels = {name: trj.attrs["labels"] for name, trj in shipped.items()}
    phases = Counter(label["phase"] for label in labels.values())
    assert set(phases) == NINE | UNKNOWN
    assert min(phases[phase] for phase in NINE) >= 2
    for name, label in labels.items():
        phase, _, number = name.partition("-")
        assert phase == label["phase"]
        # A letter is an earlier run, whose seed is not known.
        assert number == str(label["seed"]) if "seed" in label else number.isalpha()
    for phase in NINE:
        own = [label for label in labels.values() if label["phase"] == phase]
        assert len({label["start"] for label in own}) == len(own)
        if phase in ("LDA", "HDA"):
            assert all("route" in label for label in own)


def test_the_shipped_frames_are_what_was_judged(shipped: dict[str, xr.Dataset]) -> None:
    for name, trj in shipped.items():
        record = trj.attrs["simulation"]["verdict"]
        assert record["reason"].startswith(f"{name.split('-')[0]}: ")
        # Some of the frames that it was measured on.
        if "density" in record["values"]:
            assert density(trj) == pytest.approx(record["values"]["density"], rel=0.02)
        molecules = trj["positions"].values.reshape(-1, 3, 3)
        bonds = np.linalg.norm(molecules[:, 1:] - molecules[:, :1], axis=-1)
        # Earlier runs were written to a milliangstrom.
        np.testing.assert_allclose(bonds, 0.9572, atol=3e-3)
        first = oxygens(trj).isel(frame=0)
        near = neighbor_list(first["positions"].values, first["cell"].values, [True] * 3, 3.0)
        assert near.distances.min() > 2.3


def test_stores_of_phases(shipped: dict[str, xr.Dataset], stores: list[Path]) -> None:
    expected = [name for name in shipped if name.split("-")[0] in ("HDA", "VI")]
    assert [store.stem for store in stores] == expected
    for store in stores:
        trj = ice.open_trajectory(store)
        np.testing.assert_array_equal(trj["positions"], shipped[store.stem]["positions"])
        assert trj.attrs["labels"] == shipped[store.stem].attrs["labels"]
        assert trj.attrs["simulation"] == shipped[store.stem].attrs["simulation"]
    before = [store.stat().st_mtime_ns for store in stores]
    assert amorphous_ices(stores[0].parent, ["VI", "HDA"]) == stores
    assert before == [store.stat().st_mtime_ns for store in stores]


def test_unknown_phases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"HDA, .* found 'VIII'"):
        amorphous_ices(tmp_path, ["LDA", "VIII"])
    assert not list(tmp_path.iterdir())


def test_a_store_of_another_trajectory_is_refused(tmp_path: Path, stores: list[Path]) -> None:
    ice.save(water(), tmp_path / stores[0].name)
    with pytest.raises(StoreError, match="another"):
        amorphous_ices(tmp_path, "HDA")


def test_an_engine_takes_a_shipped_frame(shipped: dict[str, xr.Dataset]) -> None:
    trj = shipped["Ih-a"]
    molecules, _ = molecules_of(ice.to_ase(trj, 0))
    assert len(molecules) == trj.sizes["atom"] // 3


def test_labels_of_a_dataset_are_saved(tmp_path: Path) -> None:
    trj = ice.save(water(), tmp_path / "v.zarr")
    assert trj.attrs["labels"] == {"phase": "V", "seed": 0}
    numbered = water().assign_attrs(labels={"phase": "V", "seed": np.int64(0)})
    assert ice.save(numbered, tmp_path / "n.zarr").attrs["labels"] == trj.attrs["labels"]
    with pytest.raises(InputError, match="expected text and numbers in the labels"):
        ice.save(water().assign_attrs(labels={"phase": object()}), tmp_path / "o.zarr")
    assert not (tmp_path / "o.zarr").exists()
    relabelled = water().assign_attrs(labels={"phase": "VI", "seed": 0})
    with pytest.raises(StoreError, match="another"):
        ice.save(relabelled, tmp_path / "v.zarr")
