"""How a variational autoencoder learns: the function that each rank of the training runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icedask.core.provenance import canonical
from icedask.errors import ComputeError, InputError
from icedask.nn.process_group import Group
from icedask.nn.progress import Tell
from icedask.nn.row_stream import Batch, Blocks, Split, batches, deal, held_rows, n_lanes
from icedask.nn.torch_utils import arrays_of, reproducible
from icedask.nn.vae_network import Autoencoder
from icedask.tasks.run import active_client

# Rows held out that are looked at after each epoch.
_MOST_HELD = 2**15
# The learning rate falls to this part of itself, along a cosine.
_LAST_RATE = 0.05
# Less than this part of the loss is no progress.
_PROGRESS = 1e-3
_CURVES = ("loss", "reconstruction", "divergence", "held_loss", "held_reconstruction")


@dataclass(frozen=True)
class Plan:
    """What a training does; as the parameters of `VAE`, and `data` that says of what."""

    latent_size: int
    layers: tuple[int, ...]
    beta: float
    warm_up: int
    learning_rate: float
    batch_size: int
    epochs: int
    epoch_rows: int
    patience: int
    seed: int
    data: str


class Trained(NamedTuple):
    """What a training found.

    Attributes
    ----------
    weights
        Of the best epoch.
    curves
        Of each epoch by name: means of the losses.
    step_loss
        (n_steps,) loss of each batch.
    best
        Number of the epoch whose weights these are.
    """

    weights: dict[str, npt.NDArray[np.float32]]
    curves: dict[str, npt.NDArray[np.float64]]
    step_loss: npt.NDArray[np.float32]
    best: int


class _State:
    """All that changes while a training runs, and goes into a checkpoint."""

    def __init__(self, network: Autoencoder, plan: Plan) -> None:
        self.network = network
        self.optimizer = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
        self.epoch = 0
        self.best = 0
        self.best_weights = arrays_of(network)
        self.curves: dict[str, list[float]] = {name: [] for name in _CURVES}
        self.step_loss: list[float] = []

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything as arrays."""
        found: dict[str, npt.NDArray[Any]] = {
            "epoch": np.array(self.epoch),
            "best": np.array(self.best),
            "step_loss": np.array(self.step_loss),
        }
        found |= {f"weights/{name}": one for name, one in arrays_of(self.network).items()}
        found |= {f"best/{name}": one for name, one in self.best_weights.items()}
        found |= {f"curve/{name}": np.array(one) for name, one in self.curves.items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            found |= {f"adam/{number}/{key}": one.cpu().numpy() for key, one in moments.items()}
        return found

    def put_back(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue where `arrays` was called."""

        def under(prefix: str) -> dict[str, npt.NDArray[Any]]:
            return {
                name.removeprefix(prefix): one
                for name, one in arrays.items()
                if name.startswith(prefix)
            }

        self.epoch, self.best = int(arrays["epoch"]), int(arrays["best"])
        self.step_loss = arrays["step_loss"].tolist()
        self.network.load(under("weights/"))
        self.best_weights = under("best/")
        self.curves = {name: one.tolist() for name, one in under("curve/").items()}
        state = self.optimizer.state_dict()
        moments: dict[int, dict[str, Tensor]] = {}
        for name, one in under("adam/").items():
            number, key = name.split("/")
            moments.setdefault(int(number), {})[key] = torch.from_numpy(np.array(one))
        self.optimizer.load_state_dict({**state, "state": moments})


def train(
    group: Group,
    blocks: Blocks,
    split: Split,
    plan: Plan,
    checkpoint: str | None,
    tell: Tell,
) -> Trained:
    """Train one network on the ranks of a group.

    Parameters
    ----------
    group
        The ranks; each does the lanes of `row_stream` that have its number.
    blocks, split
        The rows, and which of them are held out.
    plan
        How.
    checkpoint
        File that the state is written to after each epoch, and continued from if it is there.
    tell
        Called with the number of epochs that are done.

    Raises
    ------
    InputError
        If the checkpoint is of another training, or there are fewer blocks than ranks.
    ComputeError
        If the loss is not a finite number.
    """
    read = blocks.reader(active_client())
    path = None if checkpoint is None else Path(checkpoint)
    with reproducible():
        torch.default_generator.manual_seed(plan.seed)
        network = Autoencoder(blocks.n_features, plan.layers, plan.latent_size).to(group.device)
        state = _State(network, plan)
        found = _read(path, plan) if path is not None and group.rank == 0 else None
        found = group.shared(found)
        if found is not None:
            state.put_back(found)
        lanes = n_lanes(group.size, len(split.train))
        held = torch.from_numpy(held_rows(read, split, blocks.n_features, _MOST_HELD))
        held = held.to(group.device)
        while state.epoch < plan.epochs and not _is_done(state, plan):
            dealt = deal(split, lanes, plan.batch_size, plan.epoch_rows, plan.seed, state.epoch)
            mine = range(group.rank, lanes, group.size)
            seed = [plan.seed, state.epoch]
            stream = batches(read, dealt, mine, plan.latent_size, seed)
            _epoch(group, state, plan, stream, dealt.steps)
            _look(group, state, plan, held)
            state.epoch += 1
            if group.rank == 0:
                tell(state.epoch)
                if path is not None:
                    _write(path, plan, state)
    curves = {name: np.array(one) for name, one in state.curves.items()}
    return Trained(state.best_weights, curves, np.array(state.step_loss, np.float32), state.best)


def _epoch(group: Group, state: _State, plan: Plan, stream: Any, steps: int) -> None:
    sums = np.zeros(3)
    parameters = list(state.network.parameters())
    for number, batch in enumerate(stream):
        done = state.epoch + number / steps
        beta = plan.beta * min(1.0, done / plan.warm_up) if plan.warm_up else plan.beta
        turn = 0.5 + 0.5 * np.cos(np.pi * done / plan.epochs)
        for one in state.optimizer.param_groups:
            one["lr"] = plan.learning_rate * (_LAST_RATE + (1 - _LAST_RATE) * turn)
        state.optimizer.zero_grad()
        losses = state.network(*_on(group.device, batch))
        loss = losses.reconstruction + beta * losses.divergence
        loss.backward()
        told = torch.stack([loss.detach(), *(one.detach() for one in losses)])
        _mean_gradients(group, parameters, told)
        state.optimizer.step()
        values = told.cpu().numpy().astype(float)
        if not np.isfinite(values).all():
            raise ComputeError(
                f"VAE: the training diverged in epoch {state.epoch + 1} of {plan.epochs}; choose a "
                f"smaller learning_rate, found {plan.learning_rate:g}"
            )
        sums += values
        state.step_loss.append(float(values[0]))
    for name, value in zip(_CURVES, sums / steps, strict=False):
        state.curves[name].append(float(value))


def _on(device: torch.device, batch: Batch) -> list[Tensor]:
    return [torch.from_numpy(one).to(device) for one in batch]


def _mean_gradients(group: Group, parameters: Sequence[Tensor], told: Tensor) -> None:
    """Replace gradients, and what is told of a step, by their means over the ranks."""
    if group.size == 1:
        return
    parts = [one.grad.reshape(-1) for one in parameters if one.grad is not None]
    vector = torch.cat([*parts, told])
    group.mean(vector)
    first = 0
    for one in parameters:
        if one.grad is not None:
            one.grad.copy_(vector[first : first + one.numel()].view_as(one))
            first += one.numel()
    told.copy_(vector[first:])


def _look(group: Group, state: _State, plan: Plan, held: Tensor) -> None:
    """Measure the rows held out, and keep the weights if they are the best so far."""
    if len(held):
        with torch.no_grad():
            losses = state.network(held, None)
        loss = float(losses.reconstruction + plan.beta * losses.divergence)
        found = loss, float(losses.reconstruction)
    else:
        found = np.nan, np.nan
    # Processors may round differently, and all ranks must end in the same epoch.
    found = group.shared(found)
    state.curves["held_loss"].append(found[0])
    state.curves["held_reconstruction"].append(found[1])
    best = state.curves["held_loss"][state.best]
    # The first epoch is better than none.
    if state.epoch == 0 or not found[0] >= best * (1 - _PROGRESS):
        state.best, state.best_weights = state.epoch, arrays_of(state.network)


def _is_done(state: _State, plan: Plan) -> bool:
    """Say whether the rows held out have shown no progress for long."""
    if np.isnan(state.curves["held_loss"]).any():
        return False
    return state.epoch - 1 - max(state.best, plan.warm_up) >= plan.patience


def _identity(plan: Plan) -> str:
    return canonical(asdict(plan))


def _write(path: Path, plan: Plan, state: _State) -> None:
    # Never half a file under the name that is read.
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with beside.open("wb") as file:
        np.savez(file, allow_pickle=False, identity=np.array(_identity(plan)), **state.arrays())
    beside.replace(path)


def _read(path: Path, plan: Plan) -> dict[str, npt.NDArray[Any]] | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{path}: expected a file in a folder that can be made, found: {error.strerror}"
        ) from error
    if not path.exists():
        return None
    try:
        # Opened here: what numpy opens, it leaves open if it is damaged.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        identity = str(found.pop("identity"))
        json.loads(identity)
    except Exception as error:
        raise InputError(
            f"{path}: expected a checkpoint of a training, found something else "
            f"({type(error).__name__}); remove the file to begin anew"
        ) from error
    if identity != _identity(plan):
        raise InputError(
            f"{path}: expected a checkpoint of {_identity(plan)}, found one of {identity}; give "
            "another file, or remove this one to begin anew"
        )
    return found
