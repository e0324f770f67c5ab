"""Results in ASE Atoms: matched to frames and atoms; refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from ase.build import bulk

import icedask as ice


@pytest.fixture
def trj() -> xr.Dataset:
    frames = [bulk("NaCl", "rocksalt", a=5.6, cubic=True) * (2, 2, 2) for _ in range(4)]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.2, seed=seed)
    return ice.from_ase(frames, frame_interval=0.5)


def test_results_are_arrays_of_their_names(trj: xr.Dataset) -> None:
    lens = ice.lens(trj, r_cut=3.2)
    orders = ice.steinhardt(trj, r_cut=3.2, degrees=[4, 6])
    atoms = ice.to_ase(trj, 1, lens=lens, q=orders)
    np.testing.assert_array_equal(atoms.arrays["lens"], lens["lens"][1])
    np.testing.assert_array_equal(atoms.arrays["q"], orders["steinhardt"][1])
    assert atoms.arrays["q"].shape == (64, 2)
    assert np.isnan(ice.to_ase(trj, -1, lens=lens).arrays["lens"]).all()


def test_labels_give_their_name_to_the_label(trj: xr.Dataset) -> None:
    rows = ("frame", "atom")
    numbers = np.arange(256, dtype=np.int32).reshape(4, 64)
    states = xr.Dataset({"label": (rows, numbers), "probability": (rows, numbers / np.float32(2))})
    atoms = ice.to_ase(trj, 2, states=states)
    np.testing.assert_array_equal(atoms.arrays["states"], numbers[2])
    np.testing.assert_array_equal(atoms.arrays["states_probability"], numbers[2] / 2)


def test_atoms_without_a_value(trj: xr.Dataset) -> None:
    sodium = ice.lens(trj, r_cut=3.2, centers="element Na")
    counts = ice.coordination(trj, r_cut=3.2, centers="element Cl").isel(frame=[3, 1])
    atoms = ice.to_ase(trj, 1, lens=sodium, cn=counts)
    is_sodium = atoms.symbols == "Na"
    np.testing.assert_array_equal(atoms.arrays["lens"][is_sodium], sodium["lens"][1])
    assert np.isnan(atoms.arrays["lens"][~is_sodium]).all()
    # The frames of the result are in another order.
    np.testing.assert_array_equal(atoms.arrays["cn"][~is_sodium], counts["coordination"][1])
    assert (atoms.arrays["cn"][is_sodium] == -1).all()
    with pytest.raises(ice.InputError, match=r"cn has no value for frame 2 \(step 2\)"):
        ice.to_ase(trj, 2, cn=counts)


def test_other_trajectories_and_names_are_refused(trj: xr.Dataset) -> None:
    lens = ice.lens(trj, r_cut=3.2)
    other = trj.assign(positions=trj["positions"] + np.float32(1))
    with pytest.raises(ice.InputError, match=r"lens.*: expected a result of this trajectory"):
        ice.to_ase(other, 0, lens=lens)
    ice.to_ase(other, 0, lens=lens.drop_attrs())
    with pytest.raises(ice.InputError, match="found element twice"):
        ice.to_ase(trj, 0, element=lens)
    with pytest.raises(ice.InputError, match="array numbers already"):
        ice.to_ase(trj, 0, numbers=lens)
    with pytest.raises(ice.InputError, match="Datasets, such as those"):
        ice.to_ase(trj, 0, lens=np.zeros(64))  # type: ignore[arg-type]
    with pytest.raises(ice.InputError, match="expected values of atoms, found population"):
        ice.to_ase(trj, 0, a=xr.Dataset({"population": (("frame", "state"), np.zeros((4, 2)))}))
    with pytest.raises(ice.InputError, match="expected 64 atoms as in the trajectory, found 63"):
        ice.to_ase(trj, 0, a=xr.Dataset({"a": (("frame", "atom"), np.zeros((4, 63)))}))


@pytest.mark.parametrize("frame", [1.0, True, None, "a", 5, -5])
def test_to_ase_asks_for_an_index(frame: Any) -> None:
    trj = ice.from_ase([bulk("Cu")] * 4)
    with pytest.raises(ice.InputError, match=r"expected the index|from -4 to 3"):
        ice.to_ase(trj, frame)
