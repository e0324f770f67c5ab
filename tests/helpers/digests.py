"""Digests of what every descriptor, and whatever else the workers of a run share, returns.

Run as a script, it prints them as JSON: under other settings of the host they must be the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr
from helpers.systems import system

import icedask as ice
from icedask.descriptors import registry
from icedask.descriptors.soap.basis import Basis, radial_table
from icedask.dynamics.smoothing import polynomial_weights
from icedask.phases.denoiser import Denoiser
from icedask.phases.score import denoise_frame

# Options that bring other kernels to work than those of a descriptor's example.
MORE = {
    "bispectrum": [{"r_cut": 4.0, "r_min": 3.0, "twojmax": 4}],
    "radial_structure_functions": [{"n_neighbors": [3], "mu": [0.7, 1.3], "sigma": 0.2}],
    "soap": [
        {"r_cut": 6.0, "n_max": 8, "l_max": 2},
        {"r_cut": 4.0, "n_max": 3, "l_max": 2, "sigma": 0.5, "average_within": 3.0},
    ],
    "steinhardt": [{"n_neighbors": 5, "invariant": "w_hat"}, {"weighted": True}],
    "symmetry_functions": [
        {
            "r_cut": 4.0,
            "g3": [1.7],
            "g4": [(0.02, 2.5, 1.0)],
            "g5": [(0.02, 3.0, -1.0)],
            "g8": [(0.7, 0.1, 0.9, 1.5, 3.5)],
        },
    ],
}


def trajectory() -> xr.Dataset:
    """Return three frames in a triclinic cell that changes; exact on every host."""
    atoms = system("unwrapped")
    atoms.set_cell(np.round(atoms.cell.array * 1024) / 1024)
    rng = np.random.default_rng(3)
    frames = []
    for number in range(3):
        atoms = atoms.copy()
        steps = rng.integers(-300, 300, atoms.positions.shape)
        atoms.positions = np.round(atoms.positions * 1024) / 1024 + steps / 1024
        atoms.cell[0, 1] += number / 64
        frames.append(atoms)
    return ice.from_ase(frames, frame_interval=1.0)


def outputs() -> Iterator[tuple[str, npt.NDArray[np.generic]]]:
    """Yield names and values."""
    trj = trajectory()
    yield "trajectory", trj["positions"].values
    for name, entry in registry().items():
        for number, options in enumerate([entry.example, *MORE.get(name, [])]):
            for dtype in ("float64", "float32"):
                chosen = dict(options)
                if any(parameter.name == "dtype" for parameter in entry.parameters):
                    chosen["dtype"] = dtype
                elif dtype == "float32":
                    continue
                ds = entry.function(trj, **chosen)
                yield f"{name} {number} {dtype}", ds[entry.variable.name].values
    yield "basis", radial_table(Basis(6.0, 12, 8, 1.0), 12, "float64")[0]
    for window, order in ((7, 2), (40, 3)):
        for weights in polynomial_weights(window, order):
            yield f"smooth {window} {weights.ndim}", weights
    denoised = denoise_frame(
        Denoiser.shipped().score(),
        *(trj[name].values[0].astype(float) for name in ("positions", "cell")),
        trj["pbc"].values.astype(bool),
        steps=2,
        clip=0.5,
    )
    yield "denoiser shift", denoised.shift
    yield "denoiser residual", denoised.residual


def digests() -> dict[str, str]:
    """Return a digest of each of the outputs."""
    return {name: hashlib.sha256(values.tobytes()).hexdigest()[:16] for name, values in outputs()}


def digests_under(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the digests of a process with these variables in its environment."""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests.parent), str(tests)])
    result = subprocess.run(
        [sys.executable, "-m", "helpers.digests"],
        env={**os.environ, "PYTHONPATH": path, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


if __name__ == "__main__":
    print(json.dumps(digests()))
