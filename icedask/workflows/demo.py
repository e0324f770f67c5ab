"""Demo: states of the shipped trajectory, from its file to a table and figures."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr

from icedask.descriptors.chill import CLASSES, chill_plus
from icedask.descriptors.soap import soap
from icedask.dynamics.group_means import group_means, indicators
from icedask.learn import base
from icedask.learn import hdbscan as learn_hdbscan
from icedask.learn import pca as learn_pca
from icedask.readers.ingest import ingest
from icedask.store.hold import hold_if_writable
from icedask.store.save import save
from icedask.workflows.workflow import make_output_folder

TRAJECTORY = "mw_nucleation.lammpstrj.gz"

# Neighbour-averaged SOAP separates liquid from ice; single environments are one continuum. Three
# components hold 98 % of the variance and gave two states for each of five seeds of the sample,
# the ice-like one with 16 to 17 % of all molecules.
SOAP_OPTIONS: dict[str, Any] = {
    "r_cut": 6.0,
    "n_max": 6,
    "l_max": 6,
    "sigma": 0.5,
    "average_within": 6.0,
}
N_COMPONENTS = 3
CLUSTERING: dict[str, Any] = {"min_cluster_size": 100, "min_samples": 30, "sample_size": 20_000}


class DemoResult(NamedTuple):
    """Store, table, figures and quality of the demo."""

    store: Path
    table: pd.DataFrame
    figures: list[Path]
    agreement: dict[str, float] | None
    variance: float


def composition_table(states: xr.Dataset, chill: xr.Dataset, energy: xr.DataArray) -> pd.DataFrame:
    """Return population, CHILL+ composition and energy of each state.

    A row for each state, from labels (frame, atom) and the potential energy (frame, atom), eV;
    fractions sum to 1.
    """
    # Noise, -1, is the first group.
    label = states["label"] + 1
    groups = group_means(
        label,
        indicators(chill["label"], len(CLASSES)),
        energy,
        n_groups=int(label.max()) + 1,
        description="states: means",
    )
    names = ["noise", *(f"state {number}" for number in range(len(groups.members) - 1))]
    table = pd.DataFrame(groups.means, names, [*CLASSES, "energy_eV"])
    table.insert(0, "population", groups.members / label.size)
    return table[groups.members > 0]


def demo(folder: str | os.PathLike[str]) -> DemoResult:
    """Analyse the shipped nucleation trajectory; computes, writes a store and figures.

    4,096 mW water molecules freeze at 200 K and 218 K. Each molecule is described by SOAP averaged
    over its neighbours, which is never stored: PCA is fitted and applied inside the tasks that
    compute it. HDBSCAN finds the states, CHILL+ identifies them. Repeated, it resumes an
    interrupted run and computes nothing twice.

    Parameters
    ----------
    folder : path
        For the store demo.zarr and the figures; made if it does not exist.

    Returns
    -------
    DemoResult

    Raises
    ------
    InputError
        If the folder cannot be made, or not be written to.
    """
    target = Path(folder)
    # Before imports that take seconds.
    make_output_folder(target, "demo")
    from icedask.plot import latent_map, snapshot, timelines

    store = target / "demo.zarr"
    # Nobody else writes between two results.
    with hold_if_writable(store, "demo"):
        with as_file(files("icedask") / "data" / TRAJECTORY) as source:
            trj = ingest(
                source,
                store,
                units="real",
                timestep=10,
                elements="O",
                columns={"c_e": "potential_energy"},
            )
        chill = save(chill_plus(trj), store, label="chill_plus")
        environment = soap(trj, **SOAP_OPTIONS)
        pca = base.fit_or_load(learn_pca.PCA(N_COMPONENTS), environment, store)
        latent = save(pca.transform(environment), store, label="latent")
        clusters = base.fit_or_load(
            learn_hdbscan.HDBSCAN(**CLUSTERING, assign_noise=True, seed=0), latent, store
        )
        states = save(clusters.predict(latent), store, label="states")
    figures = {
        "latent_map.png": latent_map(latent, states, variance=pca),
        "timelines.png": timelines(states, chill),
        "snapshot.png": snapshot(trj, states),
    }
    for name, figure in figures.items():
        figure.savefig(target / name)
    return DemoResult(
        store,
        composition_table(states, chill, trj["potential_energy"]),
        [target / name for name in figures],
        clusters.agreement_,
        float(pca.explained_variance_ratio_.sum()),
    )
