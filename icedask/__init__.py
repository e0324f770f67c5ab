"""Dask-distributed analysis of molecular-dynamics trajectories."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Where each public name lives. Modules are imported when a name is first used, so that
# `import icedask` stays fast.
_NAMES = {
    "ComputeError": "icedask.errors",
    "InputError": "icedask.errors",
    "StoreError": "icedask.errors",
    "IcedaskError": "icedask.errors",
    "connect": "icedask.hpc.client",
    "describe": "icedask.descriptors.lazy",
    "bispectrum": "icedask.descriptors.bispectrum",
    "chill": "icedask.descriptors.chill",
    "chill_plus": "icedask.descriptors.chill",
    "combine": "icedask.descriptors.combine",
    "coordination": "icedask.descriptors.coordination",
    "displacement": "icedask.descriptors.displacement",
    "join": "icedask.descriptors.join",
    "unit_norm": "icedask.descriptors.join",
    "lens": "icedask.descriptors.lens",
    "soap": "icedask.descriptors.soap",
    "radial_structure_functions": "icedask.descriptors.radial",
    "symmetry_functions": "icedask.descriptors.symmetry",
    "steinhardt": "icedask.descriptors.steinhardt",
    "local_structure_index": "icedask.descriptors.tetrahedral",
    "neighbor_distances": "icedask.descriptors.tetrahedral",
    "tetrahedral": "icedask.descriptors.tetrahedral",
    "mass_density": "icedask.descriptors.voronoi",
    "voronoi": "icedask.descriptors.voronoi",
    "time_soap": "icedask.descriptors.time_soap",
    "time_soap_derivative": "icedask.descriptors.time_soap",
    "markov_test": "icedask.dynamics.markov",
    "merge_states": "icedask.dynamics.merging",
    "entry_exit_counts": "icedask.dynamics.entry_exit_counts",
    "residence_times": "icedask.dynamics.residence",
    "smooth": "icedask.dynamics.smoothing",
    "populations": "icedask.dynamics.transitions",
    "transitions": "icedask.dynamics.transitions",
    "from_ase": "icedask.readers.convert",
    "from_mdanalysis": "icedask.readers.convert",
    "to_ase": "icedask.readers.convert",
    "ingest": "icedask.readers.ingest",
    "list_runs": "icedask.store.runs",
    "open_run": "icedask.store.runs",
    "open_trajectory": "icedask.store.runs",
    "remove_run": "icedask.store.runs",
    "progress": "icedask.store.status",
    "save": "icedask.store.save",
    "GaussianMixture": "icedask.learn.gmm",
    "HDBSCAN": "icedask.learn.hdbscan",
    "KMeans": "icedask.learn.kmeans",
    "OnionClustering": "icedask.learn.onion",
    "onion_scan": "icedask.learn.onion",
    "PCA": "icedask.learn.pca",
    "Motifs": "icedask.motifs.motifs",
    "UMAP": "icedask.learn.umap",
    "VAE": "icedask.learn.vae",
    "load_model": "icedask.learn.base",
    "interfaces": "icedask.phases.interfaces",
    "score_threshold": "icedask.phases.threshold",
    "Denoiser": "icedask.phases.denoiser",
    "PhaseClassifier": "icedask.phases.classifier",
    "Phases": "icedask.phases.references",
    "plan": "icedask.hpc.plan",
    "select": "icedask.core.trajectory",
}

# Packages with functions of their own, imported when they are first used.
_PACKAGES = ("simulate", "workflows")

__all__ = ["__version__", *sorted(_NAMES), *_PACKAGES]

if TYPE_CHECKING:
    from icedask import simulate, workflows
    from icedask.core.trajectory import select
    from icedask.descriptors.bispectrum import bispectrum
    from icedask.descriptors.chill import chill, chill_plus
    from icedask.descriptors.combine import combine
    from icedask.descriptors.coordination import coordination
    from icedask.descriptors.displacement import displacement
    from icedask.descriptors.join import join, unit_norm
    from icedask.descriptors.lazy import describe
    from icedask.descriptors.lens import lens
    from icedask.descriptors.radial import radial_structure_functions
    from icedask.descriptors.soap import soap
    from icedask.descriptors.steinhardt import steinhardt
    from icedask.descriptors.symmetry import symmetry_functions
    from icedask.descriptors.tetrahedral import (
        local_structure_index,
        neighbor_distances,
        tetrahedral,
    )
    from icedask.descriptors.time_soap import time_soap, time_soap_derivative
    from icedask.descriptors.voronoi import mass_density, voronoi
    from icedask.dynamics.entry_exit_counts import entry_exit_counts
    from icedask.dynamics.markov import markov_test
    from icedask.dynamics.merging import merge_states
    from icedask.dynamics.residence import residence_times
    from icedask.dynamics.smoothing import smooth
    from icedask.dynamics.transitions import populations, transitions
    from icedask.errors import ComputeError, IcedaskError, InputError, StoreError
    from icedask.hpc.client import connect
    from icedask.hpc.plan import plan
    from icedask.learn.base import load_model
    from icedask.learn.gmm import GaussianMixture
    from icedask.learn.hdbscan import HDBSCAN
    from icedask.learn.kmeans import KMeans
    from icedask.learn.onion import OnionClustering, onion_scan
    from icedask.learn.pca import PCA
    from icedask.learn.umap import UMAP
    from icedask.learn.vae import VAE
    from icedask.motifs.motifs import Motifs
    from icedask.phases.classifier import PhaseClassifier
    from icedask.phases.denoiser import Denoiser
    from icedask.phases.interfaces import interfaces
    from icedask.phases.references import Phases
    from icedask.phases.threshold import score_threshold
    from icedask.readers.convert import from_ase, from_mdanalysis, to_ase
    from icedask.readers.ingest import ingest
    from icedask.store.runs import list_runs, open_run, open_trajectory, remove_run
    from icedask.store.save import save
    from icedask.store.status import progress


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"icedask.{name}")
    if name not in _NAMES:
        raise AttributeError(f"module 'icedask' has no attribute {name!r}")
    value = getattr(importlib.import_module(_NAMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES, *_PACKAGES})
