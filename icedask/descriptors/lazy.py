"""From kernels to lazy Datasets: the decorator of descriptors, and the graph that computes them.

The signature of a descriptor's function is its declaration. Each option is annotated with an
`Option`: its unit, bounds and help drive validation, the run id, the command line and the
docstring. The function's body turns options into a `Kernel`.

Blocks run over frames and, where one frame's output is too large, over centres, with all
positions of the frame at hand. Descriptors that are asked for together share each frame's
neighbour list and run in the same task, unless their blocks would be too large together.
"""

from __future__ import annotations

import inspect
import logging
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, update_wrapper
from typing import Any, Concatenate, NamedTuple, ParamSpec

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from ase.data import atomic_numbers

from icedask.core.collection import Collection, over_members
from icedask.core.options import (
    Parameter,
    documented,
    parameter,
    parameters_of,
    plain_signature,
)
from icedask.core.provenance import Record, fingerprint, stamped
from icedask.core.trajectory import ATOM_COORDS, atom_order, center_indices, check_trajectory
from icedask.core.types import IntArray
from icedask.core.variables import ATOM, FRAME, VARIABLES, Variable
from icedask.descriptors import find, registry
from icedask.descriptors.block import compute_block
from icedask.descriptors.descriptor import REGISTRY, Descriptor, Kernel, MaxNeighbors
from icedask.errors import InputError
from icedask.kernels.neighbors import MAX_NEIGHBORS, check_cutoff, check_reach
from icedask.store.chunks import Blocks, fits_budget, plan_blocks

logger = logging.getLogger("icedask")

P = ParamSpec("P")
_LIMIT = "max_neighbors"
Function = Callable[Concatenate["xr.Dataset", P], "xr.Dataset"]


def descriptor(
    *, variable: Variable, version: int, example: Mapping[str, Any], coords: Sequence[Variable] = ()
) -> Callable[[Callable[Concatenate[xr.Dataset, P], Kernel]], Function[P]]:
    """Register a descriptor; the attributes of `Descriptor` explain the arguments.

    In the docstring of the function, {parameters}, {returns} and {raises} begin the sections of
    these names.
    """

    def decorate(build: Callable[Concatenate[xr.Dataset, P], Kernel]) -> Function[P]:
        parameters, signature = parameters_of(build), inspect.signature(build)
        name, bound = build.__name__, build
        if any(declared.name == "r_cut" for declared in parameters):
            parameters, signature, bound = _limited(build)

        def function(trj: xr.Dataset, /, **options: Any) -> xr.Dataset:
            if isinstance(trj, Collection):
                return trj.map(function, **options)
            check_trajectory(trj, name)
            return _described(trj, [REGISTRY[name]], [options])[name]

        update_wrapper(function, build)
        function.__signature__ = plain_signature(  # type: ignore[attr-defined]
            signature, parameters, "xarray.Dataset"
        )
        text = documented(
            build.__doc__, parameters, "trj : xarray.Dataset or Collection\n    A trajectory."
        )
        function.__doc__ = text.replace("{returns}", _returns(variable)).replace(
            "{raises}", "Raises\n------\nInputError\n    If an option is out of bounds"
        )
        REGISTRY[name] = Descriptor(
            name, variable, tuple(coords), version, parameters, example, bound, function
        )
        return function  # type: ignore[return-value]

    return decorate


def _limited(
    build: Callable[..., Kernel],
) -> tuple[tuple[Parameter, ...], inspect.Signature, Callable[..., Kernel]]:
    """Return options, signature and function of a descriptor with a limit of neighbours."""

    def limited(trj: xr.Dataset, *, max_neighbors: int = MAX_NEIGHBORS, **options: Any) -> Kernel:
        return replace(build(trj, **options), max_neighbors=max_neighbors)

    signature = inspect.signature(build)
    argument = inspect.Parameter(
        _LIMIT, inspect.Parameter.KEYWORD_ONLY, default=MAX_NEIGHBORS, annotation=MaxNeighbors
    )
    return (
        (*parameters_of(build), parameter(_LIMIT, MaxNeighbors, MAX_NEIGHBORS)),
        signature.replace(parameters=[*signature.parameters.values(), argument]),
        limited,
    )


def _returns(spec: Variable) -> str:
    """Return the beginning of the section Returns."""
    dtype = "float32 or float64" if spec.dtype == "number" else spec.dtype
    unit = f", {spec.units}" if spec.units not in ("", "1") else ""
    return (
        f"Returns\n-------\nxarray.Dataset\n    {spec.name} ({', '.join(spec.dims)}), {dtype}{unit}"
    )


@over_members
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
    if not isinstance(requests, Mapping):
        raise InputError(
            'describe: expected options by descriptor name, for example {"coordination": {"r_cut": '
            f"3.5}}}}, found {type(requests).__name__}"
        )
    descriptors = []
    for name, options in requests.items():
        entry = find(name)
        if entry is None:
            raise InputError(f"describe: no descriptor {name!r}; there are {', '.join(registry())}")
        if not isinstance(options, Mapping):
            raise InputError(
                f"describe: {name}: expected its options, such as {{}} for the defaults, found "
                f"{options!r}"
            )
        descriptors.append(entry)
    return _described(trj, descriptors, list(requests.values()))


class _Request(NamedTuple):
    """Descriptors with their options, checked, and what they come to for a trajectory."""

    kernels: list[Kernel]
    centers: IntArray
    records: list[Record]


def _described(
    trj: xr.Dataset, descriptors: Sequence[Descriptor], requests: Sequence[Mapping[str, Any]]
) -> dict[str, xr.Dataset]:
    """Return the Dataset of each descriptor with the options asked for."""
    kernels, centers, records = _requested(trj, descriptors, requests, fingerprint(trj))
    arrays = _arrays(trj, kernels, centers)
    return {
        d.name: _dataset(trj, d, kernel, array, centers, record)
        for d, kernel, array, record in zip(descriptors, kernels, arrays, records, strict=True)
    }


