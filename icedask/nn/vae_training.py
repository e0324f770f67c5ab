"""Training of a variational autoencoder: the network, and the function that each rank runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from icedask.core.provenance import canonical
from icedask.core.types import FloatArray
from icedask.errors import ComputeError
from icedask.nn.checkpoint import read_checkpoint, write_checkpoint
from icedask.nn.mlp import Float32Array
from icedask.nn.process_group import Group
from icedask.nn.row_stream import Batch, RowBlocks, Split, batches, deal, held_rows, n_lanes
from icedask.nn.torch_utils import arrays_of, reproducible, stack
from icedask.tasks.run import active_client

# Most held-out rows whose loss is computed after each epoch.
_MOST_HELD = 2**15
# Last learning rate, as a share of the first.
_LAST_RATE = 0.05
# Smallest relative decrease of the loss that counts as progress.
_PROGRESS = 1e-3
# Limit of the logarithm of a variance: its exponential stays within single precision.
_LARGEST_LOG = 20.0
_CURVES = ("loss", "reconstruction", "divergence", "held_loss", "held_reconstruction")


class Losses(NamedTuple):
    """Means over a batch: squared error of a feature, and Kullback-Leibler divergence of a row."""

    reconstruction: Tensor
    divergence: Tensor


class Autoencoder(nn.Module):
    """Encoder to means and logarithms of variances, and the decoder that mirrors it."""

    def __init__(self, n_features: int, layers: Sequence[int], latent_size: int) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.encoder = stack([n_features, *layers, 2 * latent_size])
        self.decoder = stack([latent_size, *reversed(layers), n_features])

    def forward(self, rows: Tensor, noise: Tensor | None) -> Losses:
        """Return the losses of a batch; without noise those at the means."""
        mean, log_variance = self.encoder(rows).split(self.latent_size, 1)
        log_variance = log_variance.clamp(-_LARGEST_LOG, _LARGEST_LOG)
        latent = mean if noise is None else mean + noise * torch.exp(0.5 * log_variance)
        error = ((self.decoder(latent) - rows) ** 2).mean()
        terms = 1 + log_variance - mean**2 - log_variance.exp()
        return Losses(error, -0.5 * terms.sum(1).mean())


@dataclass(frozen=True)
class TrainingOptions:
    """Options of a training, as the parameters of `VAE`, and `data`, the identity of its rows."""

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

    @property
    def identity(self) -> str:
        """The options as text, for a checkpoint."""
        return canonical(asdict(self))


class Trained(NamedTuple):
    """Weights after the best epoch, mean losses of each epoch, loss of each batch, best epoch."""

    weights: dict[str, Float32Array]
    curves: dict[str, FloatArray]
    step_loss: Float32Array
    best: int


class _State:
    """All that changes during a training: the content of a checkpoint."""

    def __init__(self, network: Autoencoder, options: TrainingOptions) -> None:
        self.network = network
        self.optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
        self.epoch = 0
        self.best = 0
        self.best_weights = arrays_of(network)
        self.curves: dict[str, list[float]] = {name: [] for name in _CURVES}
        self.step_loss: list[float] = []

    def state_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "best": self.best,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best_weights": {name: torch.from_numpy(w) for name, w in self.best_weights.items()},
            "curves": self.curves,
            "step_loss": self.step_loss,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.best = state["epoch"], state["best"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best_weights = {name: w.numpy() for name, w in state["best_weights"].items()}
        self.curves, self.step_loss = state["curves"], state["step_loss"]


def train(
    group: Group,
    blocks: RowBlocks,
    split: Split,
    options: TrainingOptions,
    checkpoint: str | None,
    report: Callable[[int], None],
) -> Trained:
    """Train one network on the ranks of a group, which share the lanes of `row_stream`.

    The state is written to the file `checkpoint` after each epoch, and resumed from it; `report` is
    called with the number of finished epochs. Raises InputError if the checkpoint is of another
    training, or there are fewer blocks than ranks; ComputeError if the loss is not a finite number.
    """
    read = blocks.reader(active_client(1))
    path = None if checkpoint is None else Path(checkpoint)
    with reproducible():
        torch.default_generator.manual_seed(options.seed)
        network = Autoencoder(blocks.n_features, options.layers, options.latent_size)
        state = _State(network.to(group.device), options)
        saved = None
        if path is not None and group.rank == 0:
            saved = read_checkpoint(path, options.identity)
        saved = group.broadcast(saved)
        if saved is not None:
            state.load_state_dict(saved)
        lanes = n_lanes(group.size, len(split.train))
        held = torch.from_numpy(held_rows(read, split, blocks.n_features, _MOST_HELD))
        held = held.to(group.device)
        while state.epoch < options.epochs and not _is_done(state, options):
            dealt = deal(
                split, lanes, options.batch_size, options.epoch_rows, options.seed, state.epoch
            )
            mine = range(group.rank, lanes, group.size)
            stream = batches(read, dealt, mine, options.latent_size, [options.seed, state.epoch])
            _train_epoch(group, state, options, stream, dealt.steps)
            _evaluate(group, state, options, held)
            state.epoch += 1
            if group.rank == 0:
                report(state.epoch)
                if path is not None:
                    write_checkpoint(path, options.identity, state.state_dict())
    curves = {name: np.array(curve) for name, curve in state.curves.items()}
    return Trained(state.best_weights, curves, np.array(state.step_loss, np.float32), state.best)


def _train_epoch(
    group: Group, state: _State, options: TrainingOptions, stream: Iterable[Batch], steps: int
) -> None:
    sums = np.zeros(3)
    parameters = list(state.network.parameters())
    for number, batch in enumerate(stream):
        done = state.epoch + number / steps
        warm = min(1.0, done / options.warm_up) if options.warm_up else 1.0
        beta = options.beta * warm
        cosine = 0.5 + 0.5 * float(np.cos(np.pi * done / options.epochs))
        for settings in state.optimizer.param_groups:
            settings["lr"] = options.learning_rate * (_LAST_RATE + (1 - _LAST_RATE) * cosine)
        state.optimizer.zero_grad()
        losses = state.network(*(torch.from_numpy(part).to(group.device) for part in batch))
        loss = losses.reconstruction + beta * losses.divergence
        loss.backward()
        means = torch.stack([loss.detach(), *(part.detach() for part in losses)])
        _mean_gradients(group, parameters, means)
        state.optimizer.step()
        values = means.cpu().numpy().astype(float)
        if not np.isfinite(values).all():
            raise ComputeError(
                f"VAE: the training diverged in epoch {state.epoch + 1} of {options.epochs}; "
                f"choose a smaller learning_rate, found {options.learning_rate:g}"
            )
        sums += values
        state.step_loss.append(float(values[0]))
    for name, value in zip(_CURVES, sums / steps, strict=False):
        state.curves[name].append(float(value))


def _mean_gradients(group: Group, parameters: Sequence[Tensor], losses: Tensor) -> None:
    """Replace the gradients and the losses of a step by their means over the ranks."""
    if group.size == 1:
        return
    gradients = [weight.grad for weight in parameters if weight.grad is not None]
    vector = torch.cat([*(gradient.reshape(-1) for gradient in gradients), losses])
    group.all_reduce_mean(vector)
    first = 0
    for gradient in gradients:
        gradient.copy_(vector[first : first + gradient.numel()].view_as(gradient))
        first += gradient.numel()
    losses.copy_(vector[first:])


def _evaluate(group: Group, state: _State, options: TrainingOptions, held: Tensor) -> None:
    """Compute the held-out losses, and keep the weights if they are the best so far."""
    values = np.nan, np.nan
    if len(held):
        with torch.no_grad():
            losses = state.network(held, None)
        loss = float(losses.reconstruction + options.beta * losses.divergence)
        values = loss, float(losses.reconstruction)
    # Processors may round differently, and all ranks must end in the same epoch.
    values = group.broadcast(values)
    state.curves["held_loss"].append(values[0])
    state.curves["held_reconstruction"].append(values[1])
    best = state.curves["held_loss"][state.best]
    # The first epoch is better than none.
    if state.epoch == 0 or not values[0] >= best * (1 - _PROGRESS):
        state.best, state.best_weights = state.epoch, arrays_of(state.network)


def _is_done(state: _State, options: TrainingOptions) -> bool:
    """Return whether the held-out loss has made no progress for `patience` epochs."""
    if np.isnan(state.curves["held_loss"]).any():
        return False
    return state.epoch - 1 - max(state.best, options.warm_up) >= options.patience
