"""What trainings with torch share: layers, their weights as arrays, and the same bits each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import nn


@contextmanager
def reproducible() -> Iterator[None]:
    """Compute in one thread and single precision, and leave what others have set alone.

    The sums of several threads are not added up in the same order each time, and networks of some
    thousand weights gain little from them.
    """
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)


def stack(widths: Sequence[int]) -> nn.Sequential:
    """Return layers from the first width to the last, with SiLU between them."""
    parts: list[nn.Module] = []
    for width, following in pairwise(widths):
        parts += [nn.Linear(width, following), nn.SiLU()]
    return nn.Sequential(*parts[:-1])


def arrays_of(module: nn.Module, prefix: str = "") -> dict[str, npt.NDArray[np.float32]]:
    """Return copies of the weights by name, such as encoder_0_weight; see `learn.layers`."""
    return {
        prefix + name.replace(".", "_"): one.detach().cpu().numpy().copy()
        for name, one in module.named_parameters()
    }
