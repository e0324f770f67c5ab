"""The trajectory Dataset: its constructor, its checks and the selection of atoms."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from ase.data import atomic_numbers

from icedask.core.variables import (
    ATOM,
    CELL_VECTOR,
    FRAME,
    XYZ,
    check_dataset,
    with_attrs,
    with_axes,
)
from icedask.errors import InputError

# The variables that describe an atom once for the whole trajectory.
ATOM_COORDS = ("atom", "id", "element", "type", "name", "residue", "molecule", "mass")

logger = logging.getLogger("icedask")


def trajectory(
    positions: Any,
    *,
    element: Sequence[str] | npt.NDArray[np.str_],
    cell: npt.ArrayLike | None = None,
    pbc: npt.ArrayLike | None = None,
    time: npt.ArrayLike | None = None,
    step: npt.ArrayLike | None = None,
    cell_origin: npt.ArrayLike | None = None,
    atoms: Mapping[str, npt.ArrayLike] | None = None,
    columns: Mapping[str, Any] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Build a trajectory Dataset from arrays.

    Parameters
    ----------
    positions : (n_frames, n_atoms, 3) array, float32, angstrom
        A numpy or Dask array.
    element : (n_atoms,) strings
        Chemical symbols; "X" is a site without mass.
    cell, cell_origin : (n_frames, 3, 3) and (n_frames, 3) arrays, angstrom, optional
        Cell vectors as rows, zero where there is none, the default; the lower corner of the cell,
        where it is not the origin of coordinates.
    pbc : (3,) bool, optional
        Periodicity along each cell vector; nowhere periodic by default.
    time, step : (n_frames,) arrays, optional
        Times, picosecond, NaN by default; simulation steps, by default 0, 1, 2, ...
    atoms : mapping of (n_atoms,) arrays, optional
        Any of id, type, name, residue, molecule, mass; `atom` is the source index.
    columns : mapping of (n_frames, n_atoms[, 3]) arrays, optional
        Per-atom quantities of each frame.
    attrs : mapping, optional
        Attributes of the Dataset.

    Raises
    ------
    InputError
        If a shape, dtype, unit or element is not as stated, or a cell is left-handed or has
        zero volume along a periodic direction.
    """
    if len(np.shape(positions)) != 3 or np.shape(positions)[2] != 3:
        raise InputError(
            f"positions: expected the shape (frames, atoms, 3), found {np.shape(positions)}"
        )
    n_frames, n_atoms = np.shape(positions)[:2]
    cell = np.zeros((n_frames, 3, 3)) if cell is None else np.asarray(cell, np.float64)
    pbc = np.zeros(3, bool) if pbc is None else np.asarray(pbc, bool)
    coords: dict[str, Any] = {
        "time": (FRAME, np.full(n_frames, np.nan) if time is None else np.asarray(time, float)),
        "step": (FRAME, np.arange(n_frames) if step is None else np.asarray(step, np.int64)),
        "element": (ATOM, np.asarray(element, dtype=np.str_)),
        "atom": (ATOM, np.arange(n_atoms)),
    }
    for name, values in (atoms or {}).items():
        coords[name] = (ATOM, np.asarray(values))
    variables: dict[str, Any] = {
        "positions": ((FRAME, ATOM, XYZ), positions),
        "cell": ((FRAME, CELL_VECTOR, XYZ), cell),
        "pbc": (CELL_VECTOR, pbc),
    }
    if cell_origin is not None:
        variables["cell_origin"] = ((FRAME, XYZ), np.asarray(cell_origin, np.float64))
    for name, values in (columns or {}).items():
        variables[name] = ((FRAME, ATOM, XYZ)[: np.ndim(values)], values)
    try:
        ds = xr.Dataset(variables, coords, dict(attrs or {}))
    except ValueError as error:
        raise InputError(f"trajectory: the arrays do not fit together: {error}") from error
    ds = with_attrs(with_axes(ds))
    check_dataset(ds)
    check_elements(ds["element"].values)
    check_cells(ds["cell"].values, pbc)
    return ds


