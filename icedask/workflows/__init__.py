"""Published analyses, each from a trajectory to its tables and figures."""

from icedask.workflows.motifs import motifs
from icedask.workflows.phases import phases
from icedask.workflows.structure_dynamics import structure_dynamics

__all__ = ["motifs", "phases", "structure_dynamics"]
