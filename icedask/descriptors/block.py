"""Kernels run on one block of frames and centres: frame by frame, with shared neighbour lists."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.errors import InputError
from icedask.kernels.neighbors import MAX_NEIGHBORS

# angstrom; a float32 that is larger has lost all that matters.
_FARTHEST = 1e9


def compute_block(
    core: IntArray,
    centers: IntArray,
    positions: npt.NDArray[np.float32],
    cell: FloatArray,
    numbers: IntArray,
    *,
    kernels: Sequence[Kernel],
    pbc: npt.NDArray[np.bool_],
    environments: Sequence[tuple[int, ...] | None],
) -> tuple[npt.NDArray[Any], ...]:
    """Run every kernel on the frames `core`; positions and cells go on for the longest halo."""
    _check_positions(positions, core)
    # Kernels with the same environment see the same Frame, and so the same lists.
    groups: dict[bytes, list[int]] = {}
    results: list[npt.NDArray[Any]] = []
    for number, (kernel, environment) in enumerate(zip(kernels, environments, strict=True)):
        mask = numbers > 0 if environment is None else np.isin(numbers, environment)
        groups.setdefault(mask.tobytes(), []).append(number)
        shape = (len(core), len(centers), *kernel.tail)
        results.append(np.full(shape, np.nan if kernel.halo else 0, kernel.dtype))
    windows: list[deque[Any]] = [deque(maxlen=kernel.halo + 1) for kernel in kernels]
    for row in range(len(positions)):
        for mask_bytes, members in groups.items():
            mask = np.frombuffer(mask_bytes, bool)
            wanted = [n for n in members if row < len(core) + kernels[n].halo]
            most = max((kernels[n].max_neighbors for n in members), default=MAX_NEIGHBORS)
            frame = Frame(positions[row], cell[row], pbc, numbers, mask, centers, most)
            _build_longest(frame, [kernels[n] for n in wanted])
            for n in wanted:
                _run(kernels[n], frame, row, windows[n], results[n])
    return tuple(results)


def _check_positions(positions: npt.NDArray[np.float32], core: IntArray) -> None:
    # Positions from files were checked; a Dataset may have been changed since.
    wrong = ~(np.abs(positions) < _FARTHEST).all(axis=2)
    if wrong.any():
        frame, atom = np.argwhere(wrong)[0]
        raise InputError(
            f"positions: expected coordinates below {_FARTHEST:g} angstrom, found "
            f"{positions[frame, atom].tolist()} at frame {core[0] + frame}, atom {atom}; repair "
            "the positions, or leave the frame out with isel(frame=...)"
        )


def _build_longest(frame: Frame, kernels: Sequence[Kernel]) -> None:
    """Build the longest lists that several kernels ask for: the others are cut from them."""
    cutoffs = [(kernel.cutoff, kernel.beyond) for kernel in kernels if kernel.cutoff]
    if len(cutoffs) > 1:
        longest, for_all = (max(column) for column in zip(*cutoffs, strict=True))
        frame.all_neighbors(longest) if for_all else frame.neighbors(longest)
    nearest = [(kernel.nearest, kernel.beyond) for kernel in kernels if kernel.nearest]
    if len(nearest) > 1:
        most, for_all = (max(column) for column in zip(*nearest, strict=True))
        frame.all_nearest(most) if for_all else frame.nearest(most)


def _run(
    kernel: Kernel, frame: Frame, row: int, window: deque[Any], result: npt.NDArray[Any]
) -> None:
    """Put into `result` what the kernel can compute now that it has seen the frame of a row."""
    if kernel.keep is None:
        result[row] = kernel.compute(frame)
        return
    window.append(kernel.keep(frame))
    if len(window) == kernel.halo + 1:
        result[row - kernel.halo] = kernel.compute(window)
