"""Records of results of all members of a collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from icedask.core.collection import Collection
from icedask.core.features import NOT_OF_FEATURES, input_record
from icedask.core.provenance import Record, canonical, digest
from icedask.errors import InputError

# In place of the identity of positions: what is computed from all members of a collection.
OF_MEMBERS = "members"


def rows_record(x: xr.Dataset | xr.DataArray | Collection) -> Record:
    """Return the record of the input of an estimator; of a collection, that of all its members.

    It has the function and options that the members share, and the digest of their run ids.
    Raises InputError if members were described by other functions or options than the first.
    """
    if not isinstance(x, Collection):
        return input_record(x)
    records = {name: input_record(member) for name, member in x.items()}
    return pooled_record(records, list(x.weights.values()))


def pooled_record(records: Mapping[str, Record], weights: Sequence[float] = ()) -> Record:
    """Return one record for records of the same function and options, one of each member."""
    names, members = list(records), list(records.values())
    lineage: dict[str, Any] = {}
    lineages = [{**record.lineage, record.run_id: record.identity} for record in members]
    parents: list[str] = []
    if all(len(record.parents) == len(members[0].parents) for record in members):
        together = zip(*(record.parents for record in members), strict=True)
        parents = [_pooled(ids, names, lineages, lineage) for ids in together]
    identity = _shared([record.identity for record in members], names)
    first = members[0]
    source = [record.run_id for record in members]
    orders = {record.atom_order for record in members}
    return Record(
        first.group,
        first.name,
        first.version,
        identity["parameters"],
        tuple(parents),
        digest("members", source, list(weights) if len(set(weights)) > 1 else []),
        OF_MEMBERS,
        lineage,
        "not known" if "not known" in orders else first.atom_order,
    )


def _pooled(
    ids: Sequence[str],
    names: Sequence[str],
    lineages: Sequence[Mapping[str, Any]],
    lineage: dict[str, Any],
) -> str:
    """Return the id of what the runs `ids`, one of each member, are together; note its lineage."""
    identities = [lineages[number][run] for number, run in enumerate(ids)]
    if len(set(ids)) == 1:
        _copy_ancestors(ids[0], lineages[0], lineage)
        return ids[0]
    identity = _shared(identities, names)
    parents = [
        _pooled(parent_ids, names, lineages, lineage)
        for parent_ids in zip(*(each["parents"] for each in identities), strict=True)
    ]
    group, _, name = identity["function"].partition("/")
    record = Record(
        group,
        name,
        identity["version"],
        identity["parameters"],
        tuple(parents),
        digest("members", list(ids)),
    )
    lineage[record.run_id] = record.identity
    return record.run_id


def _copy_ancestors(run: str, lineage: Mapping[str, Any], target: dict[str, Any]) -> None:
    target[run] = lineage[run]
    for parent in lineage[run]["parents"]:
        _copy_ancestors(parent, lineage, target)


def _shared(identities: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Mapping[str, Any]:
    """Return the first identity; raise InputError if others have other functions or options."""
    first = identities[0]
    meaning = canonical(_meaning(first))
    for name, identity in zip(names, identities, strict=True):
        if canonical(_meaning(identity)) != meaning:
            raise InputError(
                f"{name}: expected {first['function']} with the options "
                f"{canonical(first['parameters'])} as {names[0]} has, found {identity['function']} "
                f"with {canonical(identity['parameters'])}; describe all members in the same way"
            )
    return first


def _meaning(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must be the same for all members."""
    function = identity["function"]
    external = function.startswith("external/")
    parameters = {
        key: value
        for key, value in identity["parameters"].items()
        if key not in NOT_OF_FEATURES and not external
    }
    return {
        "function": function,
        "version": identity["version"],
        "parameters": parameters,
        "parents": len(identity["parents"]),
    }
