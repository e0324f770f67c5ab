"""Removal of thermal noise from positions, by a network trained on ideal crystals alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from sklearn.base import BaseEstimator

from icedask.core.collection import over_members
from icedask.core.files import load_npz, rename_synced
from icedask.core.options import Option, Seed, checked, documented, parameters_of
from icedask.core.provenance import digest, stamped
from icedask.core.trajectory import check_trajectory
from icedask.core.variables import ATOM
from icedask.errors import InputError
from icedask.kernels.simd import WIDTH
from icedask.learn.base import NotFittedError
from icedask.phases.checks import FORMAT, check_version, not_a_denoiser
from icedask.phases.frames import atoms_record, denoised_arrays, denoised_dataset
from icedask.phases.references import Phases, check_phases
from icedask.phases.score import Score, check_weights, score_from
from icedask.phases.shipped import SHIPPED

STEPS, CLIP = 8, 0.4


class Denoiser(BaseEstimator):
    """Score-based denoiser: moves atoms back to the ideal places of known crystals.

    An equivariant network (PaiNN) learns the displacement of each atom by denoising score
    matching, from ideal crystals that are displaced at random and strained; it has seen no
    simulation. Applied repeatedly, it lets atoms of these crystals settle in their places, and
    leaves those of a liquid disordered. The same seed gives the same weights, on a CPU.

    {parameters}

    Attributes
    ----------
    phases_ : Phases
        Crystals of the training.
    weights_ : dict of arrays
        Weights by the names of the network's layers.
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

    def __init__(
        self,
        *,
        width: Annotated[
            int,
            Option(
                f"Scalars, and vectors, of each atom in the network; a multiple of {WIDTH}.",
                at_least=WIDTH,
            ),
        ] = 16,
        layers: Annotated[int, Option("Layers of the network.", at_least=1)] = 3,
        cutoff: Annotated[
            float, Option("Cutoff radius of the network's graph.", "angstrom", above=0)
        ] = 5.0,
        sigma_max: Annotated[
            float,
            Option(
                "Standard deviation of the strongest noise in training, along each axis.",
                "angstrom",
                above=0.01,
            ),
        ] = 0.3,
        steps: Annotated[
            int, Option("Training steps; 8000 take some minutes on one core.", at_least=20)
        ] = 8000,
        learning_rate: Annotated[float, Option("Largest learning rate.", above=0)] = 4e-3,
        seed: Seed = 0,
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
            File that an interrupted training is resumed from; removed at the end.
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
        options = self._checked()
        check_phases(phases, "Denoiser")
        import torch

        from icedask.phases.training import DenoiserPlan, train

        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            torch.empty(0, device=chosen)
        # Torch built without the device asserts that it has it.
        except (RuntimeError, AssertionError) as error:
            raise InputError(
                f"Denoiser: device: expected one that torch has here, such as 'cpu', found "
                f"{device!r} ({error})"
            ) from error
        trained = train(phases.structures, DenoiserPlan(**options, device=chosen), checkpoint)
        self.weights_, self.loss_, self.phases_ = trained.weights, trained.loss, phases
        return self

    def _checked(self) -> dict[str, Any]:
        options = checked("Denoiser", _PARAMETERS, self.get_params())
        if self.width % WIDTH:
            raise InputError(f"Denoiser: width: expected a multiple of {WIDTH}, found {self.width}")
        return options

    @property
    def digest_(self) -> str:
        """Digest of the weights."""
        self._check_fitted()
        return digest(self.cutoff, *[weight for _, weight in sorted(self.weights_.items())])

    def _check_fitted(self) -> None:
        if not hasattr(self, "weights_"):
            raise NotFittedError(
                "this Denoiser is not fitted; call fit first, or take Denoiser.shipped()"
            )

    def score(self) -> Score:
        """Return the network for the kernels."""
        self._check_fitted()
        return score_from(self.weights_, self.cutoff)

    @over_members
    def denoise(
        self,
        trj: xr.Dataset,
        *,
        steps: Annotated[int, Option("Applications of the network.", at_least=1)] = STEPS,
        clip: Annotated[
            float,
            Option(
                "Longest step of an atom: atoms in unknown surroundings do not fly away.",
                "angstrom",
                above=0,
            ),
        ] = CLIP,
        centers: Annotated[
            str | None,
            Option(
                "Selection of the atoms to denoise; the others are left out. By default those of "
                "the element of the phases: of water, the oxygens."
            ),
        ] = None,
    ) -> xr.Dataset:
        """Move the atoms of every frame to their ideal places; lazy.

        {parameters}

        Returns
        -------
        xarray.Dataset
            A trajectory of these atoms: positions (frame, atom, xyz), angstrom, the cells as
            they were; with shift (frame, atom, xyz), angstrom, the difference of the positions,
            and residual (frame, atom), angstrom, the mean length of the last step among the
            atom and its neighbours: small where they have settled.

        Raises
        ------
        InputError
            If an option is out of bounds, or the trajectory has no such atoms.
        """
        check_trajectory(trj, "denoise")
        values = {"steps": steps, "clip": clip, "centers": centers}
        options = checked("denoise", parameters_of(type(self).denoise), values)
        del options["centers"]
        score = self.score()
        here = trj.isel({ATOM: self.phases_.atoms_of(trj, centers, "denoise")})
        record = atoms_record(here, trj, "denoise", {"weights": self.digest_, **options})
        arrays = denoised_arrays(here, score, **options)
        return stamped(denoised_dataset(here, arrays), record)

    def scaled(self, factor: float, element: str | None = None) -> Self:
        """Return the denoiser of the same crystals, larger or smaller; without training.

        Parameters
        ----------
        factor : float
            Factor on all lengths: for a metal, the distance of its nearest neighbours over that
            of the metal of the training.
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
        scaled = type(self)(**parameters)
        scaled.phases_, scaled.loss_ = phases, self.loss_
        # Bessel functions are normalised, and divided by the distance.
        powers = {"radial.weight": 1.5, "out.weight": 1.0}
        scaled.weights_ = {
            name: weight
            * np.float32(factor ** sum(p for end, p in powers.items() if name.endswith(end)))
            for name, weight in self.weights_.items()
        }
        return scaled

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights and the crystals of the training to a file, .npz, without pickle.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        self._check_fitted()
        arrays = {f"weight/{name}": weight for name, weight in self.weights_.items()}
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
                    format=FORMAT,
                    element=self.phases_.element,
                    loss=self.loss_,
                    **arrays,
                    **parameters,
                )
            rename_synced(beside, Path(path))
        except OSError as error:
            raise InputError(
                f"{path}: expected a file that can be written, found: {error.strerror}"
            ) from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a denoiser that `save` wrote.

        Raises
        ------
        InputError
            If there is no such file, or it is not of this kind.
        """
        try:
            return cls._from_arrays(load_npz(Path(path)))
        # A file that is damaged, or of another kind, fails in any way.
        except Exception as error:
            raise not_a_denoiser(path, error) from error

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        check_version(arrays["format"])

        def part(prefix: str) -> dict[str, npt.NDArray[Any]]:
            begin = f"{prefix}/"
            return {k.removeprefix(begin): v for k, v in arrays.items() if k.startswith(begin)}

        import ase

        loaded = cls(**{name: value.item() for name, value in part("parameter").items()})
        loaded._checked()
        loaded.weights_, loaded.loss_ = part("weight"), arrays["loss"]
        check_weights(loaded.weights_, loaded.width, loaded.layers)
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
        loaded.phases_ = Phases.from_structures(structures)
        return loaded

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


_PARAMETERS = parameters_of(Denoiser.__init__)
Denoiser.__doc__ = documented(Denoiser.__doc__, _PARAMETERS)
Denoiser.denoise.__doc__ = documented(
    Denoiser.denoise.__doc__,
    parameters_of(Denoiser.denoise),
    "trj : xarray.Dataset\n    A trajectory.",
)


def check_denoiser(denoiser: object, element: str, caller: str) -> None:
    """Raise unless an argument is a fitted Denoiser of an element."""
    if not isinstance(denoiser, Denoiser):
        raise InputError(f"{caller}: expected a Denoiser, found {type(denoiser).__name__}")
    denoiser.digest_  # noqa: B018  (raises if it is not fitted)
    if denoiser.phases_.element != element:
        raise InputError(
            f"{caller}: expected a denoiser of {element}, as the phases are, found one of "
            f"{denoiser.phases_.element}"
        )
