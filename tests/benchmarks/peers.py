"""Calls of each descriptor, ours and of the libraries users would pick."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import combinations
from typing import Any

import ase
import freud
import numpy as np
from ase.geometry import find_mic
from dscribe.descriptors import ACSF, SOAP
from frames import bound, frame_of, ice, kernel, sheared, water
from helpers.lammps_oracle import timed_atom_compute
from ovito.io.ase import ase_to_ovito
from ovito.modifiers import ChillPlusModifier, CoordinationAnalysisModifier, VoronoiAnalysisModifier
from ovito.pipeline import Pipeline, StaticSource
from scipy.signal import savgol_filter
from scipy.spatial import cKDTree
from vesin import NeighborList

from icedask.descriptors.displacement import displacements, keep_positions
from icedask.descriptors.lens import lens_window, neighbor_identities
from icedask.descriptors.soap.basis import Basis
from icedask.descriptors.soap.cells import power_spectrum
from icedask.descriptors.stack import joined_rows
from icedask.descriptors.time_soap import angular_changes
from icedask.dynamics.smoothing import smooth_columns

Calls = dict[str, Callable[[], Any]]
# Name, number of atoms that the time is divided by, our calls, those of peers.
Row = tuple[str, int, Calls, Calls]

BASIS = Basis(6.0, 8, 8, 1.0)
# Above this, peers that take minutes are left out.
_SMALL = 10_000


def rows(n_atoms: int) -> Iterator[Row]:
    """Yield every comparison on frames of about n_atoms oxygens."""
    atoms = ice(n_atoms)
    yield neighbors_row(atoms)
    yield soap_row("SOAP, orthogonal", atoms)
    yield soap_row("SOAP, triclinic", sheared(atoms))
    if n_atoms <= _SMALL:
        yield soap_row("SOAP, O and H", water(atoms))
    yield lens_row(atoms)
    yield chill_row(atoms)
    yield steinhardt_row(atoms)
    yield listed_steinhardt_row(atoms, averaged=False)
    yield listed_steinhardt_row(atoms, averaged=True)
    yield tetrahedral_row(atoms)
    yield coordination_row(atoms)
    yield voronoi_row(atoms)
    yield symmetry_row(atoms)
    yield bispectrum_row(atoms)
    yield (
        "radial structure functions",
        len(atoms),
        {"float32": kernel(atoms, "radial_structure_functions")},
        {},
    )
    yield "rings to 8, 3.5 A", len(atoms), {"": kernel(atoms, "rings", r_cut=3.5)}, {}
    yield displacement_row(atoms)
    yield from series_rows(len(atoms))


def neighbors_row(atoms: ase.Atoms) -> Row:
    """Return the neighbour list at 6 angstrom, with vectors where the peer gives them."""
    box = freud.box.Box.from_matrix(atoms.cell.array.T)
    points = atoms.positions - atoms.cell.array.sum(axis=0) / 2
    inside = np.asarray(atoms.positions) % atoms.cell.lengths()
    finder = NeighborList(cutoff=6.0, full_list=True, sorted=True, n_threads=1)
    query = {"r_max": 6.0, "exclude_ii": True}
    peers: Calls = {
        "vesin": lambda: finder.compute(atoms.positions, atoms.cell.array, True, "ijdD"),
        "freud": lambda: freud.AABBQuery(box, points).query(points, query).toNeighborList(),
        "cKDTree, no vectors": lambda: cKDTree(inside, boxsize=atoms.cell.lengths()).query_pairs(
            6.0, output_type="ndarray"
        ),
    }
    return "neighbour list, 6 A", len(atoms), {"": lambda: frame_of(atoms).neighbors(6.0)}, peers


def soap_row(name: str, atoms: ase.Atoms) -> Row:
    """Return SOAP n_max 8, l_max 8, r_cut 6, sigma 1 of the oxygens."""
    species = sorted(set(atoms.numbers.tolist()))
    oxygens = atoms.positions[atoms.numbers == 8]
    calculator = SOAP(species=species, periodic=True, **BASIS._asdict())
    frame = frame_of(atoms)

    def ours(dtype: str) -> Callable[[], Any]:
        return lambda: power_spectrum(frame, frame.centers, species, BASIS, "compact", dtype)

    calls = {dtype: ours(dtype) for dtype in ("float64", "float32")}
    peers = {"DScribe": lambda: calculator.create(atoms, centers=oxygens)}
    return name, len(oxygens), calls, peers


def lens_row(atoms: ase.Atoms) -> Row:
    """Return LENS of one pair of frames; each frame's list serves two pairs, of peers too."""
    later = ice(len(atoms), seed=1)
    before = neighbor_identities(frame_of(atoms), 6.0, None)
    lengths = atoms.cell.lengths()

    def ours() -> Any:
        return lens_window([before, neighbor_identities(frame_of(later), 6.0, None)])

    def of_tree(frame: ase.Atoms) -> list[set[int]]:
        points = np.asarray(frame.positions) % lengths
        return [set(row) for row in cKDTree(points, boxsize=lengths).query_ball_point(points, 6.0)]

    def of_all(frame: ase.Atoms) -> list[set[int]]:
        neighbors = []
        for point in frame.positions:
            apart = frame.positions - point
            apart -= np.round(apart / lengths) * lengths
            neighbors.append(set(np.flatnonzero((apart**2).sum(axis=1) < 36).tolist()))
        return neighbors

    def change(first: list[set[int]], second: list[set[int]]) -> Any:
        pairs = zip(first, second, strict=True)
        return [len(a ^ b) / max(len(a) + len(b) - 2, 1) for a, b in pairs]

    sets = of_tree(atoms)
    peers: Calls = {"cKDTree and sets": lambda: change(sets, of_tree(later))}
    if len(atoms) <= _SMALL:
        peers["all pairs and sets"] = lambda: change(sets, of_all(later))
    return "LENS, 6 A, per pair of frames", len(atoms), {"": ours}, peers


