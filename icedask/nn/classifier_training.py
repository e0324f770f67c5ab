"""Training of classifiers: networks of one shape, on the same batches from different weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from icedask.core.types import FloatArray, IntArray
from icedask.errors import ComputeError
from icedask.nn.labelled_rows import Labelled, epoch_blocks
from icedask.nn.mlp import Activation, Float32Array
from icedask.nn.row_stream import Read, Rows
from icedask.nn.torch_utils import arrays_of, reproducible, stack

# Last learning rate, as a share of the first.
_LAST_RATE = 0.05
# Smallest relative decrease of the held-out loss that counts as progress.
_PROGRESS = 1e-3
CURVES = ("loss", "accuracy", "held_loss", "held_accuracy")


@dataclass(frozen=True)
class TrainingOptions:
    """Options of a training, as the parameters of `NeuralClassifier`; weights of the classes."""

    layers: tuple[int, ...]
    activation: Activation
    learning_rate: float
    batch_size: int
    epochs: int
    epoch_rows: int
    patience: int
    n_networks: int
    seed: int
    class_weights: tuple[float, ...]


class Trained(NamedTuple):
    """Weights and best epoch of each network; curves, means over the networks in training."""

    weights: dict[str, Float32Array]
    best: IntArray
    curves: dict[str, FloatArray]


class _Member:
    """A network in training, with its weights after the best epoch."""

    def __init__(self, network: nn.Sequential, learning_rate: float) -> None:
        self.network = network
        self.optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
        self.held_loss: list[float] = []
        self.best = 0
        self.best_weights = arrays_of(network)
        self.sums = np.zeros(3)

    def step(self, rows: Tensor, classes: Tensor, weights: Tensor, rate: float) -> None:
        """Take one step; add loss times weight, weight and hits of the batch to the sums."""
        for settings in self.optimizer.param_groups:
            settings["lr"] = rate
        self.optimizer.zero_grad()
        logits = self.network(rows)
        losses = nn.functional.cross_entropy(logits, classes, reduction="none")
        total = weights.sum()
        loss = (losses * weights).sum() / total
        loss.backward()
        self.optimizer.step()
        weight = float(total)
        hits = float((logits.detach().argmax(1) == classes).sum())
        self.sums += float(loss.detach()) * weight, weight, hits

    def keep(self, loss: float) -> None:
        """Keep the weights of this epoch if it has the smallest held-out loss so far."""
        epoch = len(self.held_loss)
        self.held_loss.append(loss)
        # Without held-out rows the last epoch is the best.
        if epoch == 0 or not loss >= self.held_loss[self.best] * (1 - _PROGRESS):
            self.best, self.best_weights = epoch, arrays_of(self.network)

    def is_done(self, patience: int) -> bool:
        """Return whether the held-out loss has made no progress for `patience` epochs."""
        return len(self.held_loss) - 1 - self.best >= patience


def train(
    read: Read,
    blocks: IntArray,
    counts: IntArray,
    held: Labelled | None,
    options: TrainingOptions,
    advance: Callable[[int], None],
) -> Trained:
    """Train the networks on rows of `blocks`, with class and weight as their last columns.

    `counts` are the rows of each class in each of the blocks. Network m starts from the weights of
    the seed plus m. `advance` counts finished epochs. Raises ComputeError if a loss is not a finite
    number.
    """
    with reproducible():
        n_features = read(int(blocks[0])).shape[1] - 2
        widths = [n_features, *options.layers, counts.shape[1]]
        members = [_member(widths, options, number) for number in range(options.n_networks)]
        weights = torch.tensor(options.class_weights, dtype=torch.float32)
        curves: dict[str, list[float]] = {name: [] for name in CURVES}
        chosen = (
            epoch_blocks(blocks, counts, options.epoch_rows, options.seed, epoch)
            for epoch in range(options.epochs)
        )
        done = 0
        for epoch, rows in enumerate(_epochs(read, chosen)):
            active = [member for member in members if not member.is_done(options.patience)]
            if not active:
                break
            _train_epoch(active, rows, weights, options, epoch)
            _evaluate(active, held, weights, curves)
            done += 1
            advance(1)
        advance(options.epochs - done)
    named = {
        f"network_{number}_{name}": weight
        for number, member in enumerate(members)
        for name, weight in member.best_weights.items()
    }
    best = np.array([member.best for member in members])
    return Trained(named, best, {name: np.array(curve) for name, curve in curves.items()})


def _member(widths: Sequence[int], options: TrainingOptions, number: int) -> _Member:
    torch.default_generator.manual_seed(options.seed + number)
    return _Member(stack(widths, options.activation), options.learning_rate)


def _epochs(read: Read, chosen: Iterator[list[int]]) -> Iterator[Rows]:
    """Yield the rows of each epoch, and read the next ones ahead."""
    with ThreadPoolExecutor(1) as ahead:

        def start() -> Future[Rows] | None:
            numbers = next(chosen, None)
            return None if numbers is None else ahead.submit(_rows_of, read, numbers)

        coming = start()
        while coming is not None:
            rows = coming.result()
            coming = start()
            yield rows


def _rows_of(read: Read, numbers: Sequence[int]) -> Rows:
    return np.concatenate([read(number) for number in numbers])


def _train_epoch(
    members: Sequence[_Member],
    rows: Rows,
    weights: Tensor,
    options: TrainingOptions,
    epoch: int,
) -> None:
    order = np.random.default_rng([options.seed, epoch]).permutation(len(rows))
    starts = range(0, len(rows), options.batch_size)
    for number, start in enumerate(starts):
        batch = torch.from_numpy(rows[order[start : start + options.batch_size]])
        inputs, classes = batch[:, :-2], batch[:, -2].long()
        row_weights = weights[classes] * batch[:, -1]
        done = (epoch + number / len(starts)) / options.epochs
        cosine = 0.5 + 0.5 * float(np.cos(np.pi * done))
        rate = options.learning_rate * (_LAST_RATE + (1 - _LAST_RATE) * cosine)
        for member in members:
            member.step(inputs, classes, row_weights, rate)
    if not np.isfinite([member.sums for member in members]).all():
        raise ComputeError(
            f"NeuralClassifier: the training diverged in epoch {epoch + 1} of {options.epochs}; "
            f"choose a smaller learning_rate, found {options.learning_rate:g}"
        )
    for member in members:
        loss, weight, hits = member.sums
        member.sums = np.array([loss / weight, hits / len(rows), 0.0])


def _evaluate(
    members: Sequence[_Member],
    held: Labelled | None,
    weights: Tensor,
    curves: dict[str, list[float]],
) -> None:
    """Compute the held-out losses, keep the best weights, and append means to the curves."""
    results = []
    for member in members:
        loss, accuracy = np.nan, np.nan
        if held is not None:
            loss, accuracy = _held_loss(member.network, held, weights)
        member.keep(loss)
        results.append([*member.sums[:2], loss, accuracy])
        member.sums = np.zeros(3)
    for name, value in zip(CURVES, np.mean(results, axis=0), strict=True):
        curves[name].append(float(value))


def _held_loss(network: nn.Sequential, held: Labelled, weights: Tensor) -> tuple[float, float]:
    classes, share = torch.from_numpy(held.classes), torch.from_numpy(held.share)
    with torch.no_grad():
        logits = network(torch.from_numpy(held.rows))
        losses = nn.functional.cross_entropy(logits, classes, reduction="none").double()
    row_weights = share * weights[classes]
    hits = (logits.argmax(1) == classes).double()
    loss = float((losses * row_weights).sum() / row_weights.sum())
    return loss, float((hits * share).sum() / share.sum())
