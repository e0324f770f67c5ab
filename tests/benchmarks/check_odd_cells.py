"""Odd cells against every descriptor: flat, needles, sheared, tiny, huge, partly periodic.

Every pair of a cell and a descriptor must give a result or an error of icedask in one sentence,
and take less than 300 MB. Run by hand: python tests/benchmarks/check_odd_cells.py [CELLS].
"""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

import icedask as ice
from icedask.core.trajectory import trajectory
from icedask.descriptors import registry
from icedask.errors import IcedaskError

LIMIT_MB, LIMIT_SECONDS = 300, 60
N_CELLS = 60
FLAT = (1e-9, 1e-6, 1e-3, 0.1, 1.0)


def odd_cells(number: int, seed: int = 0) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, cell and periodic directions of odd cells."""
    rng = np.random.default_rng(seed)
    kinds = ("flat", "needle", "sheared", "tiny", "huge", "partial", "none", "thin gas")
    for count in range(number):
        kind = kinds[count % len(kinds)]
        cell, pbc = np.diag(rng.uniform(4, 15, 3)), np.ones(3, bool)
        axis, size = rng.integers(3), FLAT[count // len(kinds) % len(FLAT)]
        if kind == "flat":
            cell[axis] *= size / cell[axis, axis]
        elif kind == "needle":
            for other in range(3):
                if other != axis:
                    cell[other] *= size / cell[other, other]
        elif kind == "sheared":
            cell[1, 0], cell[2, :2] = rng.uniform(-300, 300), rng.uniform(-300, 300, 2)
        elif kind == "tiny":
            cell *= size / 10
        elif kind == "huge":
            cell *= 10.0 ** rng.integers(2, 8)
        elif kind == "partial":
            pbc[axis] = False
            cell[axis] *= rng.choice([0.0, 1e-6, 1.0, 1e6])
            cell[(axis + 1) % 3] *= rng.choice([1e-6, 1.0])
        elif kind == "none":
            pbc[:] = False
            cell *= rng.choice([0.0, 1e-9, 1.0])
        else:
            cell[axis] *= 1e5
        yield f"{kind} {count}", cell, pbc


def frames(cell: Any, pbc: Any, rng: np.random.Generator) -> xr.Dataset:
    """Return three frames of a few oxygen atoms anywhere in the cell."""
    n_atoms = int(rng.choice([1, 2, 8, 40]))
    box = np.where(cell.any(axis=1)[:, None], cell, 10 * np.eye(3))
    positions = (rng.random((3, n_atoms, 3)) @ box).astype(np.float32)
    return trajectory(
        positions,
        element=["O"] * n_atoms,
        cell=np.array([cell] * 3),
        pbc=pbc,
        time=[0.0, 1.0, 2.0],
        step=[0, 1, 2],
    )


def memory_mb() -> float:
    """Return the largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compute(name: str, trj: xr.Dataset) -> str:
    """Return what became of a descriptor: result, or the first words of an error of icedask."""
    entry = registry()[name]
    try:
        entry.function(trj, **entry.example).compute(scheduler="sync")
    except IcedaskError as error:
        text = str(error)
        if "\n" in text or len(text) > 600:
            raise AssertionError(f"{name}: expected one sentence, found {text}") from error
        return "refused"
    return "result"


def check(number: int, seed: int = 0) -> Counter[str]:
    """Compute every descriptor in every cell; raise AssertionError where memory is too much."""
    rng = np.random.default_rng(seed)
    outcomes: Counter[str] = Counter()
    slowest = (0.0, "")
    crystal = np.diag([10.0, 10.0, 10.0])
    for name in registry():  # compiled before memory is measured
        compute(name, frames(crystal, np.ones(3, bool), rng))
    for cell_name, cell, pbc in odd_cells(number, seed):
        try:
            trj = frames(cell, pbc, rng)
        except IcedaskError:
            outcomes["no trajectory"] += 1
            continue
        for name in registry():
            before, began = memory_mb(), time.monotonic()
            outcomes[compute(name, trj)] += 1
            grown, took = memory_mb() - before, time.monotonic() - began
            slowest = max(slowest, (took, f"{cell_name}, {name}"))
            if grown > LIMIT_MB or took > LIMIT_SECONDS:
                raise AssertionError(f"{cell_name}, {name}: {grown:.0f} MB, {took:.0f} s")
    print(f"slowest: {slowest[1]}, {slowest[0]:.1f} s")
    return outcomes


if __name__ == "__main__":
    began = time.monotonic()
    result = check(int(sys.argv[1]) if len(sys.argv) > 1 else N_CELLS)
    print(dict(result), f"{memory_mb():.0f} MB at most, {time.monotonic() - began:.0f} s")
    print(f"icedask {ice.__version__}: {sum(result.values())} pairs of cells and descriptors")
