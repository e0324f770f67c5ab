"""Features that differ from the fitted ones: the error names the differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from helpers.systems import system

import icedask as ice
from icedask.errors import InputError

SOAP = {"n_max": 2, "l_max": 1}


@pytest.fixture
def trj() -> xr.Dataset:
    trj = ice.from_ase([system("orthogonal")] * 6, frame_interval=1.0)
    trj["positions"][:] += np.random.default_rng(0).normal(0, 0.3, trj["positions"].shape)
    return trj


def joined(trj: xr.Dataset, r_cut: float = 3.0, lens_r_cut: float = 3.0) -> xr.Dataset:
    return ice.join(ice.soap(trj, r_cut=r_cut, **SOAP), ice.lens(trj, r_cut=lens_r_cut))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda trj: joined(trj, r_cut=4.0), "soap parameters r_cut: 3.0 in the fit, 4.0 here"),
        (
            lambda trj: joined(trj, lens_r_cut=3.5),
            "lens parameters r_cut: 3.0 in the fit, 3.5 here",
        ),
        (
            lambda trj: ice.join(
                ice.soap(trj, r_cut=3.0, **SOAP),
                ice.smooth(ice.lens(trj, r_cut=3.0), window=3),
            ),
            "join sources: descriptors/lens in the fit, results/smooth here",
        ),
    ],
)
def test_differences_are_named(
    trj: xr.Dataset, other: Callable[[xr.Dataset], xr.Dataset], message: str
) -> None:
    pca = ice.PCA(2).fit(joined(trj))
    with pytest.raises(InputError, match=message):
        pca.transform(other(trj))


def test_other_function(trj: xr.Dataset) -> None:
    soap = ice.soap(trj, r_cut=3.0, **SOAP)
    with pytest.raises(InputError, match="soap in the fit, descriptors/unit_norm here"):
        ice.PCA(2).fit(soap).transform(ice.unit_norm(soap))


def test_what_is_no_feature() -> None:
    trj = ice.from_ase([bulk("Cu", cubic=True) * (2, 2, 2)] * 2)
    with pytest.raises(InputError, match=r"found a trajectory.*or pass trj\[\['positions'\]\]"):
        ice.PCA(2).fit(trj)
    assert ice.PCA(2).fit(trj[["positions"]]).components_.shape == (2, 3)
    counts = ice.coordination(trj, r_cut=3.0)
    with pytest.raises(InputError, match=r"as numbers, coordination.astype\('float32'\)"):
        ice.PCA(1).fit(counts)
    with pytest.raises(InputError, match="labels are no features"):
        ice.PCA(1).fit(ice.chill_plus(ice.from_ase([bulk("O", "fcc", 4, cubic=True)] * 2)))
