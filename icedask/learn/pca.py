"""Principal component analysis, exact, in one pass over data of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import feature_blocks, feature_variable, input_record, row_coords
from icedask.core.provenance import stamped
from icedask.core.variables import ATOM, COMPONENT, FEATURE, FRAME, VARIABLES
from icedask.errors import InputError
from icedask.learn.base import Estimator
from icedask.tasks.moments import CACHED_ROWS, Moments, moments_together


class PCA(Estimator):
    """Principal component analysis; `fit` computes, `transform` is lazy.

    The covariance of all rows is merged from exact moments of each block, whatever the blocks,
    and diagonalised. Rows with NaN are left out of the fit and stay NaN in the transform.

    Parameters
    ----------
    n_components : int or float, optional
        Number of components, or the fraction of the variance that they must exceed (0 to 1). All
        by default.

    Attributes
    ----------
    components_ : (n_components, n_features) array
        Principal axes, unit length; the largest entry of each is positive.
    explained_variance_, explained_variance_ratio_ : (n_components,) arrays
    mean_ : (n_features,) array
    n_samples_ : int
        Rows that were used.

    Notes
    -----
    Equals scikit-learn's PCA (svd_solver="covariance_eigh"), doi:10.1098/rsta.2015.0202 for the
    method.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> crystal = bulk("Cu", cubic=True) * (3, 3, 3)
    >>> crystal.rattle(0.1, seed=1)
    >>> soap = ice.soap(ice.from_ase(crystal), r_cut=4.0, n_max=4, l_max=4)
    >>> pca = ice.PCA(3).fit(soap)
    >>> pca.transform(soap)["latent"].shape
    (1, 108, 3)
    """

    _slug = "pca"
    _version = 1
    _learned: ClassVar = {
        "components": (COMPONENT, FEATURE),
        "explained_variance": (COMPONENT,),
        "explained_variance_ratio": (COMPONENT,),
        "mean": (FEATURE,),
    }
    _numbers = ("n_samples",)

    components_: npt.NDArray[np.float64]
    explained_variance_: npt.NDArray[np.float64]
    explained_variance_ratio_: npt.NDArray[np.float64]
    mean_: npt.NDArray[np.float64]
    n_samples_: int

    def __init__(self, n_components: int | float | None = None) -> None:
        self.n_components = n_components

    def fit(self, x: xr.Dataset) -> Self:
        """Compute the components of all rows of `x`.

        Parameters
        ----------
        x : xarray.Dataset
            One variable (frame, atom, feature), lazy or not.

        Raises
        ------
        InputError
            If `x` has no such variable, too few rows, or n_components does not fit it.
        """
        (fitted,) = fit_together([(self, x)])
        return fitted

    def _set(self, found: Moments, x: xr.Dataset) -> Self:
        values, vectors = np.linalg.eigh(found.scatter / (found.n - 1))
        values = np.clip(values[::-1], 0, None)
        axes = vectors.T[::-1]
        largest = np.argmax(np.abs(axes), axis=1)
        axes = axes * np.where(axes[np.arange(len(axes)), largest] < 0, -1.0, 1.0)[:, None]
        ratio = values / values.sum() if values.sum() > 0 else np.zeros_like(values)
        keep = self._how_many(ratio)
        self.components_ = np.ascontiguousarray(axes[:keep])
        self.explained_variance_ = values[:keep]
        self.explained_variance_ratio_ = ratio[:keep]
        self.mean_ = found.mean
        self.n_samples_ = int(found.n)
        self.record_ = self.fitted_record(x)
        return self

    def _check_components(self, n_features: int) -> None:
        wanted = self.n_components
        if wanted is None:
            return
        if isinstance(wanted, bool) or not isinstance(wanted, int | float | np.number):
            raise InputError(f"PCA: n_components: expected a number, found {wanted!r}")
        whole = isinstance(wanted, int | np.integer)
        if whole and not 1 <= wanted <= n_features:
            raise InputError(
                f"PCA: n_components: expected 1 to {n_features}, the number of features, found "
                f"{wanted}"
            )
        if not whole and not 0 < wanted < 1:
            raise InputError(
                f"PCA: n_components: expected a whole number, or a fraction of the variance "
                f"between 0 and 1, found {wanted!r}"
            )

    def _how_many(self, ratio: npt.NDArray[np.float64]) -> int:
        wanted = self.n_components
        if wanted is None:
            return len(ratio)
        if isinstance(wanted, int | np.integer):
            return int(wanted)
        return min(int(np.searchsorted(np.cumsum(ratio), wanted, side="right")) + 1, len(ratio))

    def transform(self, x: xr.Dataset) -> xr.Dataset:
        """Project `x` on the components; lazy.

        Returns
        -------
        xarray.Dataset
            latent (frame, atom, component), of the dtype of `x`.

        Raises
        ------
        InputError
            If the number of features is not that of the fit.
        """
        self.check_fitted()
        features = feature_blocks(x)
        self.check_features(x, len(self.mean_), features.shape[2])
        latent = da.blockwise(
            project,
            "fac",
            features,
            "fak",
            mean=self.mean_,
            components=self.components_,
            new_axes={"c": len(self.components_)},
            concatenate=True,
            meta=np.empty((0, 0, 0), features.dtype),
        )
        coords = row_coords(feature_variable(x))
        record = self.record_.child("results", self._slug, self._version, {}, input_record(x))
        ds = xr.Dataset(
            {"latent": ((FRAME, ATOM, COMPONENT), latent, VARIABLES["latent"].attrs)},
            {**coords, COMPONENT: np.arange(len(self.components_))},
        )
        return stamped(ds, record)

    def fit_transform(self, x: xr.Dataset) -> xr.Dataset:
        """Fit on `x`, then project it; the projection is lazy."""
        return self.fit(x).transform(x)


def fit_together(pairs: Sequence[tuple[PCA, xr.Dataset]]) -> list[Any]:
    """Fit each model to its Dataset, in one pass over what the Datasets share.

    Parameters
    ----------
    pairs
        Models and Datasets of the same frames and atoms.

    Raises
    ------
    InputError
        As `PCA.fit`.
    """
    blocks = [feature_blocks(x) for _, x in pairs]
    for (model, _), features in zip(pairs, blocks, strict=True):
        model._check_components(features.shape[2])
    rows = blocks[0].chunks[:2]
    # Several models may be of the same features.
    distinct = {features.name: features for features in blocks}
    with dask.config.set({"array.rechunk.method": "tasks"}):
        arrays = [features.rechunk((*rows, -1)) for features in distinct.values()]
    found = dict(zip(distinct, moments_together(arrays, "PCA fit"), strict=True))
    return [
        model._set(found[features.name], x)
        for (model, x), features in zip(pairs, blocks, strict=True)
    ]


def project(
    block: npt.NDArray[np.floating],
    mean: npt.NDArray[np.float64],
    components: npt.NDArray[np.float64],
) -> npt.NDArray[np.floating]:
    """Return (block - mean) @ components.T in float64, in the dtype of the block."""
    rows = block.reshape(-1, block.shape[-1])
    result = np.empty((len(rows), len(components)), block.dtype)
    for start in range(0, len(rows), CACHED_ROWS):
        some = slice(start, start + CACHED_ROWS)
        result[some] = (rows[some] - mean) @ components.T
    return result.reshape(*block.shape[:-1], -1)
