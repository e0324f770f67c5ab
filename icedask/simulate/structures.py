"""Start structures of simulations: water and metals.

The same arguments give the same atoms. A periodic cell is right-handed, lower triangular and
reduced, as LAMMPS and OpenMM require. The origin of a structure is its `info["origin"]`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.resources import as_file, files
from threading import Lock
from typing import Any, Literal

import ase
import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from icedask.core.constants import AVOGADRO, WATER_MASS
from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.kernels.neighbors import wrap
from icedask.readers.formats import SourceOptions
from icedask.readers.sources import open_source
from icedask.simulate.lattices import Lattice, check_repeats, lattice_sites, times
from icedask.simulate.molecules import reduced

# Its README is beside it.
SHIPPED = "mw_nucleation.lammpstrj.gz"

Sites = Literal["O", "OHH"]

_GENICE_NAMES = {
    "Ih": "1h",
    "Ic": "1c",
    "II": "2",
    "III": "3",
    "IV": "4",
    "V": "5",
    "VI": "6",
    "VII": "7",
    "XII": "12",
    "XVII": "17",
    "sI": "CS1",
    "sII": "CS2",
    "sH": "DOH",
}

# TIP4P: angstrom and degree. The dipole is along z, both hydrogens in the plane of y and z.
_R_OH, _HOH = 0.9572, 104.52
_HYDROGENS = _R_OH * np.array(
    [
        [0.0, np.sin(np.radians(_HOH / 2)), np.cos(np.radians(_HOH / 2))],
        [0.0, -np.sin(np.radians(_HOH / 2)), np.cos(np.radians(_HOH / 2))],
    ]
)

# Oxygens of liquid water come no closer, angstrom.
_CLOSEST = 2.5
_MAX_SWEEPS = 1000

# Largest number of trials: GenIce2 does not always find a disorder whose bonds cancel.
_MAX_DRAWS = 20

# GenIce2 draws from NumPy's global random numbers: two threads would share them.
_GENICE_LOCK = Lock()


def ice(phase: str, repeats: Sequence[int], seed: int, sites: Sites = "OHH") -> ase.Atoms:
    """Return a crystal of water, proton-disordered unless the phase is ordered.

    Parameters
    ----------
    phase
        "Ih", "Ic", "II", "III", "IV", "V", "VI", "VII", "XII", "XVII", or the empty clathrates
        "sI", "sII" and "sH".
    repeats
        Unit cells of GenIce2 along each cell vector; its cell of Ih is orthorhombic, with the
        hexagonal axis along y.
    seed
        Seed of the proton disorder; without effect on sites "O".
    sites
        "O", one atom a molecule, or "OHH": O, H, H of each molecule, with the geometry of TIP4P,
        numbered from 1 by arrays["molecule"].

    Returns
    -------
    ase.Atoms
        Oxygens in the cell, molecules whole, a net dipole near zero (a few per cent of that of all
        molecules aligned), the density that GenIce2 gives the phase.

    Raises
    ------
    InputError
        If GenIce2 is not installed, or the phase, the repeats or the sites are not valid.

    References
    ----------
    Matsumoto, Yagasaki and Tanaka, J. Comput. Chem. 39, 61 (2018), doi:10.1002/jcc.25077
    """
    if phase not in _GENICE_NAMES:
        raise InputError(f"phase: expected one of {', '.join(_GENICE_NAMES)}, found {phase}")
    check_repeats(repeats)
    _check_sites(sites)
    raw = _genice(_GENICE_NAMES[phase], repeats, seed, disorder=sites == "OHH")
    cell = reduced(10 * raw["repcell"])
    # GenIce2 gives fractions of its cell, which span the same lattice as the reduced one.
    oxygens = wrap(10 * raw["reppositions"] @ raw["repcell"], cell, np.ones(3, bool))[0]
    # Rows of a rotation matrix of GenIce2 are the molecule's axes.
    atoms = _water(oxygens, raw["rotmatrices"] if sites == "OHH" else None, cell)
    disorder = f", proton seed {seed}" if sites == "OHH" else ", oxygens alone"
    atoms.info["origin"] = (
        f"ice {phase}: GenIce2 {version('genice2')} lattice {_GENICE_NAMES[phase]}, "
        f"{times(repeats)} cells{disorder}"
    )
    return atoms


def liquid(n: int, density: float, seed: int, sites: Sites = "OHH") -> ase.Atoms:
    """Return n molecules at random in a cube: a start for a liquid, not an equilibrated one.

    Oxygens are at least 2.5 angstrom apart, orientations uniformly random; hydrogens of neighbours
    may be close: minimise the energy first. The density is in g/cm3, sites as for `ice`. Raises
    InputError if the molecules do not fit at this density.
    """
    _check_sites(sites)
    if n < 1 or density <= 0:
        raise InputError(
            f"liquid: expected molecules and a density, found {n} at {density:g} g/cm3"
        )
    edge = float(np.cbrt(n * WATER_MASS / (AVOGADRO * density)))
    rng = np.random.default_rng(seed)
    oxygens = _spread(rng.random((n, 3)) * edge, edge, density)
    axes = Rotation.random(n, rng=rng).as_matrix() if sites == "OHH" else None
    atoms = _water(oxygens, axes, np.diag([edge] * 3))
    atoms.info["origin"] = f"liquid: {n} molecules at random at {density:g} g/cm3, seed {seed}"
    return atoms


def shipped_frame(frame: int) -> ase.Atoms:
    """Return a frame of the shipped trajectory: freezing mW water, 4,096 sites in a cube.

    The nucleus has grown to some hundred molecules in frame 49, at 200 K.
    """
    with as_file(files("icedask") / "data" / SHIPPED) as path:
        options = SourceOptions(units="real", timestep=10.0, elements="O")
        source = open_source([str(path)], options)
        block = source.read([frame])
    atoms = ase.Atoms(
        source.atoms()["element"].tolist(), block.positions[0], cell=block.cell[0], pbc=True
    )
    atoms.wrap()
    atoms.info["origin"] = f"{SHIPPED}: frame {frame}, at {block.time[0]:g} ps"
    return atoms


def icosahedron(element: str, shells: int, a: float) -> ase.Atoms:
    """Return a Mackay icosahedron, not periodic and without a cell.

    There are `shells` around the central atom: 1, 2, 3, 4 have 13, 55, 147, 309 atoms. `a` is the
    lattice constant of the face-centred cubic crystal, angstrom.
    """
    from ase.cluster import Icosahedron

    cluster = Icosahedron(element, shells + 1, a)
    atoms = ase.Atoms(cluster.symbols, cluster.positions - cluster.positions.mean(axis=0))
    atoms.info["origin"] = (
        f"{element}{len(atoms)} icosahedron: ASE {version('ase')}, {shells} shells, "
        f"a {a:g} angstrom"
    )
    return atoms


def fcc211(element: str, a: float, size: Sequence[int], vacuum: float) -> ase.Atoms:
    """Return a slab with (211) surfaces, periodic along x and y.

    The size is the number of atoms along x, three to a terrace, along y, the close-packed direction
    of the steps, and of layers along z; `a` is the lattice constant, `vacuum` the width on either
    side, angstrom. Raises InputError if the atoms along x do not make whole terraces.
    """
    from ase.build import fcc211 as ase_fcc211

    if len(size) != 3 or min(size) < 1 or size[0] % 3:
        raise InputError(
            f"size: expected three positive integers, the first a multiple of 3, found {size}"
        )
    slab = ase_fcc211(element, tuple(size), a=a, vacuum=vacuum)
    atoms = ase.Atoms(slab.symbols, slab.positions, cell=slab.cell, pbc=(True, True, False))
    atoms.info["origin"] = (
        f"{element}(211) slab: ASE {version('ase')}, size {'x'.join(map(str, size))}, "
        f"a {a:g} angstrom, vacuum {vacuum:g} angstrom on either side"
    )
    return atoms


def metal(element: str, lattice: Lattice, volume: float, repeats: Sequence[int]) -> ase.Atoms:
    """Return a crystal of a metal with the sites of `lattices.lattice_sites`, periodic."""
    positions, cell = lattice_sites(lattice, volume, repeats)
    atoms = ase.Atoms(f"{element}{len(positions)}", positions, cell=cell, pbc=True)
    atoms.info["origin"] = (
        f"{element} {lattice}: {times(repeats)} cells, {volume:g} cubic angstrom an atom"
    )
    return atoms


def plastic(lattice: Lattice, density: float, repeats: Sequence[int], seed: int) -> ase.Atoms:
    """Return water molecules of random orientation on a lattice: a start for a plastic crystal.

    Oxygens are the sites of `lattices.lattice_sites`, the density is in g/cm3, sites are "OHH" as
    for `ice`. Hydrogens of neighbours may be close: minimise the energy first.
    """
    oxygens, cell = lattice_sites(lattice, WATER_MASS / (AVOGADRO * density), repeats)
    rng = np.random.default_rng(seed)
    atoms = _water(oxygens, Rotation.random(len(oxygens), rng=rng).as_matrix(), cell)
    atoms.info["origin"] = (
        f"plastic crystal: molecules of random orientation on {times(repeats)} {lattice} cells "
        f"at {density:g} g/cm3, seed {seed}"
    )
    return atoms


def _check_sites(sites: str) -> None:
    if sites not in ("O", "OHH"):
        raise InputError(f"sites: expected O or OHH, found {sites}")


def _water(oxygens: FloatArray, axes: FloatArray | None, cell: FloatArray) -> ase.Atoms:
    """Return water of one site, or of three with the molecules' axes in rows, (n, 3, 3)."""
    if axes is None:
        return ase.Atoms(f"O{len(oxygens)}", oxygens, cell=cell, pbc=True)
    positions = np.empty((len(oxygens), 3, 3))
    positions[:, 0] = oxygens
    positions[:, 1:] = oxygens[:, None] + _HYDROGENS @ axes
    atoms = ase.Atoms(f"(OH2){len(oxygens)}", positions.reshape(-1, 3), cell=cell, pbc=True)
    atoms.set_array("molecule", np.repeat(np.arange(1, len(oxygens) + 1), 3))
    return atoms


