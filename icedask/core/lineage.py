"""Checks of run ids and lineages, which come from files that anybody may have written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from icedask.core.text import printable
from icedask.errors import StoreError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RUN_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*-[0-9a-f]{8}")


def is_name(text: object) -> bool:
    """Return whether this can be the name of a function: letters, digits and underscores."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def is_run_id(text: object) -> bool:
    """Return whether this can be a run id: a name with hyphens, and 8 hexadecimal digits."""
    return isinstance(text, str) and _RUN_ID.fullmatch(text) is not None


def check_lineage(run_id: str, parents: object, lineage: object) -> None:
    """Raise StoreError unless the ancestors of a run are runs, and none is its own ancestor."""
    if not isinstance(lineage, Mapping):
        raise StoreError(
            f"{printable(run_id)}: expected the identities of ancestors by run id in its lineage, "
            f"found {type(lineage).__name__}; its attributes were changed: compute it again"
        )
    known = {
        run: identity.get("parents") if isinstance(identity, Mapping) else None
        for run, identity in lineage.items()
    }
    check_ancestors(run_id, {**known, run_id: parents})


def check_ancestors(run_id: str, parents: Mapping[Any, Any]) -> list[str]:
    """Return the ancestors of a run, parents first, from the parents of each run by its id.

    Ancestors without an entry have no parents. Raises StoreError if one is no run id, or its own
    ancestor.
    """
    remedy = "its attributes were changed: compute it again"
    ordered: dict[str, None] = {}
    path: dict[str, list[str]] = {run_id: _parents(run_id, parents, remedy)}
    while path:
        run, remaining = next(reversed(path.items()))
        if not remaining:
            del path[run]
            ordered[run] = None
            continue
        parent = remaining.pop(0)
        if parent in path:
            loop = " from ".join([*list(path)[list(path).index(parent) :], parent])
            raise StoreError(
                f"{printable(run_id)}: expected a lineage without loop, found {printable(loop)}; "
                f"{remedy}"
            )
        if parent not in ordered:
            path[parent] = _parents(parent, parents, remedy) if parent in parents else []
    del ordered[run_id]
    return list(ordered)


def _parents(run: str, parents: Mapping[Any, Any], remedy: str) -> list[str]:
    stated = parents[run]
    if isinstance(stated, list | tuple) and all(map(is_run_id, stated)):
        return list(stated)
    raise StoreError(
        f"{printable(run)}: expected the run ids of its parents, found {printable(repr(stated))}; "
        f"{remedy}"
    )
