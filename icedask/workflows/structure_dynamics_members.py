"""Structure and dynamics of a collection: each member by itself."""

from __future__ import annotations

from pathlib import Path

from icedask.core.collection import Collection
from icedask.workflows.each_member import EachMember, for_each_member
from icedask.workflows.structure_dynamics import Settings, StructureDynamics, structure_dynamics


def members(
    collection: Collection, store: Path, settings: Settings
) -> EachMember[StructureDynamics]:
    """Find the states of each member; computes, saves."""
    return for_each_member(structure_dynamics, collection, store, settings)