def _spread(points: FloatArray, edge: float, density: float) -> FloatArray:
    """Push points in a periodic cube apart to distances of at least `_CLOSEST`."""
    for _ in range(_MAX_SWEEPS):
        pairs = KDTree(points, boxsize=edge).query_pairs(_CLOSEST, output_type="ndarray")
        if not len(pairs):
            return points
        apart = points[pairs[:, 1]] - points[pairs[:, 0]]
        apart -= edge * np.round(apart / edge)
        distances = np.linalg.norm(apart, axis=1, keepdims=True)
        # A little more than half of what is missing, or the last overlaps would never end.
        push = apart / distances * (0.55 * (_CLOSEST - distances) + 0.005)
        for axis in range(3):
            points[:, axis] += np.bincount(pairs[:, 1], push[:, axis], len(points))
            points[:, axis] -= np.bincount(pairs[:, 0], push[:, axis], len(points))
        points %= edge
        points[points >= edge] = 0.0
    raise InputError(
        f"liquid: {len(points)} molecules do not fit {_CLOSEST} angstrom apart at {density:g} "
        "g/cm3; choose a lower density"
    )


def _genice(lattice: str, repeats: Sequence[int], seed: int, *, disorder: bool) -> dict[str, Any]:
    """Return the lattice of GenIce2; with disorder also bonds (`digraph`) and molecules' axes."""
    try:
        from genice2.formats.raw import Format
        from genice2.genice import GenIce
        from genice2.plugin import Lattice
    except ImportError as error:
        raise InputError(
            "ice: GenIce2, which makes the crystal, is not installed; pip install icedask[simulate]"
        ) from error
    reshape = np.diag([int(number) for number in repeats])
    stages = [1, 4, 5] if disorder else [1]
    with _GENICE_LOCK, _seeded(seed), _silent():
        for _ in range(_MAX_DRAWS):
            ice = GenIce(Lattice(lattice), reshape=reshape)
            raw: dict[str, Any] = ice.generate_ice(Format(stage=stages))
            if not disorder or _bonds_cancel(raw):
                break
    return raw


def _bonds_cancel(raw: dict[str, Any]) -> bool:
    """Return whether the vectors from donors to acceptors add up to zero."""
    donors, acceptors = np.array(raw["digraph"].edges).T
    bonds = raw["reppositions"][acceptors] - raw["reppositions"][donors]
    return bool(np.abs((bonds - bonds.round()).sum(axis=0)).max() < 1e-6)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed NumPy's global random numbers, and restore them afterwards."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(np.random.SeedSequence(seed).generate_state(4))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


@contextmanager
def _silent() -> Iterator[None]:
    """Suppress warnings and log messages of GenIce2."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
