"""Figures of results; every function returns a matplotlib Figure."""

from icedask.plot.accuracies import accuracies, accuracy_by_cutoff
from icedask.plot.atoms import before_and_after, environments, snapshot
from icedask.plot.chord import chord
from icedask.plot.dendrogram import dendrogram
from icedask.plot.importances import accuracy_by_components, component_importances
from icedask.plot.interfaces import interface_motion
from icedask.plot.latent import cumulative_variance, latent_map, latent_maps
from icedask.plot.loss import learning_curve, training_curves
from icedask.plot.maps import density_stages, value_maps
from icedask.plot.matrix import confusion, transition_matrix
from icedask.plot.motif_flow import precedence
from icedask.plot.motif_map import motif_map
from icedask.plot.particle import particle_path
from icedask.plot.reliability import reliability
from icedask.plot.sankey import sankey
from icedask.plot.scores import score_histogram
from icedask.plot.series import series_states
from icedask.plot.stages import stages
from icedask.plot.timelines import motif_populations, phase_fractions, timelines

__all__ = [
    "accuracies",
    "accuracy_by_cutoff",
    "accuracy_by_components",
    "before_and_after",
    "chord",
    "component_importances",
    "confusion",
    "cumulative_variance",
    "dendrogram",
    "density_stages",
    "environments",
    "interface_motion",
    "latent_map",
    "latent_maps",
    "learning_curve",
    "motif_map",
    "motif_populations",
    "particle_path",
    "phase_fractions",
    "precedence",
    "reliability",
    "sankey",
    "score_histogram",
    "series_states",
    "snapshot",
    "stages",
    "timelines",
    "training_curves",
    "transition_matrix",
    "value_maps",
]
