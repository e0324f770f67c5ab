"""Atom-centred symmetry functions: sums over neighbours and pairs of neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from ase.data import atomic_numbers

from icedask.core.options import Centers, Cutoff, Option, Precision, Species
from icedask.core.trajectory import ordered_species
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor
from icedask.descriptors.symmetry import kernels
from icedask.descriptors.symmetry.arguments import (
    Angular,
    Buffers,
    CutoffFunction,
    Functions,
    Shells,
)
from icedask.errors import InputError

# Pairs of neighbours are summed when so many are collected: few enough for the fastest cache.
_BLOCK = 512

# What one function of each kind is given by.
_NAMES = {
    "G2": ("eta", "shift"),
    "G3": ("kappa",),
    "G4": ("eta", "zeta", "lambda"),
    "G5": ("eta", "zeta", "lambda"),
    "G8": ("eta", "alpha", "nu", "a1", "ar"),
}
_RADIAL, _ANGULAR = ("G2", "G3"), ("G4", "G5", "G8")

Parameters = Mapping[str, Sequence[tuple[float, ...]]]

_Eta = Annotated[float, Option("eta", "1/angstrom^2", at_least=0)]
_Zeta = Annotated[float, Option("zeta", above=0)]
_Lambda = Annotated[float, Option("lambda", at_least=-1, at_most=1)]
_Angles = Sequence[tuple[_Eta, _Zeta, _Lambda]]


def components(species: Sequence[str], parameters: Parameters) -> dict[str, npt.NDArray[Any]]:
    """Return the labels of the components: kind, species_a, species_b and every parameter.

    Of each species G2 and G3, then of each pair of species G4, G5 and G8; pairs run over
    species_b and, up to it, species_a. NaN and "" where a function has no such label.
    """
    pairs = [(a, b) for last, b in enumerate(species) for a in species[: last + 1]]
    rows = [
        (kind, a, b, dict(zip(_NAMES[kind], values, strict=True)))
        for places, kinds in (([(a, "") for a in species], _RADIAL), (pairs, _ANGULAR))
        for a, b in places
        for kind in kinds
        for values in parameters[kind]
    ]
    labels: dict[str, npt.NDArray[Any]] = {
        "kind": np.array([row[0] for row in rows], np.str_),
        "species_a": np.array([row[1] for row in rows], np.str_),
        "species_b": np.array([row[2] for row in rows], np.str_),
    }
    for name in dict.fromkeys(name for names in _NAMES.values() for name in names):
        labels[name] = np.array([row[3].get(name, np.nan) for row in rows], float)
    return labels


def functions_of(parameters: Parameters, cutoff: CutoffFunction, prefactor: float) -> Functions:
    """Return the parameters as the kernel takes them."""
    return Functions(
        cutoff,
        np.array(parameters["G2"], float).reshape(-1, 2),
        np.array(parameters["G3"], float).reshape(-1),
        _angular(parameters["G4"], True, prefactor),
        _angular(parameters["G5"], False, prefactor),
        _shells(parameters["G8"]),
    )


def _angular(parameters: Sequence[tuple[float, ...]], closed: bool, prefactor: float) -> Angular:
    values = np.array(parameters, float).reshape(-1, 3)
    etas, of_eta = np.unique(values[:, 0], return_inverse=True)
    angles, of_angle = np.unique(values[:, [2, 1]], axis=0, return_inverse=True)
    table = np.stack([np.arange(len(values)), of_eta, of_angle], axis=1)
    return Angular(closed, prefactor, etas, angles, table[np.argsort(of_angle, kind="stable")])


def _shells(parameters: Sequence[tuple[float, ...]]) -> Shells:
    values = np.array(parameters, float).reshape(-1, 5)
    bounds, of_shell = np.unique(values[:, 2:], axis=0, return_inverse=True)
    order = np.argsort(of_shell, kind="stable")
    starts = np.searchsorted(of_shell[order], np.arange(len(bounds) + 1))
    return Shells(bounds, starts, order, np.ascontiguousarray(values[order, :2]))


def describe_centers(
    frame: Frame, functions: Functions, reach: float, numbers: Sequence[int]
) -> FloatArray:
    """Return the functions of each centre, (n_centers, n_components)."""
    neighbors = frame.neighbors(reach)
    kinds = np.full(len(frame.positions), -1)
    for kind, number in enumerate(numbers):
        kinds[frame.numbers == number] = kind
    longest = int(neighbors.counts[frame.centers].max(initial=0))
    buffers = _buffers(functions, len(numbers), longest)
    return kernels.evaluate(functions, neighbors, kinds, frame.centers, buffers)


def _buffers(functions: Functions, n_species: int, longest: int) -> Buffers:
    """Return room for centres with up to `longest` neighbours."""
    capacity = max(_BLOCK, longest)
    n_etas = max(len(functions.g4.etas), len(functions.g5.etas))
    return Buffers(
        starts=np.zeros(n_species + 1, np.int64),
        near=np.empty((5, longest)),
        pairs=np.empty((4, capacity)),
        terms=np.empty((n_etas + 2, capacity)),
        radial=np.empty(len(functions.g2) * longest),
    )


@descriptor(
    variable=Variable(
        "symmetry_function",
        (FRAME, ATOM, "function"),
        "number",
        "1",
        "atom-centred symmetry functions",
        "doi:10.1063/1.3553717",
    ),
    version=1,
    example={
        "r_cut": 4.0,
        "g2": [(0.5, 0.0), (1.0, 2.8)],
        "g3": [1.5],
        "g4": [(0.01, 4, -1), (0.05, 1, 1)],
        "g5": [(0.1, 2.5, 1)],
        "g8": [(2.0, 0.3, 3.0, 1.0, 3.0)],
        "dtype": "float64",
    },
)
def symmetry_functions(
    trj: xr.Dataset,
    *,
    r_cut: Cutoff = 6.0,
    g2: Annotated[
        Sequence[tuple[_Eta, Annotated[float, Option("shift", "angstrom")]]] | None,
        Option("G2 functions."),
    ] = None,
    g3: Annotated[
        Sequence[float] | None, Option("kappa of each G3 function.", "1/angstrom")
    ] = None,
    g4: Annotated[_Angles | None, Option("G4 functions.")] = None,
    g5: Annotated[_Angles | None, Option("G5 functions.")] = None,
    g8: Annotated[
        Sequence[
            tuple[
                Annotated[float, Option("eta")],
                Annotated[float, Option("alpha", "radian")],
                Annotated[float, Option("nu", "radian/angstrom", above=0)],
                Annotated[float, Option("a1", "angstrom", at_least=0)],
                Annotated[float, Option("ar", "angstrom", at_least=0)],
            ]
        ]
        | None,
        Option("G8 functions."),
    ] = None,
    cutoff: Annotated[
        str, Option("Cutoff function f_c of G2 to G5.", choices=("cosine", "fermi"))
    ] = "cosine",
    fermi_alpha: Annotated[
        float | None, Option("alpha of the Fermi cutoff.", "1/angstrom", above=0)
    ] = None,
    fermi_epsilon: Annotated[
        float | None, Option("epsilon of the Fermi cutoff.", "angstrom")
    ] = None,
    prefactor: Annotated[
        str, Option("Prefactor of the sums of G4 and G5.", choices=("2^(1-zeta)", "2^-zeta"))
    ] = "2^(1-zeta)",
    species: Species = None,
    centers: Centers = None,
    dtype: Precision = "float32",
) -> Kernel:
    """Atom-centred symmetry functions G2, G3, G4, G5 and G8; lazy.

    With R the distances of neighbours j and k of an atom i and th the angle between them::

        G2 = sum_j exp(-eta (R_ij - shift)^2) f_c(R_ij)
        G3 = sum_j cos(kappa R_ij) f_c(R_ij)
        G4 = 2^(1-zeta) sum_{j<k} (1 + lambda cos th)^zeta
             exp(-eta (R_ij^2 + R_ik^2 + R_jk^2)) f_c(R_ij) f_c(R_ik) f_c(R_jk)
        G5 = 2^(1-zeta) sum_{j<k} (1 + lambda cos th)^zeta
             exp(-eta (R_ij^2 + R_ik^2)) f_c(R_ij) f_c(R_ik)
        G8 = sum_{j<k} sin(eta (th - alpha)) f_b(R_ij) f_b(R_ik)

    Each pair of neighbours counts once: 2^-zeta before a sum over j != k is 2^(1-zeta) here. With
    the prefactor 2^-zeta, G4 and G5 are half as large. f_c is (1 + cos(pi R / r_cut)) / 2
    ("cosine"), or 1 / (1 + exp(alpha (R - r_cut + epsilon))) ("fermi"), and 0 from r_cut on. f_b
    is 1 from a1 to ar, cos^2(nu (R - a1)) up to pi / (2 nu) before, cos^2(nu (R - ar)) up to
    pi / (2 nu) after, and 0 elsewhere; it does not depend on r_cut.

    G2 and G3 are summed for each species of neighbour, the others for each pair of species.
    Every periodic image is a neighbour, images of the atom itself included. On the command line
    the fields of a function are separated by colons: --g2 0.5:2.8,0.5:3.2.

    {parameters}

    {returns}; coordinates kind, species_a, species_b, eta,
        shift, kappa, zeta, lambda, alpha, nu, a1, ar name the components, in DScribe's order
        without its G1, which is a G2 with eta 0. An atom without neighbours has zeros, which is
        what a sum over nothing is; an atom at the very place of another has NaN for angles.

    {raises}, no function is asked for, a species is not in the
        trajectory, or all its atoms are X.

    References
    ----------
    Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717; order of the components as
    in DScribe, doi:10.1016/j.cpc.2019.106949

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True))
    >>> ds = ice.symmetry_functions(trj, r_cut=4.0, g2=[(0.5, 2.5)], g4=[(0.1, 1, -1), (0.1, 4, 1)])
    >>> ds["kind"].values.tolist()
    ['G2', 'G4', 'G4']
    """
    parameters = {
        "G2": g2 or [],
        "G3": [(kappa,) for kappa in g3 or []],
        "G4": g4 or [],
        "G5": g5 or [],
        "G8": g8 or [],
    }
    if not any(parameters.values()):
        raise InputError(
            "symmetry_functions: expected at least one function, found none; ask for some, such "
            "as g2=[(0.5, 2.8)] for eta and shift, or g4=[(0.1, 1, -1)] for eta, zeta and lambda"
        )
    for *_, a1, ar in parameters["G8"]:
        if a1 > ar:
            raise InputError(
                f"symmetry_functions: g8: expected a1 up to ar, found a1 {a1:g} and ar {ar:g}"
            )
    chosen = ordered_species(trj, species)
    if not chosen:
        raise InputError("symmetry_functions: expected neighbours to sum, found no element but X")
    labels = components(chosen, parameters)
    functions = functions_of(
        parameters,
        _cutoff_function(r_cut, cutoff, fermi_alpha, fermi_epsilon),
        2.0 if prefactor == "2^(1-zeta)" else 1.0,
    )
    reach = max([r_cut, *(ar + np.pi / (2 * nu) for _, _, nu, _, ar in parameters["G8"])])
    compute = partial(
        describe_centers,
        functions=functions,
        reach=reach,
        numbers=[atomic_numbers[symbol] for symbol in chosen],
    )
    return Kernel(
        compute,
        dtype,
        reach,
        width=len(labels["kind"]),
        coords=labels,
        species=chosen,
        parameters={"species": chosen},
    )


def _cutoff_function(
    r_cut: float, cutoff: str, alpha: float | None, epsilon: float | None
) -> CutoffFunction:
    n_parameters = (alpha is not None) + (epsilon is not None)
    if n_parameters != (2 if cutoff == "fermi" else 0):
        raise InputError(
            "symmetry_functions: expected fermi_alpha and fermi_epsilon with cutoff='fermi' and "
            f"neither without, found fermi_alpha={alpha}, fermi_epsilon={epsilon} and "
            f"cutoff={cutoff!r}"
        )
    return CutoffFunction(r_cut, cutoff == "fermi", alpha or 0.0, epsilon or 0.0)