def _requested(
    trj: xr.Dataset,
    descriptors: Sequence[Descriptor],
    requests: Sequence[Mapping[str, Any]],
    identities: tuple[str, str],
) -> _Request:
    """Check options; `identities`: of the trajectory, and of its positions."""
    options = [d.options(values) for d, values in zip(descriptors, requests, strict=True)]
    kernels = [d.build(trj, **values) for d, values in zip(descriptors, options, strict=True)]
    centers = _centers(trj, [values.get("centers") for values in options])
    _check_kernels(trj, descriptors, kernels, [values.get("r_cut") for values in options])
    trajectory, positions = identities
    records = [
        Record(
            "descriptors",
            d.name,
            d.version,
            {**_recorded(values), **kernel.parameters},
            trajectory=trajectory,
            positions=positions,
            atom_order=atom_order(trj),
        )
        for d, values, kernel in zip(descriptors, options, kernels, strict=True)
    ]
    return _Request(kernels, centers, records)


def record_without_frames(trj: Any, entry: Descriptor, options: Mapping[str, Any]) -> Record | None:
    """Return the record of what a descriptor computes of an `Outline` of a stored trajectory.

    Options are checked. None if that takes more than an outline has: the Dataset decides.
    """
    try:
        identities = fingerprint(trj, trj.attrs["positions"])
        return _requested(trj, [entry], [options], identities).records[0]
    except InputError:
        raise
    except Exception as error:  # what an outline has not
        logger.debug("%s: not checked: %s", entry.name, error)
        return None


def _recorded(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that enter the record: a limit changes no result."""
    return {name: value for name, value in options.items() if name != _LIMIT}


def _check_kernels(
    trj: xr.Dataset,
    descriptors: Sequence[Descriptor],
    kernels: Sequence[Kernel],
    cutoffs: Sequence[float | None],
) -> None:
    """Raise InputError where a species is absent, or too many atoms are within a cutoff."""
    present = set(trj["element"].values.astype(str))
    pbc, cells = trj["pbc"].values, trj["cell"].values
    smallest = cells[np.argmin(np.abs(np.linalg.det(cells)))] if len(cells) else np.eye(3)
    for d, kernel, r_cut in zip(descriptors, kernels, cutoffs, strict=True):
        absent = [symbol for symbol in kernel.species or () if symbol not in present]
        if absent:
            raise InputError(
                f"{d.name}: species: expected elements of the trajectory "
                f"({', '.join(sorted(present))}), found {', '.join(absent)}"
            )
        cutoff = r_cut if kernel.cutoff is None else kernel.cutoff
        if cutoff is not None:
            check_cutoff(cutoff, trj.sizes[ATOM], smallest, pbc, d.name, kernel.max_neighbors)
        if kernel.reach is not None:
            check_reach(kernel.reach, trj.sizes[ATOM], smallest, pbc, d.name)


def _centers(trj: xr.Dataset, expressions: Sequence[str | None]) -> IntArray:
    chosen = [
        np.arange(trj.sizes[ATOM]) if expression is None else center_indices(trj, expression)
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
    centers: IntArray,
    record: Record,
) -> xr.Dataset:
    spec = descriptor.variable
    coords: dict[str, Any] = {
        name: (FRAME, trj[name].values) for name in ("time", "step") if name in trj.variables
    }
    coords |= {
        name: (ATOM, trj[name].values[centers]) for name in ATOM_COORDS if name in trj.variables
    }
    coords |= {name: (spec.dims[2], values) for name, values in kernel.coords.items()}
    ds = xr.Dataset({spec.name: spec.of(array, **kernel.attrs)}, coords)
    specs = VARIABLES | {coord.name: coord for coord in descriptor.coords}
    for name in ds.coords:
        if name in specs:
            ds[name].attrs = specs[str(name)].attrs
    return stamped(ds, record)


def _row_bytes(kernel: Kernel) -> int:
    return np.dtype(kernel.dtype).itemsize * (kernel.width or 1)


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


def _arrays(trj: xr.Dataset, kernels: Sequence[Kernel], centers: IntArray) -> list[da.Array]:
    """Return the lazy array of each kernel."""
    arrays: dict[int, da.Array] = {}
    for members in _passes(trj, kernels, len(centers)):
        parts = _arrays_of_pass(trj, [kernels[n] for n in members], centers)
        arrays |= dict(zip(members, parts, strict=True))
    return [arrays[n] for n in range(len(kernels))]


def _arrays_of_pass(
    trj: xr.Dataset, kernels: Sequence[Kernel], centers: IntArray
) -> list[da.Array]:
    """Return the lazy array of each kernel, all from one task for each block."""
    n_frames = trj.sizes[FRAME]
    halo = max(kernel.halo for kernel in kernels)
    blocks = _plan(trj, kernels, len(centers))
    symbols, inverse = np.unique(trj["element"].values.astype(str), return_inverse=True)
    numbers = np.array([atomic_numbers[symbol] for symbol in symbols])[inverse]
    positions = _windows(trj["positions"].data, blocks.frames, halo)
    cell = _windows(trj["cell"].values, blocks.frames, halo)
    function = partial(
        compute_block,
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
    tail = {} if kernel.width is None else {"k": kernel.width}
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
    if kernel.species is None:
        return None
    return tuple(atomic_numbers[symbol] for symbol in kernel.species)


def _only(function: Any, *arguments: Any) -> npt.NDArray[Any]:
    return function(*arguments)[0]
