"""Phases by the nearest of some ideal crystals in the space of SOAP vectors, or none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Self

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from sklearn.base import BaseEstimator

from icedask.core.collection import over_members
from icedask.core.features import (
    block_part,
    lazy_blocks,
    rechunked,
    row_coords,
    variables_record,
    whole_number,
)
from icedask.core.options import (
    Cutoff,
    GaussianWidth,
    LargestDegree,
    Option,
    RadialFunctions,
    Seed,
    checked,
    documented,
    parameters_of,
)
from icedask.core.provenance import Record, record_of, stamped
from icedask.core.trajectory import check_trajectory
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, COMPONENT, VARIABLES
from icedask.descriptors.soap import soap
from icedask.errors import InputError
from icedask.learn.base import NotFittedError
from icedask.phases.calibration import samples
from icedask.phases.checks import RESERVED
from icedask.phases.decision import Boundary, Rule, boundary, label_block
from icedask.phases.denoiser import CLIP, STEPS, Denoiser, check_denoiser
from icedask.phases.frames import atoms_record, check_denoised
from icedask.phases.metric import (
    Metric,
    Space,
    compare_block,
    principal_space,
    project_block,
    whitened_space,
)
from icedask.phases.references import Phases, check_phases
from icedask.readers.convert import from_ase


class PhaseClassifier(BaseEstimator):
    """Classifier of atoms by the nearest of some ideal crystals.

    The SOAP vector of an atom, best after denoising, is compared with those of all atoms of the
    references; the phase is that of the nearest one. An atom that is far from all of them is
    liquid if it and its neighbours did not settle in denoising, and unknown if they did: it has
    an order that is not among the references. Nothing is learnt from any simulation: the
    boundaries are calibrated on crystals with random displacements and on melts of random packing.

    {parameters}

    Attributes
    ----------
    phases_ : Phases
    classes_ : tuple of str
        Names of the labels: the phases, "liquid", "unknown".
    threshold_ : float
        Score above which an atom has none of the phases.
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
    >>> label = classifier.predict(crystal)["label"]
    >>> [classifier.classes_[number] for number in set(label.values.ravel())]
    ['Ic']
    """

    phases_: Phases
    classes_: tuple[str, ...]
    threshold_: float
    residual_threshold_: float | None

    def __init__(
        self,
        *,
        metric: Metric = "mahalanobis",
        r_cut: Cutoff = 6.0,
        n_max: RadialFunctions = 8,
        l_max: LargestDegree = 6,
        sigma: GaussianWidth = 1.0,
        n_components: Annotated[
            int,
            Option(
                "Principal components of euclidean and cosine; at most as many as there are.",
                at_least=1,
            ),
        ] = 30,
        seed: Seed = 0,
    ) -> None:
        self.metric = metric
        self.r_cut = r_cut
        self.n_max = n_max
        self.l_max = l_max
        self.sigma = sigma
        self.n_components = n_components
        self.seed = seed

    def fit(self, phases: Phases, denoiser: Denoiser | None = None, *, steps: int = STEPS) -> Self:
        """Compute the SOAP vectors of the references, and calibrate; computes, in seconds.

        Parameters
        ----------
        phases : Phases
            Ideal crystals.
        denoiser : Denoiser, optional
            Fitted; positions to classify are then those that it denoised.
        steps : int
            Applications of its network, as in `Denoiser.denoise`. Default 8.

        Raises
        ------
        InputError
            If a parameter is out of bounds, or the denoiser is of another element.
        """
        options = checked("PhaseClassifier", _PARAMETERS, self.get_params())
        check_phases(phases, "PhaseClassifier")
        if denoiser is not None:
            check_denoiser(denoiser, phases.element, "PhaseClassifier")
        steps = whole_number(steps, "PhaseClassifier: steps", at_least=1)
        score = None if denoiser is None else denoiser.score()
        crystals = list(phases.structures.values())
        references = [self._features(crystal) for crystal in crystals]
        hot, melts = samples(crystals, score, steps, CLIP, options["seed"])
        features = [
            np.concatenate([self._features(sample.atoms) for sample in group]) for group in hot
        ]
        self._space = (
            whitened_space(references, features)
            if self.metric == "mahalanobis"
            else principal_space(references, options["n_components"], self.metric == "cosine")
        )
        self._references = references
        self.phases_, self.classes_ = phases, (*phases.names, *RESERVED)
        self._denoised = None
        if denoiser is not None:
            self._denoised = {"weights": denoiser.digest_, "steps": steps, "clip": CLIP}
        solid = [self._space.compare(rows)[0] for rows in features]
        liquid = [self._space.compare(self._features(sample.atoms))[0] for sample in melts]
        self._boundary = boundary(solid, liquid)
        self.threshold_, self.residual_threshold_ = self._boundary.limit, None
        self._residual: Boundary | None = None
        if denoiser is not None:
            settled = [sample.residual for group in hot for sample in group]
            self._residual = boundary(settled, [sample.residual for sample in melts])
            self.residual_threshold_ = self._residual.limit
        return self

    def _soap(self, trj: xr.Dataset) -> xr.Dataset:
        return soap(trj, r_cut=self.r_cut, n_max=self.n_max, l_max=self.l_max, sigma=self.sigma)

    def _features(self, atoms: Any) -> npt.NDArray[np.floating]:
        rows: npt.NDArray[np.floating] = self._soap(from_ase(atoms))["soap"].values[0]
        return rows

    @over_members
    def compare(self, x: xr.Dataset) -> xr.Dataset:
        """Compare every atom with the references; lazy.

        Parameters
        ----------
        x : xarray.Dataset
            Positions that the denoiser of the fit denoised; without one, a trajectory, of which
            the atoms of the element of the phases are used.

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
        here, record = self._input(x)
        together = self._of_vectors(here, compare_block, self._space, object)
        results = {
            "score": _part(together, 0, "score"),
            "nearest": _part(together, 1, "nearest", self.phases_.names),
        }
        if "residual" in here.variables:
            rows = rechunked(lazy_blocks(here["residual"]), together.chunks)
            residual = here["residual"].variable
            results["residual"] = xr.Variable(residual.dims, rows, residual.attrs)
        child = record.child("results", "phase_scores", 1, self._parameters())
        return stamped(xr.Dataset(results, row_coords(here["positions"])), child)

    def project(self, x: xr.Dataset) -> xr.Dataset:
        """Project SOAP vectors on the first two principal components of the references; lazy.

        Parameters
        ----------
        x : xarray.Dataset
            As for `compare`.

        Returns
        -------
        xarray.Dataset
            latent (frame, atom, component), of standardised SOAP vectors; the references are at
            `reference_points`.

        Raises
        ------
        InputError
            If `x` was not denoised as in the fit.
        """
        here, record = self._input(x)
        plane = self._plane()
        n_components = plane.references.shape[1]
        array = self._of_vectors(here, project_block, plane, np.float32, n_components)
        spec = VARIABLES["latent"]
        coords = {**row_coords(here["positions"]), COMPONENT: np.arange(n_components)}
        ds = xr.Dataset({"latent": (spec.dims, array, spec.attrs)}, coords)
        return stamped(ds, record.child("results", "phase_map", 1, self._parameters()))

    def _of_vectors(
        self,
        trj: xr.Dataset,
        kernel: Callable[..., Any],
        space: Space,
        dtype: npt.DTypeLike,
        n_components: int | None = None,
    ) -> da.Array:
        """Return a function of the SOAP vectors of each block and of a space; lazy."""
        index, axes = ("fa", {}) if n_components is None else ("fac", {"c": n_components})
        return da.blockwise(
            kernel,
            index,
            lazy_blocks(self._soap(trj)["soap"]),
            "fak",
            # Sent once, not with each task.
            dask.delayed(space, pure=True),
            None,
            new_axes=axes,
            concatenate=True,
            meta=np.empty((0,) * len(index), dtype),
        )

    def reference_points(self) -> dict[str, FloatArray]:
        """Return the points of each phase's references in the plane of `project`, (n, 2)."""
        self._check_fitted()
        plane = self._plane()
        return {
            name: plane.references[plane.phase == number]
            for number, name in enumerate(self.phases_.names)
        }

    def _plane(self) -> Space:
        return principal_space(self._references, 2, cosine=False)

    @over_members
    def label(
        self,
        compared: xr.Dataset,
        *,
        threshold: Annotated[
            float | None,
            Option(
                "Score above which an atom has none of the phases; `threshold_` by default.",
                above=0,
            ),
        ] = None,
    ) -> xr.Dataset:
        """Label every atom by its class; lazy.

        {parameters}

        Returns
        -------
        xarray.Dataset
            label (frame, atom), by the names in `classes_`, and confidence (frame, atom), the
            probability of that class by the calibration: one half at the boundary between a phase
            and none of them, less where these, liquid and unknown meet.

        Raises
        ------
        InputError
            If the threshold is not a positive number.
        """
        self._check_fitted()
        parameters = parameters_of(type(self).label)
        limit = checked("PhaseClassifier", parameters, {"threshold": threshold})["threshold"]
        if limit is None:
            limit = self.threshold_
        needed = ["score", "nearest", *([] if self.residual_threshold_ is None else ["residual"])]
        self._check_compared(compared, needed)
        rule = Rule(len(self.phases_), self._boundary._replace(limit=limit), self._residual)
        blocks = [part for name in needed for part in (lazy_blocks(compared[name]), "fa")]
        together = da.blockwise(
            partial(label_block, rule=rule), "fa", *blocks, meta=np.empty((0, 0), object)
        )
        results = {
            "label": _part(together, 0, "label", self.classes_),
            "confidence": _part(together, 1, "confidence"),
        }
        record = variables_record(compared, needed).child(
            "results", "phases", 1, {"threshold": limit, "residual": self.residual_threshold_}
        )
        return stamped(xr.Dataset(results, row_coords(compared["score"])), record)

    def predict(self, x: xr.Dataset) -> xr.Dataset:
        """Compare, then label; lazy."""
        return self.label(self.compare(x))

    def _check_fitted(self) -> None:
        if not hasattr(self, "threshold_"):
            raise NotFittedError("this PhaseClassifier is not fitted; call fit first")

    def _parameters(self) -> dict[str, Any]:
        """Return the parameters of scores."""
        phases = self.phases_.digest
        return {**self.get_params(), "phases": phases, "denoiser": self._denoised}

    def _check_compared(self, compared: xr.Dataset, needed: Sequence[str]) -> None:
        lacks = type(compared).__name__
        if isinstance(compared, xr.Dataset):
            lacks = next((f"no {name}" for name in needed if name not in compared.variables), "")
        if lacks:
            raise InputError(f"PhaseClassifier: expected what compare returned, found {lacks}")
        record = record_of(compared)
        known = {**record.parameters, "function": record.name}
        for name, value in {**self._parameters(), "function": "phase_scores"}.items():
            if known.get(name) != value:
                raise InputError(
                    "PhaseClassifier: expected what compare of this classifier returned, found "
                    f"{name} {known.get(name)!r} for {value!r}; compare and label with the same one"
                )

    def _input(self, x: xr.Dataset) -> tuple[xr.Dataset, Record]:
        """Return the atoms to compare, and their record."""
        self._check_fitted()
        check_trajectory(x, "PhaseClassifier")
        check_denoised(x, self._denoised, "PhaseClassifier")
        if self._denoised is not None:
            return x, record_of(x)
        here = x.isel({ATOM: self.phases_.atoms_of(x, None, "PhaseClassifier")})
        return here, atoms_record(here, x, "positions", {})


_PARAMETERS = parameters_of(PhaseClassifier.__init__)
PhaseClassifier.__doc__ = documented(PhaseClassifier.__doc__, _PARAMETERS)
PhaseClassifier.label.__doc__ = documented(
    PhaseClassifier.label.__doc__,
    parameters_of(PhaseClassifier.label),
    "compared : xarray.Dataset\n    What `compare` returned.",
)


def _part(together: da.Array, number: int, name: str, classes: Sequence[str] = ()) -> xr.Variable:
    """Return an element of the blocks as a variable, with the names of its classes if any."""
    spec = VARIABLES[name]
    array = block_part(together, number, spec.dtype)
    flags: dict[str, Any] = {}
    if classes:
        # As a list: attributes are written as JSON.
        flags = {"flag_values": list(range(len(classes))), "flag_meanings": " ".join(classes)}
    return xr.Variable(spec.dims, array, {**spec.attrs, **flags})
