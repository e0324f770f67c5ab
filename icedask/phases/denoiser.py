"""Thermal noise taken from positions: a network that knows ideal crystals alone."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from icedask.core.features import whole_number
from icedask.core.provenance import Record, digest, fingerprint, stamped
from icedask.core.trajectory import check_trajectory
from icedask.core.variables import ATOM
from icedask.errors import InputError
from icedask.kernels.simd import WIDTH
from icedask.phases.frames import denoised_arrays, denoised_dataset
from icedask.phases.references import Phases
from icedask.phases.score import Score, check_weights, score_from

STEPS, CLIP = 8, 0.4

_FORMAT = 1
SHIPPED = ("ices", "metals")
_LARGEST_SEED = 2**63 - 1
# What reading a file that is damaged, or of another kind, ends with.
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


class Denoiser(BaseEstimator):
    """Score-based denoiser: moves atoms back to the ideal places of known crystals.

    An equivariant network (PaiNN) learns by denoising score matching, from ideal crystals that
    are displaced at random and strained, by how much each atom is out of place. It has seen no
    simulation. Where it is applied again and again, atoms of these crystals settle in their
    places, and those of a liquid stay disordered.

    Parameters
    ----------
    width : int
        Scalars, and vectors, of each atom in the network; a multiple of 8. Default 16.
    layers : int
        Of the network. Default 3.
    cutoff : float
        Of the network's graph, angstrom. Default 5.
    sigma_max : float
        Standard deviation of the strongest noise of the training along each axis, angstrom.
        Default 0.3.
    steps : int
        Of the training. Default 8000, some minutes of one core.
    learning_rate : float
        The largest. Default 4e-3.
    seed : int
        Of the first weights and of all noise; the same seed gives the same weights. Default 0.

    Attributes
    ----------
    phases_ : Phases
        What it was trained on.
    weights_ : dict of arrays
        By the names of the network's layers.
    loss_ : (steps,) array
        Squared error of each step over the variance of the noise: 1 if nothing was learnt.

    References
    ----------
    Sun et al., doi:10.48550/arXiv.2405.06599, for ice; Hsu et al., npj Comput. Mater. 10, 155
    (2024), doi:10.1038/s41524-024-01337-z, for the method; Schütt et al.,
    doi:10.48550/arXiv.2102.03150, for the network.

    Examples
    --------
    >>> import icedask as ice
    >>> crystal = ice.Phases.named("Ih").structures["Ih"] * (2, 2, 2)
    >>> hot = crystal.copy()
    >>> hot.rattle(0.15, seed=1)
    >>> cold = ice.Denoiser.shipped().denoise(ice.from_ase(hot))
    >>> bool(abs(cold["positions"][0].values - crystal.positions).mean() < 0.05)
    True
    """

    phases_: Phases
    weights_: dict[str, npt.NDArray[np.float32]]
    loss_: npt.NDArray[np.float32]

    _checked: ClassVar[dict[str, float]] = {"cutoff": 0.0, "sigma_max": 0.01, "learning_rate": 0.0}

    def __init__(
        self,
        *,
        width: int = 16,
        layers: int = 3,
        cutoff: float = 5.0,
        sigma_max: float = 0.3,
        steps: int = 8000,
        learning_rate: float = 4e-3,
        seed: int = 0,
    ) -> None:
        self.width = width
        self.layers = layers
        self.cutoff = cutoff
        self.sigma_max = sigma_max
        self.steps = steps
        self.learning_rate = learning_rate
        self.seed = seed

    def fit(
        self,
        phases: Phases,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        device: str | None = None,
    ) -> Self:
        """Train the network; computes, in this process.

        Parameters
        ----------
        phases : Phases
            Ideal crystals.
        checkpoint : path, optional
            File that the training is continued from if it was interrupted; removed at its end.
        device : str, optional
            As torch names it; by default "cuda" where there is a GPU, else "cpu". On a CPU the
            same seed gives the same weights.

        Raises
        ------
        InputError
            If a parameter is out of bounds, a crystal has no atoms within the cutoff of each
            other, or the checkpoint is of another training.
        ComputeError
            If the training diverges.
        """
        self._check()
        if not isinstance(phases, Phases):
            raise InputError(
                f"Denoiser: expected Phases, found {type(phases).__name__}; for example "
                "Phases.ices(), or Phases.from_structures({'fcc': atoms})"
            )
        import torch

        from icedask.phases.training import Plan, train

        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            torch.empty(0, device=chosen)
        # Torch built without the device asserts that it has it.
        except (RuntimeError, AssertionError) as error:
            raise InputError(
                f"Denoiser: device: expected one that torch has here, such as 'cpu', found "
                f"{device!r} ({error})"
            ) from error
        plan = Plan(
            width=int(self.width),
            layers=int(self.layers),
            cutoff=float(self.cutoff),
            sigma_max=float(self.sigma_max),
            steps=int(self.steps),
            learning_rate=float(self.learning_rate),
            seed=int(self.seed),
            device=chosen,
        )
        found = train(phases.structures, plan, checkpoint)
        self.weights_, self.loss_, self.phases_ = found.weights, found.loss, phases
        return self

    def _check(self) -> None:
        for name, least in (("width", WIDTH), ("layers", 1), ("steps", 20), ("seed", 0)):
            whole_number(getattr(self, name), f"Denoiser: {name}", at_least=least)
        if self.width % WIDTH:
            raise InputError(f"Denoiser: width: expected a multiple of {WIDTH}, found {self.width}")
        if self.seed > _LARGEST_SEED:
            raise InputError(f"Denoiser: seed: expected at most {_LARGEST_SEED}, found {self.seed}")
        for name, bound in self._checked.items():
            value = getattr(self, name)
            number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            if not number or not bound < value < np.inf:
                raise InputError(
                    f"Denoiser: {name}: expected a number above {bound:g}, found {value!r}"
                )

    @property
    def digest_(self) -> str:
        """Of the weights: what a result was computed with."""
        self._check_fitted()
        return digest(self.cutoff, *[one for _, one in sorted(self.weights_.items())])

    def _check_fitted(self) -> None:
        if not hasattr(self, "weights_"):
            raise NotFittedError(
                "this Denoiser is not fitted; call fit first, or take Denoiser.shipped()"
            )

    def score(self) -> Score:
        """Return the network as kernels use it."""
        self._check_fitted()
        return score_from(self.weights_, self.cutoff)

    def denoise(
        self,
        trj: xr.Dataset,
        *,
        steps: int = STEPS,
        clip: float = CLIP,
        centers: str | None = None,
    ) -> xr.Dataset:
        """Move the atoms of every frame to where they belong; lazy.

        Parameters
        ----------
        trj : xarray.Dataset
            A trajectory.
        steps : int
            Applications of the network. Default 8.
        clip : float
            The longest step of an atom, angstrom: where nothing is known none may fly away.
            Default 0.4.
        centers : str, optional
            Selection of the atoms that are denoised; the others are left out altogether. By
            default those of the element of the phases: of water, the oxygens.

        Returns
        -------
        xarray.Dataset
            A trajectory of these atoms: positions (frame, atom, xyz), angstrom, the cells as
            they were; with shift (frame, atom, xyz), angstrom, what was added to the positions,
            and residual (frame, atom), angstrom, the mean length of the last step among the
            atom and its neighbours: small where they have settled.

        Raises
        ------
        InputError
            If an option is out of bounds, or the trajectory has no such atoms.
        """
        check_trajectory(trj, "denoise")
        whole_number(steps, "denoise: steps", at_least=1)
        number = isinstance(clip, int | float | np.number) and not isinstance(clip, bool)
        if not number or not 0 < clip < np.inf:
            raise InputError(
                f"denoise: clip: expected a number of angstrom above 0, found {clip!r}"
            )
        score = self.score()
        here = trj.isel({ATOM: self.phases_.atoms_of(trj, centers, "denoise")})
        record = Record(
            "results",
            "denoise",
            1,
            {"weights": self.digest_, "steps": int(steps), "clip": float(clip)},
            trajectory=fingerprint(here)[0],
            positions=fingerprint(trj)[1],
        )
        arrays = denoised_arrays(here, score, int(steps), float(clip))
        return stamped(denoised_dataset(here, arrays), record)

    def scaled(self, factor: float, element: str | None = None) -> Self:
        """Return the denoiser of the same crystals, larger or smaller; without training.

        Parameters
        ----------
        factor : float
            Of all lengths: for a metal, the distance of its nearest neighbours over that of the
            one that the denoiser was trained on.
        element : str, optional
            Chemical symbol of its atoms; as before by default.

        Raises
        ------
        InputError
            As `Phases.scaled`.
        """
        self._check_fitted()
        phases = self.phases_.scaled(factor, element)
        parameters = self.get_params()
        parameters |= {name: factor * parameters[name] for name in ("cutoff", "sigma_max")}
        found = type(self)(**parameters)
        found.phases_, found.loss_ = phases, self.loss_
        # Bessel functions are normalised, and divided by the distance.
        powers = {"radial.weight": 1.5, "out.weight": 1.0}
        found.weights_ = {
            name: one
            * np.float32(factor ** sum(p for end, p in powers.items() if name.endswith(end)))
            for name, one in self.weights_.items()
        }
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights and what they were trained on to a file, .npz, without pickle.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        self._check_fitted()
        arrays = {f"weight/{name}": one for name, one in self.weights_.items()}
        for name, atoms in self.phases_.structures.items():
            arrays[f"phase/{name}/cell"] = atoms.cell.array
            arrays[f"phase/{name}/fractions"] = atoms.get_scaled_positions()
        parameters = {f"parameter/{name}": value for name, value in self.get_params().items()}
        path = Path(path)
        beside = path.with_name(f".{path.name}")
        try:
            with beside.open("wb") as file:
                np.savez_compressed(
                    file,
                    allow_pickle=False,
                    format=_FORMAT,
                    element=self.phases_.element,
                    loss=self.loss_,
                    **arrays,
                    **parameters,
                )
            beside.replace(path)
        except OSError as error:
            raise InputError(
                f"{path}: expected a file that can be written, found: {error.strerror}"
            ) from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return what `save` wrote.

        Raises
        ------
        InputError
            If there is no such file, or it is not of this kind.
        """
        try:
            # Opened here: the reader leaves a file that it does not know open.
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls._from_arrays(dict(arrays))
        except _BROKEN as error:
            raise InputError(
                f"{path}: expected what Denoiser.save wrote, found something else ({error})"
            ) from error

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        if arrays["format"] != _FORMAT:
            raise ValueError(f"format {arrays['format']}")

        def part(prefix: str) -> dict[str, npt.NDArray[Any]]:
            begin = f"{prefix}/"
            return {k.removeprefix(begin): v for k, v in arrays.items() if k.startswith(begin)}

        import ase

        found = cls(**{name: value.item() for name, value in part("parameter").items()})
        found._check()
        found.weights_, found.loss_ = part("weight"), arrays["loss"]
        check_weights(found.weights_, found.width, found.layers)
        structures = {}
        for name, cell in part("phase").items():
            if name.endswith("/cell"):
                phase = name.removesuffix("/cell")
                fractions = arrays[f"phase/{phase}/fractions"]
                structures[phase] = ase.Atoms(
                    [str(arrays["element"])] * len(fractions),
                    fractions @ cell,
                    cell=cell,
                    pbc=True,
                )
        found.phases_ = Phases.from_structures(structures)
        return found

    @classmethod
    def shipped(cls, name: str = "ices") -> Self:
        """Return a denoiser that comes with the package.

        Parameters
        ----------
        name : str
            "ices", trained on `Phases.ices()`, or "metals", on `Phases.metals()`: `scaled`
            brings it to the lengths of another metal.

        Raises
        ------
        InputError
            If there is none of this name.
        """
        if name not in SHIPPED:
            raise InputError(
                f"Denoiser.shipped: expected one of {', '.join(SHIPPED)}, found {name!r}"
            )
        with as_file(files("icedask") / "data" / f"denoiser_{name}.npz") as path:
            return cls.load(path)
