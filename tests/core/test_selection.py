"""Selections: expressions, conditions and masks, and the frame that decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from ase import Atoms
from ase.build import bulk

import icedask as ice
from icedask.core.trajectory import select_in_universe, universe_of


@pytest.fixture
def trj() -> xr.Dataset:
    frames = [bulk("NaCl", "rocksalt", a=5.6, cubic=True) * (2, 2, 2) for _ in range(4)]
    for shift, atoms in enumerate(frames):
        atoms.positions[:, 2] += shift
    return ice.from_ase(frames, frame_interval=0.5)


@pytest.fixture
def lens(trj: xr.Dataset) -> xr.Dataset:
    values = np.zeros((4, 32), np.float32)
    values[1, 3] = values[2, 5] = 0.5
    sodium = ice.select(trj, "element Na")
    return xr.Dataset(
        {"lens": (("frame", "atom"), values)}, {name: sodium[name] for name in ("atom", "step")}
    )


@pytest.mark.parametrize("text", ["prop z > 5", "z > 5", "around 3 index 0"])
def test_coordinates_need_the_frame_that_decides(trj: xr.Dataset, text: str) -> None:
    with pytest.raises(ice.InputError, match=r"from frame to frame.* 4 frames; give frame="):
        ice.select(trj, text)
    first = ice.select(trj.isel(frame=[0]), text)
    assert ice.select(trj, text, frame=0)["atom"].equals(first["atom"])
    assert ice.select(trj, text, frame=-4)["atom"].equals(first["atom"])


def test_the_frame_changes_the_answer(trj: xr.Dataset) -> None:
    for frame in (0, 3, -1):
        expected = np.flatnonzero(trj["positions"].values[frame, :, 2] > 5)
        for text in ("prop z > 5", "z > 5"):
            np.testing.assert_array_equal(ice.select(trj, text, frame=frame)["atom"], expected)


def test_centers_by_coordinates_are_those_of_the_first_frame(
    trj: xr.Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    expected = np.flatnonzero(trj["positions"].values[0, :, 2] > 5)
    with caplog.at_level("INFO", "icedask"):
        counts = ice.coordination(trj, r_cut=3.0, centers="prop z > 5")
    np.testing.assert_array_equal(counts["atom"], expected)
    assert "by their coordinates in the first frame" in caplog.text


def test_ingest_selects_in_the_first_frame(trj: xr.Dataset, tmp_path: Path) -> None:
    path = ice.export(trj, tmp_path / "a.extxyz").path
    chosen = ice.ingest(path, tmp_path / "a.zarr", select="prop z > 5")
    expected = np.flatnonzero(trj["positions"].values[0, :, 2] > 5)
    np.testing.assert_array_equal(chosen["atom"], expected)
    with pytest.raises(ice.InputError, match='"prop z > 5"'):
        ice.ingest(path, tmp_path / "b.zarr", select="z > 5")


def test_conditions_on_results(trj: xr.Dataset, lens: xr.Dataset) -> None:
    assert ice.select(trj, "lens > 0.3", results=lens, frame=1)["atom"].values.tolist() == [6]
    assert ice.select(trj, "lens > 0.3", results=[lens], frame=2)["atom"].values.tolist() == [10]
    named = ice.select(trj, "old > 0.3 and element == 'Na'", results={"old": lens}, frame=2)
    assert named["atom"].values.tolist() == [10]
    assert ice.select(lens, "lens > 0.3", frame=1)["atom"].values.tolist() == [6]
    with pytest.raises(ice.InputError, match="lens changes from frame to frame"):
        ice.select(trj, "lens > 0.3", results=lens)
    with pytest.raises(ice.InputError, match=r"no column 'lens'; there are .* as results="):
        ice.select(trj, "lens > 0.3")
    with pytest.raises(ice.InputError, match="holds for no atom"):
        ice.select(trj, "lens > 3", results=lens, frame=1)
    with pytest.raises(ice.InputError, match="compares nothing"):
        ice.select(trj, "element O", results=lens)
    assert ice.select(trj, "element == 'Cl'").sizes["atom"] == 32


def test_masks(trj: xr.Dataset, lens: xr.Dataset) -> None:
    for mask in (lens > 0.3, lens["lens"] > 0.3):
        assert ice.select(trj, mask, frame=1)["atom"].values.tolist() == [6]
        assert ice.select(trj, mask.any("frame"))["atom"].values.tolist() == [6, 10]
        with pytest.raises(ice.InputError, match=r"changes .* has 4; give frame=.*mask.any"):
            ice.select(trj, mask)
    part = trj.isel(frame=[2, 3], atom=slice(2, 20))
    assert ice.select(part, lens["lens"] > 0.3, frame=0)["atom"].values.tolist() == [10]
    flags = np.zeros(64, bool)
    flags[[3, 9]] = True
    assert ice.select(trj, flags)["atom"].values.tolist() == [3, 9]
    both = np.stack([flags, ~flags, flags, flags])
    assert ice.select(trj, both, frame=1).sizes["atom"] == 62


def test_a_mask_of_labels_is_that_of_the_label(trj: xr.Dataset) -> None:
    labels = np.zeros((4, 64), np.int32)
    labels[2, 7] = 1
    rows = ("frame", "atom")
    ds = xr.Dataset({"label": (rows, labels), "probability": (rows, np.ones((4, 64), "f4"))})
    states = ds.assign_coords(atom=trj["atom"], step=trj["step"])
    assert ice.select(trj, states == 1, frame=2)["atom"].values.tolist() == [7]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros(64, bool), "selects no atom"),
        (np.zeros(63, bool), r"shape \(64,\) or \(4, 64\)"),
        (np.zeros(64), "mask of bool"),
        (3, "an expression, or a mask"),
        (None, "an expression, or a mask"),
    ],
)
def test_masks_that_are_refused(trj: xr.Dataset, mask: object, message: str) -> None:
    with pytest.raises(ice.InputError, match=message):
        ice.select(trj, mask)  # type: ignore[arg-type]


@pytest.mark.parametrize("frame", [4, -5, 1.5, True])
def test_frames_that_are_refused(trj: xr.Dataset, frame: int) -> None:
    with pytest.raises(ice.InputError, match="frame: expected"):
        ice.select(trj, "z > 5", frame=frame)


def test_axes_have_names(trj: xr.Dataset, tmp_path: Path) -> None:
    saved = ice.save(trj, tmp_path / "a.zarr")
    for ds in (trj, saved, ice.open_trajectory(tmp_path / "a.zarr")):
        heights = ds["positions"].sel(xyz="z")
        np.testing.assert_array_equal(heights, trj["positions"].values[:, :, 2])
        np.testing.assert_array_equal(ds["cell"].sel(cell_vector="a"), trj["cell"].values[:, 0])


def test_mask_of_other_atoms_is_refused(trj: xr.Dataset) -> None:
    copper = ice.from_ase(bulk("Cu", cubic=True) * (2, 2, 2))
    with pytest.raises(ice.InputError, match="found element Na for atom 0, which has Cu"):
        ice.select(copper, (trj["element"] == "Na"))


def test_indices_are_not_a_mask(trj: xr.Dataset) -> None:
    with pytest.raises(ice.InputError, match="3 integers; for indices use isel"):
        ice.select(trj, [0, 5, 7])  # type: ignore[arg-type]


def test_frame_out_of_range_states_the_range(trj: xr.Dataset) -> None:
    with pytest.raises(ice.InputError, match="from -4 to 3, found -5"):
        ice.select(trj, "z > 5", frame=-5)


def test_examples_are_not_refused_here(trj: xr.Dataset) -> None:
    for refused in (
        lambda: ice.coordination(trj, r_cut=3.0, centers="elemnt Na"),
        lambda: ice.select(trj, "elemnt Na", frame=0),
    ):
        with pytest.raises(ice.InputError, match=r"not understood.*prop z > 5"):
            refused()


@pytest.mark.parametrize("height", [20.0, 0.0])
def test_distances_in_a_slab_are_periodic_in_its_plane(height: float) -> None:
    places = [[0.5, 5, 1], [9.5, 5, 1], [0.5, 5, 19], [5, 5, 1]]
    slab = Atoms("Cu4", places, cell=[10, 10, height], pbc=[True, True, False])
    near = ice.select(ice.from_ase(slab), "around 3 index 0")
    assert near["atom"].values.tolist() == [1]


def test_distances_in_a_turned_cell_are_refused() -> None:
    atoms = Atoms("Cu2", [[0.5, 5, 1], [9.5, 5, 1]], cell=[10, 10, 10], pbc=True)
    atoms.rotate(40, (1, 1, 0), rotate_cell=True)
    trj = ice.from_ase(atoms)
    with pytest.raises(ice.InputError, match="distances need a cell with its first vector along x"):
        ice.select(trj, "around 3 index 0")
    assert ice.select(trj, "prop x > -100").sizes["atom"] == 2


@pytest.mark.parametrize(
    "expression", ["element O", " element  O H", "element H O Cu", "element O or element H", "all"]
)
def test_elements_are_selected_as_mdanalysis_does(expression: str) -> None:
    trj = ice.from_ase(Atoms("OHHOHNe", np.arange(18).reshape(6, 3)))
    expected = select_in_universe(universe_of(trj), expression)
    assert ice.select(trj, expression)["atom"].values.tolist() == expected.tolist()


def test_no_atom_of_the_elements() -> None:
    trj = ice.from_ase(Atoms("OH", [[0, 0, 0], [1, 0, 0]]))
    with pytest.raises(ice.InputError, match="'element Cu': matches no atom; elements here: H, O"):
        ice.select(trj, "element Cu")
