"""SOAP kept without its mirror components, read as the full square of pairs of functions."""

from __future__ import annotations

import numpy as np
import xarray as xr

from icedask.core.types import FloatArray
from icedask.errors import InputError

_LABELS = ("species_a", "species_b", "n_a", "n_b", "l")


def square_weights(soap: xr.DataArray, caller: str) -> FloatArray:
    """Return the weight of each component in dot products of the full vectors, (n_components,).

    Of a pair of equal species p_nn'l = p_n'nl, and only n' >= n is kept: a component with n' > n
    stands for two, unless its mirror image is there too. Raises InputError if the components have
    no labels.
    """
    missing = [name for name in _LABELS if name not in soap.coords]
    if missing:
        raise InputError(
            f"{caller}: expected the component labels of SOAP, found none called "
            f"{', '.join(missing)}; pass what icedask.soap returned, or filled=False"
        )
    a, b, n_a, n_b, degree = (soap[name].values.tolist() for name in _LABELS)
    present = set(zip(a, b, n_a, n_b, degree, strict=True))
    return np.array(
        [
            2.0 if first == second and n != m and (second, first, m, n, k) not in present else 1.0
            for first, second, n, m, k in zip(a, b, n_a, n_b, degree, strict=True)
        ]
    )