def ovito(atoms: ase.Atoms, modifier: Any) -> Callable[[], Any]:
    """Return a call that makes the library compute, whatever it has computed before."""
    pipeline = Pipeline(source=StaticSource(data=ase_to_ovito(atoms)))
    pipeline.modifiers.append(modifier)

    def compute() -> None:
        if hasattr(modifier, "cutoff"):
            modifier.cutoff += 1e-9
        else:
            modifier.edge_threshold += 1e-12
        pipeline.compute()

    return compute


def chill_row(atoms: ase.Atoms) -> Row:
    """Return CHILL+, search included."""
    peers = {"OVITO": ovito(atoms, ChillPlusModifier(cutoff=3.5))}
    return "CHILL+", len(atoms), {"": kernel(atoms, "chill_plus")}, peers


def coordination_row(atoms: ase.Atoms) -> Row:
    """Return coordination numbers, search included."""
    peers = {"OVITO": ovito(atoms, CoordinationAnalysisModifier(cutoff=3.5))}
    return "coordination", len(atoms), {"": kernel(atoms, "coordination", r_cut=3.5)}, peers


def voronoi_row(atoms: ase.Atoms) -> Row:
    """Return Voronoi volumes; ours are freud's, with checks and open cells."""
    box = freud.box.Box.from_matrix(atoms.cell.array.T)
    points = atoms.positions - atoms.cell.array.sum(axis=0) / 2
    peers = {
        "freud": lambda: freud.locality.Voronoi().compute((box, points)),
        "OVITO": ovito(atoms, VoronoiAnalysisModifier()),
    }
    return "Voronoi volume", len(atoms), {"": kernel(atoms, "voronoi")}, peers


def _freud(atoms: ase.Atoms, averaged: bool, neighbors: Any) -> Callable[[], Any]:
    freud.parallel.set_num_threads(1)
    box = freud.box.Box.from_matrix(atoms.cell.array.T)
    points = atoms.positions - atoms.cell.array.sum(axis=0) / 2
    peer = freud.order.Steinhardt(l=[4, 6], average=averaged)
    return lambda: peer.compute((box, points), neighbors=neighbors)


def steinhardt_row(atoms: ase.Atoms) -> Row:
    """Return q4 and q6, search included."""
    peers = {"freud": _freud(atoms, False, {"r_max": 3.5, "exclude_ii": True})}
    if find_spec("pyscal3"):
        import pyscal3

        copy = atoms.copy()
        pyscal3.set_num_threads(1)

        def pyscal() -> None:
            pyscal3.find_neighbors(copy, method="cutoff", cutoff=3.5)
            pyscal3.steinhardt_parameter(copy, l=[4, 6])

        peers["pyscal3"] = pyscal
    return "q4, q6", len(atoms), {"": kernel(atoms, "steinhardt", r_cut=3.5)}, peers


