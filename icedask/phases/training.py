"""Training of the score network by denoising score matching, doi:10.1162/NECO_a_00142.

Crystals of all phases at once, with Gaussian noise whose strength differs between phases and
steps, and a random strain: pressure and temperature then change nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import ase
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icedask.core.provenance import digest
from icedask.errors import ComputeError, InputError
from icedask.kernels.neighbors import neighbor_list
from icedask.nn.checkpoint import read_checkpoint, remove_checkpoint, write_checkpoint
from icedask.nn.torch_utils import reproducible
from icedask.phases.calibration import large_cell
from icedask.phases.network import Edges, ScoreNetwork
from icedask.tasks.progress import stage

# Weakest noise, angstrom.
SIGMA_MIN = 0.01
# Standard deviations of the isotropic strain, and of each component.
ISOTROPIC_STRAIN, STRAIN = 0.02, 0.007
_WEIGHT_DECAY = 1e-4
_WARM_UP = 0.05
_LONGEST_GRADIENT = 1.0
_CHECKPOINT_STEPS = 250


@dataclass(frozen=True)
class DenoiserPlan:
    """Parameters of a training, named as in `Denoiser`, and the device of torch."""

    width: int
    layers: int
    cutoff: float
    sigma_max: float
    steps: int
    learning_rate: float
    seed: int
    device: str


class Trained(NamedTuple):
    """Weights by the names of `network.ScoreNetwork`, and the loss of each step.

    The loss is the squared error over the variance of the noise.
    """

    weights: dict[str, npt.NDArray[np.float32]]
    loss: npt.NDArray[np.float32]


class _Crystals(NamedTuple):
    """Supercells of all phases in one graph, with all pairs that noise may bring near."""

    phase: Tensor
    centers: Tensor
    neighbors: Tensor
    vectors: Tensor


def train(
    structures: Mapping[str, ase.Atoms],
    plan: DenoiserPlan,
    checkpoint: str | os.PathLike[str] | None,
) -> Trained:
    """Train a network on one crystal of each phase.

    The checkpoint is a file of the state, from which an interrupted training is resumed; it is
    removed at the end. Raises InputError if the checkpoint is of another training, or a crystal has
    no pairs within the cutoff; ComputeError if the loss is not a finite number.
    """
    device = torch.device(plan.device)
    with reproducible():
        generator = torch.Generator().manual_seed(plan.seed)
        # Of the CPU alone, where the first weights are drawn.
        torch.default_generator.manual_seed(plan.seed)
        network = ScoreNetwork(plan.width, plan.layers, plan.cutoff).to(device)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=plan.learning_rate, weight_decay=_WEIGHT_DECAY
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            plan.learning_rate,
            total_steps=plan.steps,
            # At least two steps, one to begin with and one at the top.
            pct_start=max(_WARM_UP, 2 / plan.steps),
        )
        crystals = _Crystals(*(array.to(device) for array in _crystals(structures, plan)))
        loss = np.zeros(plan.steps, np.float32)
        parts: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
        path = None if checkpoint is None else Path(checkpoint)
        identity = f"{plan} of {_names(structures)}"
        first = 0
        if path is not None and (state := read_checkpoint(path, identity)) is not None:
            for name, part in parts.items():
                part.load_state_dict(state[name])
            generator.set_state(state["generator"])
            first, loss[:] = int(state["step"]), state["loss"].numpy()
        with stage("training", plan.steps) as advance:
            advance(first)
            for step in range(first, plan.steps):
                value = _loss(network, crystals, len(structures), plan, generator)
                optimizer.zero_grad()
                value.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), _LONGEST_GRADIENT)
                optimizer.step()
                schedule.step()
                loss[step] = value.item()
                if not np.isfinite(loss[step]):
                    raise ComputeError(
                        f"Denoiser: the training diverged at step {step} of {plan.steps}; choose a "
                        f"smaller learning_rate, found {plan.learning_rate:g}"
                    )
                advance(1)
                if path is not None and (step + 1) % _CHECKPOINT_STEPS == 0:
                    state = {name: part.state_dict() for name, part in parts.items()}
                    state |= {"generator": generator.get_state(), "step": step + 1}
                    write_checkpoint(path, identity, {**state, "loss": torch.from_numpy(loss)})
    if path is not None:
        remove_checkpoint(path)
    weights = {name: weight.detach().cpu().numpy() for name, weight in network.named_parameters()}
    return Trained(weights, loss)


def _names(structures: Mapping[str, ase.Atoms]) -> str:
    return ", ".join(
        f"{name} ({digest(atoms.cell.array, atoms.positions)})"
        for name, atoms in structures.items()
    )


def _crystals(structures: Mapping[str, ase.Atoms], plan: DenoiserPlan) -> _Crystals:
    reach = plan.cutoff + 3 * plan.sigma_max
    phase, centers, neighbors, vectors = [], [], [], []
    n_atoms = 0
    for number, (name, atoms) in enumerate(structures.items()):
        # No atom sees two images of one atom, which would be displaced alike.
        large = large_cell(atoms, 2 * plan.cutoff)
        pairs = neighbor_list(large.positions, large.cell.array, large.pbc, reach)
        if not (pairs.distances < plan.cutoff).any():
            raise InputError(
                f"Denoiser: cutoff: expected more than the distance of nearest neighbours in "
                f"{name}, found {plan.cutoff:g} angstrom"
            )
        phase.append(np.full(len(large), number))
        centers.append(pairs.rows + n_atoms)
        neighbors.append(pairs.indices + n_atoms)
        vectors.append(pairs.vectors.astype(np.float32))
        n_atoms += len(large)
    arrays = (phase, centers, neighbors, vectors)
    return _Crystals(*(torch.from_numpy(np.concatenate(parts)) for parts in arrays))


def _loss(
    network: ScoreNetwork,
    crystals: _Crystals,
    n_phases: int,
    plan: DenoiserPlan,
    generator: torch.Generator,
) -> Tensor:
    """Return the squared error of predicted displacements over the variance of the noise."""
    device, phase = crystals.phase.device, crystals.phase

    def normal(*shape: int) -> Tensor:
        # Drawn where every device gets the same.
        return torch.randn(*shape, generator=generator).to(device)

    width = plan.sigma_max - SIGMA_MIN
    sigma = SIGMA_MIN + width * torch.rand(n_phases, generator=generator).to(device)
    lengths = 1.0 + ISOTROPIC_STRAIN * normal(n_phases)
    strain = STRAIN * normal(n_phases, 3, 3)
    deformation = torch.diag_embed(lengths[:, None].expand(-1, 3)) + strain + strain.mT
    noise = sigma[phase][:, None] * normal(len(phase), 3)
    vectors = torch.bmm(crystals.vectors[:, None, :], deformation[phase[crystals.centers]])[:, 0]
    vectors = vectors + noise[crystals.neighbors] - noise[crystals.centers]
    near = (vectors * vectors).sum(1) < plan.cutoff**2
    edges = Edges(crystals.centers[near], crystals.neighbors[near], vectors[near], len(phase))
    predicted = network(edges)
    error = ((predicted - noise) ** 2).sum(1)
    return (error / (3 * sigma[phase] ** 2)).mean()
