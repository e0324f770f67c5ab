"""Gaussian mixtures over data of any size: expectation-maximisation from sums over blocks."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from icedask.core.collection import Collection
from icedask.core.options import Option, Seed
from icedask.core.rows import Rows, rows_of
from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.learn.base import (
    Clusterer,
    SampleSize,
    starting_sample,
    starting_values,
    warn_if_unsaved,
)
from icedask.tasks.moments import block_weight, finite_rows
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
        """Return upper triangular U with U U^T the inverse of each covariance."""
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
    """Responsibilities of each component, their sum, and its moments about its mean."""

    n: FloatArray
    n_weighted: float
    first: FloatArray
    second: FloatArray
    log_likelihood: float
    n_rows: int


class GaussianMixture(Clusterer):
    """Mixture of Gaussians with full covariances; `fit` computes, `predict` is lazy.

    Expectation-maximisation over all rows, exact for any blocks: each pass sums over the blocks.
    It starts from the best of `n_init` fits to a sample with the same number of rows from every
    frame, in ascending order of the first feature of the means, or from given components: all of
    `weights_init`, `means_init` and `covariances_init`, of the shapes of the attributes. Rows with
    NaN are left out and labelled -1.

    {parameters}

    Attributes
    ----------
    weights_ : (n_components,) array
    means_ : (n_components, n_features) array
    covariances_ : (n_components, n_features, n_features) array
    log_likelihood_ : float
        Natural logarithm of the likelihood of all rows.
    bic_, aic_ : float
        Bayesian and Akaike information criteria of all rows; the lowest marks the best number of
        components.
    n_iter_ : int
    converged_ : bool
    n_samples_ : int
        Rows without NaN.

    Notes
    -----
    Equals scikit-learn's GaussianMixture (covariance_type="full") from the same components.
    Dempster, Laird and Rubin, doi:10.1111/j.2517-6161.1977.tb01600.x; Schwarz,
    doi:10.1214/aos/1176344136.

    Each iteration is a pass over the input, which is computed each time unless it is read from a
    store: save it first.

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
        n_components: Annotated[int, Option("Number of Gaussians.", at_least=1)],
        *,
        weights_init: Annotated[Any, Option("Array of first weights.")] = None,
        means_init: Annotated[Any, Option("Array of first means.")] = None,
        covariances_init: Annotated[Any, Option("Array of first covariances.")] = None,
        n_init: Annotated[int, Option("Fits to the sample.", at_least=1)] = 5,
        max_iter: Annotated[int, Option("Largest number of passes.", at_least=1)] = 100,
        tol: Annotated[
            float, Option("Gain of the mean log-likelihood of a row at convergence.", at_least=0)
        ] = 1e-3,
        reg_covar: Annotated[
            float, Option("Increment of the variances, in squared units of features.", at_least=0)
        ] = 1e-6,
        sample_size: SampleSize = 50_000,
        seed: Seed = 0,
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

    def fit(self, x: xr.Dataset | Collection) -> Self:
        """Find the components of all rows of `x`.

        Parameters
        ----------
        x : xarray.Dataset or Collection
            One variable (frame, atom[, feature]), lazy or not; of a collection all members.

        Raises
        ------
        InputError
            If a parameter is out of bounds, there are fewer distinct rows than components, or a
            covariance becomes singular.
        """
        self.check_parameters()
        rows = rows_of(x)
        warn_if_unsaved(x, "GaussianMixture")
        mixture = self._iterate(rows, self._start(rows))
        if not self.converged_:
            logger.warning(
                "GaussianMixture: not converged after %d iterations; a larger max_iter, or fewer "
                "components",
                self.max_iter,
            )
        last = _sums(rows, mixture)
        self.weights_, self.means_, self.covariances_ = mixture
        self.log_likelihood_ = last.log_likelihood
        self.n_samples_ = last.n_rows
        width = rows.features.shape[2]
        free = self.n_components * (1 + width + width * (width + 1) // 2) - 1
        self.bic_ = free * math.log(last.n_rows) - 2 * last.log_likelihood
        self.aic_ = 2 * free - 2 * last.log_likelihood
        self.note_fit(x)
        return self

    def _iterate(self, rows: Rows, mixture: Mixture) -> Mixture:
        bound, self.converged_ = -math.inf, False
        number = 0
        with stage("GaussianMixture", self.max_iter) as advance:
            while number < self.max_iter:
                number += 1
                sums = _sums(rows, mixture)
                if sums.n_rows == 0:
                    raise InputError("GaussianMixture: expected rows without NaN, found none")
                if not all(np.isfinite(part).all() for part in sums):
                    raise InputError(
                        "GaussianMixture: some rows are so far from all components that their "
                        "densities are no numbers; scale the features, or leave such rows out as "
                        "NaN"
                    )
                mixture = _maximise(mixture, sums, self.reg_covar)
                before, bound = bound, sums.log_likelihood / sums.n_weighted
                advance(1)
                if abs(bound - before) < self.tol:
                    self.converged_ = True
                    break
            advance(self.max_iter - number)
        self.n_iter_ = number
        return mixture

    def _start(self, rows: Rows) -> Mixture:
        k, width = self.n_components, rows.features.shape[2]
        shapes = {
            "weights_init": (k,),
            "means_init": (k, width),
            "covariances_init": (k, width, width),
        }
        missing = [name for name in shapes if getattr(self, name) is None]
        if not missing:
            arrays = [
                starting_values(getattr(self, name), shape, f"GaussianMixture: {name}")
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
        if len(missing) < len(shapes):
            raise InputError(
                f"GaussianMixture: expected {', '.join(shapes)} together, found none for "
                f"{', '.join(missing)}"
            )
        from sklearn.mixture import GaussianMixture as OnSample

        sample = starting_sample(rows, k, self.sample_size, self.seed, "GaussianMixture")
        on_sample = OnSample(
            k,
            n_init=self.n_init,
            tol=self.tol,
            reg_covar=self.reg_covar,
            max_iter=max(self.max_iter, 100),
            random_state=self.seed,
        )
        try:
            on_sample.fit(sample)
        except ValueError as error:
            raise InputError(
                "GaussianMixture: expected positive definite covariances, found a singular one in "
                f"the fit to a sample of {len(sample)} rows, n_components {k}: fewer components, "
                "fewer features, more rows or a larger reg_covar"
            ) from error
        order = np.lexsort(on_sample.means_.T[::-1])
        components = on_sample.weights_, on_sample.means_, on_sample.covariances_
        return Mixture(*(array[order] for array in components))

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
        kernel = partial(_most_probable, mixture=mixture, roots=mixture.precision_roots())
        return self.label_rows(x, self.means_.shape[1], kernel, ("label", "probability"))


def _sums(rows: Rows, mixture: Mixture) -> _Sums:
    kernel = partial(_block_sums, mixture=mixture, roots=mixture.precision_roots())
    return reduce_blocks(rows.weighted(), kernel, _merged, None)


def _block_sums(
    block: npt.NDArray[np.floating],
    weight: FloatArray | None = None,
    *,
    mixture: Mixture,
    roots: FloatArray,
) -> _Sums:
    rows, factor = finite_rows(block), block_weight(weight)
    k, width = mixture.means.shape
    parts = [_Sums(np.zeros(k), 0.0, np.zeros((k, width)), np.zeros((k, width, width)), 0.0, 0)]
    for start in range(0, len(rows), _ROWS):
        values = rows[start : start + _ROWS].astype(np.float64)
        # Overflow is refused where the sums are used.
        with np.errstate(over="ignore", invalid="ignore"):
            weighted = log_densities(values, mixture, roots)
            total = logsumexp(weighted, axis=1)
            share = factor * np.exp(weighted - total[:, None])
            first, second = np.empty((k, width)), np.empty((k, width, width))
            for number in range(k):
                shift = values - mixture.means[number]
                scaled = share[:, number, None] * shift
                first[number], second[number] = scaled.sum(axis=0), scaled.T @ shift
        likelihood = factor * float(total.sum())
        n_weighted = factor * len(values)
        parts.append(_Sums(share.sum(axis=0), n_weighted, first, second, likelihood, len(values)))
    return _merged(parts)


def _merged(parts: Sequence[_Sums]) -> _Sums:
    return _Sums(
        np.sum([part.n for part in parts], axis=0),
        float(sum(part.n_weighted for part in parts)),
        np.sum([part.first for part in parts], axis=0),
        np.sum([part.second for part in parts], axis=0),
        float(sum(part.log_likelihood for part in parts)),
        sum(part.n_rows for part in parts),
    )


def _maximise(mixture: Mixture, sums: _Sums, reg_covar: float) -> Mixture:
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
        part = finite[start : start + _ROWS]
        weighted = log_densities(rows[part].astype(np.float64), mixture, roots)
        label[part] = weighted.argmax(axis=1)
        probability[part] = np.exp(weighted.max(axis=1) - logsumexp(weighted, axis=1))
    return label.reshape(block.shape[:2]), probability.reshape(block.shape[:2])
