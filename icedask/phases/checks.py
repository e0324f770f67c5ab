"""What can be refused before networks and references are loaded: atoms, classes, files of weights.

Nothing is imported here that computes.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.errors import InputError
from icedask.phases.shipped import SHIPPED

# Classes of atoms with none of the phases.
RESERVED = ("liquid", "unknown")

FORMAT = 1
# Errors of reading a file that is damaged, or of another kind.
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


class DenoiserOutline(NamedTuple):
    """Element and names of the phases of a denoiser."""

    element: str
    phases: tuple[str, ...]


def atoms_of_element(trj: Any, element: str, caller: str) -> npt.NDArray[np.int64]:
    """Return the indices of the atoms of the element of phases; InputError if there are none."""
    elements = trj["element"].values.astype(str)
    if element not in elements:
        raise InputError(
            f"{caller}: expected atoms of {element}, as the phases have, found "
            f"{', '.join(sorted(set(elements)))}; choose atoms with centers, or give phases "
            "of another element"
        )
    return np.flatnonzero(elements == element)


def denoiser_outline(denoiser: str | os.PathLike[str]) -> DenoiserOutline:
    """Return the outline of a shipped denoiser, or of one in a file.

    Raises InputError if there is no such file, or it is of another kind.
    """
    if denoiser in SHIPPED:
        with as_file(files("icedask") / "data" / f"denoiser_{denoiser}.npz") as path:
            return denoiser_outline(path)
    try:
        with Path(denoiser).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            check_version(arrays["format"])
            phases = [name.split("/")[1] for name in arrays.files if name.endswith("/cell")]
            return DenoiserOutline(str(arrays["element"]), tuple(phases))
    except BROKEN as error:
        raise not_a_denoiser(denoiser, error) from error


def check_version(version: Any) -> None:
    """Raise ValueError for a file of weights of another format."""
    if version != FORMAT:
        raise ValueError(f"format {version}")


def not_a_denoiser(path: str | os.PathLike[str], error: Exception) -> InputError:
    """Return the error for a file that cannot be read as a denoiser."""
    remedy = f"give one, or the name of a shipped denoiser ({', '.join(SHIPPED)})"
    if isinstance(error, OSError) and error.strerror:
        reason = f": {error.strerror}"
    else:
        # NumPy takes any other file for a pickle, and recommends to trust it.
        reason = " something else" + ("" if "trust" in str(error) else f" ({error})")
    return InputError(f"{path}: expected what Denoiser.save wrote, found{reason}; {remedy}")
