"""Score network: predicts the displacement of each atom from its ideal place.

A polarisable atom interaction network (PaiNN), equivariant, doi:10.48550/arXiv.2102.03150:
messages along the edges of the neighbour graph change scalars and vectors of each atom.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

# Messages are scaled by a constant, not by the number of neighbours: density stays visible.
_USUAL_NEIGHBORS = 18.0


class Edges(NamedTuple):
    """Pairs within the cutoff, with the vectors from centre to neighbour (n_edges, 3), angstrom."""

    centers: Tensor
    neighbors: Tensor
    vectors: Tensor
    n_atoms: int


class Message(nn.Module):
    """Messages of the neighbours to each atom."""

    def __init__(self, width: int, n_radial: int) -> None:
        super().__init__()
        self.radial = nn.Linear(n_radial, 3 * width)
        self.node = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 3 * width))

    def forward(
        self, x: Tensor, v: Tensor, edges: Edges, basis: Tensor, envelope: Tensor, unit: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return scalars (n_atoms, width) and vectors (n_atoms, 3, width) after the messages."""
        filters = self.radial(basis) * envelope
        a, b, d = (filters * self.node(x)[edges.neighbors]).chunk(3, dim=1)
        sent = v[edges.neighbors] * b[:, None, :] + unit[:, :, None] * d[:, None, :]
        scale = 1.0 / math.sqrt(_USUAL_NEIGHBORS)
        return (
            x.index_add(0, edges.centers, a * scale),
            v.index_add(0, edges.centers, sent * scale),
        )


class Update(nn.Module):
    """Update of each atom's scalars and vectors by each other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width, bias=False)
        self.second = nn.Linear(width, width, bias=False)
        self.node = nn.Sequential(
            nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 3 * width)
        )

    def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scalars and vectors after the update."""
        u, w = self.first(v), self.second(v)
        # Not the norm, whose gradient is infinite at zero.
        length = torch.sqrt((w * w).sum(1) + 1e-8)
        a, b, d = self.node(torch.cat([x, length], dim=1)).chunk(3, dim=1)
        return x + a + b * (u * w).sum(1), v + d[:, None, :] * u


class ScoreNetwork(nn.Module):
    """Displacements of atoms from their ideal places; equivariant under E(3).

    `width` scalars and vectors on each atom, `layers` of messages and updates, a graph with a
    cutoff in angstrom, and `n_radial` Bessel functions of the distance.
    """

    def __init__(self, width: int, layers: int, cutoff: float, n_radial: int = 16) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.embedding = nn.Parameter(torch.randn(width))
        self.messages = nn.ModuleList(Message(width, n_radial) for _ in range(layers))
        self.updates = nn.ModuleList(Update(width) for _ in range(layers))
        self.gate = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.out = nn.Linear(width, 1, bias=False)
        self.register_buffer("orders", torch.arange(1, n_radial + 1) * (math.pi / cutoff))

    def forward(self, edges: Edges) -> Tensor:
        """Return displacements (n_atoms, 3), angstrom."""
        r = torch.sqrt((edges.vectors**2).sum(1, keepdim=True) + 1e-12)
        unit = edges.vectors / r
        orders: Tensor = self.orders  # type: ignore[assignment]
        basis = math.sqrt(2.0 / self.cutoff) * torch.sin(orders * r) / r
        envelope = 0.5 * (torch.cos(math.pi / self.cutoff * r) + 1.0) * (r < self.cutoff)
        x = self.embedding.expand(edges.n_atoms, -1)
        v = x.new_zeros(edges.n_atoms, 3, x.shape[1])
        for message, update in zip(self.messages, self.updates, strict=True):
            x, v = message(x, v, edges, basis, envelope, unit)
            x, v = update(x, v)
        return self.out(v * self.gate(x)[:, None, :])[:, :, 0]
