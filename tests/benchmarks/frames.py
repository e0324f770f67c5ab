"""The frames that descriptors are timed on, and how they are timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import ase
import numpy as np
from ase.build import bulk

from icedask.descriptors import registry
from icedask.descriptors.frame import Frame
from icedask.readers.convert import from_ase

# Rounds of calls, and the CPU seconds after which no further round is begun.
ROUNDS, ENOUGH = 7, 40.0


def ice(n_atoms: int, seed: int = 0) -> ase.Atoms:
    """Return rattled cubic ice of about n_atoms oxygens, 2.76 angstrom apart."""
    cells = round((n_atoms / 8) ** (1 / 3))
    atoms = bulk("O", "diamond", a=6.374, cubic=True) * (cells, cells, cells)
    atoms.positions += np.random.default_rng(seed).normal(0, 0.15, atoms.positions.shape)
    atoms.positions = atoms.positions.astype(np.float32)
    atoms.wrap()
    return atoms


def sheared(atoms: ase.Atoms) -> ase.Atoms:
    """Return the same crystal in a triclinic cell."""
    cell = atoms.cell.array.copy()
    cell[2] += 0.3 * cell[0]
    atoms = atoms.copy()
    atoms.set_cell(cell, scale_atoms=False)
    atoms.wrap()
    return atoms


def water(atoms: ase.Atoms) -> ase.Atoms:
    """Return the oxygens with two hydrogens each."""
    rng = np.random.default_rng(1)
    bonds = rng.normal(size=(2, len(atoms), 3))
    bonds *= 0.96 / np.linalg.norm(bonds, axis=2)[..., None]
    hydrogens = [ase.Atoms(f"H{len(atoms)}", atoms.positions + bond) for bond in bonds]
    both = atoms + hydrogens[0] + hydrogens[1]
    both.wrap()
    return both


def frame_of(atoms: ase.Atoms) -> Frame:
    """Return a frame without any list yet; its centres are the oxygens."""
    centers = np.flatnonzero(atoms.numbers == 8)
    return Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, centers=centers)


def bound(atoms: ase.Atoms, name: str, **options: Any) -> Callable[[Frame], Any]:
    """Return a descriptor's kernel with its options."""
    entry = registry()[name]
    return entry.build(from_ase(atoms[:8]), **entry.options(options)).compute


def kernel(atoms: ase.Atoms, name: str, **options: Any) -> Callable[[], Any]:
    """Return a call of a descriptor's kernel on a fresh frame."""
    compute = bound(atoms, name, **options)
    return lambda: compute(frame_of(atoms))


def seconds(calls: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the median CPU seconds of each call.

    The calls take turns, so that a busy moment of the machine meets all of them. A call that
    returns a float has measured itself, in another process.
    """
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    began = time.process_time()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.process_time()
            outcome = call()
            own = time.process_time() - start
            spent[name].append(outcome if isinstance(outcome, float) else own)
        if time.process_time() - began > ENOUGH:
            break
    return {name: float(np.median(times)) for name, times in spent.items()}