def listed_steinhardt_row(atoms: ase.Atoms, averaged: bool) -> Row:
    """Return q4 and q6 with the neighbours given."""
    frame = frame_of(atoms)
    listed = frame.all_neighbors(3.5)
    neighbor_list = freud.locality.NeighborList.from_arrays(
        len(atoms), len(atoms), listed.rows, listed.indices, listed.vectors
    )
    compute = bound(atoms, "steinhardt", r_cut=3.5, averaged=averaged)
    name = f"q4, q6{' averaged' if averaged else ''}, list given"
    return (
        name,
        len(atoms),
        {"": lambda: compute(frame)},
        {"freud": _freud(atoms, averaged, neighbor_list)},
    )


def tetrahedral_row(atoms: ase.Atoms) -> Row:
    """Return tetrahedrality, search included."""
    lengths = atoms.cell.lengths()

    def numpy() -> Any:
        points = np.asarray(atoms.positions) % lengths
        _, nearest = cKDTree(points, boxsize=lengths).query(points, k=5)
        vectors = points[nearest[:, 1:]] - points[:, None]
        vectors -= np.round(vectors / lengths) * lengths
        vectors /= np.linalg.norm(vectors, axis=2)[..., None]
        pairs = combinations(range(4), 2)
        return 1 - 3 / 8 * sum(
            ((vectors[:, i] * vectors[:, j]).sum(axis=1) + 1 / 3) ** 2 for i, j in pairs
        )

    calls: Calls = {"": kernel(atoms, "tetrahedral")}
    return "tetrahedrality", len(atoms), calls, {"cKDTree and NumPy": numpy}


def symmetry_row(atoms: ase.Atoms) -> Row:
    """Return 12 G2 and 8 G4, search included."""
    g2 = [(0.5, shift) for shift in np.linspace(0, 5.5, 12).tolist()]
    g4 = [(0.01, zeta, sign) for sign in (-1, 1) for zeta in (1, 2, 4, 8)]
    calculator = ACSF(species=["O"], r_cut=6.0, periodic=True, g2_params=g2, g4_params=g4)
    ours = kernel(atoms, "symmetry_functions", r_cut=6.0, g2=g2, g4=g4, dtype="float64")
    peers: Calls = {}
    if len(atoms) <= _SMALL:
        peers["DScribe"] = lambda: calculator.create(atoms, centers=list(range(len(atoms))))
    return "12 G2 and 8 G4", len(atoms), {"float64": ours}, peers


def bispectrum_row(atoms: ase.Atoms) -> Row:
    """Return bispectrum components, twojmax 6; LAMMPS in a process of its own, timing itself."""
    command = "sna/atom 4.0 0.99363 6 0.5 1.0 rmin0 0.0 switchflag 1 bzeroflag 0"
    peers = {"LAMMPS": lambda: timed_atom_compute(atoms, command, 4.0)[1]}
    return "bispectrum, 2j 6, 4 A", len(atoms), {"": kernel(atoms, "bispectrum", r_cut=4.0)}, peers


def displacement_row(atoms: ase.Atoms) -> Row:
    """Return displacements between two frames."""
    later = ice(len(atoms), seed=1)
    moved = later.positions - atoms.positions
    window = [keep_positions(frame_of(frame)) for frame in (atoms, later)]
    peers = {"ASE": lambda: find_mic(moved, atoms.cell, atoms.pbc)}
    return "displacement", len(atoms), {"": lambda: displacements(window)}, peers


def series_rows(n_atoms: int) -> Iterator[Row]:
    """Yield analyses of SOAP vectors and of series; time of one frame."""
    rng = np.random.default_rng(0)
    n = min(n_atoms, _SMALL)
    soap = rng.random((2, n, 324)).astype(np.float32)
    lens = rng.random((1, n, 1)).astype(np.float32)
    weights = np.ones(324)

    def numpy_time_soap() -> Any:
        unit = soap / np.linalg.norm(soap, axis=2)[..., None]
        return np.linalg.norm(unit[1] - unit[0], axis=1)

    def numpy_join() -> Any:
        unit = soap[:1] / np.linalg.norm(soap[:1], axis=2)[..., None]
        return np.concatenate([unit, lens], axis=2)

    ours: Calls = {"": lambda: angular_changes(soap[:1], soap[1:], weights)}
    yield "timeSOAP, 324 components", n, ours, {"NumPy": numpy_time_soap}
    ours = {"": lambda: joined_rows(soap[:1], lens, weights)}
    yield "join, 324 components", n, ours, {"NumPy": numpy_join}
    series = rng.random((200, n)).astype(np.float32)
    ours = {"": lambda: smooth_columns(series, 21, 2)}
    peers = {"SciPy": lambda: savgol_filter(series, 21, 2, axis=0)}
    yield "smooth, window 21", 200 * n, ours, peers
