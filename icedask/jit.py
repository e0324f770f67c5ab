"""How kernels are compiled: for this host, cached on disk, with the GIL released."""

from __future__ import annotations

from numba import njit

# Division by zero gives inf or NaN as in NumPy, so that loops stay free of branches.
jit = njit(cache=True, nogil=True, error_model="numpy")

# Sums may be reordered and products fused into them, so that loops run on vectors.
jit_vector = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
