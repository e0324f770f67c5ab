"""Per-atom properties of an XYZ frame as variables, in icedask's units where these are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ase.units
import numpy as np
import numpy.typing as npt
import pandas as pd
from ase.data import atomic_masses, atomic_numbers

from icedask.core.variables import ATOM, CELL_VECTOR, FRAME, VARIABLES, XYZ
from icedask.errors import InputError
from icedask.readers.elements import ElementMap
from icedask.readers.units import Units
from icedask.readers.xyz_frame import XyzFrame, elements_of, text_of

# Names that programs give to variables of icedask.
_RENAMED = {
    "forces": "force",
    "energies": "potential_energy",
    "initial_charges": "charge",
    "charges": "charge",
    "q": "charge",
    "momenta": "velocity",
    "vel": "velocity",
    "velo": "velocity",
    "velocities": "velocity",
}
# Those of ASE, whose units are known unless LAMMPS wrote them.
_ASE = ("forces", "energies", "momenta")
# Properties that describe an atom once: their variables, and the kinds of their values.
_PER_ATOM = {
    "id": ("id", "i"),
    "type": ("type", "iU"),
    "name": ("name", "U"),
    "residue": ("residue", "U"),
    "resname": ("residue", "U"),
    "molecule": ("molecule", "i"),
    "mol": ("molecule", "i"),
    "mass": ("mass", "f"),
    "masses": ("mass", "f"),
}
_CONVERTED = ("velocity", "force", "potential_energy", "kinetic_energy")
_INT32 = np.iinfo(np.int32)


def _once(frame: XyzFrame, columns: Mapping[str, str | None]) -> dict[str, str]:
    """Return the variables of the properties that describe an atom once, by property."""
    result: dict[str, str] = {}
    for name, (variable, kinds) in _PER_ATOM.items():
        values = frame.arrays.get(name)
        if values is None or name in columns or values.ndim != 1 or variable in result.values():
            continue
        kind = "U" if isinstance(values, pd.Categorical) else values.dtype.kind
        if kind in kinds:
            result[name] = variable
    return result


def per_atom(
    frame: XyzFrame, elements: npt.NDArray[np.str_], columns: Mapping[str, str | None]
) -> dict[str, npt.NDArray[Any]]:
    """Return the per-atom coordinates; labels that are no elements are the types."""
    coords: dict[str, npt.NDArray[Any]] = {"element": elements}
    for name, variable in _once(frame, columns).items():
        values = frame.arrays[name]
        text = variable in ("type", "name", "residue")
        coords[variable] = text_of(values) if text else values
    labels = frame.labels
    if labels is not None and "type" not in coords and (labels.text != elements).any():
        coords["type"] = labels.text
    return coords


def kept_columns(
    frame: XyzFrame,
    columns: Mapping[str, str | None],
    units: Units | None,
    elements: ElementMap,
) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """Return the per-atom variables of a frame, and the properties that cannot be kept.

    Raises InputError if a variable has units that are not known, or two properties one name.
    """
    done = frame.used | _once(frame, columns).keys()
    names = [name for name in frame.arrays if name in columns or name not in done]
    taken = {columns[name] for name in names if name in columns}
    result: dict[str, npt.NDArray[Any]] = {}
    left_out: list[str] = []
    for name in names:
        values = frame.arrays[name]
        renamed = _RENAMED.get(name, name)
        free = renamed == "velocity" or renamed not in (frame.arrays.keys() | taken)
        target = columns.get(name, renamed if free else name)
        if target is None:
            continue
        if isinstance(values, pd.Categorical) or values.dtype.kind == "U":
            left_out.append(name)
            continue
        if values.ndim == 2 and values.shape[1] != 3:
            left_out.append(name)
            continue
        if target in result:
            raise InputError(
                f"columns: two columns are called {target}; give one of them another name, or drop "
                f"it, with columns={{{name!r}: None}} (--column {name}=)"
            )
        _check_name(name, target, values.ndim)
        factor = _factor(frame, name, target, units, elements)
        result[target] = _compact(values * factor if values.dtype.kind == "f" else values, name)
    return result, left_out


def _check_name(name: str, target: str, ndim: int) -> None:
    """Raise InputError if a variable of that name means something else in a trajectory."""
    spec = VARIABLES.get(target)
    other = spec is not None and (spec.dims[:2] != (FRAME, ATOM) or len(spec.dims) != ndim + 1)
    if other or target in (FRAME, XYZ, CELL_VECTOR, "positions"):
        raise InputError(
            f"columns: {target} means something else in a trajectory; give {name} another name, "
            f"with columns={{{name!r}: 'raw_{name}'}} (--column {name}=raw_{name})"
        )


def _factor(
    frame: XyzFrame,
    name: str,
    target: str,
    units: Units | None,
    elements: ElementMap,
) -> Any:
    """Return what converts a property to the unit of its variable."""
    if name == "momenta" and target == "velocity":
        return 1000 * ase.units.fs / _masses(frame, elements)[:, None]
    if target not in _CONVERTED:
        return 1.0
    if units is not None:
        return {
            "velocity": units.velocity,
            "force": units.force,
            "potential_energy": units.energy,
            "kinetic_energy": units.energy,
        }[target]
    if name in _ASE and frame.comment.writer != "LAMMPS":
        return 1.0
    lammps = "of LAMMPS" if frame.comment.writer == "LAMMPS" else "XYZ"
    raise InputError(
        f"columns: the file is {lammps} and does not state the unit of {name}; give units= "
        f"(--units) real, metal or lj, drop it with columns={{{name!r}: None}} (--column {name}=), "
        f"or keep its numbers under another name (--column {name}=raw_{name})"
    )


def _masses(frame: XyzFrame, elements: ElementMap) -> npt.NDArray[np.float64]:
    """Return the masses that make velocities of momenta: of the file, or of the elements."""
    for name in ("masses", "mass"):
        if name in frame.arrays:
            return frame.arrays[name]
    symbols = elements_of(frame, elements)
    if frame.labels is None or (frame.labels.text != symbols).any():
        raise InputError(
            "columns: momenta of atoms that are not labelled by their elements need a column of "
            'masses, found none; drop them with columns={"momenta": None} (--column momenta=)'
        )
    return atomic_masses[[atomic_numbers[symbol] for symbol in symbols]]


def _compact(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return reals in single precision, whole numbers in 32 bits and logicals as they are."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(np.float32)
    if values.dtype.kind == "i":
        if values.size and (values.max() > _INT32.max or values.min() < _INT32.min):
            raise InputError(
                f"columns: {name} has whole numbers of more than 32 bits; drop it with "
                f"columns={{{name!r}: None}} (--column {name}=)"
            )
        return values.astype(np.int32)
    return values
