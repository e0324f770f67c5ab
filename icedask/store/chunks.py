"""The planner: blocks, shards and inner chunks from the bytes of the output.

One Dask block is one Zarr shard and one write by one task. Blocks depend on the data alone, never
on the machine, so that an interrupted run resumes anywhere with the same layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod

# What one task may return. With the working memory of a kernel, a few such blocks fit into 2 GB.
BLOCK_BYTES = 32 * 2**20
# A ceiling on work in one task where the output is small: about a second to a minute of one core.
BLOCK_ATOM_FRAMES = 2**18
# A trajectory block holds only coordinates; reading it is cheap.
TRAJECTORY_ATOM_FRAMES = 2**20
# What one reader must decompress to get at a single row.
INNER_BYTES = 2**20
_ATOM_MULTIPLE = 256


@dataclass(frozen=True)
class Blocks:
    """Sizes of one block along frame and atom."""

    frames: int
    atoms: int

    def count(self, n_frames: int, n_atoms: int) -> int:
        """Return the number of blocks of an array of n_frames x n_atoms."""
        return ceil(n_frames / self.frames) * ceil(n_atoms / self.atoms)


def plan_blocks(
    n_frames: int,
    n_atoms: int,
    row_bytes: int,
    *,
    halo: int = 0,
    atom_frames: int | None = None,
) -> Blocks:
    """Choose the block of a (frame, atom, ...) output.

    `row_bytes` is the size of one atom in one frame. `halo` is the number of frames that a block
    needs beyond its own: the block is made longer than the halo, so that the repeated work stays
    below a quarter where memory allows. `atom_frames` is the ceiling on atoms times frames in one
    block, BLOCK_ATOM_FRAMES by default.
    """
    rows = max(1, BLOCK_BYTES // row_bytes)
    ceiling = BLOCK_ATOM_FRAMES if atom_frames is None else atom_frames
    if n_atoms > rows and not halo:  # a window kernel would repeat all its work for each atom block
        # Whole inner chunks: a shard is exactly one block, so that no two tasks write to one.
        inner = _inner_atoms(row_bytes)
        return Blocks(1, min(max(rows // inner, 1) * inner, n_atoms))
    frames = max(1, min(rows, ceiling) // max(n_atoms, 1), 4 * halo)
    # The halo of the last but one block must lie in the last block.
    while n_frames > frames and 0 < n_frames % frames < halo:
        frames += 1
    return Blocks(max(1, min(frames, n_frames)), n_atoms)


def fits_budget(blocks: Blocks, row_bytes: int) -> bool:
    """Return whether a block's output keeps to the budget of one task."""
    return blocks.frames * blocks.atoms * row_bytes <= BLOCK_BYTES


def _inner_atoms(row_bytes: int) -> int:
    return max(_ATOM_MULTIPLE, INNER_BYTES // row_bytes // _ATOM_MULTIPLE * _ATOM_MULTIPLE)


def _largest_divisor(number: int, ceiling: int) -> int:
    return next(d for d in range(min(number, max(ceiling, 1)), 0, -1) if number % d == 0)


def plan_windows(n_frames: int, n_atoms: int, row_bytes: int, *, halo: int) -> Blocks:
    """Choose the block of a result that is computed atom by atom from a window of frames.

    Blocks are longer than the `halo`, frames that they need on either side. Where long blocks of
    all atoms would pass the budget, they hold fewer atoms of `row_bytes` in each frame.
    """
    frames = plan_blocks(n_frames, n_atoms, row_bytes, halo=max(halo, 1)).frames
    atoms = max(1, BLOCK_BYTES // (row_bytes * frames))
    if atoms > _ATOM_MULTIPLE:
        atoms = atoms // _ATOM_MULTIPLE * _ATOM_MULTIPLE
    return Blocks(frames, min(atoms, max(n_atoms, 1)))


def shard_layout(
    block: tuple[int, ...], n_atoms: int, itemsize: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shard shape and the inner chunk shape for blocks of shape `block`.

    The shard equals the block, whose first dimensions are frame and atom. Only where a block spans
    all `n_atoms` of the array may the shard reach beyond them, to be a multiple of the inner chunk.
    """
    frames, atoms, *rest = block
    row = prod(rest) * itemsize
    if atoms * row <= INNER_BYTES:
        inner = (_largest_divisor(frames, INNER_BYTES // max(atoms * row, 1)), atoms)
        return tuple(block), (*inner, *rest)
    target = _inner_atoms(row)
    if atoms < n_atoms:
        unit = _ATOM_MULTIPLE if atoms % _ATOM_MULTIPLE == 0 else 1
        inner_atoms = _largest_divisor(atoms // unit, target // unit) * unit
        # Blocks of a number of atoms without divisors are not cut to pieces.
        return tuple(block), (1, atoms if inner_atoms < _ATOM_MULTIPLE else inner_atoms, *rest)
    if atoms <= target:
        return tuple(block), (1, atoms, *rest)
    # As few inner chunks as the target allows, of equal size: hardly any padding.
    number = ceil(atoms / target)
    inner_atoms = ceil(atoms / number / _ATOM_MULTIPLE) * _ATOM_MULTIPLE
    padded = ceil(atoms / inner_atoms) * inner_atoms
    return (frames, padded, *rest), (1, inner_atoms, *rest)
