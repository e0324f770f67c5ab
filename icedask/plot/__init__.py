"""Figures of results; every function returns a matplotlib Figure."""

from icedask.plot.latent import latent_map, latent_maps
from icedask.plot.snapshot import snapshot
from icedask.plot.timelines import timelines

__all__ = ["latent_map", "latent_maps", "snapshot", "timelines"]
