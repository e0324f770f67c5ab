"""Small networks that learn what a slow method said of a sample, and say it of all rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from icedask.nn.torch_utils import arrays_of, reproducible, stack
from icedask.tasks.progress import stage

_BATCH = 512
_STEPS = 2000
_LEARNING_RATE = 3e-3
_WEIGHT_DECAY = 1e-4


def distil(
    rows: npt.NDArray[np.float32],
    targets: npt.NDArray[np.float32] | npt.NDArray[np.int64],
    n_outputs: int,
    *,
    layers: Sequence[int],
    loss: Literal["squared", "classes"],
    seed: int,
    description: str,
) -> dict[str, npt.NDArray[np.float32]]:
    """Train a network on a sample that fits into memory.

    Parameters
    ----------
    rows
        (n, n_features), of a variance near 1.
    targets
        (n, n_outputs) numbers, or (n,) classes.
    n_outputs
        Numbers, or classes.
    layers
        Widths of the hidden layers.
    loss
        Squared error, or cross entropy of the classes.
    seed
        Of weights and batches.
    description
        Of the progress bar.

    Returns
    -------
    dict of str to array
        Weights under the prefix "net", for `layers.apply_stack`.
    """
    with reproducible():
        torch.default_generator.manual_seed(seed)
        network = stack([rows.shape[1], *layers, n_outputs])
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, _LEARNING_RATE, total_steps=_STEPS, pct_start=0.05
        )
        measure = nn.MSELoss() if loss == "squared" else nn.CrossEntropyLoss()
        given, wanted = torch.from_numpy(rows), torch.from_numpy(targets)
        with stage(description, _STEPS) as advance:
            for _ in range(_STEPS):
                some = torch.randint(len(rows), (_BATCH,))
                optimizer.zero_grad()
                measure(network(given[some]), wanted[some]).backward()
                optimizer.step()
                schedule.step()
                advance(1)
        return arrays_of(network, "net_")
