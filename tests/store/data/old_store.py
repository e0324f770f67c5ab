"""Recipe of store_0.1.0.tar.xz: one result of each kind on twelve frames of ice Ih.

Version 0.1.0 wrote the store in November 2026, when labels were still among the attributes of the
runs (`tar cJf store_0.1.0.tar.xz store.zarr`, without its reports of progress):

    python tests/store/data/old_store.py store.zarr

The same calls must find all of its runs in every later version: that is what the tests of the file
check. A new kind of result gets a store of the version that brings it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr

import icedask as ice

N_FRAMES = 12
N_RUNS = 91


def trajectory() -> xr.Dataset:
    """Return ideal ice Ih whose molecules are shaken more from frame to frame."""
    ideal = ice.Phases.named("Ih").structures["Ih"]
    rng = np.random.default_rng(17)
    frames = []
    for frame in range(N_FRAMES):
        shaken = ideal.copy()
        # Multiples of 1/1024 are exact in single precision, on every host.
        steps = rng.integers(-40 - 40 * frame, 41 + 40 * frame, ideal.positions.shape)
        shaken.positions = np.round(ideal.positions * 1024) / 1024 + steps / 1024
        frames.append(shaken)
    trj = ice.from_ase(frames)
    energy = rng.integers(-500, -400, (N_FRAMES, len(ideal))).astype(np.float32) / 1024
    return trj.assign(potential_energy=(("frame", "atom"), energy, {"units": "eV"})).assign_coords(
        time=("frame", np.arange(N_FRAMES) / 2, {"units": "picosecond"})
    )


def descriptors(trj: xr.Dataset, store: Path) -> dict[str, xr.Dataset]:
    """Compute the descriptors, or find them in the store."""
    described = ice.describe(
        trj,
        {
            "soap": {"r_cut": 4.0, "n_max": 3, "l_max": 2},
            "steinhardt": {"degrees": [4, 6], "n_neighbors": 4},
            "tetrahedral": {},
            "local_structure_index": {},
            "neighbor_distances": {"n_neighbors": 5},
            "voronoi": {},
            "mass_density": {"mass": 18.015},
            "chill": {},
            "chill_plus": {},
            "coordination": {"r_cut": 3.5},
            "radial_structure_functions": {},
            "symmetry_functions": {"r_cut": 4.0, "g2": [(0.5, 2.8)]},
            "bispectrum": {"r_cut": 4.0, "twojmax": 2},
            "lens": {"r_cut": 4.0},
            "displacement": {"delay": 1},
        },
    )
    saved = dict(zip(described, ice.save(list(described.values()), store), strict=True))
    ice.save(saved["lens"], store, label="lens of old")
    timed = ice.save(ice.time_soap(saved["soap"]), store)
    ice.save(ice.time_soap_derivative(timed), store)
    ice.save(ice.combine(soap=ice.unit_norm(saved["soap"]), order=saved["steinhardt"]), store)
    return saved


def states(soap: xr.Dataset, lens: xr.Dataset, store: Path) -> None:
    """Fit the estimators and follow the states in time, or find the results in the store."""
    smooth = ice.save(ice.smooth(lens, window=3), store)
    joined = ice.save(ice.join(soap, lens), store)
    pca = ice.load_model(store, ice.save(ice.PCA(2).fit(joined), store).attrs["run_id"])
    latent = ice.save(pca.transform(joined), store)
    labels = {}
    for name, model, x in (
        ("kmeans", ice.KMeans(2), latent),
        ("gmm", ice.GaussianMixture(2), latent),
        ("hdbscan", ice.HDBSCAN(20, sample_size=400, assign_noise=True), latent),
        ("onion", ice.OnionClustering(2), smooth),
    ):
        ice.save(model.fit(x), store, label=f"{name} model")
        fitted = ice.load_model(store, f"{name} model")
        labels[name] = ice.save(fitted.predict(x), store, label=f"{name} labels")
    kmeans = labels["kmeans"]
    flux = ice.save(ice.transitions(kmeans), store)
    rest = [
        ice.residence_times(kmeans),
        ice.populations(kmeans),
        ice.markov_test(kmeans, lags=[1, 2]),
        ice.merge_states(kmeans, flux),
    ]
    ice.save(rest, store)
    # Its name at the time was origins.
    name = "entry_exit_counts" if hasattr(ice, "entry_exit_counts") else "origins"
    ice.save(getattr(ice, name)(kmeans, labels["gmm"]), store)


def structure_dynamics(trj: xr.Dataset, store: Path) -> None:
    """Run the workflow of SOAP and LENS."""
    ice.workflows.structure_dynamics(
        trj,
        store,
        r_cut=4.0,
        n_max=2,
        l_max=2,
        window=3,
        clustering="gmm",
        n_states=2,
        lens_states=2,
        sample_size=400,
    )


def phases(trj: xr.Dataset, store: Path) -> None:
    """Run the workflow of phases of ice; the reference trajectories take a minute."""
    ice.workflows.phases(trj.isel(frame=slice(0, 2)), store, n_max=4, l_max=4, seed=1)


def motifs(trj: xr.Dataset, store: Path) -> None:
    """Run the workflow of structural motifs."""
    ice.workflows.motifs(trj, store, epochs=3, neighbors=10, sample_size=400, min_cluster_size=0.05)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    ice.save(trajectory(), path)
    trj = ice.open_trajectory(path)
    saved = descriptors(trj, path)
    states(saved["soap"], saved["lens"], path)
    for workflow in (structure_dynamics, phases, motifs):
        workflow(trj, path)
