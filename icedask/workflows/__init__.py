"""Published analyses, each from a trajectory to its tables and figures."""

from icedask.workflows.phases import phases
from icedask.workflows.soap_lens import structure_dynamics

__all__ = ["phases", "structure_dynamics"]
