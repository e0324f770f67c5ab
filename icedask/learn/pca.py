"""Principal component analysis: exact, in one pass over data of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Self

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.collection import Collection
from icedask.core.features import rechunked
from icedask.core.options import Option
from icedask.core.rows import feature_template, rows_of
from icedask.core.types import FloatArray
from icedask.core.variables import COMPONENT, FEATURE
from icedask.errors import InputError
from icedask.learn.base import Transformer
from icedask.tasks.moments import CACHED_ROWS, Moments, moments_together


class PCA(Transformer):
    """Principal component analysis; `fit` computes, `transform` is lazy.

    The covariance of all rows is merged from exact moments of each block, and diagonalised. Rows
    with NaN are left out of the fit and stay NaN in the transform.

    {parameters}

    Attributes
    ----------
    components_ : (n_components, n_features) array
        Principal axes, unit length; the largest entry of each is positive.
    explained_variance_, explained_variance_ratio_ : (n_components,) arrays
    mean_ : (n_features,) array
    n_samples_ : int
        Rows without NaN.

    Notes
    -----
    Equals scikit-learn's PCA (svd_solver="covariance_eigh"), doi:10.1098/rsta.2015.0202 for the
    method. Products of matrices are those of the host's BLAS: between processors, axes agree to
    about 1e-12 where their variances differ, latent vectors to the rounding of their dtype.

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

    components_: FloatArray
    explained_variance_: FloatArray
    explained_variance_ratio_: FloatArray
    mean_: FloatArray
    n_samples_: int

    def __init__(
        self,
        n_components: Annotated[
            int | float | None,
            Option("Number of components, or fraction of the variance to exceed; all by default."),
        ] = None,
    ) -> None:
        self.n_components = n_components

    def fit(self, x: xr.Dataset | Collection) -> Self:
        """Compute the components of all rows of `x`.

        Parameters
        ----------
        x : xarray.Dataset or Collection
            One variable (frame, atom, feature), lazy or not; of a collection all members.

        Raises
        ------
        InputError
            If `x` has no such variable, too few rows, or n_components does not fit it.
        """
        fit_together([(self, x)])
        return self

    def _fit(self, moments: Moments, x: xr.Dataset | Collection) -> Self:
        # Weights have a mean of one.
        values, vectors = np.linalg.eigh(moments.scatter / (moments.n - 1))
        values = np.clip(values[::-1], 0, None)
        axes = vectors.T[::-1]
        largest = np.argmax(np.abs(axes), axis=1)
        axes = axes * np.where(axes[np.arange(len(axes)), largest] < 0, -1.0, 1.0)[:, None]
        ratio = values / values.sum() if values.sum() > 0 else np.zeros_like(values)
        keep = self._n_kept(ratio)
        self.components_ = np.ascontiguousarray(axes[:keep])
        self.explained_variance_ = values[:keep]
        self.explained_variance_ratio_ = ratio[:keep]
        self.mean_ = moments.mean
        self.n_samples_ = moments.n_rows
        self.note_fit(x)
        return self

    def _check_components(self, n_features: int) -> None:
        wanted = self.check_parameters()["n_components"]
        if wanted is None:
            return
        whole = isinstance(wanted, int)
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

    def _n_kept(self, ratio: FloatArray) -> int:
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
        mean, components = self.mean_, self.components_
        dtype = feature_template(x).dtype
        return self.map_rows(x, len(mean), project, len(components), mean, components, dtype=dtype)


def fit_together(pairs: Sequence[tuple[PCA, xr.Dataset | Collection]]) -> list[PCA]:
    """Fit models to features of the same frames and atoms, in one pass over shared blocks."""
    inputs = [rows_of(x) for _, x in pairs]
    blocks = [part.features for part in inputs]
    for (model, _), features in zip(pairs, blocks, strict=True):
        model._check_components(features.shape[2])
    rows = blocks[0].chunks[:2]
    # Several models may be of the same features.
    distinct = {features.name: features for features in blocks}
    arrays = [rechunked(features, (*rows, -1)) for features in distinct.values()]
    together = moments_together(arrays, "PCA fit", inputs[0].weight_blocks())
    moments = dict(zip(distinct, together, strict=True))
    return [
        model._fit(moments[features.name], x)
        for (model, x), features in zip(pairs, blocks, strict=True)
    ]


def project(
    block: npt.NDArray[np.floating], mean: FloatArray, components: FloatArray
) -> npt.NDArray[np.floating]:
    """Return (block - mean) @ components.T in float64, in the dtype of the block."""
    rows = block.reshape(-1, block.shape[-1])
    result = np.empty((len(rows), len(components)), block.dtype)
    for start in range(0, len(rows), CACHED_ROWS):
        part = slice(start, start + CACHED_ROWS)
        result[part] = (rows[part] - mean) @ components.T
    return result.reshape(*block.shape[:-1], -1)
