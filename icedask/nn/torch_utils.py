"""Reproducible training with torch: one thread, single precision, and layers by width."""

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
    """Compute in one thread and single precision, and restore the settings and random state.

    Sums over several threads differ in the last bits from run to run, and networks of some
    thousand weights gain little from threads.
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


def stack(widths: Sequence[int], activation: str = "silu") -> nn.Sequential:
    """Return linear layers of these widths, with tanh or SiLU between them."""
    between = nn.Tanh if activation == "tanh" else nn.SiLU
    parts: list[nn.Module] = []
    for width, following in pairwise(widths):
        parts += [nn.Linear(width, following), between()]
    return nn.Sequential(*parts[:-1])


def arrays_of(module: nn.Module, prefix: str = "") -> dict[str, npt.NDArray[np.float32]]:
    """Return copies of the weights by name, such as encoder_0_weight, for `mlp.apply_stack`."""
    return {
        prefix + name.replace(".", "_"): weight.detach().cpu().numpy().copy()
        for name, weight in module.named_parameters()
    }
