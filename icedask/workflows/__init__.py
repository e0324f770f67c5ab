"""Published analyses, each from a trajectory to its tables and figures."""

from typing import TYPE_CHECKING

from icedask.workflows.workflow import registry

if TYPE_CHECKING:
    from icedask.workflows.motifs import motifs as motifs
    from icedask.workflows.phases import phases as phases
    from icedask.workflows.structure_dynamics import structure_dynamics as structure_dynamics

# Binds the function of each workflow here.
registry()
