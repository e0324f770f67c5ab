"""The networks of a variational autoencoder in torch, to learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from icedask.nn.mlp import Weights
from icedask.nn.torch_utils import stack

# Of the logarithm of a variance: beyond, its exponential leaves the range of single precision.
_LARGEST_LOG = 20.0


class Losses(NamedTuple):
    """Means over the rows of a batch.

    Attributes
    ----------
    reconstruction
        Squared error, mean over the features.
    divergence
        Kullback-Leibler divergence from the standard normal distribution, sum over the latent
        components.
    """

    reconstruction: Tensor
    divergence: Tensor


class Autoencoder(nn.Module):
    """Encoder to means and logarithms of variances, and the decoder that mirrors it.

    Parameters
    ----------
    n_features, latent_size
        Of a row, and of its latent coordinates.
    layers
        Widths of the encoder's hidden layers.
    """

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

    def load(self, weights: Weights) -> None:
        """Take the weights that `training.arrays_of` returned."""
        with torch.no_grad():
            for name, one in self.named_parameters():
                one.copy_(torch.from_numpy(np.array(weights[name.replace(".", "_")])))
