"""Ring statistics of networks: primitive rings through each atom, by size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.options import Centers, Cutoff, Option
from icedask.core.trajectory import own_species
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor
from icedask.descriptors.rings.network import find_network
from icedask.descriptors.rings.search import MAX_NODES, MAX_PAIRS, count_rings
from icedask.errors import InputError

# Close-packed metals have 12 to 14 bonds, Frank-Kasper phases up to 16.
_MOST_BONDS = 20


def ring_counts(
    frame: Frame, r_cut: float, max_size: int, angle: float | None
) -> npt.NDArray[np.float32]:
    """Return the number of rings of each size through each centre, (n_centers, max_size - 2)."""
    network = find_network(frame, r_cut, angle)
    bonds = np.diff(network.indptr)
    if (most := int(bonds.max(initial=0))) > _MOST_BONDS:
        raise InputError(
            f"rings: r_cut {r_cut:g} angstrom gives {most} bonds to atom {np.argmax(bonds)}, "
            f"expected at most {_MOST_BONDS} in a network; choose a smaller r_cut, or fewer "
            "elements by species"
        )
    counts, dense, pairs = count_rings(network, frame.centers, most, max_size)
    if dense >= 0:
        work, limit = f"{pairs:.3g} pairs of paths", MAX_PAIRS
        if not np.isfinite(pairs):
            work, limit = "more atoms", MAX_NODES
        raise InputError(
            f"rings: r_cut {r_cut:g} angstrom and max_size {max_size} give {work} within "
            f"{max_size // 2} bonds of atom {dense}, which has {bonds[dense]} bonds, expected at "
            f"most {limit:,}; choose a smaller max_size, a smaller r_cut, or fewer elements by "
            "species"
        )
    return counts.astype(np.float32)


@descriptor(
    variable=Variable(
        "rings",
        (FRAME, ATOM, "ring_size"),
        "float32",
        "1",
        "number of primitive rings through the atom",
        "doi:10.1103/PhysRevB.44.4925",
    ),
    coords=[Variable("ring_size", ("ring_size",), "int64", "1", "number of bonds of the ring")],
    version=1,
    example={"r_cut": 3.3},
)
def rings(
    trj: xr.Dataset,
    *,
    r_cut: Cutoff,
    max_size: Annotated[int, Option("Largest size of a ring.", at_least=3, at_most=16)] = 8,
    bonds: Annotated[
        str,
        Option(
            'Bonds of the network: all pairs closer than the cutoff ("distance"), or only those '
            'with a hydrogen between them ("hydrogen").',
            choices=("distance", "hydrogen"),
        ),
    ] = "distance",
    angle: Annotated[
        float,
        Option(
            'Largest angle H-O...O of a hydrogen bond; without effect where bonds is "distance".',
            "degree",
            above=0,
            at_most=180,
        ),
    ] = 30.0,
    centers: Centers = None,
    species: Annotated[
        Sequence[str] | None,
        Option("Elements that are nodes of the network; by default the elements of the centres."),
    ] = None,
) -> Kernel:
    """Number of primitive rings of each size that an atom belongs to; lazy.

    The network has the atoms of `species` as nodes, and undirected bonds between those closer
    than r_cut. A ring of n nodes is primitive (a shortest-path ring) if it has no shortcut: the
    number of bonds between any two of its nodes is, through the network, what it is along the
    ring. Nodes are images of atoms in the infinite periodic network: a ring closes in space, a path
    that leaves the cell on one side and comes back on the other is none, and a cell of any size
    gives the numbers of its repetitions.

    A hydrogen bond is a pair closer than r_cut of which one atom has a hydrogen within `angle` of
    the line to the other (3.5 angstrom and 30 degrees for water, of Luzar and Chandler). A
    hydrogen belongs to the nearest atom of another element, within 1.3 angstrom.

    For water choose the oxygens: centers="element O", r_cut=3.5. Rings of silica are counted by
    their silicons: centers="element Si" with r_cut=3.8, between the first two shells of Si around
    Si, or with all atoms, species=["Si", "O"] and r_cut=2.1, by twice that number.

    The rings of the whole system, per atom of the network: every ring of n nodes is counted by n
    atoms, so that `rings["rings"].mean("atom") / rings["ring_size"]` are the rings per molecule,
    where the centres are all atoms of the network.

    {parameters}

    {returns}; the coordinate ring_size is 3 to max_size. Whole
        numbers, of floating point so that they are features. Zero for an atom in no ring, without
        bonds, or not of the network.

    {raises}, the elements of the network are not known, or hydrogen
        bonds are asked of a trajectory without hydrogen. While it computes: if an atom has more
        than 20 bonds, or from one atom there are more than a million pairs of shortest paths, or
        4096 atoms, within max_size / 2 bonds: the network is too dense for the search; or if no
        hydrogen belongs to an atom of the network.

    Notes
    -----
    Each ring is found from the first of its atoms alone. The neighbour list of the whole network
    takes 40 bytes for each direction of a pair, the bonds another 34. Blocks of a part of the
    centres, of frames with more than a million atoms, build both again.

    References
    ----------
    Franzblau, Phys. Rev. B 44, 4925 (1991), doi:10.1103/PhysRevB.44.4925; Yuan and Cormack,
    Comput. Mater. Sci. 24, 343 (2002), doi:10.1016/S0927-0256(01)00256-7; hydrogen bonds: Luzar
    and Chandler, Phys. Rev. Lett. 76, 928 (1996), doi:10.1103/PhysRevLett.76.928

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> ice_1c = ice.from_ase(bulk("O", "diamond", a=6.37))
    >>> rings = ice.rings(ice_1c, r_cut=3.0, max_size=7)
    >>> rings["rings"].values[0, 0]
    array([ 0.,  0.,  0., 12.,  0.], dtype=float32)
    >>> per_molecule = rings["rings"].mean("atom") / rings["ring_size"]
    >>> float(per_molecule.sel(ring_size=6)[0])
    2.0
    """
    present = sorted(set(trj["element"].values.astype(str)) - {"X"})
    if centers is None and species is None and len(present) > 1:
        raise InputError(
            f"rings: expected the elements of the network, found {', '.join(present)} in the "
            f'trajectory; choose centers, such as "element {present[-1]}", or species'
        )
    nodes = own_species(trj, centers, species)
    by_hydrogen = bonds == "hydrogen"
    if by_hydrogen and "H" not in present:
        raise InputError(
            f'rings: bonds="hydrogen" needs hydrogen atoms, found only {", ".join(present)}; use '
            'bonds="distance"'
        )
    if by_hydrogen and "H" in nodes:
        raise InputError(
            'rings: bonds="hydrogen" expects a network of the atoms that hydrogens link, found H '
            'among its elements; choose centers="element O", or species=["O"]'
        )
    return Kernel(
        partial(ring_counts, r_cut=r_cut, max_size=max_size, angle=angle if by_hydrogen else None),
        "float32",
        r_cut,
        beyond=True,
        width=max_size - 2,
        coords={"ring_size": np.arange(3, max_size + 1)},
        species=nodes,
        attrs={"bonds": bonds},
        parameters={"species": nodes} | ({} if by_hydrogen else {"angle": None}),
    )
