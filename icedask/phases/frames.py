"""From a trajectory to its denoised positions: the one file of denoising that knows Dask."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import block_part, lazy_blocks
from icedask.core.trajectory import ATOM_COORDS
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME, VARIABLES, XYZ, with_attrs
from icedask.phases.score import Score, denoise_frame
from icedask.store.chunks import plan_blocks

# Positions, shift and residual, float32.
_ROW_BYTES = 28
# Some ten seconds of one core.
_BLOCK_ATOM_FRAMES = 2**16


def denoised_arrays(trj: xr.Dataset, score: Score, steps: int, clip: float) -> dict[str, da.Array]:
    """Return positions, shift and residual, each block of whole frames."""
    n_frames, n_atoms = trj.sizes[FRAME], trj.sizes[ATOM]
    blocks = plan_blocks(n_frames, n_atoms, _ROW_BYTES, atom_frames=_BLOCK_ATOM_FRAMES)
    with dask.config.set({"array.rechunk.method": "tasks"}):
        positions = lazy_blocks(trj["positions"]).rechunk((blocks.frames, -1, -1))
    cells = da.from_array(trj["cell"].values, chunks=(blocks.frames, -1, -1))
    together = da.blockwise(
        partial(_block, pbc=np.asarray(trj["pbc"].values, bool), steps=steps, clip=clip),
        "fa",
        positions,
        "fax",
        cells,
        "fvx",
        # Sent once, and not with each task; its name is that of its content.
        dask.delayed(score, pure=True),
        None,
        concatenate=True,
        meta=np.empty((0, 0), object),
    )
    moved, shift = (block_part(together, number, np.float32, "fax", {"x": 3}) for number in (0, 1))
    residual = block_part(together, 2, np.float32)
    return {"positions": moved, "shift": shift, "residual": residual}


def _block(
    positions: npt.NDArray[np.float32],
    cells: FloatArray,
    score: Score,
    *,
    pbc: npt.NDArray[np.bool_],
    steps: int,
    clip: float,
) -> tuple[npt.NDArray[np.float32], ...]:
    moved, shift = np.empty_like(positions), np.empty_like(positions)
    residual = np.empty(positions.shape[:2], np.float32)
    for row, (frame, cell) in enumerate(zip(positions, cells, strict=True)):
        found = denoise_frame(score, frame.astype(np.float64), cell, pbc, steps, clip)
        shift[row], residual[row] = found.shift, found.residual
        moved[row] = frame + found.shift
    return moved, shift, residual


def denoised_dataset(trj: xr.Dataset, arrays: Mapping[str, da.Array]) -> xr.Dataset:
    """Return the denoised trajectory, with the coordinates of the one it was."""
    coords: dict[str, Any] = {
        name: (FRAME, trj[name].values) for name in ("time", "step") if name in trj.variables
    }
    coords |= {name: (ATOM, trj[name].values) for name in ATOM_COORDS if name in trj.variables}
    variables: dict[str, Any] = {name: (VARIABLES[name].dims, one) for name, one in arrays.items()}
    kept = [name for name in ("cell", "cell_origin", "pbc") if name in trj.variables]
    variables |= {name: (trj[name].dims, trj[name].values) for name in kept}
    return with_attrs(xr.Dataset(variables, coords)).drop_vars([XYZ], errors="ignore")
