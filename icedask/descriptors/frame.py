"""One frame as kernels see it, and the neighbour lists that they share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.kernels.neighbors import MAX_NEIGHBORS, Nearest, Neighbors, k_nearest, neighbor_list
from icedask.kernels.voronoi import Tessellation, tessellate


class Frame:
    """One frame as a kernel sees it: centres and their environment, float64, angstrom.

    `environment` (n_atoms,) are the atoms that count as neighbours, `centers` (n_centers,) the
    indices of the atoms to describe; all atoms are both by default. None has more neighbours than
    `max_neighbors`. `numbers` are atomic numbers.
    """

    def __init__(
        self,
        positions: npt.ArrayLike,
        cell: FloatArray,
        pbc: npt.NDArray[np.bool_],
        numbers: npt.NDArray[np.integer],
        environment: npt.NDArray[np.bool_] | None = None,
        centers: IntArray | None = None,
        max_neighbors: int = MAX_NEIGHBORS,
    ) -> None:
        self.positions: FloatArray = np.asarray(positions, np.float64)
        self.cell = cell
        self.pbc = pbc
        self.numbers = numbers
        n_atoms = len(self.positions)
        self.environment = np.ones(n_atoms, bool) if environment is None else environment
        self.centers = np.arange(n_atoms) if centers is None else centers
        self.max_neighbors = max_neighbors
        self._lists: dict[str, Any] = {}

    def neighbors(self, r_cut: float) -> Neighbors:
        """Return the neighbours of the centres; the rows of other atoms may be empty.

        Built once for all descriptors of the frame: a shorter cutoff than before filters the
        longer list.
        """
        return self._shorter("all", r_cut) or self._neighbors("centers", r_cut, self.centers)

    def all_neighbors(self, r_cut: float) -> Neighbors:
        """Return the neighbours of the centres and of all that can be their neighbour."""
        return self._neighbors("all", r_cut, self._involved())

    def _neighbors(self, kind: str, r_cut: float, centers: IntArray) -> Neighbors:
        listed = self._shorter(kind, r_cut)
        if listed is None:
            listed = neighbor_list(
                *(self.positions, self.cell, self.pbc, r_cut, self.environment, centers),
                most=self.max_neighbors,
            )
            self._lists[kind] = (r_cut, listed)
        return listed

    def _shorter(self, kind: str, r_cut: float) -> Neighbors | None:
        """Return the list, cut from the one there is."""
        longest, listed = self._lists.get(kind, (0.0, None))
        if listed is None or longest < r_cut:
            return None
        return listed if longest == r_cut else listed.where(listed.distances < r_cut)

    def nearest(self, k: int) -> Nearest:
        """Return the k nearest neighbours of the centres; other atoms may have none.

        Found once for all descriptors: fewer than before are cut from the longer lists.
        """
        return self._fewer("all nearest", k) or self._nearest("nearest", k, self.centers)

    def all_nearest(self, k: int) -> Nearest:
        """Return the k nearest neighbours of the centres and of what can be their neighbour."""
        return self._nearest("all nearest", k, self._involved())

    def _involved(self) -> IntArray:
        involved = self.environment.copy()
        involved[self.centers] = True
        return np.flatnonzero(involved)

    def _nearest(self, kind: str, k: int, centers: IntArray) -> Nearest:
        listed = self._fewer(kind, k)
        if listed is None:
            listed = k_nearest(self.positions, self.cell, self.pbc, k, self.environment, centers)
            self._lists[kind] = listed
        return listed

    def _fewer(self, kind: str, k: int) -> Nearest | None:
        listed = self._lists.get(kind)
        if listed is None or listed.indices.shape[1] < k:
            return None
        return Nearest(*(part[:, :k] for part in listed))

    def voronoi(self) -> Tessellation:
        """Return the Voronoi cells of the environment; made once for all descriptors."""
        if "voronoi" not in self._lists:
            self._lists["voronoi"] = tessellate(
                self.positions, self.cell, self.pbc, self.environment
            )
        cells: Tessellation = self._lists["voronoi"]
        return cells
