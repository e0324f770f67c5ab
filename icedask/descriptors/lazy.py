"""From kernels to lazy Datasets: the one file of the descriptors that knows Dask.

Blocks run over frames and, where one frame's output is too large, over centres, with all
positions of the frame at hand. Descriptors that are asked for together share each frame's
neighbour list and run in the same task, unless their blocks would be too large together.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.provenance import Record, fingerprint, stamped
from icedask.core.trajectory import ATOM_COORDS, check_trajectory, selected_indices
from icedask.core.variables import ATOM, FRAME, VARIABLES
from icedask.descriptors import registry
from icedask.descriptors.descriptor import Descriptor, Kernel
from icedask.descriptors.frame import Frame
from icedask.errors import InputError
from icedask.kernels.neighbors import check_cutoff, check_reach
from icedask.store.chunks import Blocks, fits_budget, plan_blocks

# angstrom; a float32 that is larger has lost all that matters.
_FARTHEST = 1e9


def describe(trj: xr.Dataset, requests: Mapping[str, Mapping[str, Any]]) -> dict[str, xr.Dataset]:
    """Compute several descriptors in one pass; lazy.

    Parameters
    ----------
    trj : xarray.Dataset
        A trajectory.
    requests : mapping
        Options by descriptor name. All must describe the same centres.

    Returns
    -------
    dict of xarray.Dataset
        One Dataset for each descriptor, as its own function returns it. Computed or saved
        together, they share one neighbour list for each frame.

    Raises
    ------
    InputError
        If the trajectory, a name or an option is not valid.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True) * (3, 3, 3))
    >>> both = ice.describe(trj, {"coordination": {"r_cut": 3}, "soap": {"r_cut": 4, "l_max": 2}})
    >>> sorted(both)
    ['coordination', 'soap']
    """
    check_trajectory(trj, "describe")
    known = registry()
    if not isinstance(requests, Mapping):
        raise InputError(
            'describe: expected options by descriptor name, for example {"coordination": {"r_cut": '
            f"3.5}}}}, found {type(requests).__name__}"
        )
    unknown = [name for name in requests if name not in known]
    if unknown:
        raise InputError(f"describe: no descriptor {unknown[0]!r}; there are {', '.join(known)}")
    descriptors = [known[name] for name in requests]
    for name, given in requests.items():
        if not isinstance(given, Mapping):
            raise InputError(
                f"describe: {name}: expected its options, such as {{}} for the defaults, found "
                f"{given!r}"
            )
    options = [d.options(requests[d.name]) for d in descriptors]
    kernels = [d.build(trj, **given) for d, given in zip(descriptors, options, strict=True)]
    centers = _centers(trj, [given.get("centers") for given in options])
    present = set(trj["element"].values.astype(str))
    cell = _smallest_cell(trj)
    for d, kernel in zip(descriptors, kernels, strict=True):
        _check_species(kernel, present, d.name)
        if kernel.cutoff is not None:
            check_cutoff(kernel.cutoff, trj.sizes[ATOM], cell, trj["pbc"].values, d.name)
        if kernel.reach is not None:
            check_reach(kernel.reach, trj.sizes[ATOM], cell, trj["pbc"].values, d.name)
    arrays = _arrays(trj, kernels, centers)
    trajectory, positions = fingerprint(trj)
    results = {}
    for d, given, kernel, array in zip(descriptors, options, kernels, arrays, strict=True):
        record = Record(
            "descriptors",
            d.name,
            d.version,
            {**given, **kernel.parameters},
            trajectory=trajectory,
            positions=positions,
        )
        results[d.name] = _dataset(trj, d, kernel, array, centers, record)
    return results


def _smallest_cell(trj: xr.Dataset) -> npt.NDArray[np.float64]:
    cells = trj["cell"].values
    if not len(cells):
        return np.eye(3)
    smallest: npt.NDArray[np.float64] = cells[np.argmin(np.abs(np.linalg.det(cells)))]
    return smallest


def _check_species(kernel: Kernel, present: set[str], name: str) -> None:
    absent = [symbol for symbol in kernel.species or () if symbol not in present]
    if absent:
        raise InputError(
            f"{name}: species: expected elements of the trajectory ({', '.join(sorted(present))}), "
            f"found {', '.join(absent)}"
        )


def _centers(trj: xr.Dataset, expressions: Sequence[str | None]) -> npt.NDArray[np.int64]:
    chosen = [
        np.arange(trj.sizes[ATOM]) if expression is None else selected_indices(trj, expression)
        for expression in expressions
    ]
    if any(not np.array_equal(chosen[0], other) for other in chosen[1:]):
        raise InputError(
            "describe: expected the same centers for all descriptors, found different atoms for "
            f"{', '.join(map(repr, expressions))}; ask for them in separate calls"
        )
    return chosen[0]


def _dataset(
    trj: xr.Dataset,
    descriptor: Descriptor,
    kernel: Kernel,
    array: da.Array,
    centers: npt.NDArray[np.int64],
    record: Record,
) -> xr.Dataset:
    spec = VARIABLES[descriptor.variable]
    coords: dict[str, Any] = {
        name: (FRAME, trj[name].values) for name in ("time", "step") if name in trj.variables
    }
    coords |= {
        name: (ATOM, trj[name].values[centers]) for name in ATOM_COORDS if name in trj.variables
    }
    if kernel.tail is not None:
        coords |= {name: (kernel.tail[0], values) for name, values in kernel.coords.items()}
    ds = xr.Dataset({spec.name: (spec.dims, array, {**spec.attrs, **kernel.attrs})}, coords)
    for name in ds.coords:
        if name in VARIABLES:
            ds[name].attrs = dict(VARIABLES[str(name)].attrs)
    return stamped(ds, record)


def _row_bytes(kernel: Kernel) -> int:
    width = 1 if kernel.tail is None else kernel.tail[1]
    return np.dtype(kernel.dtype).itemsize * width


def _plan(trj: xr.Dataset, kernels: Sequence[Kernel], n_centers: int) -> Blocks:
    halo = max(kernel.halo for kernel in kernels)
    row = sum(_row_bytes(kernel) for kernel in kernels)
    return plan_blocks(trj.sizes[FRAME], n_centers, row, halo=halo)


def _passes(trj: xr.Dataset, kernels: Sequence[Kernel], n_centers: int) -> list[list[int]]:
    """Return which kernels run in the same tasks.

    All of them, if their output fits. A kernel with a window needs blocks of several frames, where
    those with long vectors need a part of one: these then run apart. Short vectors stay with the
    window, because it is they that share its neighbour list.
    """
    order = sorted(
        range(len(kernels)), key=lambda n: (kernels[n].halo == 0, _row_bytes(kernels[n]))
    )
    together: list[int] = []
    apart: list[int] = []
    for number in order:
        tried = [kernels[n] for n in (*together, number)]
        can_split = kernels[number].halo == 0 and any(kernel.halo for kernel in tried)
        row = sum(_row_bytes(kernel) for kernel in tried)
        if can_split and not fits_budget(_plan(trj, tried, n_centers), row):
            apart.append(number)
        else:
            together.append(number)
    return [sorted(part) for part in (together, apart) if part]


def _arrays(
    trj: xr.Dataset, kernels: Sequence[Kernel], centers: npt.NDArray[np.int64]
) -> list[da.Array]:
    """Return the lazy array of each kernel."""
    arrays: dict[int, da.Array] = {}
    for members in _passes(trj, kernels, len(centers)):
        found = _arrays_of_pass(trj, [kernels[n] for n in members], centers)
        arrays |= dict(zip(members, found, strict=True))
    return [arrays[n] for n in range(len(kernels))]


def _arrays_of_pass(
    trj: xr.Dataset, kernels: Sequence[Kernel], centers: npt.NDArray[np.int64]
) -> list[da.Array]:
    """Return the lazy array of each kernel, all from one task for each block."""
    from ase.data import atomic_numbers

    n_frames = trj.sizes[FRAME]
    halo = max(kernel.halo for kernel in kernels)
    blocks = _plan(trj, kernels, len(centers))
    symbols, inverse = np.unique(trj["element"].values.astype(str), return_inverse=True)
    numbers = np.array([atomic_numbers[symbol] for symbol in symbols])[inverse]
    positions = _windows(trj["positions"].data, blocks.frames, halo)
    cell = _windows(trj["cell"].values, blocks.frames, halo)
    function = partial(
        _compute_block,
        kernels=tuple(kernels),
        pbc=np.asarray(trj["pbc"].values, bool),
        environments=tuple(_environment_numbers(kernel) for kernel in kernels),
    )
    # The core frames come first: they, not the longer windows, decide the blocks of the result.
    arguments = (
        *(da.from_array(np.arange(n_frames), chunks=blocks.frames), "f"),
        *(da.from_array(centers, chunks=blocks.atoms), "a"),
        *(positions, "fix"),
        *(cell, "fcx"),
        *(da.from_array(numbers, chunks=-1), "i"),
    )
    common = {"concatenate": True, "align_arrays": False}
    if len(kernels) == 1:
        return [_blockwise(kernels[0], partial(_only, function), *arguments, **common)]
    together = da.blockwise(function, "fa", *arguments, meta=np.empty((0, 0), object), **common)
    return [
        _blockwise(kernel, operator.getitem, together, "fa", number, None)
        for number, kernel in enumerate(kernels)
    ]


def _blockwise(kernel: Kernel, function: Any, *arguments: Any, **options: Any) -> da.Array:
    """Return the lazy array of a kernel's shape and dtype that `function` computes."""
    tail = {} if kernel.tail is None else {"k": kernel.tail[1]}
    meta = np.empty((0,) * (2 + len(tail)), kernel.dtype)
    index = "fak" if tail else "fa"
    return da.blockwise(function, index, *arguments, new_axes=tail, meta=meta, **options)


