"""Workflows that treat each member of a collection by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from icedask.core.collection import Collection, report_failed
from icedask.errors import ComputeError, IcedaskError
from icedask.store.collections import store_of

logger = logging.getLogger("icedask")

R = TypeVar("R")


class EachMember(NamedTuple, Generic[R]):
    """Results of a workflow for each member of a collection.

    Attributes
    ----------
    results
        What the workflow returned for each member, by name; all of it is in the member's store.
    settings, store
        Options as they were used, and the store of what belongs to all.
    failed
        Messages of the members that are left out, by name.
    """

    results: dict[str, R]
    settings: Any
    store: Path
    failed: dict[str, str]


def for_each_member(
    function: Callable[..., R], collection: Collection, store: Path, settings: Any
) -> EachMember[R]:
    """Call a workflow for each member, in its own store; computes, saves.

    A member that fails is reported and left out; the same call continues with it.

    Raises
    ------
    IcedaskError
        That of the first member, if all fail.
    ComputeError
        If workers died or the scheduler is lost, which is no fault of a member.
    """
    results: dict[str, R] = {}
    failed, first = dict(collection.failed), None
    for name, trj in collection.items():
        try:
            results[name] = function(trj, store_of(collection, name), **asdict(settings))
        except ComputeError:
            raise
        except Exception as error:
            logger.debug("%s", name, exc_info=error)
            known = isinstance(error, IcedaskError)
            failed[name] = str(error) if known else f"{type(error).__name__}: {error}"
            report_failed({name: failed[name]})
            first = first or error
    if not results and first is not None:
        raise first
    return EachMember(results, settings, store, failed)


def member_columns(collection: Collection, names: Mapping[str, Any]) -> pd.DataFrame:
    """Return the labels and sizes of members of these names, as the first columns of a table."""
    return collection.subset(list(names)).table().rename_axis("member")


def left_out(failed: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Return the table of the members that are left out, by its caption."""
    if not failed:
        return {}
    index = pd.Index(list(failed), name="member")
    return {"Left out": pd.DataFrame({"reason": list(failed.values())}, index)}


def mean_shares(populations: Any, n_states: int) -> np.ndarray:
    """Return the mean share of each state over the frames, zero for states that are not there."""
    shares = np.nanmean(populations["population"].values, axis=0)
    return np.pad(shares, (0, n_states - len(shares)))
