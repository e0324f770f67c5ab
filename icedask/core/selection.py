"""Selection of atoms by MDAnalysis' language, by a condition on columns or by a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.collection import over_members
from icedask.core.columns import Results, join_columns
from icedask.core.expressions import Condition, is_condition
from icedask.core.matching import matched_rows
from icedask.core.trajectory import selected_indices
from icedask.core.types import IntArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError

_WHICH = "give frame=, the index of the frame that decides"


@over_members
def select(
    ds: xr.Dataset,
    selection: str | xr.DataArray | xr.Dataset | npt.NDArray[np.bool_],
    *,
    frame: int | None = None,
    results: Results = None,
) -> xr.Dataset:
    """Return some atoms of `ds`, the same in all frames; lazy.

    Parameters
    ----------
    ds : xarray.Dataset
        A trajectory or a result with dimension atom.
    selection : str or array of bool
        In MDAnalysis' selection language, for example "element O"; or a condition on columns of
        `ds` and of `results`, such as "lens > 0.3 and element == 'O'"; or a mask over atom, or over
        frame and atom, such as `states == 1`.
    frame : int, optional
        Frame that decides, for what changes from frame to frame: coordinates, results, masks over
        frame and atom. Its value there is read. Negative counts from the end.
    results : xarray.Dataset, or sequence or mapping of these, optional
        Results whose variables a condition can name; in a mapping by their names there.

    Returns
    -------
    xarray.Dataset
        The same variables; coordinate `atom` still holds the source index. Atoms that are left
        out of a trajectory are no neighbours any more: to describe some atoms in the
        environment of all, give the descriptor `centers` instead.

    Raises
    ------
    InputError
        If the selection is not understood or matches nothing, or changes from frame to frame and no
        frame is given.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import molecule
    >>> water = ice.from_ase(molecule("H2O"))
    >>> ice.select(water, "element H").sizes["atom"]
    2
    >>> ice.select(water, water["element"] == "O").sizes["atom"]
    1
    >>> ice.select(water, "z < 0").sizes["atom"]
    2
    """
    if not isinstance(ds, xr.Dataset) or ATOM not in ds.dims:
        kind = type(ds).__name__ if not isinstance(ds, xr.Dataset) else "none"
        raise InputError(
            f"select: expected a Dataset with the dimension atom, found {kind}; pass a trajectory "
            "or a result"
        )
    frame = _checked_frame(ds, frame)
    if not isinstance(selection, str):
        mask = _mask(ds, selection, frame)
        if not mask.any():
            raise InputError("select: the mask selects no atom")
        return ds.isel({ATOM: np.flatnonzero(mask)})
    if is_condition(selection):
        return ds.isel({ATOM: _where(ds, selection, frame, results)})
    if results is not None:
        raise InputError(
            f"select: {selection!r} compares nothing, expected a condition on the results, such as "
            '"lens > 0.3"'
        )
    return ds.isel({ATOM: selected_indices(ds, selection, frame, _WHICH)})


def _checked_frame(ds: xr.Dataset, frame: int | None) -> int | None:
    """Return an index from 0; the only frame where there is one."""
    n_frames = ds.sizes.get(FRAME, 1)
    if frame is None:
        return 0 if n_frames == 1 else None
    if isinstance(frame, bool) or not isinstance(frame, int | np.integer):
        raise InputError(f"select: frame: expected the index of a frame, found {frame!r}")
    if not -n_frames <= frame < n_frames:
        raise InputError(
            f"select: frame: expected an index from {-n_frames} to {n_frames - 1}, found {frame}"
        )
    return int(frame) % n_frames


def _where(ds: xr.Dataset, text: str, frame: int | None, results: Results) -> IntArray:
    """Return the atoms for which a condition holds."""
    joined = join_columns(ds, results, "select", fill=True)
    condition = Condition(
        text,
        joined.names,
        "select",
        classes=joined.classes,
        text_columns=joined.text_names,
        remedy="" if results is not None else "; give the Dataset of a result as results=",
    )
    values: dict[str, Any] = {}
    for name in sorted(condition.names):
        column, part = joined.component(joined.aliases.get(name, name))
        if column.by_frame and frame is None:
            raise InputError(
                f"select: {text!r}: {name} changes from frame to frame, and there are "
                f"{ds.sizes[FRAME]} frames; {_WHICH}"
            )
        read = column.of_frame(frame or 0)
        values[name] = read if part is None else read[:, part]
    holds = np.broadcast_to(condition(values), ds.sizes[ATOM])
    if not holds.any():
        raise InputError(f"select: {text!r}: holds for no atom")
    return np.flatnonzero(holds)


def _mask(ds: xr.Dataset, selection: Any, frame: int | None) -> npt.NDArray[np.bool_]:
    """Return a mask over the atoms of `ds`."""
    array = _mask_array(ds, selection)
    if array.dtype.kind != "b":
        raise InputError(
            f"select: expected a mask of bool, found {array.dtype}; compare it, as in states == 1"
        )
    if not {FRAME, ATOM} >= set(array.dims) or ATOM not in array.dims:
        raise InputError(
            "select: expected a mask over atom, or over frame and atom, found the dimensions "
            f"{tuple(map(str, array.dims))}"
        )
    rows = array.to_dataset(name="mask")
    if FRAME in array.dims:
        array = array.isel({FRAME: _mask_frame(ds, rows, frame)})
    places = matched_rows(ds, rows, ATOM, ATOM, "select: mask")
    values = np.asarray(array.values)
    return values if places is None else values[places] & (places >= 0)


def _mask_array(ds: xr.Dataset, selection: Any) -> xr.DataArray:
    if isinstance(selection, xr.Dataset):
        names = [str(name) for name in selection.data_vars if ATOM in selection[name].dims]
        if "label" in names:
            names = ["label"]
        if len(names) != 1:
            raise InputError(
                f"select: expected a mask, found {', '.join(names) or 'no variable'} over atom; "
                "choose one variable, as in result['lens'] > 0.3"
            )
        own, other = ds.attrs.get("positions"), selection.attrs.get("positions")
        if own and other and own != other:
            raise InputError(
                "select: expected a mask of this trajectory, found one of another trajectory"
            )
        return selection[names[0]]
    if isinstance(selection, xr.DataArray):
        return selection
    values = np.asarray(selection)
    if values.ndim == 1 and values.dtype.kind in "iu":
        raise InputError(
            f"select: expected an expression or a mask of bool, found {len(values)} integers; for "
            'indices use isel(atom=...) or "index 0 5 7"'
        )
    shapes = {1: (ds.sizes[ATOM],), 2: (ds.sizes.get(FRAME, 1), ds.sizes[ATOM])}
    if values.shape != shapes.get(values.ndim):
        raise InputError(
            f"select: expected an expression, or a mask of the shape {shapes[1]} or {shapes[2]}, "
            f"found {type(selection).__name__}"
            + (f" of the shape {values.shape}" if values.ndim else "")
        )
    dims = (FRAME, ATOM)[-values.ndim :]
    coords: dict[str, Any] = {ATOM: ds[ATOM].values} if ATOM in ds.coords else {}
    if FRAME in dims and "step" in ds.coords:
        coords["step"] = (FRAME, ds["step"].values)
    return xr.DataArray(values, dims=dims, coords=coords)


def _mask_frame(ds: xr.Dataset, rows: xr.Dataset, frame: int | None) -> int:
    """Return the frame of a mask that decides."""
    n_frames = rows.sizes[FRAME]
    if n_frames == 1:
        return 0
    if frame is None:
        raise InputError(
            f"select: the mask changes from frame to frame, and has {n_frames}; {_WHICH}, or "
            'reduce it, for example with mask.any("frame")'
        )
    places = matched_rows(ds, rows, FRAME, "step", "select: mask")
    row = frame if places is None else int(places[frame])
    if row < 0:
        raise InputError(f"select: frame: the mask has no frame {frame} of the Dataset")
    return row