def check_trajectory(ds: xr.Dataset, caller: str) -> None:
    """Raise InputError unless `ds` is a trajectory Dataset."""
    if not isinstance(ds, xr.Dataset):
        raise InputError(
            f"{caller}: expected a trajectory Dataset, found {type(ds).__name__}; open one with "
            "open_trajectory, or make one with from_ase or from_mdanalysis"
        )
    lost = [dim for dim in (FRAME, ATOM) if dim not in ds.dims]
    if lost and "positions" in ds.variables:
        raise InputError(
            f"{caller}: expected the dimensions frame and atom, found none called {lost[0]}; keep "
            f"it, for example with isel({lost[0]}=[0])"
        )
    missing = [name for name in ("positions", "cell", "pbc", "element") if name not in ds.variables]
    if missing:
        raise InputError(
            f"{caller}: expected a trajectory Dataset, found one without {', '.join(missing)}; "
            "pass what open_trajectory returned"
        )
    check_dataset(ds)
    check_cells(ds["cell"].values, ds["pbc"].values.astype(bool))


def check_even_steps(ds: xr.Dataset, caller: str) -> None:
    """Raise InputError if the frames are not evenly spaced in time; unknown times (NaN) pass."""
    if "time" not in ds.variables:
        return
    steps = np.diff(ds["time"].values)
    uneven = _uneven(ds["time"].values)
    if uneven.any():
        frame = int(np.argmax(uneven))
        raise InputError(
            f"{caller}: expected frames at even time steps, found {steps[frame]:g} picosecond from "
            f"frame {frame} to the next where {np.nanmedian(steps):g} is usual; choose evenly "
            "spaced frames, for example with isel(frame=slice(None, None, 2))"
        )


def check_delay(ds: xr.Dataset, delay: int, caller: str) -> None:
    """Raise InputError unless frames are evenly spaced and each delay ends within them."""
    if ds.sizes[FRAME] <= delay:
        raise InputError(
            f"{caller}: delay {delay} needs at least {delay + 1} frames, the trajectory has "
            f"{ds.sizes[FRAME]}"
        )
    check_even_steps(ds, caller)


def atom_order(ds: xr.Dataset) -> str:
    """Return "not known" if an index may be another atom in another frame, else ""."""
    return "not known" if ds.attrs.get("atom_order") == "not known" else ""


def check_atom_order(ds: xr.Dataset | xr.DataArray, caller: str) -> None:
    """Raise InputError if the source did not state which atom is which in every frame."""
    if not isinstance(ds, xr.Dataset | xr.DataArray):
        return  # other checks refuse it
    several = ds.sizes.get(FRAME, 2) > 1
    if several and ds.attrs.get("atom_order") == "not known":
        raise InputError(
            f"{caller}: follows each atom from frame to frame, and the source of the trajectory "
            "has no ids that state which atom is which; dump the id of the atoms, or ingest it "
            "with fixed_order=True (--fixed-order) if they are in the same order in every frame"
        )


