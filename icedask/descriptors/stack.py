"""Feature vectors from descriptors: unit SOAP, SOAP with LENS, any descriptors side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.collection import over_members
from icedask.core.features import (
    check_same_rows,
    check_same_trajectory,
    feature_variable,
    input_record,
    lazy_blocks,
    row_coords,
)
from icedask.core.options import Option, takes_options
from icedask.core.provenance import Record, stamped
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, BLOCK, FEATURE, FRAME, Variable
from icedask.descriptors.soap.square import square_weights
from icedask.errors import InputError
from icedask.kernels.jit import jit

FEATURES = Variable(
    "features",
    (FRAME, ATOM, FEATURE),
    "number",
    "1",
    "unit SOAP vector, then LENS",
    "doi:10.1088/2632-2153/ad0fa5",
)

Filled = Annotated[
    bool,
    Option(
        "Weight sqrt(2) for each component that stands for two of the full square of pairs n, n': "
        "norms, distances and dot products as of the full vectors, as published, at half the size."
    ),
]


@jit
def joined_rows(
    soap: npt.NDArray[np.floating], others: npt.NDArray[np.floating], roots: FloatArray
) -> npt.NDArray[np.floating]:
    """Return the unit vectors of soap * roots, others appended; NaN where any of it is missing.

    soap : (n_frames, n_atoms, width). others : (n_frames, n_atoms, n_others), as they are.
    """
    n_frames, n_atoms, width = soap.shape
    n_others = others.shape[2]
    result = np.empty((n_frames, n_atoms, width + n_others), soap.dtype)
    for frame in range(n_frames):
        for atom in range(n_atoms):
            total = 0.0
            for k in range(width):
                value = soap[frame, atom, k] * roots[k]
                total += value * value
            # A zero vector has no direction.
            if not (total > 0 and np.isfinite(total) and np.isfinite(others[frame, atom]).all()):
                result[frame, atom] = np.nan
                continue
            factor = 1 / np.sqrt(total)
            for k in range(width):
                result[frame, atom, k] = soap[frame, atom, k] * roots[k] * factor
            for k in range(n_others):
                result[frame, atom, width + k] = others[frame, atom, k]
    return result


@over_members
@takes_options()
def unit_norm(soap: xr.Dataset, *, filled: Filled = True) -> xr.Dataset:
    """Divide the SOAP vector of each atom by its Euclidean norm; lazy.

    The arrangement of the neighbours of an atom counts then, their number does not.

    Parameters
    ----------
    soap : xarray.Dataset
        What `soap` returned, or another variable (frame, atom, feature).
    {options}

    Returns
    -------
    xarray.Dataset
        features (frame, atom, feature), of the dtype of SOAP; coordinate feature names them. NaN
        where a vector is zero or NaN.

    Raises
    ------
    InputError
        If there is no such variable, or SOAP has no component labels and `filled` asks for them.

    References
    ----------
    Crippa et al., Mach. Learn.: Sci. Technol. 4, 045044 (2023), doi:10.1088/2632-2153/ad0fa5

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True))
    >>> unit = ice.unit_norm(ice.soap(trj, r_cut=4.0, n_max=2, l_max=2))["features"]
    >>> float((unit**2).sum("feature")[0, 0].round(6))
    1.0
    """
    structure = feature_variable(soap)
    if structure.ndim != 3:
        raise InputError(
            f"unit_norm: expected a variable (frame, atom, feature), found {structure.name} with "
            f"the dimensions {structure.dims}; pass what icedask.soap returned"
        )
    record = input_record(soap).child("descriptors", "unit_norm", 1, {"filled": filled})
    return _features("unit_norm", structure, None, filled, record)


@over_members
@takes_options()
def join(soap: xr.Dataset, lens: xr.Dataset, *, filled: Filled = True) -> xr.Dataset:
    """Append LENS to the unit SOAP vector of each atom; lazy.

    The vector of structure and dynamics of the publication: SOAP divided by its Euclidean norm,
    then LENS as it is, of the interval that begins at the frame. Rows without a value of LENS (the
    last `delay` frames) or with a zero SOAP vector are NaN throughout; fits leave them out.

    Parameters
    ----------
    soap : xarray.Dataset
        What `soap` returned, or another variable (frame, atom, feature).
    lens : xarray.Dataset
        What `lens` returned, smoothed or not, or another variable (frame, atom), of the same
        frames and atoms.
    {options}

    Returns
    -------
    xarray.Dataset
        features (frame, atom, feature), of the dtype of SOAP; coordinate feature names them.

    Raises
    ------
    InputError
        If there are no such variables, they are not of the same trajectory, frames and atoms, or
        SOAP has no component labels and `filled` asks for them.

    References
    ----------
    Crippa et al., Mach. Learn.: Sci. Technol. 4, 045044 (2023), doi:10.1088/2632-2153/ad0fa5

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase([bulk("Cu", cubic=True)] * 2)
    >>> soap = ice.soap(trj, r_cut=4.0, n_max=2, l_max=2)
    >>> ice.join(soap, ice.lens(trj, r_cut=4.0))["features"].shape
    (2, 4, 10)
    """
    structure, dynamics = feature_variable(soap), feature_variable(lens)
    _check_dims(structure, 3)
    _check_dims(dynamics, 2)
    check_same_rows(structure, dynamics, "join")
    parents = input_record(soap), input_record(lens)
    check_same_trajectory(*parents, "join")
    record = parents[0].child("descriptors", "join", 1, {"filled": filled}, parents[1])
    return _features("join", structure, dynamics, filled, record)


@over_members
def combine(**blocks: xr.Dataset) -> xr.Dataset:
    """Put descriptors of the same atoms side by side, each a named block of features; lazy.

    The values stay as they are. What is fitted to them scales each block apart, by its name.

    Parameters
    ----------
    **blocks : xarray.Dataset
        By name: a variable (frame, atom, feature) or (frame, atom) each.

    Returns
    -------
    xarray.Dataset
        features (frame, atom, feature), float32; coordinate feature names them, coordinate block
        their blocks.

    Raises
    ------
    InputError
        If there is none, or they are not of the same trajectory, frames and atoms.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True))
    >>> order = ice.steinhardt(trj, n_neighbors=12)
    >>> x = ice.combine(soap=ice.soap(trj, r_cut=4.0, n_max=2, l_max=2), order=order)
    >>> x["features"].shape, x["block"].values[-3:].tolist()
    ((1, 4, 11), ['soap', 'order', 'order'])
    """
    if not blocks:
        raise InputError("combine: expected at least one Dataset by name, found none")
    arrays = {name: feature_variable(block) for name, block in blocks.items()}
    records = [input_record(block) for block in blocks.values()]
    first, *others = arrays.values()
    for array, record in zip(others, records[1:], strict=True):
        check_same_rows(first, array, "combine")
        check_same_trajectory(records[0], record, "combine")
    record = records[0].child("descriptors", "combine", 1, {"blocks": [*arrays]}, *records[1:])
    widths = [array.shape[2] if array.ndim == 3 else 1 for array in arrays.values()]
    joined = _blockwise(_side_by_side, [*arrays.values()], sum(widths), np.float32)
    names = [
        f"{name} {number}" if array.ndim == 3 else name
        for (name, array), width in zip(arrays.items(), widths, strict=True)
        for number in range(width)
    ]
    coords = {
        **row_coords(first),
        FEATURE: np.array(names),
        BLOCK: (FEATURE, np.repeat([*arrays], widths)),
    }
    features = FEATURES.of(joined, long_name="descriptors side by side", reference="")
    return stamped(xr.Dataset({FEATURES.name: features}, coords), record)


def _blockwise(
    function: Any, arrays: Sequence[xr.DataArray], width: int, dtype: npt.DTypeLike, **options: Any
) -> da.Array:
    """Return function(*blocks), (frame, atom, width), in the blocks of the first array."""
    rows = lazy_blocks(arrays[0]).chunks[:2]
    arguments: list[Any] = []
    for number, array in enumerate(arrays, 2):
        with dask.config.set({"array.rechunk.method": "tasks"}):
            data = lazy_blocks(array).rechunk(dict(enumerate(rows)))
        # Each has features of its own, which are not those of the result.
        arguments += [data, (0, 1, number)[: data.ndim]]
    return da.blockwise(
        function,
        (0, 1, -1),
        *arguments,
        new_axes={-1: width},
        concatenate=True,
        meta=np.empty((0, 0, 0), dtype),
        **options,
    )


def _side_by_side(*blocks: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    columns = [block if block.ndim == 3 else block[:, :, None] for block in blocks]
    return np.concatenate(columns, axis=2, dtype=np.float32, casting="same_kind")


def _features(
    caller: str,
    structure: xr.DataArray,
    dynamics: xr.DataArray | None,
    filled: bool,
    record: Record,
) -> xr.Dataset:
    """Return the unit vectors of structure, with dynamics appended if it is given."""
    weights = square_weights(structure, caller) if filled else np.ones(structure.shape[2])
    names, arrays = _names(structure), [structure]
    if dynamics is not None:
        names.append(str(dynamics.name or "lens"))
        arrays.append(dynamics)
    joined = _blockwise(_join_blocks, arrays, len(names), structure.dtype, roots=np.sqrt(weights))
    coords = {**row_coords(structure), FEATURE: np.array(names)}
    return stamped(xr.Dataset({FEATURES.name: FEATURES.of(joined)}, coords), record)


def _join_blocks(
    soap: npt.NDArray[np.floating], *others: npt.NDArray[np.floating], roots: FloatArray
) -> npt.NDArray[np.floating]:
    # Compiled functions are pickled by value, without their cache: this one goes by its name.
    appended = np.stack(others, axis=2) if others else np.empty((*soap.shape[:2], 0), soap.dtype)
    return joined_rows(soap, appended, roots)


def _check_dims(array: xr.DataArray, expected: int) -> None:
    if array.ndim != expected:
        dims = "(frame, atom, feature), then one (frame, atom)"
        raise InputError(
            f"join: expected a variable {dims}, found {array.name} with the dimensions "
            f"{array.dims}; call it as join(soap, lens)"
        )


def _names(structure: xr.DataArray) -> list[str]:
    labels = ("species_a", "species_b", "n_a", "n_b", "l")
    if all(name in structure.coords for name in labels):
        columns = [structure[name].values.tolist() for name in labels]
        return [
            f"{structure.name} {a}-{b} n{n} n{m} l{degree}"
            for a, b, n, m, degree in zip(*columns, strict=True)
        ]
    return [f"{structure.name} {k}" for k in range(structure.shape[2])]
