"""Two oracles of the symmetry functions: DScribe, and sums over neighbours in plain Python."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import ase
import numpy as np
from ase.data import atomic_numbers
from dscribe.descriptors import ACSF
from helpers.systems import brute_bonds


def dscribe(
    atoms: ase.Atoms, centers: list[int] | None = None, species: Any = None, **options: Any
) -> np.ndarray:
    """Return DScribe's functions without its G1."""
    wrapped = atoms.copy()
    wrapped.wrap(eps=0)
    wrapped.set_cell(wrapped.cell.complete())
    species = sorted(set(atoms.numbers)) if species is None else species
    parameters = {f"{name}_params": value for name, value in options.items() if name[0] == "g"}
    library = ACSF(
        r_cut=options["r_cut"], species=species, periodic=bool(atoms.pbc.any()), **parameters
    )
    functions = library.create(wrapped, centers=centers)
    width = 1 + len(options.get("g2", ())) + len(options.get("g3", ()))
    return np.delete(functions, np.arange(len(species)) * width, axis=1)


def surroundings(atoms: ase.Atoms, center: int, r_cut: float) -> list[tuple[str, np.ndarray]]:
    """Return element and vector of every neighbour of an atom."""
    return [(str(atoms.symbols[j]), vector) for _, j, vector in brute_bonds(atoms, r_cut)[center]]


def brute(atoms: ase.Atoms, center: int, **options: Any) -> list[float]:
    """Return the functions of one atom, written out as they stand in the publications."""
    r_cut = options["r_cut"]
    half = options.get("prefactor") == "2^-zeta"

    def f_c(r: float) -> float:
        if r >= r_cut:
            return 0.0
        if options.get("cutoff") == "fermi":
            alpha, epsilon = options["fermi_alpha"], options["fermi_epsilon"]
            return 1 / (1 + np.exp(alpha * (r - r_cut + epsilon)))
        return 0.5 * (1 + np.cos(np.pi * r / r_cut))

    def f_b(r: float, nu: float, a1: float, ar: float) -> float:
        if a1 - np.pi / (2 * nu) < r < a1:
            return np.cos(nu * (r - a1)) ** 2
        if ar < r < ar + np.pi / (2 * nu):
            return np.cos(nu * (r - ar)) ** 2
        return 1.0 if a1 <= r <= ar else 0.0

    def angle(u: np.ndarray, v: np.ndarray) -> float:
        u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
        return 2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))

    def closed(u: np.ndarray, v: np.ndarray, eta: float, zeta: float, sign: float) -> float:
        t = np.linalg.norm(u - v)
        both = np.exp(-eta * t**2) * f_c(t)
        return both * open_(u, v, eta, zeta, sign)

    def open_(u: np.ndarray, v: np.ndarray, eta: float, zeta: float, sign: float) -> float:
        r, s = np.linalg.norm(u), np.linalg.norm(v)
        # The power of two goes inside: 2^2000 is no floating-point number.
        turn = ((1 + sign * np.cos(angle(u, v))) / 2) ** zeta * (1 if half else 2)
        return turn * np.exp(-eta * (r**2 + s**2)) * f_c(r) * f_c(s)

    def wave(u: np.ndarray, v: np.ndarray, eta: float, alpha: float, *band: float) -> float:
        r, s = float(np.linalg.norm(u)), float(np.linalg.norm(v))
        return np.sin(eta * (angle(u, v) - alpha)) * f_b(r, *band) * f_b(s, *band)

    elements = sorted(set(map(str, atoms.symbols)), key=atomic_numbers.get)
    near = surroundings(atoms, center, max(r_cut, 6.0))
    values = []
    for element in elements:
        distances = [np.linalg.norm(v) for symbol, v in near if symbol == element]
        for eta, shift in options.get("g2", ()):
            values.append(sum(np.exp(-eta * (r - shift) ** 2) * f_c(r) for r in distances))
        values += [sum(np.cos(k * r) * f_c(r) for r in distances) for k in options.get("g3", ())]
    for last, second in enumerate(elements):
        for first in elements[: last + 1]:
            pairs = [
                (u, v)
                for (a, u), (b, v) in combinations(near, 2)
                if sorted([a, b]) == sorted([first, second])
            ]
            values += [sum(closed(u, v, *row) for u, v in pairs) for row in options.get("g4", ())]
            values += [sum(open_(u, v, *row) for u, v in pairs) for row in options.get("g5", ())]
            values += [sum(wave(u, v, *row) for u, v in pairs) for row in options.get("g8", ())]
    return [float(value) for value in values]
