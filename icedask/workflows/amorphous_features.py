"""Descriptors that the classifiers of amorphous ices are trained on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dask
import xarray as xr

from icedask.core.collection import Collection
from icedask.core.constants import WATER_MASS
from icedask.core.features import feature_variable
from icedask.core.variables import ATOM, FRAME
from icedask.descriptors.bispectrum import bispectrum
from icedask.descriptors.rings import rings
from icedask.descriptors.soap import soap
from icedask.descriptors.stack import combine
from icedask.descriptors.symmetry import symmetry_functions
from icedask.descriptors.tetrahedral import (
    local_structure_index,
    neighbor_distances,
    tetrahedral,
)
from icedask.descriptors.voronoi import mass_density

CENTERS = "element O"
# Oxygens are bonded, or in the first shell, up to here; angstrom.
_FIRST_SHELL = 3.5

# The functions of document 004 with parameters of water: G2 and G3 resolve the shells of g(r)
# between 2.5 and 6 angstrom, G4 the angles at an oxygen, G8 angles between neighbours of the first
# shell, of the gap in which HDA has its fifth neighbour, and of the second shell.
_G2 = [(4.0, 2.5 + 0.4 * number) for number in range(10)] + [(0.05, 0.0), (0.3, 0.0), (1.0, 2.8)]
_G3 = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0]
_G4 = [
    (eta, zeta, sign)
    for eta in (0.001, 0.01, 0.03)
    for zeta in (1.0, 4.0, 16.0)
    for sign in (-1.0, 1.0)
]
_SHELLS = ((2.5, 3.2), (3.3, 3.8), (4.1, 5.0))
_G8 = [(eta, 1.911, 8.0, low, high) for eta in (1.0, 2.0, 4.0) for low, high in _SHELLS]
# Of the Fermi cutoff: half at 0.5 angstrom before the radius.
_FERMI = {"cutoff": "fermi", "fermi_alpha": 8.0, "fermi_epsilon": 0.5}


@dataclass(frozen=True)
class Family:
    """Descriptor with its options, and what document 004 reports of it."""

    title: str
    function: Callable[..., xr.Dataset]
    options: Mapping[str, Any]
    # Accuracy of document 004 in per cent, and its minutes for all samples.
    published: float | None = None
    published_minutes: float | None = None
    hydrogens: bool = False

    def describe(self, trj: Any, r_cut: float) -> Any:
        """Return the descriptor of the oxygens of a trajectory, or of many; lazy."""
        species = ["O", "H"] if self.hydrogens else ["O"]
        return self.function(trj, r_cut=r_cut, species=species, centers=CENTERS, **self.options)


_SYMMETRY: dict[str, Any] = {"g2": _G2, "g3": _G3, "g4": _G4, "g8": _G8, **_FERMI}
_SMALL, _LARGE = {"n_max": 3, "l_max": 5}, {"n_max": 8, "l_max": 8}

FAMILIES = {
    "symmetry": Family("symmetry functions", symmetry_functions, _SYMMETRY, 88.92),
    "bispectrum": Family("bispectrum", bispectrum, {"twojmax": 6}, 89.41, 15.0),
    "soap-small": Family("SOAP n3 l5", soap, _SMALL, 75.23, 12.0),
    "soap": Family("SOAP n8 l8", soap, _LARGE, 95.88, 16.0),
    "soap-averaged": Family(
        "SOAP n8 l8, averaged over neighbours", soap, {**_LARGE, "average_within": _FIRST_SHELL}
    ),
    "symmetry-OH": Family(
        "symmetry functions, O and H", symmetry_functions, _SYMMETRY, hydrogens=True
    ),
    "bispectrum-OH": Family(
        "bispectrum, O and H", bispectrum, {"twojmax": 6, "weights": [1.0, 0.5]}, hydrogens=True
    ),
    "soap-small-OH": Family("SOAP n3 l5, O and H", soap, _SMALL, hydrogens=True),
    "soap-OH": Family("SOAP n6 l6, O and H", soap, {"n_max": 6, "l_max": 6}, hydrogens=True),
}


@dataclass(frozen=True)
class Simple:
    """A few numbers of the surroundings of an oxygen."""

    title: str
    function: Callable[[xr.Dataset], xr.Dataset]
    options: Mapping[str, Any] = field(default_factory=dict)


def _rings(trj: xr.Dataset) -> xr.Dataset:
    return _as_numbers(rings(trj, r_cut=_FIRST_SHELL, max_size=8))


def _as_numbers(counts: xr.Dataset) -> xr.Dataset:
    """Return counts as features, which are floating-point numbers."""
    name = next(iter(counts.data_vars))
    return counts if counts[name].dtype.kind == "f" else counts.astype("float32")


def _all_simple(oxygens: xr.Dataset) -> xr.Dataset:
    return combine(**{name: each.function(oxygens) for name, each in SIMPLE.items()})


# Of the oxygens alone.
SIMPLE = {
    "density": Simple("density of the Voronoi cell", lambda o: mass_density(o, mass=WATER_MASS)),
    "tetrahedral": Simple("tetrahedral order", tetrahedral),
    "lsi": Simple("local structure index", local_structure_index),
    "distances": Simple(
        "distances of the 16 nearest neighbours", lambda o: neighbor_distances(o, n_neighbors=16)
    ),
    "rings": Simple("rings of 3 to 8 molecules", _rings),
}
ALL_SIMPLE = Simple("all of these", _all_simple)


def seconds_for_thousand(features: Collection) -> float:
    """Measure the time that a thousand centres take in this thread, seconds.

    The fastest of three runs, after one that compiles, on the member with the most atoms.
    """
    name = max(features, key=lambda member: features[member].sizes[ATOM])
    frame = feature_variable(features[name]).isel({FRAME: slice(0, 1)})
    seconds = []
    with dask.config.set(scheduler="synchronous"):
        for _ in range(4):
            start = time.perf_counter()
            frame.compute()
            seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds[1:]) / frame.sizes[ATOM]
