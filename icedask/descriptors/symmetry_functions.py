"""Atom-centred symmetry functions: Behler's G2 to G5, and G8, with their species and sets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.descriptors.contract import Centers, Cutoff, Frame, Kernel, Option, Species, descriptor
from icedask.descriptors.symmetry_kernels import Plan, symmetry_kernel
from icedask.errors import InputError
from icedask.model import check_elements
from icedask.neighbors import FloatArray, IntArray
from icedask.variables import FUNCTION

PARAMETERS = ("eta", "shift", "kappa", "xi", "lambda", "alpha", "nu", "inner", "outer")
RADIAL: dict[str, tuple[str, ...]] = {"G2": ("eta", "shift"), "G3": ("kappa",)}
ANGULAR: dict[str, tuple[str, ...]] = {
    "G4": ("eta", "xi", "lambda"),
    "G5": ("eta", "xi", "lambda"),
    "G8": ("eta", "alpha", "nu", "inner", "outer"),
}

_EXAMPLE = "g2_eta=[0.05, 0.5], or g4_eta=[0.01], g4_xi=[1], g4_lambda=[-1]"

# Lists of the parameter sets of each kind, by the names of the parameters.
Sets = dict[str, list[tuple[float, ...]]]

Decays = Annotated[
    Sequence[float] | None, Option("eta of each function.", "angstrom^-2", at_least=0)
]
Exponents = Annotated[Sequence[float] | None, Option("xi of each function.", above=0)]
Signs = Annotated[
    Sequence[float] | None,
    Option("lambda of each function, as a rule 1 or -1.", at_least=-1, at_most=1),
]


def parameter_sets(given: Mapping[str, Sequence[float] | None]) -> Sets:
    """Return the sets of each kind of function from lists combined element by element.

    Parameters
    ----------
    given
        Lists by the names of their options, such as "g2_eta".

    Raises
    ------
    InputError
        If lists that belong together differ in length, or there is no function at all.
    """
    sets: Sets = {}
    for kind, names in {**RADIAL, **ANGULAR}.items():
        lists = {f"{kind.lower()}_{name}": given[f"{kind.lower()}_{name}"] for name in names}
        lengths = {name: len(values or ()) for name, values in lists.items()}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{length} of {name}" for name, length in lengths.items())
            raise InputError(
                f"symmetry_functions: {kind} takes one value of each of {', '.join(lists)} for "
                f"each function: expected lists of equal length, found {found}"
            )
        sets[kind] = list(zip(*[values or () for values in lists.values()], strict=True))
    if not any(sets.values()):
        raise InputError(
            f"symmetry_functions: expected at least one function, such as {_EXAMPLE}; found none"
        )
    return sets


def check_bands(sets: Sets, r_cut: float) -> None:
    """Raise InputError unless every f_b is in order and vanishes within the cutoff."""
    for _, _, nu, inner, outer in sets["G8"]:
        end = outer + 0.5 * math.pi / nu
        if inner > outer:
            raise InputError(
                f"symmetry_functions: g8_inner: expected at most g8_outer, found {inner:g} and "
                f"{outer:g} angstrom"
            )
        if end > r_cut:
            raise InputError(
                f"symmetry_functions: r_cut: expected at least {end:.6g} angstrom, where f_b of "
                f"G8 (nu {nu:g}, outer {outer:g}) ends, found {r_cut:g}"
            )


def components(species: Sequence[str], sets: Sets) -> dict[str, npt.NDArray[Any]]:
    """Return the labels of the functions: kind, species_a, species_b and the parameters.

    For each species G2 and G3, then for each pair of species G4, G5 and G8. Of the species a <= b
    of a pair, a changes faster. Parameters that a function does not have are NaN; a radial
    function has no species_b.
    """
    pairs = [(a, b) for place, b in enumerate(species) for a in species[: place + 1]]
    rows = []
    for neighbors, kinds in (([(a, "") for a in species], RADIAL), (pairs, ANGULAR)):
        for a, b in neighbors:
            for kind, names in kinds.items():
                for values in sets[kind]:
                    known = dict(zip(names, values, strict=True))
                    rows.append((kind, a, b, *(known.get(name, np.nan) for name in PARAMETERS)))
    labels = ("kind", "species_a", "species_b", *PARAMETERS)
    return {
        name: np.array(column) for name, column in zip(labels, zip(*rows, strict=True), strict=True)
    }


def _table(rows: Sequence[Sequence[float]], width: int) -> FloatArray:
    return np.array(rows, np.float64).reshape(len(rows), width)


def plan(
    sets: Sets,
    r_cut: float,
    logistic: tuple[float, float] | None,
    prefactor: str,
) -> Plan:
    """Return what the kernel works from: distinct exponentials, powers and bands once each."""
    # dict.fromkeys: distinct, in the order of appearance.
    first = dict.fromkeys(eta for eta, _, _ in sets["G4"])
    etas = list({**first, **dict.fromkeys(eta for eta, _, _ in sets["G5"])})
    angular = [*sets["G4"], *sets["G5"]]
    powers = list(dict.fromkeys((sign, xi) for _, xi, sign in angular))
    bands = list(dict.fromkeys(values[2:] for values in sets["G8"]))

    def places(kind: str) -> IntArray:
        rows = [(etas.index(eta), powers.index((sign, xi))) for eta, xi, sign in sets[kind]]
        return np.array(rows, np.int64).reshape(len(rows), 2)

    return Plan(
        r_cut=r_cut,
        logistic=logistic is not None,
        steepness=logistic[0] if logistic else 0.0,
        offset=logistic[1] if logistic else 0.0,
        scale=2.0 if prefactor == "behler" else 1.0,
        g2=_table(sets["G2"], 2),
        g3=np.array([kappa for (kappa,) in sets["G3"]], np.float64),
        etas=np.array(etas, np.float64),
        n_g4_etas=len(first),
        powers=_table(powers, 2),
        g4=places("G4"),
        g5=places("G5"),
        bands=_table(bands, 3),
        g8=_table([values[:2] for values in sets["G8"]], 2),
        g8_bands=np.array([bands.index(values[2:]) for values in sets["G8"]], np.int64),
    )


def describe_centers(frame: Frame, numbers: Sequence[int], plan: Plan) -> FloatArray:
    """Return the symmetry functions of the centres of a frame, (n_centers, n_functions)."""
    neighbors = frame.all_neighbors(plan.r_cut)
    kind_of = np.full(len(frame.positions), -1)
    slots = np.zeros((len(numbers), len(numbers)), np.int64)
    for b, number in enumerate(numbers):
        kind_of[frame.numbers == number] = b
        for a in range(b + 1):
            slots[a, b] = slots[b, a] = b * (b + 1) // 2 + a
    return symmetry_kernel(plan, frame.centers, kind_of, slots, *neighbors)


@descriptor(variable="symmetry_function", version=1)
def symmetry_functions(
    trj: xr.Dataset,
    *,
    r_cut: Cutoff = 6.0,
    g2_eta: Decays = None,
    g2_shift: Annotated[
        Sequence[float] | None, Option("Rs of each G2; all 0 by default.", "angstrom")
    ] = None,
    g3_kappa: Annotated[
        Sequence[float] | None, Option("kappa of each G3.", "angstrom^-1", at_least=0)
    ] = None,
    g4_eta: Decays = None,
    g4_xi: Exponents = None,
    g4_lambda: Signs = None,
    g5_eta: Decays = None,
    g5_xi: Exponents = None,
    g5_lambda: Signs = None,
    g8_eta: Annotated[Sequence[float] | None, Option("eta of each G8.")] = None,
    g8_alpha: Annotated[Sequence[float] | None, Option("alpha of each G8.", "radian")] = None,
    g8_nu: Annotated[
        Sequence[float] | None,
        Option("nu of f_b, which falls within pi / (2 nu).", "radian/angstrom", above=0),
    ] = None,
    g8_inner: Annotated[
        Sequence[float] | None, Option("a1, from which f_b is 1.", "angstrom", at_least=0)
    ] = None,
    g8_outer: Annotated[
        Sequence[float] | None, Option("ar, up to which f_b is 1.", "angstrom", at_least=0)
    ] = None,
    cutoff: Annotated[
        str, Option("Cutoff function of G2 to G5.", choices=("behler", "logistic"))
    ] = "behler",
    logistic_alpha: Annotated[
        float | None, Option("Steepness of the logistic cutoff.", "angstrom^-1", above=0)
    ] = None,
    logistic_offset: Annotated[
        float | None,
        Option("How far before r_cut the logistic cutoff is one half.", "angstrom"),
    ] = None,
    prefactor: Annotated[
        str,
        Option("Of G4 and G5: 2^(1 - xi) as Behler, or half of it.", choices=("behler", "half")),
    ] = "behler",
    species: Species = None,
    centers: Centers = None,
    dtype: Annotated[
        str, Option("Precision of the result.", choices=("float32", "float64"))
    ] = "float32",
) -> Kernel:
    """Atom-centred symmetry functions G2, G3, G4, G5 and G8; lazy.

    With R the distances of neighbours j, k of an atom i and th the angle at i between them::

        G2 = sum_j exp(-eta (R_ij - Rs)^2) f_c(R_ij)
        G3 = sum_j cos(kappa R_ij) f_c(R_ij)
        G4 = 2^(1-xi) sum_{j<k} (1 + lambda cos th)^xi exp(-eta (R_ij^2 + R_ik^2 + R_jk^2))
             f_c(R_ij) f_c(R_ik) f_c(R_jk)
        G5 = 2^(1-xi) sum_{j<k} (1 + lambda cos th)^xi exp(-eta (R_ij^2 + R_ik^2))
             f_c(R_ij) f_c(R_ik)
        G8 = sum_{j<k} sin(eta (th - alpha)) f_b(R_ij) f_b(R_ik)

    Every pair of neighbours counts once, which is half a sum over j != k; with the prefactor
    "half", 2^-xi stands for 2^(1-xi). Cutoff functions are 0 from r_cut on. Below,
    f_c is (1 + cos(pi R / r_cut)) / 2 ("behler") or 1 / (1 + exp(alpha (R - r_cut + offset)))
    ("logistic"). f_b is 1 between a1 and ar, cos^2(nu (R - a1)) within pi / (2 nu) before,
    cos^2(nu (R - ar)) within pi / (2 nu) after, and 0 elsewhere.

    The lists of one kind are combined element by element: the third G4 has the third g4_eta,
    g4_xi and g4_lambda. Each function is made for every species of neighbours, those with angles
    for every pair of species.

    {parameters}

    Returns
    -------
    xarray.Dataset
        symmetry_function (frame, atom, function); coordinates kind, species_a,
        species_b, eta, shift (Rs), kappa, xi, lambda, alpha, nu, inner (a1) and outer (ar) name
        the components: G2, G3 for each species, then G4, G5, G8 for each pair, in the order of
        DScribe without its G1. Without neighbours sums are empty, and 0. NaN for angles where an
        atom sits on the centre.

    Raises
    ------
    InputError
        If an option is out of bounds, lists of one kind differ in length, no function is asked
        for, f_b reaches beyond r_cut, or a species is not in the trajectory.

    References
    ----------
    Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717; order of the components as
    in DScribe, doi:10.1016/j.cpc.2019.106949

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True))
    >>> ds = ice.symmetry_functions(
    ...     trj, r_cut=4.0, g2_eta=[0.5, 2.0], g4_eta=[0.01], g4_xi=[1], g4_lambda=[-1]
    ... )
    >>> ds["kind"].values.tolist()
    ['G2', 'G2', 'G4']
    """
    from ase.data import atomic_numbers

    lists = {name: value for name, value in locals().items() if name.startswith("g")}
    lists["g2_shift"] = g2_shift or [0.0] * len(g2_eta or ())
    sets = parameter_sets(lists)
    check_bands(sets, r_cut)
    logistic = _logistic(cutoff, logistic_alpha, logistic_offset)
    elements = set(trj["element"].values.astype(str)) - {"X"} if species is None else set(species)
    check_elements(np.array(sorted(elements)))
    chosen = sorted(elements, key=atomic_numbers.__getitem__)
    labels = components(chosen, sets)
    return Kernel(
        partial(
            describe_centers,
            numbers=[atomic_numbers[symbol] for symbol in chosen],
            plan=plan(sets, r_cut, logistic, prefactor),
        ),
        dtype,
        r_cut,
        tail=(FUNCTION, len(labels["kind"])),
        coords=labels,
        species=chosen,
        parameters={"species": chosen},
    )


def _logistic(cutoff: str, alpha: float | None, offset: float | None) -> tuple[float, float] | None:
    """Return the parameters of the logistic cutoff, or None for Behler's."""
    if cutoff == "logistic":
        if alpha is None or offset is None:
            raise InputError(
                "symmetry_functions: cutoff logistic: expected logistic_alpha and "
                f"logistic_offset, such as 5 and 1, found {alpha} and {offset}"
            )
        return alpha, offset
    if alpha is not None or offset is not None:
        raise InputError(
            "symmetry_functions: logistic_alpha and logistic_offset belong to "
            f'cutoff="logistic", found cutoff="{cutoff}"'
        )
    return None