def _windows(values: Any, frames: int, halo: int) -> da.Array:
    """Return `values` in blocks of `frames`, each but the last followed by `halo` more."""
    tail = values.shape[1:]
    with dask.config.set({"array.rechunk.method": "tasks"}):
        if isinstance(values, da.Array):
            array = values.rechunk((frames, *tail))
        else:
            array = da.from_array(values, chunks=(frames, *tail))
    if halo == 0 or array.numblocks[0] == 1:
        return array
    return da.overlap.overlap(array, depth={0: (0, halo)}, boundary="none", allow_rechunk=False)


def _environment_numbers(kernel: Kernel) -> tuple[int, ...] | None:
    from ase.data import atomic_numbers

    if kernel.species is None:
        return None
    return tuple(atomic_numbers[symbol] for symbol in kernel.species)


def _only(function: Any, *arguments: Any) -> npt.NDArray[Any]:
    return function(*arguments)[0]


def _compute_block(
    core: npt.NDArray[np.int64],
    centers: npt.NDArray[np.int64],
    positions: npt.NDArray[np.float32],
    cell: npt.NDArray[np.float64],
    numbers: npt.NDArray[np.int64],
    *,
    kernels: Sequence[Kernel],
    pbc: npt.NDArray[np.bool_],
    environments: Sequence[tuple[int, ...] | None],
) -> tuple[npt.NDArray[Any], ...]:
    """Run every kernel on one block."""
    _check_positions(positions, core)
    # Kernels with the same environment see the same Frame, and so the same lists.
    groups: dict[bytes, list[int]] = {}
    results: list[npt.NDArray[Any]] = []
    for number, (kernel, environment) in enumerate(zip(kernels, environments, strict=True)):
        mask = numbers > 0 if environment is None else np.isin(numbers, environment)
        groups.setdefault(mask.tobytes(), []).append(number)
        shape = (len(core), len(centers), *(() if kernel.tail is None else (kernel.tail[1],)))
        empty = np.nan if kernel.halo else 0
        results.append(np.full(shape, empty, kernel.dtype))
    windows: list[deque[Any]] = [deque(maxlen=kernel.halo + 1) for kernel in kernels]
    for row in range(len(positions)):
        for mask_bytes, members in groups.items():
            mask = np.frombuffer(mask_bytes, bool)
            wanted = [n for n in members if row < len(core) + kernels[n].halo]
            frame = Frame(positions[row], cell[row], pbc, numbers, mask, centers)
            _build_longest(frame, [kernels[n] for n in wanted])
            for n in wanted:
                _run(kernels[n], frame, row, windows[n], results[n])
    return tuple(results)


def _check_positions(positions: npt.NDArray[np.float32], core: npt.NDArray[np.int64]) -> None:
    # Positions from files were checked; those of a Dataset that was changed since were not.
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
