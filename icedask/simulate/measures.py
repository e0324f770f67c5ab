"""Measures of trajectories: density, order, motion, radial distribution."""

from __future__ import annotations

import dask
import numpy as np
import xarray as xr

from icedask.core.constants import AVOGADRO, WATER_MASS
from icedask.core.selection import select
from icedask.core.trajectory import trajectory
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM
from icedask.descriptors.chill import CLASSES, chill_plus
from icedask.descriptors.soap import soap
from icedask.descriptors.steinhardt import steinhardt
from icedask.kernels.neighbors import neighbor_list
from icedask.readers.convert import from_ase
from icedask.simulate.lattices import Lattice

# g/cm3 of one dalton in a cubic angstrom.
_DENSITY = 1 / AVOGADRO
# The ices that have an ideal structure.
ICES = (
    *("Ih", "Ic", "sI", "sII", "sH"),
    *("II", "III", "IV", "V", "VI", "VII", "XII", "XVII"),
)
LATTICES: tuple[Lattice, ...] = ("fcc", "hcp", "bcc")
# Of a lattice with sites of unit volume: beyond the twelve neighbours of fcc and hcp at 1.12 and
# the fourteen of bcc at 1.09 and 1.26, before the next at 1.59 and 1.78.
_FIRST_SHELL = 1.425
# Between fcc, hcp and bcc are 0.07 to 0.16.
_SAME_ORDER = 0.1


def density(trj: xr.Dataset) -> float:
    """Return the mean density of water, g/cm3; each oxygen counts as a molecule."""
    volume = np.linalg.det(trj["cell"].values).mean()
    return float(oxygens(trj).sizes[ATOM] * WATER_MASS * _DENSITY / volume)


def chill_shares(trj: xr.Dataset) -> dict[str, float]:
    """Return the shares of molecules in the classes of CHILL+, averaged over frames."""
    with dask.config.set(scheduler="synchronous"):
        labels = chill_plus(oxygens(trj))["label"].values
    return {name: float((labels == number).mean()) for number, name in enumerate(CLASSES)}


def displacement(trj: xr.Dataset) -> float:
    """Return the RMS displacement of oxygens from the first frame to the last, angstrom.

    Without the drift of the whole. Right where no oxygen moves by half of the cell in a frame.
    """
    places, cells = _places(oxygens(trj))
    cells = _continued(cells)
    steps = _steps(places, cells) @ cells[1:]
    total = steps.sum(axis=0)
    total -= total.mean(axis=0)
    return float(np.sqrt((total**2).sum(axis=1).mean()))


def turning(trj: xr.Dataset) -> float:
    """Return the mean cosine between an O-H bond in the first frame and in the last.

    For molecules O, H, H; zero where they turn freely.
    """
    places, cells = _places(trj)
    bonds = []
    for positions, cell in ((places[0], cells[0]), (places[-1], cells[-1])):
        molecules = (positions @ np.linalg.inv(cell)).reshape(-1, 3, 3)
        vectors = molecules[:, 1:] - molecules[:, :1]
        vectors = (vectors - np.round(vectors)) @ cell
        bonds.append(vectors / np.linalg.norm(vectors, axis=2, keepdims=True))
    return float((bonds[0] * bonds[1]).sum(axis=2).mean())


def at_mean_places(trj: xr.Dataset) -> xr.Dataset:
    """Return a frame of the mean positions in the mean cell.

    It has the order of a crystal without its vibrations, and none where atoms move away.
    """
    places, cells = _places(trj)
    cells = _continued(cells)
    steps = _steps(places, cells)
    # The crystal may drift as a whole.
    steps -= steps.mean(axis=1, keepdims=True)
    moved = np.concatenate([np.zeros_like(places[:1]), np.cumsum(steps, axis=0)])
    cell = cells.mean(axis=0)
    fractions = places[0] @ np.linalg.inv(cells[0]) + moved.mean(axis=0)
    return trajectory(
        (fractions % 1.0 @ cell)[None].astype(np.float32),
        element=trj["element"].values,
        cell=cell[None],
        pbc=[True] * 3,
    )


def lattice_shares(trj: xr.Dataset) -> dict[str, float]:
    """Return the shares of atoms whose mean positions are ordered as in fcc, hcp and bcc.

    By the averaged order parameters q4 and q6 of Lechner and Dellago.
    """
    from icedask.simulate.structures import metal

    still = at_mean_places(trj)
    volume = np.linalg.det(still["cell"].values[0]) / still.sizes[ATOM]
    order = _lattice_order(still, volume)
    ideal = [
        _lattice_order(from_ase(metal("Cu", lattice, volume, (4, 4, 4))), volume)[0]
        for lattice in LATTICES
    ]
    distances = np.linalg.norm(order[:, None] - ideal, axis=2)
    nearest = np.where(distances.min(axis=1) < _SAME_ORDER, distances.argmin(axis=1), -1)
    return {name: float((nearest == number).mean()) for number, name in enumerate(LATTICES)}


