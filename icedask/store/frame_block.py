"""Blocks of consecutive frames in memory, which every reader returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray
from icedask.errors import InputError


@dataclass(frozen=True)
class FrameBlock:
    """Consecutive frames in memory."""

    positions: npt.NDArray[np.float32]  # (n_frames, n_atoms, 3) float32, angstrom
    cell: FloatArray  # (n_frames, 3, 3) float64, angstrom
    pbc: npt.NDArray[np.bool_]  # (3,) bool
    time: FloatArray  # (n_frames,) float64, picosecond, NaN where the source has none
    step: npt.NDArray[np.int64]  # (n_frames,) int64
    cell_origin: FloatArray | None = None  # (n_frames, 3) float64, angstrom, or None
    # Arrays (n_frames, n_atoms[, 3]) by variable name.
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def take(self, atoms: npt.NDArray[np.int64] | None) -> FrameBlock:
        """Return the block with only the given atoms."""
        if atoms is None:
            return self
        columns = {name: values[:, atoms] for name, values in self.columns.items()}
        return replace(self, positions=self.positions[:, atoms], columns=columns)


def join_blocks(blocks: Sequence[FrameBlock]) -> FrameBlock:
    """Concatenate blocks along frame.

    Raises InputError if boundaries or per-atom columns change from one to the next.
    """
    first = blocks[0]
    if len(blocks) == 1:
        return first
    for block in blocks:
        step = int(block.step[0])
        if not np.array_equal(block.pbc, first.pbc):
            raise InputError(
                f"the boundaries change from {first.pbc.tolist()} to {block.pbc.tolist()} at step "
                f"{step}; split the source there"
            )
        if block.columns.keys() != first.columns.keys():
            raise InputError(
                f"expected the per-atom columns {', '.join(sorted(first.columns)) or 'none'} in "
                f"every frame, found {', '.join(sorted(block.columns)) or 'none'} at step {step}; "
                "drop a column with columns= (--column NAME=), or choose frames with frames="
            )
    origins = [block.cell_origin for block in blocks if block.cell_origin is not None]
    return FrameBlock(
        np.concatenate([block.positions for block in blocks]),
        np.concatenate([block.cell for block in blocks]),
        first.pbc,
        np.concatenate([block.time for block in blocks]),
        np.concatenate([block.step for block in blocks]),
        np.concatenate(origins) if origins else None,
        {name: np.concatenate([block.columns[name] for block in blocks]) for name in first.columns},
    )


def check_finite(block: FrameBlock, frames: Sequence[int], path: str) -> None:
    """Raise InputError if a coordinate is NaN or infinite."""
    finite = np.isfinite(block.positions).all(axis=2)
    if not finite.all():
        frame, atom = np.argwhere(~finite)[0]
        raise InputError(
            f"{path}: frame {frames[frame]}, atom {atom}: coordinates "
            f"{block.positions[frame, atom].tolist()} are not finite; repair the file, or leave "
            "the frame out with frames= (--frames)"
        )
