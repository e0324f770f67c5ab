"""Phases by comparison with ideal crystals: the nearest reference, or none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from icedask.core.features import (
    block_part,
    lazy_blocks,
    row_coords,
    variables_record,
    whole_number,
)
from icedask.core.provenance import Record, fingerprint, is_unchanged, record_of, stamped
from icedask.core.trajectory import check_trajectory
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, COMPONENT, VARIABLES
from icedask.descriptors.soap import soap
from icedask.errors import InputError
from icedask.phases.calibration import between, hot_crystal, large_cell, melt, sampled
from icedask.phases.decision import Rule, label_block, steepness
from icedask.phases.denoiser import CLIP, STEPS, Denoiser
from icedask.phases.metric import Space, principal_space, whitened_space
from icedask.phases.references import RESERVED, Phases
from icedask.readers.convert import from_ase

_METRICS = ("mahalanobis", "euclidean", "cosine")
# Standard deviations of the displacements of crystals for the calibration, angstrom, the part by
# which their lengths grow, as by heat and pressure, and how high their cells are.
_NOISE = (
    *((0.06, 0.006), (0.1, -0.018), (0.14, 0.03)),
    *((0.18, -0.03), (0.22, 0.018), (0.26, -0.006)),
)
_HEIGHT = 14.0


class PhaseClassifier(BaseEstimator):
    """The phase of each atom, by the nearest of some ideal crystals.

    The SOAP vector of an atom, best after denoising, is compared with those of all atoms of the
    references; the phase is that of the nearest one. An atom that is far from all of them is
    liquid if it and its neighbours did not settle in denoising, and unknown if they did: of an
    order that is not among the references. Nothing is learnt from any simulation: the boundaries
    are found on crystals that are displaced at random and on melts of random packing.

    Parameters
    ----------
    metric : str
        "mahalanobis": between SOAP vectors of unit length, by the covariance of what is left of
        the noise after denoising, in units of what is usual in the phase. "euclidean" and
        "cosine": as published, between principal components of standardised SOAP vectors.
    r_cut, n_max, l_max, sigma
        Of SOAP; lengths in angstrom. Default 6, 8, 6, 1.
    n_components : int
        Principal components of "euclidean" and "cosine"; at most as many as there are. Default
        30.
    seed : int
        Of the calibration. Default 0.

    Attributes
    ----------
    phases_ : Phases
    classes_ : tuple of str
        Names of the labels: the phases, "liquid", "unknown".
    threshold_ : float
        Score above which an atom is of none of the phases.
    residual_threshold_ : float or None
        Residual above which it is then liquid, angstrom; None without a denoiser.

    References
    ----------
    Sun et al., doi:10.48550/arXiv.2405.06599

    Examples
    --------
    >>> import icedask as ice
    >>> phases = ice.Phases.named("Ih", "Ic")
    >>> classifier = ice.PhaseClassifier(metric="euclidean").fit(phases)
    >>> crystal = ice.from_ase(phases.structures["Ic"] * (2, 2, 2))
    >>> found = classifier.predict(crystal)["label"]
    >>> [classifier.classes_[number] for number in set(found.values.ravel())]
    ['Ic']
    """

    phases_: Phases
    classes_: tuple[str, ...]
    threshold_: float
    residual_threshold_: float | None

    def __init__(
        self,
        *,
        metric: str = "mahalanobis",
        r_cut: float = 6.0,
        n_max: int = 8,
        l_max: int = 6,
        sigma: float = 1.0,
        n_components: int = 30,
        seed: int = 0,
    ) -> None:
        self.metric = metric
        self.r_cut = r_cut
        self.n_max = n_max
        self.l_max = l_max
        self.sigma = sigma
        self.n_components = n_components
        self.seed = seed

    def fit(self, phases: Phases, denoiser: Denoiser | None = None, *, steps: int = STEPS) -> Self:
        """Take the references, and find the boundaries; computes, in seconds.

        Parameters
        ----------
        phases : Phases
            Ideal crystals.
        denoiser : Denoiser, optional
            Fitted; what it denoises is what will be classified. Without one, positions as they
            are.
        steps : int
            Of denoising, as `Denoiser.denoise` has it. Default 8.

        Raises
        ------
        InputError
            If a parameter is out of bounds, or the denoiser is of another element.
        """
        self._check(phases, denoiser)
        steps = whole_number(steps, "PhaseClassifier: steps", at_least=1)
        rng = np.random.default_rng(self.seed)
        score = None if denoiser is None else denoiser.score()
        crystals = list(phases.structures.values())
        references = [self._features(one) for one in crystals]
        large = [large_cell(one, _HEIGHT) for one in crystals]
        hot = [
            [sampled(hot_crystal(one, *noise, rng), score, steps, CLIP) for noise in _NOISE]
            for one in large
        ]
        melts = [sampled(melt(one, rng), score, steps, CLIP) for one in large]
        features = [np.concatenate([self._features(one.atoms) for one in some]) for some in hot]
        self._space = (
            whitened_space(references, features)
            if self.metric == "mahalanobis"
            else principal_space(references, self.n_components, self.metric == "cosine")
        )
        self._references = references
        self.phases_, self.classes_ = phases, (*phases.names, *RESERVED)
        self._denoised = None
        if denoiser is not None:
            self._denoised = {"weights": denoiser.digest_, "steps": steps, "clip": CLIP}
        solid = np.concatenate([self._space.compare(one)[0] for one in features])
        liquid = np.concatenate(
            [self._space.compare(self._features(one.atoms))[0] for one in melts]
        )
        self.threshold_ = between(solid, liquid)
        self._steepness = steepness(solid, self.threshold_)
        self.residual_threshold_, self._residual_steepness = None, 0.0
        settled = [one.residual for some in hot for one in some if one.residual is not None]
        unsettled = [one.residual for one in melts if one.residual is not None]
        if settled:
            values = np.concatenate(settled)
            self.residual_threshold_ = between(values, np.concatenate(unsettled))
            self._residual_steepness = steepness(values, self.residual_threshold_)
        return self

    def _check(self, phases: object, denoiser: object) -> None:
        if self.metric not in _METRICS:
            raise InputError(
                f"PhaseClassifier: metric: expected one of {', '.join(_METRICS)}, found "
                f"{self.metric!r}"
            )
        whole_number(self.n_components, "PhaseClassifier: n_components", at_least=1)
        whole_number(self.seed, "PhaseClassifier: seed", at_least=0)
        if not isinstance(phases, Phases):
            raise InputError(
                f"PhaseClassifier: expected Phases, found {type(phases).__name__}; for example "
                "Phases.ices()"
            )
        if denoiser is None:
            return
        if not isinstance(denoiser, Denoiser):
            raise InputError(
                f"PhaseClassifier: expected a Denoiser, found {type(denoiser).__name__}"
            )
        denoiser.digest_  # noqa: B018  (raises if it is not fitted)
        if denoiser.phases_.element != phases.element:
            raise InputError(
                f"PhaseClassifier: expected a denoiser of {phases.element}, as the phases are, "
                f"found one of {denoiser.phases_.element}"
            )

    def _soap(self, trj: xr.Dataset) -> xr.Dataset:
        return soap(trj, r_cut=self.r_cut, n_max=self.n_max, l_max=self.l_max, sigma=self.sigma)

    def _features(self, atoms: Any) -> npt.NDArray[np.floating]:
        rows: npt.NDArray[np.floating] = self._soap(from_ase(atoms))["soap"].values[0]
        return rows

    def compare(self, x: xr.Dataset) -> xr.Dataset:
        """Compare every atom with the references; lazy.

        Parameters
        ----------
        x : xarray.Dataset
            What the denoiser of the fit returned; without one, a trajectory, of which atoms of the
            element of the phases are taken.

        Returns
        -------
        xarray.Dataset
            score (frame, atom), distance from the nearest reference, 1, and nearest (frame,
            atom), its phase; after denoising also residual (frame, atom), angstrom.

        Raises
        ------
        InputError
            If `x` was not denoised as in the fit.
        """
        self._check_fitted()
        here, record = self._input(x)
        features = lazy_blocks(self._soap(here)["soap"])
        together = da.blockwise(
            _compare_block,
            "fa",
            features,
            "fak",
            # Sent once, and not with each task; its name is that of its content.
            dask.delayed(self._space, pure=True),
            None,
            concatenate=True,
            meta=np.empty((0, 0), object),
        )
        found = {
            "score": _part(together, 0, "score"),
            "nearest": _part(together, 1, "nearest", self.phases_.names),
        }
        if "residual" in here.variables:
            with dask.config.set({"array.rechunk.method": "tasks"}):
                rows = lazy_blocks(here["residual"]).rechunk(features.chunks[:2])
            found["residual"] = here["residual"].variable.copy(data=rows)
        child = record.child("results", "phase_scores", 1, self._parameters())
        return stamped(xr.Dataset(found, row_coords(here["positions"])), child)

    def project(self, x: xr.Dataset) -> xr.Dataset:
        """Project SOAP vectors on the two axes along which the references differ most; lazy.

        Parameters
        ----------
        x : xarray.Dataset
            As of `compare`.

        Returns
        -------
        xarray.Dataset
            latent (frame, atom, component), of standardised SOAP vectors; where the references
            are, `reference_points` says.

        Raises
        ------
        InputError
            If `x` was not denoised as in the fit.
        """
        self._check_fitted()
        here, record = self._input(x)
        features = lazy_blocks(self._soap(here)["soap"])
        spec = VARIABLES["latent"]
        plane = self._plane()
        n_components = plane.references.shape[1]
        array = da.blockwise(
            _project_block,
            "fac",
            features,
            "fak",
            dask.delayed(plane, pure=True),
            None,
            new_axes={"c": n_components},
            concatenate=True,
            meta=np.empty((0, 0, 0), np.float32),
        )
        coords = {**row_coords(here["positions"]), COMPONENT: np.arange(n_components)}
        ds = xr.Dataset({"latent": (spec.dims, array, spec.attrs)}, coords)
        return stamped(ds, record.child("results", "phase_map", 1, self._parameters()))

    def reference_points(self) -> dict[str, FloatArray]:
        """Return the references of each phase as `project` shows them, (n, 2)."""
        self._check_fitted()
        plane = self._plane()
        return {
            name: plane.references[plane.phase == number]
            for number, name in enumerate(self.phases_.names)
        }

    def _plane(self) -> Space:
        return principal_space(self._references, 2, cosine=False)

    def label(self, compared: xr.Dataset, *, threshold: float | None = None) -> xr.Dataset:
        """Give every atom its class; lazy.

        Parameters
        ----------
        compared : xarray.Dataset
            What `compare` returned.
        threshold : float, optional
            Score above which an atom is of none of the phases; `threshold_` by default.

        Returns
        -------
        xarray.Dataset
            label (frame, atom), by the names in `classes_`, and confidence (frame, atom), how
            probable that class is by the calibration: one half at the boundary between a phase and
            none of them, less where these, liquid and unknown meet.

        Raises
        ------
        InputError
            If the threshold is not a positive number.
        """
        self._check_fitted()
        limit = self.threshold_ if threshold is None else threshold
        number = isinstance(limit, int | float | np.number) and not isinstance(limit, bool)
        if not number or not 0 < limit < np.inf:
            raise InputError(
                f"PhaseClassifier: threshold: expected a positive number, found {threshold!r}"
            )
        needed = ["score", "nearest", *([] if self.residual_threshold_ is None else ["residual"])]
        self._check_compared(compared, needed)
        rule = Rule(
            len(self.phases_),
            float(limit),
            self._steepness,
            self.residual_threshold_,
            self._residual_steepness,
        )
        blocks = [part for name in needed for part in (lazy_blocks(compared[name]), "fa")]
        together = da.blockwise(
            partial(label_block, rule=rule), "fa", *blocks, meta=np.empty((0, 0), object)
        )
        found = {
            "label": _part(together, 0, "label", self.classes_),
            "confidence": _part(together, 1, "confidence"),
        }
        record = variables_record(compared, needed).child(
            "results", "phases", 1, {"threshold": float(limit), "residual": rule.residual}
        )
        return stamped(xr.Dataset(found, row_coords(compared["score"])), record)

    def predict(self, x: xr.Dataset) -> xr.Dataset:
        """Compare, then label; lazy."""
        return self.label(self.compare(x))

    def _check_fitted(self) -> None:
        if not hasattr(self, "threshold_"):
            raise NotFittedError("this PhaseClassifier is not fitted; call fit first")

    def _parameters(self) -> dict[str, Any]:
        """Return all that scores depend on but the positions."""
        return {
            **self.get_params(),
            "phases": self.phases_.digest,
            "denoiser": self._denoised,
        }

    def _check_compared(self, compared: xr.Dataset, needed: Sequence[str]) -> None:
        if not isinstance(compared, xr.Dataset):
            raise InputError(
                f"PhaseClassifier: expected what compare returned, found {type(compared).__name__}"
            )
        missing = [name for name in needed if name not in compared.variables]
        if missing:
            raise InputError(
                f"PhaseClassifier: expected what compare returned, found no {missing[0]}"
            )
        record = record_of(compared)
        found = {**record.parameters, "function": record.name}
        expected = {**self._parameters(), "function": "phase_scores"}
        other = [name for name, value in expected.items() if found.get(name) != value]
        if other:
            raise InputError(
                "PhaseClassifier: expected what compare of this classifier returned, found "
                f"{other[0]} {found.get(other[0])!r} for {expected[other[0]]!r}; compare and label "
                "with the same one"
            )

    def _input(self, x: xr.Dataset) -> tuple[xr.Dataset, Record]:
        """Return the atoms to compare, and their record."""
        check_trajectory(x, "PhaseClassifier")
        denoised = record_of(x).parameters if x.attrs.get("function") == "denoise" else None
        if denoised != self._denoised:
            raise InputError(
                f"PhaseClassifier: expected positions denoised by {_in_words(self._denoised)}, as "
                f"in the fit, found them denoised by {_in_words(denoised)}; fit and classify with "
                "the same Denoiser and steps, or with none"
            )
        if denoised is not None:
            if not is_unchanged(x):
                raise InputError(
                    "PhaseClassifier: expected what denoise returned, found it changed since, or "
                    "computed; choose frames and atoms before denoising, and keep what was "
                    "denoised with icedask.save"
                )
            return x, record_of(x)
        here = x.isel({ATOM: self.phases_.atoms_of(x, None, "PhaseClassifier")})
        record = Record(
            "results",
            "positions",
            1,
            {},
            trajectory=fingerprint(here)[0],
            positions=fingerprint(x)[1],
        )
        return here, record


def _in_words(denoised: Mapping[str, Any] | None) -> str:
    if denoised is None:
        return "none"
    return "{weights} in {steps} steps of at most {clip:g} angstrom".format(**denoised)


def _compare_block(
    features: npt.NDArray[np.floating], space: Space
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    score, nearest = space.compare(features.reshape(-1, features.shape[-1]))
    shape = features.shape[:-1]
    return score.astype(np.float32).reshape(shape), nearest.astype(np.int32).reshape(shape)


def _project_block(features: npt.NDArray[np.floating], plane: Space) -> npt.NDArray[np.float32]:
    points = plane.points(features.reshape(-1, features.shape[-1]))
    return points.astype(np.float32).reshape(*features.shape[:-1], -1)


def _part(together: da.Array, number: int, name: str, classes: Sequence[str] = ()) -> xr.Variable:
    """Return one of the arrays that a block returns, as a variable; with its classes, if any."""
    spec = VARIABLES[name]
    array = block_part(together, number, spec.dtype)
    flags: dict[str, Any] = {}
    if classes:
        # As a list: attributes are written as JSON.
        flags = {"flag_values": list(range(len(classes))), "flag_meanings": " ".join(classes)}
    return xr.Variable(spec.dims, array, {**spec.attrs, **flags})
