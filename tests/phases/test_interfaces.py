"""Interfaces of slabs, planted in cells of any shape, and the rate at which slabs grow."""

from __future__ import annotations

import ase
import numpy as np
import pytest
import xarray as xr

import icedask as ice
from icedask.errors import InputError
from icedask.phases.interfaces import slab_motion

CLASSES = {"flag_values": [0, 1], "flag_meanings": "liquid ice"}


def planted(
    begin: np.ndarray, thickness: float, cell: np.ndarray, axis: int = 2, n: int = 20_000
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return a trajectory and labels: 1 in a slab that begins at a place given for each frame.

    Places are fractions of the cell along `axis`.
    """
    rng = np.random.default_rng(0)
    frames, labels = [], []
    for place in begin:
        fraction = rng.random((n, 3))
        labels.append(((fraction[:, axis] - place) % 1.0 < thickness).astype(np.int32))
        shift = rng.integers(-2, 3, (n, 3))
        frames.append(ase.Atoms(f"O{n}", (fraction + shift) @ cell, cell=cell, pbc=True))
    trj = ice.from_ase(frames)
    label = xr.DataArray(np.stack(labels), dims=("frame", "atom"), attrs=CLASSES)
    return trj, xr.Dataset({"label": label}, {"atom": trj["atom"]})


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("tilted", [False, True])
def test_planted(axis: int, tilted: bool) -> None:
    cell = np.diag([20.0, 25.0, 30.0])
    cell[axis, axis] = 60.0
    if tilted:
        cell[1, 0], cell[2, 0], cell[2, 1] = 7.0, -6.0, 9.0
    a, b = (cell[side] for side in range(3) if side != axis)
    normal = np.cross(a, b) / np.linalg.norm(np.cross(a, b))
    height = abs(cell[axis] @ normal)
    begin = np.array([0.1, 0.45, 0.8])
    trj, labels = planted(begin, 0.4, cell, axis)
    lazy = labels.chunk({"frame": 2, "atom": 3000})
    place = ice.interfaces(trj, lazy, classes=["ice"], axis=axis)["interface_position"]
    expected = np.stack([begin, (begin + 0.4) % 1.0], axis=1) * height
    np.testing.assert_allclose(place, expected, atol=0.5)
    assert place.attrs["units"] == "angstrom"


def test_no_slab_or_two() -> None:
    cell = np.diag([20.0, 20.0, 60.0])
    trj, labels = planted(np.array([0.2]), 0.3, cell)
    for changed in (labels["label"] * 0, labels["label"] * 0 + 1):
        other = labels.assign(label=changed.astype(np.int32).assign_attrs(CLASSES))
        place = ice.interfaces(trj, other, classes=["ice"])["interface_position"].values
        assert np.isnan(place).all()
    fraction = trj["positions"].values[:, :, 2] / 60 % 1.0
    two = ((fraction * 4) % 2 < 1).astype(np.int32)
    other = labels.assign(label=(("frame", "atom"), two, CLASSES))
    assert np.isnan(ice.interfaces(trj, other, classes=["ice"])["interface_position"]).all()


def test_some_atoms() -> None:
    trj, labels = planted(np.array([0.3, 0.3]), 0.5, np.diag([20.0, 20.0, 60.0]))
    place = ice.interfaces(trj, labels.isel(atom=slice(0, 8000)), classes=["ice"])
    np.testing.assert_allclose(place["interface_position"][0], [18, 48], atol=1.0)


def test_bad_input() -> None:
    trj, labels = planted(np.array([0.3]), 0.5, np.eye(3) * 20, n=100)
    for options, message in [
        ({"classes": ["snow"]}, "expected some of liquid, ice, found snow"),
        ({"classes": []}, "found an empty one"),
        ({"classes": ["ice"], "axis": 3}, "axis: expected at most 2"),
        ({"classes": "ice"}, "classes: expected a list such as"),
        ({"classes": ["ice"], "axis": True}, "axis: expected a number"),
        ({"classes": ["ice"], "width": 0}, "width: expected a number angstrom"),
        ({"classes": ["ice"], "width": "2"}, "width: expected a number angstrom"),
    ]:
        with pytest.raises(InputError, match=message):
            ice.interfaces(trj, labels, **options)
    with pytest.raises(InputError, match="expected a trajectory Dataset"):
        ice.interfaces(labels, labels, classes=["ice"])
    with pytest.raises(InputError, match="found atom 1000"):
        ice.interfaces(trj, labels.assign_coords(atom=labels["atom"] + 1000), classes=["ice"])
    twice = xr.concat([labels, labels], "frame", data_vars="minimal")
    with pytest.raises(InputError, match="expected the same frames in both, found 1 and 2"):
        ice.interfaces(trj, twice, classes=["ice"])
    trj["pbc"][2] = False
    with pytest.raises(InputError, match="periodic along cell vector 2"):
        ice.interfaces(trj, labels, classes=["ice"])


def test_standard_error_of_the_rate_of_correlated_frames() -> None:
    rng = np.random.default_rng(0)
    n_frames, r = 400, 0.8
    time, height = np.arange(n_frames, dtype=float), np.full(n_frames, 100.0)
    ratios = []
    for _ in range(100):
        noise = np.zeros(n_frames)
        for frame in range(1, n_frames):
            noise[frame] = r * noise[frame - 1] + rng.normal()
        thickness = 40 + 0.05 * time + noise
        place = np.stack([30 - thickness / 2, 30 + thickness / 2], axis=1) % 100
        motion = slab_motion(place, height, time)
        ratios.append((motion.rate - 0.05) / motion.error)
    # One, if errors are right; three, if frames were taken as independent.
    assert 0.7 < np.std(ratios) < 1.4


def test_rate_of_an_exact_line() -> None:
    time = np.arange(5.0)
    place = np.stack([98 + time, 20 + 3 * time], axis=1) % 100
    motion = slab_motion(place, np.full(5, 100.0), time)
    np.testing.assert_allclose(motion.position, np.stack([98 + time, 120 + 3 * time], axis=1))
    np.testing.assert_allclose([motion.rate, motion.intercept], [2, 22])
    assert motion.error < 1e-9
