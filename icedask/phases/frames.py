"""Denoised positions of a trajectory as lazy arrays, each block of whole frames."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import block_part, lazy_blocks, rechunked
from icedask.core.provenance import Record, fingerprint, is_unchanged, record_of
from icedask.core.trajectory import ATOM_COORDS, atom_order
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME, VARIABLES, with_attrs, with_axes
from icedask.errors import InputError
from icedask.phases.score import Score, denoise_frame
from icedask.store.chunks import plan_blocks

# Positions, shift and residual, float32.
_ROW_BYTES = 28
# Some ten seconds of one core.
_BLOCK_ATOM_FRAMES = 2**16


def denoised_arrays(trj: xr.Dataset, score: Score, steps: int, clip: float) -> dict[str, da.Array]:
    """Return positions, shift and residual (frame, atom[, xyz]) by name."""
    n_frames, n_atoms = trj.sizes[FRAME], trj.sizes[ATOM]
    blocks = plan_blocks(n_frames, n_atoms, _ROW_BYTES, atom_frames=_BLOCK_ATOM_FRAMES)
    positions = rechunked(lazy_blocks(trj["positions"]), (blocks.frames, -1, -1))
    cells = da.from_array(trj["cell"].values, chunks=(blocks.frames, -1, -1))
    together = da.blockwise(
        partial(_block, pbc=np.asarray(trj["pbc"].values, bool), steps=steps, clip=clip),
        "fa",
        positions,
        "fax",
        cells,
        "fvx",
        # Sent once, not with each task.
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
        denoised = denoise_frame(score, frame.astype(np.float64), cell, pbc, steps, clip)
        shift[row], residual[row] = denoised
        moved[row] = frame + denoised.shift
    return moved, shift, residual


def denoised_dataset(trj: xr.Dataset, arrays: Mapping[str, da.Array]) -> xr.Dataset:
    """Return the denoised trajectory, with the coordinates of the original."""
    coords: dict[str, Any] = {
        name: (FRAME, trj[name].values) for name in ("time", "step") if name in trj.variables
    }
    coords |= {name: (ATOM, trj[name].values) for name in ATOM_COORDS if name in trj.variables}
    variables: dict[str, Any] = {
        name: (VARIABLES[name].dims, array) for name, array in arrays.items()
    }
    kept = [name for name in ("cell", "cell_origin", "pbc") if name in trj.variables]
    variables |= {name: (trj[name].dims, trj[name].values) for name in kept}
    return with_attrs(with_axes(xr.Dataset(variables, coords)))


def atoms_record(
    atoms: xr.Dataset, trj: xr.Dataset, function: str, parameters: Mapping[str, Any]
) -> Record:
    """Return the record of a function of some atoms of a trajectory."""
    trajectory, positions = fingerprint(atoms)[0], fingerprint(trj)[1]
    return Record(
        "results",
        function,
        1,
        dict(parameters),
        trajectory=trajectory,
        positions=positions,
        atom_order=atom_order(trj),
    )


def check_denoised(x: xr.Dataset, expected: Mapping[str, Any] | None, caller: str) -> None:
    """Raise InputError unless positions were denoised with these parameters, and not changed."""
    denoised = record_of(x).parameters if x.attrs.get("function") == "denoise" else None
    if denoised != expected:
        raise InputError(
            f"{caller}: expected positions denoised by {_in_words(expected)}, as in the fit, found "
            f"them denoised by {_in_words(denoised)}; fit and classify with the same Denoiser and "
            "steps, or with none"
        )
    if denoised is not None and not is_unchanged(x):
        raise InputError(
            f"{caller}: expected what denoise returned, found it changed since, or computed; "
            "choose frames and atoms before denoising, and keep what was denoised with icedask.save"
        )


def _in_words(denoised: Mapping[str, Any] | None) -> str:
    if denoised is None:
        return "none"
    return "{weights} in {steps} steps of at most {clip:g} angstrom".format(**denoised)
