"""The planner: budgets kept, halos fit, shards divisible."""

from __future__ import annotations

import pytest

from icedask.store.chunks import (
    BLOCK_ATOM_FRAMES,
    BLOCK_BYTES,
    plan_blocks,
    plan_windows,
    shard_layout,
)


@pytest.mark.parametrize("n_frames", [1, 7, 1000, 100_000])
@pytest.mark.parametrize("n_atoms", [1, 309, 4096, 97_919, 1_000_000])
@pytest.mark.parametrize("row_bytes", [4, 1296, 6912])
def test_blocks_keep_the_budget(n_frames: int, n_atoms: int, row_bytes: int) -> None:
    blocks = plan_blocks(n_frames, n_atoms, row_bytes)
    assert 1 <= blocks.frames <= n_frames
    assert 1 <= blocks.atoms <= n_atoms
    assert blocks.frames * blocks.atoms * row_bytes <= BLOCK_BYTES
    assert blocks.frames == 1 or blocks.frames * blocks.atoms <= BLOCK_ATOM_FRAMES
    assert blocks.frames == 1 or blocks.atoms == n_atoms


@pytest.mark.parametrize("n_frames", range(2, 60, 3))
@pytest.mark.parametrize("halo", [1, 2, 5, 20])
def test_last_block_holds_the_halo(n_frames: int, halo: int) -> None:
    blocks = plan_blocks(n_frames, 10**6, 4, halo=halo)
    assert blocks.atoms == 10**6
    last = n_frames % blocks.frames
    assert blocks.frames >= min(halo, n_frames)
    assert last == 0 or last >= halo or blocks.frames >= n_frames


@pytest.mark.parametrize("n_frames", [1, 7, 99, 100, 401, 100_000])
@pytest.mark.parametrize("n_atoms", [1, 4096, 1_000_000])
@pytest.mark.parametrize("row_bytes", [4, 1296, 6912])
@pytest.mark.parametrize("halo", [0, 1, 20, 100])
def test_windows_keep_the_budget_and_the_halo(
    n_frames: int, n_atoms: int, row_bytes: int, halo: int
) -> None:
    blocks = plan_windows(n_frames, n_atoms, row_bytes, halo=halo)
    assert 1 <= blocks.frames <= n_frames
    assert 1 <= blocks.atoms <= n_atoms
    assert blocks.frames * blocks.atoms * row_bytes <= BLOCK_BYTES
    last = n_frames % blocks.frames
    assert blocks.frames >= min(halo, n_frames)
    assert last == 0 or last >= halo


@pytest.mark.parametrize(
    "block",
    [(12, 4096, 324), (1, 25_600, 324), (61, 4099, 3), (256, 4096), (7, 100_000, 3), (1, 1, 1)],
)
def test_inner_chunks_divide_the_shard(block: tuple[int, ...]) -> None:
    shard, inner = shard_layout(block, block[1], 4)
    assert all(s % i == 0 for s, i in zip(shard, inner, strict=True))
    assert all(s >= b for s, b in zip(shard, block, strict=True))
    assert shard[0] == block[0]
    assert shard[1] - block[1] < 256 * 8


@pytest.mark.parametrize("n_atoms", [97_336, 100_000, 1_000_003])
@pytest.mark.parametrize("width", [1, 5, 147, 252, 324, 1728])
def test_a_shard_of_some_atoms_is_one_block(n_atoms: int, width: int) -> None:
    blocks = plan_blocks(3, n_atoms, 4 * width)
    block = (blocks.frames, blocks.atoms, width)
    shard, inner = shard_layout(block, n_atoms, 4)
    if blocks.atoms < n_atoms:
        assert shard == block
    assert all(s % i == 0 for s, i in zip(shard, inner, strict=True))
    assert inner[1] >= min(256, n_atoms)
    assert shard_layout((1, 9973, width), n_atoms, 4)[0] == (1, 9973, width)
