"""What is measured of trajectories of water: density, order, motion, radial distribution."""

from __future__ import annotations

from itertools import pairwise

import dask
import numpy as np
import xarray as xr

from icedask.descriptors.chill import CLASSES, chill_plus
from icedask.descriptors.soap import soap
from icedask.io.interop import from_ase
from icedask.model import select
from icedask.neighbors import FloatArray, neighbor_list
from icedask.simulate.potentials import WATER_MASS
from icedask.variables import ATOM

# g/cm3 of one dalton in a cubic angstrom.
_DENSITY = 1 / 0.602214076
# The ices that have an ideal structure.
ICES = ("Ih", "Ic", "sI", "II", "III", "V", "VI", "VII")


def density(trj: xr.Dataset) -> float:
    """Return the mean density of water, g/cm3; each oxygen counts as a molecule."""
    volume = np.linalg.det(trj["cell"].values).mean()
    return float(_oxygens(trj).sizes[ATOM] * WATER_MASS * _DENSITY / volume)


def chill_shares(trj: xr.Dataset) -> dict[str, float]:
    """Return the shares of the molecules in the classes of CHILL+, mean over all frames."""
    with dask.config.set(scheduler="synchronous"):
        labels = chill_plus(_oxygens(trj))["label"].values
    return {name: float((labels == number).mean()) for number, name in enumerate(CLASSES)}


def displacement(trj: xr.Dataset) -> float:
    """Return how far oxygens move from the first frame to the last, root mean square, angstrom.

    Without the motion of the whole. Right where no oxygen moves by half of the cell in a frame.
    """
    places, cells = _places(trj)
    total = np.zeros_like(places[0])
    for (before, cell), (after, next_cell) in pairwise(zip(places, cells, strict=True)):
        step = after @ np.linalg.inv(next_cell) - before @ np.linalg.inv(cell)
        total += (step - np.round(step)) @ next_cell
    total -= total.mean(axis=0)
    return float(np.sqrt((total**2).sum(axis=1).mean()))


def radial_distribution(
    trj: xr.Dataset, r_max: float, dr: float, frames: int = 10
) -> tuple[FloatArray, FloatArray]:
    """Return the radial distribution function of oxygens.

    Parameters
    ----------
    trj : xarray.Dataset
        A trajectory of water, periodic in all directions.
    r_max, dr : float, angstrom
        Largest distance, and width of the bins.
    frames : int
        Of the end, over which it is averaged.

    Returns
    -------
    r : (n_bins,) array, angstrom
        Middles of the bins.
    g : (n_bins,) array
    """
    places, cells = _places(trj.isel(frame=slice(-frames, None)))
    edges = np.arange(0, r_max + dr / 2, dr)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    g = np.zeros(len(shells))
    for positions, cell in zip(places, cells, strict=True):
        distances = neighbor_list(positions, cell, [True] * 3, float(edges[-1])).distances
        n = len(positions)
        g += np.histogram(distances, edges)[0] * np.linalg.det(cell) / (n * n * shells)
    return (edges[1:] + edges[:-1]) / 2, g / len(places)


def soap_distances(trj: xr.Dataset) -> dict[str, float]:
    """Return the distances to the ideal ices.

    Between the means over atoms and frames of the normalised SOAP vectors of oxygens, each ideal
    structure scaled to the density of the trajectory, so that the pressure does not matter.
    """
    from icedask.simulate.structures import ice

    mean, scale = _mean_soap(_oxygens(trj)), density(trj)
    distances = {}
    for phase in ICES:
        atoms = ice(phase, (1, 1, 1), seed=0, sites="O")
        ideal = len(atoms) * WATER_MASS * _DENSITY / atoms.get_volume()
        atoms.set_cell(atoms.cell.array * np.cbrt(ideal / scale), scale_atoms=True)
        distances[phase] = float(np.linalg.norm(mean - _mean_soap(from_ase(atoms))))
    return distances


def coordination(trj: xr.Dataset, r: float) -> float:
    """Return the mean number of oxygens within a distance of an oxygen, angstrom."""
    places, cells = _places(trj)
    counts = [
        neighbor_list(positions, cell, [True] * 3, r).counts.mean()
        for positions, cell in zip(places, cells, strict=True)
    ]
    return float(np.mean(counts))


def _oxygens(trj: xr.Dataset) -> xr.Dataset:
    return select(trj, "element O")


def _places(trj: xr.Dataset) -> tuple[FloatArray, FloatArray]:
    """Return the positions of oxygens and the cells of all frames."""
    with dask.config.set(scheduler="synchronous"):
        positions = _oxygens(trj)["positions"].values
    return positions.astype(float), trj["cell"].values


def _mean_soap(oxygens: xr.Dataset) -> FloatArray:
    """Return the mean of the normalised vectors, of length one."""
    with dask.config.set(scheduler="synchronous"):
        vectors = soap(oxygens, r_cut=6.0, n_max=8, l_max=8, sigma=0.5)["soap"].values.astype(float)
    vectors = vectors.reshape(-1, vectors.shape[-1])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    mean: FloatArray = vectors.mean(axis=0)
    return mean / np.linalg.norm(mean)
