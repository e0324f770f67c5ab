"""Gaussian mixtures over data of any size: expectation-maximisation from sums over blocks."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, NamedTuple, Self

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from icedask.core.features import feature_blocks
from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.learn.base import Estimator
from icedask.learn.iterations import (
    check_options,
    given_rows,
    start_rows,
    warn_if_computed_anew,
)
from icedask.learn.labels import labelled
from icedask.tasks.moments import finite_rows
from icedask.tasks.progress import stage
from icedask.tasks.reduce import reduce_blocks

logger = logging.getLogger("icedask")


_ROWS = 8192
_TINY = 10 * np.finfo(np.float64).eps


class Mixture(NamedTuple):
    """Weights (k,), means (k, n) and covariances (k, n, n)."""

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray

    def precision_roots(self) -> FloatArray:
        """Return upper triangular U with U U^T the inverse of each covariance.

        Raises
        ------
        InputError
            If one is not positive definite.
        """
        width = self.means.shape[1]
        roots = np.empty_like(self.covariances)
        for number, covariance in enumerate(self.covariances):
            try:
                lower = np.linalg.cholesky(covariance)
            except np.linalg.LinAlgError as error:
                raise InputError(
                    f"GaussianMixture: expected positive definite covariances, found that of "
                    f"component {number} singular: fewer components, fewer features or a larger "
                    "reg_covar"
                ) from error
            roots[number] = solve_triangular(lower, np.eye(width), lower=True).T
        return roots


class _Sums(NamedTuple):
    """Of each component: responsibilities, and first and second moments about its mean."""

    n: FloatArray
    first: FloatArray
    second: FloatArray
    log_likelihood: float
    n_rows: int


class GaussianMixture(Estimator):
    """Overlapping clusters, each a Gaussian of any shape; `fit` computes, `predict` is lazy.

    Expectation-maximisation over all rows, exact whatever the blocks: each pass adds up sums over
    the blocks. It begins at the best of `n_init` fits to a sample in which every frame has the
    same share, or at given components. Rows with NaN are left out and labelled -1.

    Parameters
    ----------
    n_components : int
        Number of Gaussians, each with a full covariance.
    weights_init, means_init, covariances_init : arrays, optional
        Components to begin with, of the shapes of the attributes; all three or none. By default
        those of the fit to the sample, in ascending order of the first feature of their means.
    n_init : int
        Fits to the sample, from different starts.
    max_iter : int
        Passes over all rows, at most.
    tol : float
        The iterations end when the mean log-likelihood of a row gains less than this.
    reg_covar : float
        Added to the diagonal of the covariances, in squared units of the features.
    sample_size : int
        Rows in the sample.
    seed : int
        Of the sample and of the fits to it.

    Attributes
    ----------
    weights_ : (n_components,) array
    means_ : (n_components, n_features) array
    covariances_ : (n_components, n_features, n_features) array
    log_likelihood_ : float
        Of all rows under the fitted mixture, natural logarithm.
    bic_, aic_ : float
        Bayesian and Akaike information criteria of all rows; of several numbers of components,
        the best has the lowest.
    n_iter_ : int
    converged_ : bool
    n_samples_ : int
        Rows that were used.

    Notes
    -----
    Equals scikit-learn's GaussianMixture (covariance_type="full") from the same components.
    Dempster, Laird and Rubin, doi:10.1111/j.2517-6161.1977.tb01600.x; Schwarz,
    doi:10.1214/aos/1176344136.

    Each iteration is a pass over the input, and one that is not stored is computed anew each
    time: save it first.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> rows = np.random.default_rng(0).normal([[0], [5]], 0.5, (2, 100)).reshape(1, 200, 1)
    >>> x = xr.Dataset({"latent": (("frame", "atom", "component"), rows)})
    >>> ice.GaussianMixture(2).fit(x).means_.round(0)
    array([[0.],
           [5.]])
    """

    _slug = "gmm"
    _version = 1
    _learned: ClassVar = {
        "weights": ("cluster",),
        "means": ("cluster", "feature"),
        "covariances": ("cluster", "feature", "feature_b"),
    }
    _numbers = ("log_likelihood", "bic", "aic", "n_iter", "converged", "n_samples")

    weights_: FloatArray
    means_: FloatArray
    covariances_: FloatArray
    log_likelihood_: float
    bic_: float
    aic_: float
    n_iter_: int
    converged_: bool
    n_samples_: int

    def __init__(
        self,
        n_components: int,
        *,
        weights_init: npt.ArrayLike | None = None,
        means_init: npt.ArrayLike | None = None,
        covariances_init: npt.ArrayLike | None = None,
        n_init: int = 5,
        max_iter: int = 100,
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        sample_size: int = 50_000,
        seed: int = 0,
    ) -> None:
        self.n_components = n_components
        self.weights_init = weights_init
        self.means_init = means_init
        self.covariances_init = covariances_init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.reg_covar = reg_covar
        self.sample_size = sample_size
        self.seed = seed

    def fit(self, x: xr.Dataset) -> Self:
        """Find the components of all rows of `x`.

        Parameters
        ----------
        x : xarray.Dataset
            One variable (frame, atom[, feature]), lazy or not.

        Raises
        ------
        InputError
            If a parameter is out of bounds, there are fewer distinct rows than components, or a
            covariance becomes singular.
        """
        whole = ("n_components", "n_init", "max_iter", "sample_size")
        check_options(self, whole, ("tol", "reg_covar"))
        features = feature_blocks(x)
        warn_if_computed_anew(x, "GaussianMixture")
        mixture = self._iterated(features, self._start(features))
        if not self.converged_:
            logger.warning(
                "GaussianMixture: not converged after %d iterations; a larger max_iter, or fewer "
                "components",
                self.max_iter,
            )
        last = _sums(features, mixture)
        self.weights_, self.means_, self.covariances_ = mixture
        self.log_likelihood_ = last.log_likelihood
        self.n_samples_ = last.n_rows
        width = features.shape[2]
        free = self.n_components * (1 + width + width * (width + 1) // 2) - 1
        self.bic_ = free * math.log(last.n_rows) - 2 * last.log_likelihood
        self.aic_ = 2 * free - 2 * last.log_likelihood
        self.record_ = self.fitted_record(x)
        return self

    def _iterated(self, features: da.Array, mixture: Mixture) -> Mixture:
        bound, self.converged_ = -math.inf, False
        number = 0
        with stage("GaussianMixture", self.max_iter) as advance:
            while number < self.max_iter:
                number += 1
                sums = _sums(features, mixture)
                if sums.n_rows == 0:
                    raise InputError("GaussianMixture: expected rows without NaN, found none")
                if not all(np.isfinite(part).all() for part in sums):
                    raise InputError(
                        "GaussianMixture: some rows are so far from all components that their "
                        "densities are no numbers; scale the features, or leave such rows out as "
                        "NaN"
                    )
                mixture = _maximised(mixture, sums, self.reg_covar)
                before, bound = bound, sums.log_likelihood / sums.n_rows
                advance(1)
                if abs(bound - before) < self.tol:
                    self.converged_ = True
                    break
            advance(self.max_iter - number)
        self.n_iter_ = number
        return mixture

    def _start(self, features: da.Array) -> Mixture:
        k, width = self.n_components, features.shape[2]
        shapes = {
            "weights_init": (k,),
            "means_init": (k, width),
            "covariances_init": (k, width, width),
        }
        given = {name: getattr(self, name) for name in shapes}
        missing = [name for name, value in given.items() if value is None]
        if not missing:
            arrays = [
                given_rows(given[name], shape, f"GaussianMixture: {name}")
                for name, shape in shapes.items()
            ]
            if (arrays[0] < 0).any() or not math.isclose(arrays[0].sum(), 1.0, abs_tol=1e-6):
                raise InputError(
                    "GaussianMixture: weights_init: expected fractions that sum to 1, found "
                    f"{arrays[0].tolist()}"
                )
            if not np.allclose(arrays[2], arrays[2].transpose(0, 2, 1)):
                raise InputError(
                    "GaussianMixture: covariances_init: expected symmetric matrices, found "
                    f"{arrays[2].tolist()}"
                )
            return Mixture(*arrays)
        if len(missing) < len(given):
            raise InputError(
                f"GaussianMixture: expected {', '.join(given)} together, found none for "
                f"{', '.join(missing)}"
            )
        from sklearn.mixture import GaussianMixture as OnSample

        rows = start_rows(features, k, self.sample_size, self.seed, "GaussianMixture")
        on_sample = OnSample(
            k,
            n_init=self.n_init,
            tol=self.tol,
            reg_covar=self.reg_covar,
            max_iter=max(self.max_iter, 100),
            random_state=self.seed,
        )
        try:
            on_sample.fit(rows)
        except ValueError as error:
            raise InputError(
                f"GaussianMixture: expected positive definite covariances, found a singular one "
                f"in the fit to a sample of {len(rows)} rows, n_components {k}: fewer components, "
                "fewer features, more rows or a larger reg_covar"
            ) from error
        order = np.lexsort(on_sample.means_.T[::-1])
        found = on_sample.weights_, on_sample.means_, on_sample.covariances_
        return Mixture(*(array[order] for array in found))

    def predict(self, x: xr.Dataset) -> xr.Dataset:
        """Label every row of `x` by its most probable component; lazy.

        Returns
        -------
        xarray.Dataset
            label (frame, atom), int32, -1 for rows with NaN; probability (frame, atom), float32,
            of that component.

        Raises
        ------
        InputError
            If the features are not those of the fit.
        """
        self.check_fitted()
        mixture = Mixture(self.weights_, self.means_, self.covariances_)
        return labelled(
            self,
            x,
            self.means_.shape[1],
            partial(_most_probable, mixture=mixture, roots=mixture.precision_roots()),
            ("label", "probability"),
        )

    def fit_predict(self, x: xr.Dataset) -> xr.Dataset:
        """Fit on `x`, then label it; the labels are lazy."""
        return self.fit(x).predict(x)


def _sums(features: da.Array, mixture: Mixture) -> _Sums:
    kernel = partial(_block_sums, mixture=mixture, roots=mixture.precision_roots())
    return reduce_blocks(features, kernel, _merged, None)


def _block_sums(block: npt.NDArray[np.floating], mixture: Mixture, roots: FloatArray) -> _Sums:
    rows = finite_rows(block)
    k, width = mixture.means.shape
    parts = [_Sums(np.zeros(k), np.zeros((k, width)), np.zeros((k, width, width)), 0.0, 0)]
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS].astype(np.float64)
        # What overflows is refused where the sums are used.
        with np.errstate(over="ignore", invalid="ignore"):
            weighted = log_densities(some, mixture, roots)
            total = logsumexp(weighted, axis=1)
            share = np.exp(weighted - total[:, None])
            first, second = np.empty((k, width)), np.empty((k, width, width))
            for number in range(k):
                shift = some - mixture.means[number]
                scaled = share[:, number, None] * shift
                first[number], second[number] = scaled.sum(axis=0), scaled.T @ shift
        parts.append(_Sums(share.sum(axis=0), first, second, float(total.sum()), len(some)))
    return _merged(parts)


def _merged(parts: Sequence[_Sums]) -> _Sums:
    return _Sums(
        np.sum([part.n for part in parts], axis=0),
        np.sum([part.first for part in parts], axis=0),
        np.sum([part.second for part in parts], axis=0),
        float(sum(part.log_likelihood for part in parts)),
        sum(part.n_rows for part in parts),
    )


def _maximised(mixture: Mixture, sums: _Sums, reg_covar: float) -> Mixture:
    n = sums.n + _TINY
    shift = sums.first / n[:, None]
    covariances = sums.second / n[:, None, None] - shift[:, :, None] * shift[:, None, :]
    covariances += reg_covar * np.eye(shift.shape[1])
    return Mixture(n / n.sum(), mixture.means + shift, covariances)


def log_densities(rows: FloatArray, mixture: Mixture, roots: FloatArray) -> FloatArray:
    """Return the logarithm of weight times density of each component, (n_rows, k)."""
    width = rows.shape[1]
    result = np.empty((len(rows), len(roots)))
    for number, root in enumerate(roots):
        scaled = (rows - mixture.means[number]) @ root
        result[:, number] = -0.5 * (scaled * scaled).sum(axis=1) + np.log(np.diag(root)).sum()
    with np.errstate(divide="ignore"):
        result += np.log(mixture.weights)
    return result - 0.5 * width * math.log(2 * math.pi)


def _most_probable(
    block: npt.NDArray[np.floating], mixture: Mixture, roots: FloatArray
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    rows = block.reshape(-1, block.shape[-1])
    label = np.full(len(rows), -1, np.int32)
    probability = np.zeros(len(rows), np.float32)
    finite = np.flatnonzero(np.isfinite(rows).all(axis=1))
    for start in range(0, len(finite), _ROWS):
        some = finite[start : start + _ROWS]
        weighted = log_densities(rows[some].astype(np.float64), mixture, roots)
        best = weighted.argmax(axis=1)
        label[some] = best
        probability[some] = np.exp(weighted.max(axis=1) - logsumexp(weighted, axis=1))
    return label.reshape(block.shape[:2]), probability.reshape(block.shape[:2])