def radial_distribution(
    trj: xr.Dataset, r_max: float, dr: float, frames: int = 10
) -> tuple[FloatArray, FloatArray]:
    """Return the radial distribution function of oxygens in a periodic cell.

    Bin centres (angstrom) up to `r_max` in steps of `dr`, and values averaged over the last frames.
    """
    places, cells = _places(oxygens(trj.isel(frame=slice(-frames, None))))
    edges = np.arange(0, r_max + dr / 2, dr)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    g = np.zeros(len(shells))
    for positions, cell in zip(places, cells, strict=True):
        distances = neighbor_list(positions, cell, [True] * 3, float(edges[-1])).distances
        n = len(positions)
        g += np.histogram(distances, edges)[0] * np.linalg.det(cell) / (n * n * shells)
    return (edges[1:] + edges[:-1]) / 2, g / len(places)


def soap_distances(trj: xr.Dataset) -> dict[str, float]:
    """Return the distances from the mean normalised SOAP vector to each ideal ice.

    Of oxygens at their mean positions: vibrations bring VI near IV, and the clathrates near each
    other. Each ideal structure is scaled to the density of the trajectory, so that the pressure
    does not matter.
    """
    from icedask.simulate.structures import ice

    still = at_mean_places(oxygens(trj))
    mean, scale = _mean_soap(still), density(still)
    distances = {}
    for phase in ICES:
        atoms = ice(phase, (1, 1, 1), seed=0, sites="O")
        ideal = len(atoms) * WATER_MASS * _DENSITY / atoms.get_volume()
        atoms.set_cell(atoms.cell.array * np.cbrt(ideal / scale), scale_atoms=True)
        distances[phase] = float(np.linalg.norm(mean - _mean_soap(from_ase(atoms))))
    return distances


def coordination(trj: xr.Dataset, r: float) -> float:
    """Return the mean number of oxygens within a distance of an oxygen, angstrom."""
    places, cells = _places(oxygens(trj))
    counts = [
        neighbor_list(positions, cell, [True] * 3, r).counts.mean()
        for positions, cell in zip(places, cells, strict=True)
    ]
    return float(np.mean(counts))


def oxygens(trj: xr.Dataset) -> xr.Dataset:
    """Return a trajectory of water without its hydrogens."""
    return select(trj, "element O")


def _places(trj: xr.Dataset) -> tuple[FloatArray, FloatArray]:
    """Return the positions of atoms and the cells of all frames."""
    with dask.config.set(scheduler="synchronous"):
        positions = trj["positions"].values
    return positions.astype(float), trj["cell"].values


def _continued(cells: FloatArray) -> FloatArray:
    """Return cells of the same lattices whose vectors change continuously.

    A barostat that changes all six numbers of a cell may replace b by b + a where that is shorter.
    """
    continued = [cells[0]]
    for cell in cells[1:]:
        continued.append(np.round(continued[-1] @ np.linalg.inv(cell)) @ cell)
    return np.array(continued)


def _steps(places: FloatArray, cells: FloatArray) -> FloatArray:
    """Return the shortest displacements between frames, in fractions of continued cells."""
    steps = np.diff(places @ np.linalg.inv(cells), axis=0)
    return steps - np.round(steps)


def _lattice_order(trj: xr.Dataset, volume: float) -> FloatArray:
    """Return averaged q4 and q6 of the atoms of one frame, with the volume of an atom."""
    r_cut = _FIRST_SHELL * np.cbrt(volume)
    with dask.config.set(scheduler="synchronous"):
        order: FloatArray = steinhardt(trj, r_cut=r_cut, averaged=True)["steinhardt"].values
    return order[0].astype(float)


def _mean_soap(oxygens: xr.Dataset) -> FloatArray:
    """Return the normalised mean of the normalised SOAP vectors.

    Smooth and long-ranged: sensitive to the stacking of cages more than to vibrations.
    """
    with dask.config.set(scheduler="synchronous"):
        vectors = soap(oxygens, r_cut=8.0, n_max=8, l_max=6, sigma=0.8)["soap"].values.astype(float)
    vectors = vectors.reshape(-1, vectors.shape[-1])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    mean: FloatArray = vectors.mean(axis=0)
    return mean / np.linalg.norm(mean)
