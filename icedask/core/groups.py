"""Groups of trajectories that depend on each other, and splits that keep them together."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import xarray as xr

from icedask.core.provenance import canonical, digest, frame_digest
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("icedask")

# Labels whose equal values mean the same start, or the same run.
DEPENDENT = ("start", "run")
# Positions of a member of which every frame is compared; of a larger one the first and the last.
_ALL_FRAMES_BYTES = 2**30
# Most that atoms move between the parts of one run, in displacements between its frames, and where
# these are not known, angstrom.
_CONTINUED, _SHORT = 3.0, 2.0


def dependent_groups(
    trajectories: Mapping[str, xr.Dataset], labels: pd.DataFrame
) -> dict[str, int]:
    """Compute the groups of trajectories that are not independent, by number.

    Two trajectories are of one group if they have the same value of the label `start` or `run`,
    were simulated from the same start structure, have a frame in common (copies, overlapping parts,
    shots from a frame of another run), or one begins in time and in place where the other ends.
    Of trajectories above 1 GiB only the first and the last frame are compared.
    """
    names = list(trajectories)
    keys: dict[tuple[str, Hashable], list[str]] = {}

    def note(kind: str, value: Hashable, name: str) -> None:
        keys.setdefault((kind, value), []).append(name)

    for label in DEPENDENT:
        if label in labels:
            for name, value in labels[label].dropna().items():
                note(label, str(value), str(name))
    for name, trj in trajectories.items():
        simulation = trj.attrs.get("simulation")
        if isinstance(simulation, Mapping) and "start" in simulation:
            note("simulated", canonical([simulation["start"], _model(simulation)]), name)
    for name, frames in _frame_digests(trajectories).items():
        for value in set(frames):
            note("frame", value, name)
    union = _Union(names)
    for mine in keys.values():
        for first, second in pairwise(mine):
            union.join(first, second)
    for first, second in _continued(trajectories):
        union.join(first, second)
    return union.numbers()


class _Union:
    """Disjoint sets of names."""

    def __init__(self, names: Sequence[str]) -> None:
        self._parent = {name: name for name in names}

    def _root(self, name: str) -> str:
        while self._parent[name] != name:
            name = self._parent[name]
        return name

    def join(self, first: str, second: str) -> None:
        self._parent[self._root(second)] = self._root(first)

    def numbers(self) -> dict[str, int]:
        roots = {name: self._root(name) for name in self._parent}
        order = {root: number for number, root in enumerate(dict.fromkeys(roots.values()))}
        return {name: order[root] for name, root in roots.items()}


def _model(simulation: Mapping[str, Any]) -> Any:
    """Return the potential, by which structures of the same description differ."""
    potential = simulation.get("potential")
    return potential.get("name") if isinstance(potential, Mapping) else potential


def _frame_digests(trajectories: Mapping[str, xr.Dataset]) -> dict[str, list[str]]:
    tasks, shortened = {}, []
    for name, trj in trajectories.items():
        if "positions" not in trj or not trj.sizes[FRAME]:
            continue
        positions = trj["positions"]
        if positions.nbytes > _ALL_FRAMES_BYTES:
            shortened.append(name)
            positions = positions.isel({FRAME: [0, -1]})
        data = positions.chunk(dict.fromkeys(positions.dims[1:], -1)).data
        blocks = data.to_delayed().ravel()
        tasks[name] = [dask.delayed(_digests)(block) for block in blocks]
    if shortened:
        logger.info(
            "groups: of %s (above 1 GiB) only the first and the last frame are compared with those "
            "of other members; give a label start or run where trajectories share others",
            ", ".join(shortened),
        )
    (digests,) = dask.compute(tasks)
    return {name: [each for part in parts for each in part] for name, parts in digests.items()}


def _digests(block: Any) -> list[str]:
    # Frames without atoms are all the same.
    return [frame_digest(frame) for frame in block if frame.size]


def _continued(trajectories: Mapping[str, xr.Dataset]) -> list[tuple[str, str]]:
    """Return pairs of which the second begins where the first ends."""
    ends = {name: end for name, trj in trajectories.items() if (end := _ends(trj)) is not None}
    pairs = []
    for first, (atoms, _, last, interval) in ends.items():
        for second, (others, begin, _, other_interval) in ends.items():
            gap, longest = begin - last, 1.5 * max(interval, other_interval)
            if first == second or atoms != others or begin <= 0 or not 0 <= gap <= longest:
                continue
            if _is_continued(trajectories[first], trajectories[second]):
                pairs.append((first, second))
    return pairs


def _ends(trj: xr.Dataset) -> tuple[str, float, float, float] | None:
    """Return the digest of the atoms, the first and last step (or time), and the interval."""
    if "positions" not in trj or "element" not in trj.variables:
        return None
    for name in ("step", "time"):
        if name in trj.variables:
            values = np.asarray(trj[name].values, float)
            if len(values) and np.isfinite(values).all() and len(np.unique(values)) == len(values):
                interval = float(np.diff(values).max()) if len(values) > 1 else 0.0
                return digest(trj["element"].values), float(values[0]), float(values[-1]), interval
    return None


def _is_continued(first: xr.Dataset, second: xr.Dataset) -> bool:
    """Return whether the atoms of the second begin where the first ends."""
    last, begin = first.isel({FRAME: [-1]}), second.isel({FRAME: [0]})
    between = _displacement(last, begin)
    steps = [
        _displacement(trj.isel({FRAME: [i]}), trj.isel({FRAME: [i + 1]}))
        for trj, i in ((first, first.sizes[FRAME] - 2), (second, 0))
        if trj.sizes[FRAME] > 1
    ]
    return between <= (_CONTINUED * max(steps) if steps else _SHORT)


def _displacement(first: xr.Dataset, second: xr.Dataset) -> float:
    """Return the RMS of the shortest displacements between two frames, without drift, angstrom."""
    if first.sizes[ATOM] != second.sizes[ATOM]:
        return np.inf
    places: list[FloatArray] = [
        np.asarray(trj["positions"].values[0], float) for trj in (first, second)
    ]
    moved = places[1] - places[0]
    if "cell" in second.variables:
        cell, pbc = second["cell"].values[0], second["pbc"].values
        if abs(np.linalg.det(cell)) > 0:
            fractions = moved @ np.linalg.inv(cell)
            moved = (fractions - np.round(fractions) * pbc) @ cell
    moved = moved - moved.mean(axis=0)
    return float(np.sqrt((moved**2).sum(axis=1).mean()))


def split_groups(
    groups: Mapping[str, int],
    classes: Mapping[str, Hashable],
    test: float,
    seed: int,
) -> tuple[list[str], list[str]]:
    """Split names in two, groups whole and at random, with a share `test` of each class.

    A class keeps at least one group on the first side; of two or more groups, one at least goes to
    the second. Returns the names of both sides, in order.
    """
    members: dict[int, list[str]] = {}
    for name, group in groups.items():
        members.setdefault(group, []).append(name)
    order = np.random.default_rng(seed).permutation(len(members))
    shuffled = [list(members)[place] for place in order]
    of_class: dict[Hashable, list[int]] = {}
    for group in shuffled:
        for value in dict.fromkeys(classes[name] for name in members[group]):
            of_class.setdefault(value, []).append(group)
    kept = {value: len(mine) for value, mine in of_class.items()}
    chosen: set[int] = set()
    # The rarest first: their groups are the fewest to choose from.
    for value, mine in sorted(of_class.items(), key=lambda item: len(item[1])):
        if len(mine) < 2:
            continue
        size = sum(classes[name] == value for name in groups)
        wanted = max(1.0, round(test * size))
        for group in mine:
            have = sum(classes[n] == value for g in chosen for n in members[g])
            if have >= wanted:
                break
            present = {classes[name] for name in members[group]}
            if group in chosen or any(kept[other] < 2 for other in present):
                continue
            chosen.add(group)
            for other in present:
                kept[other] -= 1
    absent = [str(value) for value, mine in of_class.items() if chosen.isdisjoint(mine)]
    if absent and chosen:
        logger.warning(
            "split: %s on the first side alone: expected two independent trajectories or more of "
            "each, to have one on both sides",
            ", ".join(absent),
        )
    if not chosen:
        raise InputError(
            f"split: expected at least two independent trajectories, found {len(members)} of "
            f"{len(groups)}: they share their start, or are parts of one run; add others"
        )
    second = [name for name, group in groups.items() if group in chosen]
    return [name for name in groups if name not in second], second
