"""Phases of a collection: each member by itself, with the same references and classifier."""

from __future__ import annotations

from pathlib import Path

from icedask.core.collection import Collection
from icedask.workflows.each_member import EachMember, for_each_member
from icedask.workflows.phases import PhaseAnalysis, Settings, phases


def members(collection: Collection, store: Path, settings: Settings) -> EachMember[PhaseAnalysis]:
    """Classify the atoms of each member; computes, saves."""
    return for_each_member(phases, collection, store, settings)
