"""Denoised trajectories: lazy, whatever the blocks, stored and reopened; and files of weights."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import ase
import dask
import numpy as np
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import icedask as ice
from icedask.core.provenance import is_unchanged
from icedask.errors import InputError
from icedask.phases import frames as frames_module
from icedask.phases.score import denoise_frame
from icedask.phases.shipped import SHIPPED


def hot(n_frames: int = 3, sigma: float = 0.15) -> list[ase.Atoms]:
    crystal = ice.Phases.named("Ic").structures["Ic"] * (2, 2, 1)
    frames = []
    for seed in range(n_frames):
        frames.append(crystal.copy())
        frames[-1].rattle(sigma, seed=seed)
    return frames


@pytest.fixture(scope="module")
def trj() -> xr.Dataset:
    return ice.from_ase(hot())


@pytest.fixture(scope="module")
def cold(trj: xr.Dataset, shipped: ice.Denoiser) -> xr.Dataset:
    return shipped.denoise(trj).compute()


def values(ds: xr.Dataset) -> dict[str, np.ndarray]:
    return {name: ds[name].values for name in ("positions", "shift", "residual")}


def assert_same(first: xr.Dataset, other: xr.Dataset, atol: float = 0.0) -> None:
    for name, array in values(first).items():
        np.testing.assert_allclose(array, other[name].values, rtol=0, atol=atol, err_msg=name)


def test_lazy(mw: xr.Dataset, shipped: ice.Denoiser, nothing_computes: None) -> None:
    denoised = shipped.denoise(mw)
    for name, units in (("positions", "angstrom"), ("shift", "angstrom"), ("residual", "angstrom")):
        assert dask.is_dask_collection(denoised[name])
        assert denoised[name].dtype == np.float32
        assert denoised[name].attrs["units"] == units
    assert denoised.sizes["frame"] == 16
    assert ice.soap(denoised)["soap"].sizes["atom"] == 4096
    assert denoised.attrs["run_id"].startswith("denoise-")


def test_it_is_a_trajectory(trj: xr.Dataset, cold: xr.Dataset) -> None:
    moved = trj["positions"].values + cold["shift"].values
    np.testing.assert_allclose(cold["positions"].values, moved, atol=1e-5)
    for name in ("cell", "pbc", "time", "step", "atom", "element"):
        np.testing.assert_array_equal(cold[name].values, trj[name].values)
    assert cold["positions"].values.dtype == np.float32
    ideal = ice.Phases.named("Ic").structures["Ic"] * (2, 2, 1)
    before = np.abs(trj["positions"].values - ideal.positions).mean()
    assert np.abs(cold["positions"].values - ideal.positions).mean() < before / 2
    assert ice.soap(cold)["soap"].shape[:2] == (3, 32)
    labels = ice.chill_plus(cold)["label"]
    assert (labels == labels.attrs["flag_meanings"].split().index("cubic_ice")).all()
    assert ice.to_ase(cold, 2).positions.shape == (32, 3)


@pytest.mark.parametrize("atom_frames", [1, 64])
def test_blocks_change_nothing(
    trj: xr.Dataset,
    cold: xr.Dataset,
    shipped: ice.Denoiser,
    monkeypatch: pytest.MonkeyPatch,
    atom_frames: int,
) -> None:
    monkeypatch.setattr(frames_module, "_BLOCK_ATOM_FRAMES", atom_frames)
    chunked = shipped.denoise(trj.chunk({"frame": 2, "atom": 5}))
    assert chunked["shift"].chunks == ((2, 1) if atom_frames == 64 else (1, 1, 1), (32,), (3,))
    assert_same(chunked, cold)
    assert_same(shipped.denoise(trj.isel(frame=[1])), cold.isel(frame=[1]))
    assert shipped.denoise(trj.isel(frame=[])).compute().sizes["frame"] == 0


def test_run_ids(trj: xr.Dataset, mw: xr.Dataset, shipped: ice.Denoiser) -> None:
    def run_id(x: xr.Dataset = trj, by: ice.Denoiser = shipped, **options: Any) -> str:
        return str(by.denoise(x, **options).attrs["run_id"])

    other = pickle.loads(pickle.dumps(shipped))
    assert run_id(by=other) == run_id() == run_id(steps=np.int64(8), clip=np.float64(0.4))
    assert run_id(mw.chunk({"frame": 1})) == run_id(mw)
    other.weights_["embedding"] = other.weights_["embedding"] + np.float32(1e-6)
    changed = trj.copy(deep=True)
    changed["positions"][0, 0, 0] += 0.01
    ids = [
        run_id(),
        run_id(steps=4),
        run_id(clip=0.3),
        run_id(by=other),
        run_id(changed),
        run_id(trj.isel(frame=[0])),
        run_id(trj.isel(atom=slice(1, None))),
        run_id(centers="index 0:30"),
    ]
    assert len(set(ids)) == len(ids)
    # So have results of the denoised positions: what is stored is found again.
    again = [ice.soap(shipped.denoise(trj)).attrs["run_id"] for _ in range(2)]
    assert again[0] == again[1] != ice.soap(trj).attrs["run_id"]
    assert again[0] != ice.soap(shipped.denoise(trj, steps=4)).attrs["run_id"]


def test_stored_and_reopened(
    trj: xr.Dataset, cold: xr.Dataset, shipped: ice.Denoiser, tmp_path: Path
) -> None:
    lazy = shipped.denoise(trj)
    saved = ice.save(lazy, tmp_path / "s.zarr", label="cold")
    assert_same(saved, cold)
    again = ice.open_run(tmp_path / "s.zarr", "cold")
    assert again.attrs["run_id"] == lazy.attrs["run_id"]
    assert is_unchanged(again)
    assert_same(again, cold)
    for name in ("cell", "pbc", "element", "step"):
        np.testing.assert_array_equal(again[name].values, trj[name].values)
    np.testing.assert_allclose(ice.soap(again)["soap"], ice.soap(cold)["soap"], rtol=1e-5)


def test_lazy_ones_are_sent(cold: xr.Dataset, trj: xr.Dataset, shipped: ice.Denoiser) -> None:
    assert_same(pickle.loads(pickle.dumps(shipped.denoise(trj))), cold)


def test_molecules(trj: xr.Dataset, cold: xr.Dataset, shipped: ice.Denoiser) -> None:
    frames = []
    for atoms in hot():
        hydrogens = ase.Atoms("H64", atoms.positions.repeat(2, axis=0) + 0.6)
        molecules = atoms + hydrogens
        frames.append(molecules[np.arange(96).reshape(3, 32).T.ravel()])
    denoised = shipped.denoise(ice.from_ase(frames))
    assert set(denoised["element"].values) == {"O"}
    assert denoised["atom"].values.tolist() == list(range(0, 96, 3))
    assert_same(denoised, cold)
    half = shipped.denoise(ice.from_ase(frames), centers="element O and index 0:47")
    assert half["atom"].values.tolist() == list(range(0, 48, 3))
    expected = shipped.denoise(ice.select(trj, "index 0:15"))
    assert_same(half, expected)
    hydrogen = shipped.denoise(ice.from_ase(frames), centers="element H", steps=1)
    assert set(hydrogen["element"].values) == {"H"}
    with pytest.raises(InputError, match=r"denoise: expected atoms of O, .* found H; choose"):
        shipped.denoise(ice.select(ice.from_ase(frames), "element H"))


def test_unwrapped_and_slabs(trj: xr.Dataset, cold: xr.Dataset, shipped: ice.Denoiser) -> None:
    shifts = np.random.default_rng(0).integers(-2, 3, (32, 3))
    far = trj.copy(deep=True)
    far["positions"] += (shifts @ trj["cell"].values[0]).astype(np.float32)
    denoised = shipped.denoise(far)
    np.testing.assert_allclose(denoised["shift"], cold["shift"], atol=2e-4)
    np.testing.assert_allclose(
        denoised["positions"] - denoised["shift"], far["positions"], atol=1e-5
    )
    slab = trj.copy(deep=True)
    slab["pbc"][2] = False
    apart = shipped.denoise(slab)
    assert np.abs(apart["shift"] - cold["shift"]).max() > 0.01
    # As in a cell so high that images are out of reach.
    high = trj.copy(deep=True)
    high["cell"][:, 2] *= 10
    assert_same(apart, shipped.denoise(high), atol=2e-5)


def test_each_frame_has_its_cell(shipped: ice.Denoiser) -> None:
    frames = hot(2)
    frames[1].set_cell(frames[1].cell.array * [1.0, 1.02, 0.98], scale_atoms=True)
    denoised = shipped.denoise(ice.from_ase(frames), steps=2, clip=0.1)
    for number, atoms in enumerate(frames):
        positions = atoms.positions.astype(np.float32).astype(float)
        expected = denoise_frame(
            shipped.score(), positions, atoms.cell.array, atoms.pbc, steps=2, clip=0.1
        )
        np.testing.assert_allclose(denoised["shift"][number], expected.shift, atol=1e-6)
        np.testing.assert_allclose(denoised["residual"][number], expected.residual, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps: expected at least 1, found 0"),
        ({"steps": True}, "steps: expected a number, found True"),
        ({"steps": 2.5}, "steps: expected a whole number, found 2.5"),
        ({"clip": 0}, "clip: expected a number angstrom above 0, found 0"),
        ({"clip": np.nan}, "clip: expected a finite number angstrom, found nan"),
        ({"clip": np.inf}, "clip: expected a finite number angstrom, found inf"),
        ({"clip": True}, "clip: expected a number angstrom, found True"),
        ({"clip": "1"}, "clip: expected a number angstrom, found '1'"),
        ({"centers": "element Xe"}, "selection 'element Xe': matches no atom"),
    ],
)
def test_bad_options(
    trj: xr.Dataset, shipped: ice.Denoiser, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        shipped.denoise(trj, **options)


def test_bad_trajectories(trj: xr.Dataset, shipped: ice.Denoiser) -> None:
    with pytest.raises(InputError, match="denoise: expected a trajectory Dataset, found float"):
        shipped.denoise(1.0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="keep it, for example with isel"):
        shipped.denoise(trj.isel(frame=0))
    with pytest.raises(InputError, match="expected a trajectory Dataset, found one without pos"):
        shipped.denoise(trj.drop_vars("positions"))
    lost = trj.copy(deep=True)
    lost["positions"][1, 2, 0] = np.nan
    with pytest.raises(InputError, match="expected finite coordinates"):
        shipped.denoise(lost).compute()


def test_not_fitted(trj: xr.Dataset, tmp_path: Path) -> None:
    for use in (
        lambda denoiser: denoiser.denoise(trj),
        lambda denoiser: denoiser.save(tmp_path / "w.npz"),
        lambda denoiser: denoiser.score(),
        lambda denoiser: denoiser.digest_,
    ):
        with pytest.raises(NotFittedError, match=r"call fit first, or take Denoiser.shipped"):
            use(ice.Denoiser())
    assert not list(tmp_path.iterdir())


def test_the_shipped_one(shipped: ice.Denoiser, ices: ice.Phases) -> None:
    assert shipped.phases_ == ices
    assert shipped.get_params() == ice.Denoiser().get_params()
    assert len(shipped.loss_) == shipped.steps
    assert np.median(shipped.loss_[-200:]) < 0.2
    assert not hasattr(clone(shipped), "weights_")
    with pytest.raises(InputError, match="expected one of ices, metals, found 'snow'"):
        ice.Denoiser.shipped("snow")


def test_a_file_of_weights(trj: xr.Dataset, shipped: ice.Denoiser, tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    shipped.save(path)
    shipped.save(str(path))
    assert [file.name for file in tmp_path.iterdir()] == ["weights.npz"]
    with np.load(path, allow_pickle=False) as arrays:
        assert all(array.dtype.kind in "fiU" for array in dict(arrays).values())
    again = ice.Denoiser.load(path)
    assert again.digest_ == shipped.digest_
    assert again.phases_ == shipped.phases_
    assert again.phases_.names == shipped.phases_.names
    assert again.get_params() == shipped.get_params()
    np.testing.assert_array_equal(again.loss_, shipped.loss_)
    run_id = shipped.denoise(trj).attrs["run_id"]
    assert again.denoise(trj).attrs["run_id"] == run_id


def damaged(path: Path, shipped: ice.Denoiser) -> dict[str, Any]:
    """Return the arrays of a file of weights."""
    shipped.save(path)
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": np.array(2)}, "format 2"),
        ({"format": None}, "format"),
        ({"loss": None}, "loss"),
        ({"parameter/more": np.array(1)}, "more"),
        ({"parameter/cutoff": np.array(-1.0)}, "cutoff: expected a number angstrom above 0"),
        ({"parameter/layers": np.array(2)}, "expected the shape None"),
        ({"parameter/width": np.array(8)}, r"expected the shape \(8,\), found \(16,\)"),
        ({"weight/out.weight": None}, "out.weight: expected the shape .* found None"),
        ({"weight/embedding": np.full(16, np.nan)}, "embedding: not finite"),
        ({"weight/messages.0.radial.weight": None}, "messages.0.radial.weight"),
        ({"phase/Ih/fractions": None}, "phase/Ih/fractions"),
        ({"phase/Ih/cell": np.zeros((3, 3))}, "Ih"),
        ({"loss": np.array([{}])}, "allow_pickle=False"),
    ],
)
def test_damaged_arrays(
    shipped: ice.Denoiser, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "weights.npz"
    arrays = {**damaged(path, shipped), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(InputError, match=message):
        ice.Denoiser.load(path)


def test_damaged_bytes(shipped: ice.Denoiser, tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    shipped.save(path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(20):
        changed = bytearray(content)
        changed[rng.integers(200, len(content) // 2)] ^= 0xFF
        path.write_bytes(changed)
        try:
            again = ice.Denoiser.load(path)
        except InputError as error:
            assert "weights.npz: expected what Denoiser.save wrote" in str(error)
        else:
            # Dates and the like.
            assert (again.digest_, again.phases_) == (shipped.digest_, shipped.phases_)
    for other in (b"", b"no such thing", content[: len(content) // 2], pickle.dumps([1])):
        path.write_bytes(other)
        with pytest.raises(InputError, match=r"weights.npz: expected what Denoiser.save wrote"):
            ice.Denoiser.load(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("array.npy", "none.npz", "."):
        with pytest.raises(InputError, match=r"expected what Denoiser.save wrote"):
            ice.Denoiser.load(tmp_path / name)


def test_the_corner_of_the_cell_stays(trj: xr.Dataset, shipped: ice.Denoiser) -> None:
    corner = np.tile([1.0, -2.0, 3.0], (trj.sizes["frame"], 1))
    placed = trj.assign(cell_origin=(("frame", "xyz"), corner))
    np.testing.assert_array_equal(shipped.denoise(placed)["cell_origin"], corner)


def test_a_file_that_cannot_be_written(shipped: ice.Denoiser, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a file that can be written"):
        shipped.save(tmp_path / "none" / "weights.npz")


def test_elements_of_shipped_denoisers() -> None:
    for name, element in SHIPPED.items():
        assert ice.Denoiser.shipped(name).phases_.element == element