def _uneven(time: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return whether each step between frames differs from the usual one; NaN passes."""
    steps = np.diff(time)
    if not np.isfinite(steps).any():
        return np.zeros(len(steps), bool)
    usual = float(np.nanmedian(steps))
    # Some formats hold times in single precision.
    rounding = 4 * np.finfo(np.float32).eps * np.nanmax(np.abs(time))
    return np.abs(steps - usual) > 1e-3 * abs(usual) + rounding


def frame_interval(array: xr.DataArray) -> float | None:
    """Return the time from frame to frame, picosecond; None if it is not known or not even."""
    time = array["time"].values if "time" in array.coords else np.empty(0)
    if len(time) < 2 or not np.isfinite(time).all() or _uneven(time).any() or time[-1] <= time[0]:
        return None
    return float((time[-1] - time[0]) / (len(time) - 1))


def check_elements(element: npt.NDArray[np.str_]) -> None:
    """Raise InputError for a symbol that is not a chemical element (nor X)."""
    unknown = sorted({str(symbol) for symbol in np.unique(element)} - atomic_numbers.keys())
    if unknown:
        similar = [name.capitalize() for name in unknown if name.capitalize() in atomic_numbers]
        meant = f" (did you mean {', '.join(similar)}?)" if similar else ""
        raise InputError(
            f"element: expected chemical symbols such as O, H, Cu (X for a massless site), found "
            f"{', '.join(map(repr, unknown))}{meant}; map the types of the source to elements, for "
            'example elements={"1": "O", "2": "H"} or --elements 1=O,2=H'
        )


def own_species(ds: xr.Dataset, centers: str | None, species: Sequence[str] | None) -> list[str]:
    """Return the elements of an environment; by default the elements of the centres but X."""
    if species is None and centers is not None:
        present = ds["element"].values.astype(str)[_selected(ds, centers, 0)[0]]
        species = sorted(set(present.tolist()) - {"X"})
    return ordered_species(ds, species)


def ordered_species(ds: xr.Dataset, species: Sequence[str] | None) -> list[str]:
    """Return the elements of an environment by atomic number; all of `ds` but X by default."""
    chosen = set(ds["element"].values.astype(str)) - {"X"} if species is None else set(species)
    check_elements(np.array(list(chosen), np.str_))
    return sorted(chosen, key=atomic_numbers.__getitem__)


def check_cells(cell: npt.NDArray[np.float64], pbc: npt.NDArray[np.bool_]) -> None:
    """Raise InputError if one of the cells (n_frames, 3, 3) is left-handed, not finite or flat."""
    finite = np.isfinite(cell).all(axis=(1, 2))
    if not finite.all():
        raise InputError(f"cell of frame {int(np.argmin(finite))}: has NaN or infinite components")
    lengths = np.linalg.norm(cell, axis=2)
    flat = (lengths[:, pbc] == 0).any(axis=1)
    if flat.any():
        raise InputError(
            f"cell of frame {int(np.argmax(flat))}: zero length along a periodic direction "
            f"(pbc {pbc.tolist()}); give the cell, or state that the direction is not periodic"
        )
    whole = (lengths > 0).all(axis=1)
    volume = np.linalg.det(cell)
    scale = np.where(whole, lengths.prod(axis=1), 1.0)
    left = whole & (volume < -1e-9 * scale)
    if left.any():
        raise InputError(
            f"cell of frame {int(np.argmax(left))}: left-handed (volume "
            f"{volume[np.argmax(left)]:.6g} cubic angstrom); swap two cell vectors"
        )
    # The area or volume that the vectors which are not zero span, over that of orthogonal ones.
    unit = cell / np.where(lengths > 0, lengths, 1.0)[:, :, None]
    overlap = unit @ np.swapaxes(unit, 1, 2) + (lengths == 0)[:, :, None] * np.eye(3)
    degenerate = np.linalg.det(overlap) <= 1e-18
    if degenerate.any():
        raise InputError(
            f"cell of frame {int(np.argmax(degenerate))}: zero volume; the cell vectors "
            "lie in one plane or on one line, check the box of the source"
        )


def universe_of(ds: xr.Dataset, frame: int | None = None) -> Any:
    """Return an MDAnalysis Universe with the atoms of `ds`, and the positions of a frame if any."""
    import MDAnalysis

    n_atoms = ds.sizes[ATOM]
    resids, resindex = (
        np.unique(ds["molecule"].values, return_inverse=True)
        if "molecule" in ds.variables
        else (np.ones(1, np.int64), np.zeros(n_atoms, np.int64))
    )
    universe = MDAnalysis.Universe.empty(
        n_atoms, n_residues=len(resids), atom_resindex=resindex, trajectory=frame is not None
    )
    universe.add_TopologyAttr("resids", resids)
    for name, attr in (("element", "elements"), ("type", "types"), ("name", "names")):
        if name in ds.variables:
            universe.add_TopologyAttr(attr, ds[name].values.astype(str).astype(object))
    if "residue" in ds.variables:
        first = np.unique(resindex, return_index=True)[1]
        universe.add_TopologyAttr("resnames", ds["residue"].values.astype(str)[first])
    if "mass" in ds.variables:
        universe.add_TopologyAttr("masses", ds["mass"].values)
    if "id" in ds.variables:
        universe.add_TopologyAttr("ids", ds["id"].values)
    if frame is not None:
        universe.atoms.positions = np.asarray(ds["positions"].isel(frame=frame).values, np.float32)
        if ds["pbc"].values.any():
            universe.dimensions = _box(ds, frame, universe.atoms.positions)
    return universe


def _box(ds: xr.Dataset, frame: int, positions: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the box for MDAnalysis, which has no directions without images: these are long."""
    from MDAnalysis.lib.mdamath import triclinic_box

    cell = np.array(ds["cell"].isel(frame=frame).values, float)
    length = 4 * float(np.ptp(positions, axis=0).max()) + 1000.0
    for axis in np.flatnonzero(~ds["pbc"].values.astype(bool)):
        vector = cell[axis] if cell[axis].any() else np.eye(3)[axis]
        cell[axis] = vector / np.linalg.norm(vector) * length
    box: npt.NDArray[np.float32] = triclinic_box(*cell)
    return box


class NothingSelected(InputError):
    """A selection expression is valid but matches no atom."""


_EXAMPLES = '"element O", "type 1 2", "index 0 5 7"'
_DISTANCES = re.compile(r"\b(around|point|isolayer|sph(zone|layer)|cy(zone|layer))\b")
_ELEMENTS = re.compile(r"\s*element(\s+[A-Z][a-z]?)+\s*")
_GEOMETRY = ', "prop z > 5", "around 5 element Na"'


def select_in_universe(
    universe: Any, expression: str, examples: str = _EXAMPLES + _GEOMETRY
) -> npt.NDArray[np.int64]:
    """Return the sorted atom indices that an MDAnalysis selection expression matches."""
    from MDAnalysis.exceptions import SelectionError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = universe.select_atoms(expression)
    except (SelectionError, AttributeError, ValueError, TypeError) as error:
        raise InputError(
            f"selection {expression!r}: not understood ({error}); use MDAnalysis' language, for "
            f"example {examples}"
        ) from error
    if len(atoms) == 0:
        raise NothingSelected(f"selection {expression!r}: matches no atom")
    return np.sort(atoms.indices)


def selected_indices(
    ds: xr.Dataset,
    expression: str,
    frame: int | None = None,
    remedy: str = 'select by what does not change, or by a list such as "index 0 5 7"',
) -> npt.NDArray[np.int64]:
    """Return the positions along `atom` that an expression of MDAnalysis' language matches.

    Positions are read only if the expression asks for them: those of `frame`, which several frames
    need; an InputError without it ends with `remedy`.
    """
    indices, reads_positions = _selected(ds, expression, frame)
    if reads_positions and frame is None and ds.sizes.get(FRAME, 0) > 1:
        raise InputError(
            f"selection {expression!r}: reads coordinates, which change from frame to frame, and "
            f"there are {ds.sizes[FRAME]} frames; {remedy}"
        )
    return indices


def center_indices(ds: xr.Dataset, expression: str) -> npt.NDArray[np.int64]:
    """Return the positions along `atom` of centres, the same in every frame.

    An expression that reads coordinates is evaluated on the first frame, and the log says so.
    """
    indices, reads_positions = _selected(ds, expression, 0)
    if reads_positions and ds.sizes[FRAME] > 1:
        logger.info(
            "centers %r: %d atoms by their coordinates in the first frame, in all frames",
            expression,
            len(indices),
        )
    return indices


def _selected(
    ds: xr.Dataset, expression: str, frame: int | None
) -> tuple[npt.NDArray[np.int64], bool]:
    """Return the positions along `atom` that match, and whether coordinates were read for them."""
    n_frames = ds.sizes.get(FRAME, 0) if "positions" in ds.variables else 0
    # An example is one that is not refused here.
    allowed = n_frames == 1 or (frame is not None and n_frames > 0)
    examples = _EXAMPLES + _GEOMETRY if allowed else _EXAMPLES
    if allowed:
        _check_distances(ds, expression, frame or 0)
    try:
        try:
            if "element" in ds.variables and _ELEMENTS.fullmatch(expression):
                return _of_elements(ds, expression), False
            return select_in_universe(universe_of(ds), expression, examples), False
        except NothingSelected:
            raise
        except InputError:
            if n_frames == 0:
                raise
            return select_in_universe(universe_of(ds, frame or 0), expression, examples), True
    except InputError as error:
        symbols = ds["element"].values.astype(str).tolist() if "element" in ds.variables else ()
        elements = ", ".join(sorted(set(symbols))) or "none"
        raise InputError(f"{error}; elements here: {elements}") from error


def _of_elements(ds: xr.Dataset, expression: str) -> npt.NDArray[np.int64]:
    """Return the atoms of "element O H", the usual selection, for which MDAnalysis takes a second.

    Raises NothingSelected if there are none.
    """
    indices = np.flatnonzero(np.isin(ds["element"].values.astype(str), expression.split()[1:]))
    if len(indices) == 0:
        raise NothingSelected(f"selection {expression!r}: matches no atom")
    return indices


def _check_distances(ds: xr.Dataset, expression: str, frame: int) -> None:
    """Raise InputError for distances in a cell that MDAnalysis would turn."""
    if _DISTANCES.search(expression) is None:
        return
    cell = np.abs(ds["cell"].isel(frame=frame).values)
    turned = max(cell[0, 1], cell[0, 2], cell[1, 2]) > 1e-6 * max(cell.max(), 1.0)
    if turned and ds["pbc"].values.any():
        raise InputError(
            f"selection {expression!r}: distances need a cell with its first vector along x and "
            "the second in the plane of x and y, found another; select by coordinates, or by a "
            'list such as "index 0 5 7"'
        )
