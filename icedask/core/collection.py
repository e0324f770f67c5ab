"""Collections: named trajectories of any sizes, or results of each, with a table of labels."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
import xarray as xr

from icedask.core.groups import dependent_groups, split_groups
from icedask.core.text import did_you_mean, printable
from icedask.errors import IcedaskError, InputError

if TYPE_CHECKING:
    import pandas as pd

    _Members = Mapping[str, xr.Dataset]
else:
    # Commands that compute nothing do without xarray.
    _Members = Mapping

logger = logging.getLogger("icedask")

P = ParamSpec("P")
R = TypeVar("R")

# Rows of a table in the text of a collection.
_SHOWN = 20


class Collection(_Members):
    """Named trajectories, or a result of each, with their labels.

    A mapping from names to Datasets of any sizes. Descriptors, transforms and predictions take a
    collection and return the collection of their lazy results; `save` writes each into its own
    store, in one computation; estimators are fitted to the rows of all members. A member that
    fails is left out and reported in `failed`, the others go on.

    Parameters
    ----------
    members : mapping
        Datasets by name.
    labels : pandas.DataFrame or mapping, optional
        Labels of the members, by name; they add to, or replace, `attrs["labels"]` of each member.
    stores : mapping, optional
        Path of the store of each member, where `save` writes to.
    failed : mapping, optional
        Messages of the members that are left out, by name.

    Raises
    ------
    InputError
        If there are no members, one is no Dataset, or labels are of others.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> metals = ice.Collection(
    ...     {name: ice.from_ase(bulk(name, cubic=True)) for name in ("Cu", "Au", "Fe")},
    ...     {"Cu": {"lattice": "fcc"}, "Au": {"lattice": "fcc"}, "Fe": {"lattice": "bcc"}},
    ... )
    >>> list(metals.where(lattice="fcc"))
    ['Cu', 'Au']
    >>> ice.coordination(metals, r_cut=3.0)["Cu"]["coordination"].values
    array([[12, 12, 12, 12]], dtype=int32)
    """

    def __init__(
        self,
        members: Mapping[str, xr.Dataset],
        labels: pd.DataFrame | Mapping[str, Mapping[str, Any]] | None = None,
        *,
        stores: Mapping[str, Path] | None = None,
        failed: Mapping[str, str] | None = None,
    ) -> None:
        self._members = dict(members)
        self._check_members()
        self._trajectories = self._members
        self._stores = {name: Path(path) for name, path in (stores or {}).items()}
        self._failed = dict(failed or {})
        self._labels = _label_table(self._members, labels)
        self._weights = dict.fromkeys(self._members, 1.0)
        # Of each set of members that was asked for, shared with all collections of these
        # trajectories: one set says nothing of starts that it shares with another.
        self._known_groups: list[dict[str, int]] = []
        self._store: Path | None = None

    def _check_members(self) -> None:
        if not self._members:
            raise InputError("Collection: expected at least one member, found none")
        for name, member in self._members.items():
            if not (isinstance(name, str) and name and printable(name) == name):
                raise InputError(
                    f"Collection: expected names without control characters, found {name!a}"
                )
            if not isinstance(member, xr.Dataset):
                raise InputError(
                    f"Collection: {name}: expected a Dataset, found {type(member).__name__}; open "
                    "stores with icedask.open_collection"
                )

    def __getitem__(self, name: str) -> xr.Dataset:
        """Return a member; KeyError names similar ones."""
        try:
            return self._members[name]
        except KeyError:
            hint = did_you_mean(str(name), list(self._members)) or ""
            raise KeyError(f"no member {name!r}{hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        table = self.table()
        shown = table.head(_SHOWN).to_string()
        rest = f"\n... and {len(table) - _SHOWN} more" if len(table) > _SHOWN else ""
        failed = "".join(f"\nfailed: {name}: {text}" for name, text in self._failed.items())
        return f"<icedask.Collection of {len(self)} members>\n{shown}{rest}{failed}"

    @property
    def labels(self) -> pd.DataFrame:
        """The labels of the members, a row for each; a copy."""
        return self._labels.copy()

    @property
    def stores(self) -> dict[str, Path]:
        """The path of the store of each member that has one."""
        return dict(self._stores)

    @property
    def store(self) -> Path | None:
        """The store for what belongs to all members, as fitted models; None without stores."""
        return self._store

    @property
    def failed(self) -> dict[str, str]:
        """The messages of the members that are left out, by name."""
        return dict(self._failed)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of a row of each member in fits."""
        return dict(self._weights)

    def table(self) -> pd.DataFrame:
        """Return the sizes of the members, and their labels."""
        import pandas as pd

        sizes = {
            name: [member.sizes.get("frame"), member.sizes.get("atom")]
            for name, member in self._members.items()
        }
        labels = self._labels.rename(columns={dim: f"{dim} label" for dim in ("frame", "atom")})
        table = pd.DataFrame.from_dict(sizes, orient="index", columns=["frame", "atom"])
        return pd.concat([table, labels], axis=1)

    def where(self, **labels: Any) -> Collection:
        """Return the members with these labels.

        Parameters
        ----------
        **labels
            By name of the label: a value, a list of values, or a function of a value that returns
            whether it is wanted.

        Raises
        ------
        InputError
            If there is no such label, or no member has it.
        """
        chosen = np.ones(len(self), bool)
        for label, wanted in labels.items():
            column = self.label(label)
            if callable(wanted):
                mine = column.map(wanted).to_numpy(bool)
            elif isinstance(wanted, list | tuple | set | frozenset | np.ndarray):
                mine = column.isin(list(wanted)).to_numpy()
            else:
                mine = (column == wanted).to_numpy(bool)
            if not mine.any():
                raise InputError(
                    f"where: {label}: expected one of {_listed(column)}, found {wanted!r}"
                )
            chosen &= mine
        if not chosen.any():
            raise InputError(
                f"where: expected members with {', '.join(labels)} together, found none"
            )
        return self.subset([name for name, mine in zip(self, chosen, strict=True) if mine])

    def label(self, label: str) -> pd.Series:
        """Return one label of all members.

        Raises InputError if there is no such label.
        """
        if label not in self._labels:
            hint = did_you_mean(label, list(map(str, self._labels)))
            known = ", ".join(map(str, self._labels)) or "none"
            raise InputError(
                f"Collection: no label {label!r}{hint or f'; there are {known}'}; give a table of "
                "labels to open_collection or with_labels"
            )
        return self._labels[label]

    def with_labels(self, labels: pd.DataFrame | Mapping[str, Mapping[str, Any]]) -> Collection:
        """Return the collection with more labels, or other values of the present ones.

        Raises InputError if labels are of members that there are not.
        """
        other = self.subset(list(self))
        other._labels = _joined(self._labels, labels)
        other._known_groups = []
        return other

    def balanced(self, by: str | None = None) -> Collection:
        """Return the collection with weights, so that each member counts as much in fits.

        Rows of a member have the weight 1 / (number of its rows), scaled to a mean of 1.

        Parameters
        ----------
        by : str, optional
            A label: each of its values counts as much as any other, and each member with it.

        Raises
        ------
        InputError
            If there is no such label, or a member is without it.
        """
        rows = {name: _n_rows(member) for name, member in self._members.items()}
        share = dict.fromkeys(self, 1.0)
        if by is not None:
            column = self.label(by)
            if column.isna().any():
                missing = ", ".join(column.index[column.isna()])
                raise InputError(
                    f"balanced: expected a {by} of each member, found none of {missing}"
                )
            counts = column.value_counts()
            share = {name: 1.0 / float(counts[column[name]]) for name in self}
        scale = sum(rows.values()) / sum(share.values())
        other = self.subset(list(self))
        other._weights = {name: scale * share[name] / max(rows[name], 1) for name in self}
        return other

    def subset(self, names: Sequence[str]) -> Collection:
        """Return the members of these names, in this order."""
        return self._like({name: self[name] for name in names})

    def map(self, function: Callable[..., xr.Dataset], *args: Any, **options: Any) -> Collection:
        """Return the collection of the results of a function of each member.

        Collections among the arguments stand for their member of the same name. A member for which
        the function raises an error of icedask is left out and reported.

        Raises
        ------
        IcedaskError
            If the function fails for all members.
        """
        return over_members(function)(self, *args, **options)  # type: ignore[return-value]

    def _like(
        self, members: Mapping[str, xr.Dataset], failed: Mapping[str, str] | None = None
    ) -> Collection:
        """Return a collection of other Datasets, by the names of members of this one."""
        names = list(members)
        other = Collection.__new__(Collection)
        other._members = dict(members)
        other._check_members()
        other._trajectories = {name: self._trajectories[name] for name in names}
        other._stores = {name: self._stores[name] for name in names if name in self._stores}
        other._failed = {**self._failed, **(failed or {})}
        other._labels = self._labels.loc[names]
        other._weights = {name: self._weights[name] for name in names}
        other._known_groups = self._known_groups
        other._store = self._store
        return other

    def with_members(
        self, members: Mapping[str, xr.Dataset], failed: Mapping[str, str] | None = None
    ) -> Collection:
        """Return the collection with these Datasets for its members, and messages of others."""
        return self._like(members, failed)

    def with_stores(self, stores: Mapping[str, Path], store: Path | None) -> Collection:
        """Return the collection with a store of each member, and one for what belongs to all."""
        other = self._like(self._members)
        other._stores = {name: Path(path) for name, path in stores.items()}
        other._store = store
        return other

    @property
    def groups(self) -> dict[str, int]:
        """Number of the group of each member; computes at the first use.

        Members of one group are not independent: they share a start, have a frame in common, or are
        parts of one run. Known by equal labels `start` or `run`, by the recorded start of a
        simulation, by equal frames, and by a trajectory that begins where another one ends.
        """
        known = next((each for each in self._known_groups if self.keys() <= each.keys()), None)
        if known is None:
            known = dependent_groups(self._trajectories, self._labels)
            self._known_groups.append(known)
        numbers = [known[name] for name in self]
        order = {number: place for place, number in enumerate(dict.fromkeys(numbers))}
        return {name: order[number] for name, number in zip(self, numbers, strict=True)}

    def split(
        self,
        test: float = 0.25,
        *,
        by: str = "trajectory",
        stratify: str | None = None,
        seed: int = 0,
    ) -> tuple[Collection, Collection]:
        """Split into two collections at random, such as training and test; computes the groups.

        A trajectory is never on both sides, nor two of one of the `groups`.

        Parameters
        ----------
        test : float
            Share of the second collection, in members.
        by : str
            "trajectory", or a label: members with the same value stay together too.
        stratify : str, optional
            Label of which each value has this share on the second side. A value with a single
            independent trajectory is on the first side alone, with a warning.
        seed : int
            Seed of the choice.

        Returns
        -------
        Collection, Collection
            The larger and the smaller part, in the order of the members.

        Raises
        ------
        InputError
            If the share is not between 0 and 1, there is no such label, or fewer than two members
            are independent.
        """
        if isinstance(test, bool) or not isinstance(test, int | float) or not 0 < test < 1:
            raise InputError(f"split: test: expected a share between 0 and 1, found {test!r}")
        groups = self.groups
        if by != "trajectory":
            groups = _merged(groups, self.label(by).map(str).to_dict())
        if stratify is None:
            classes = dict.fromkeys(self, "")
        else:
            column = self.label(stratify)
            if column.isna().any():
                missing = ", ".join(map(str, column.index[column.isna()]))
                raise InputError(
                    f"split: expected a {stratify} of each member, found none of {missing}; leave "
                    "these out with where"
                )
            classes = column.to_dict()
        first, second = split_groups(groups, classes, test, seed)
        return self.subset(first), self.subset(second)


def over_members(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function of Datasets take collections, and return the collection of its results.

    A function that returns a dict of Datasets returns a dict of collections.
    """

    @wraps(function)
    def mapped(*args: P.args, **kwargs: P.kwargs) -> R:
        collections = [v for v in (*args, *kwargs.values()) if isinstance(v, Collection)]
        if not collections:
            return function(*args, **kwargs)
        return _mapped(function, collections, args, kwargs)

    mapped.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return mapped


def _mapped(
    function: Callable[..., Any],
    collections: Sequence[Collection],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    first = collections[0]
    names = [name for name in first if all(name in other for other in collections)]
    if not names:
        caller = getattr(function, "__name__", "map")
        raise InputError(f"{caller}: expected collections of the same members, found none in all")

    def of(value: Any, name: str) -> Any:
        return value[name] if isinstance(value, Collection) else value

    results: dict[str, Any] = {}
    failed: dict[str, IcedaskError] = {}
    for name in names:
        try:
            results[name] = function(
                *(of(value, name) for value in args),
                **{key: of(value, name) for key, value in kwargs.items()},
            )
        except IcedaskError as error:
            failed[name] = error
    messages = {name: str(reason) for name, reason in failed.items()}
    if not results:
        name, reason = next(iter(failed.items()))
        if len(set(messages.values())) > 1:
            reason = type(reason)(f"{name}: {reason}")
        reason.failed = messages
        raise reason
    report_failed(messages)
    sample = next(iter(results.values()))
    if isinstance(sample, Mapping) and not isinstance(sample, xr.Dataset):
        return {
            key: first.with_members({n: result[key] for n, result in results.items()}, messages)
            for key in sample
        }
    return first.with_members(results, messages)


def _merged(groups: Mapping[str, int], values: Mapping[str, str]) -> dict[str, int]:
    """Return the groups, with those joined whose members have the same value."""
    numbers = dict(groups)
    for value in dict.fromkeys(values.values()):
        mine = {numbers[name] for name in values if values[name] == value}
        numbers = {name: min(mine) if n in mine else n for name, n in numbers.items()}
    return numbers


def report_failed(messages: Mapping[str, str]) -> None:
    """Log the messages of members that are left out."""
    for name, text in messages.items():
        logger.warning("%s: left out: %s", printable(name), printable(text))


def _n_rows(member: xr.Dataset) -> int:
    return member.sizes.get("frame", 1) * member.sizes.get("atom", 1)


def _listed(column: pd.Series) -> str:
    values = column.dropna().unique().tolist()
    shown = ", ".join(repr(value) for value in values[:_SHOWN])
    return f"{shown}, ..." if len(values) > _SHOWN else shown or "none"


def _label_table(
    members: Mapping[str, xr.Dataset],
    labels: pd.DataFrame | Mapping[str, Mapping[str, Any]] | None,
) -> pd.DataFrame:
    """Return the labels of members, from their attributes and from a table."""
    import pandas as pd

    own = {name: _plain(member.attrs.get("labels")) for name, member in members.items()}
    table = pd.DataFrame.from_dict(own, orient="index").reindex(list(members))
    return table if labels is None else _joined(table, labels)


def _plain(labels: Any) -> dict[str, Any]:
    return dict(labels) if isinstance(labels, Mapping) else {}


def _joined(
    table: pd.DataFrame, labels: pd.DataFrame | Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Return a table with the columns of another, whose values replace present ones."""
    import pandas as pd

    other = labels
    if not isinstance(other, pd.DataFrame):
        if not (isinstance(other, Mapping) and all(isinstance(v, Mapping) for v in other.values())):
            raise InputError(
                "labels: expected a DataFrame indexed by the names of members, or labels by name, "
                f"found {type(labels).__name__}"
            )
        other = pd.DataFrame.from_dict({k: dict(v) for k, v in other.items()}, orient="index")
    if not other.index.is_unique or not other.columns.is_unique:
        raise InputError("labels: expected one row for each member and one column for each label")
    unknown = [str(name) for name in other.index if name not in table.index]
    if unknown:
        hint = did_you_mean(unknown[0], list(table.index)) or (
            f"; there are {', '.join(map(str, table.index[:_SHOWN]))}"
        )
        raise InputError(f"labels: expected names of members, found {unknown[0]!r}{hint}")
    joined = table.copy()
    for column in other.columns:
        values = other[column].reindex(table.index)
        joined[str(column)] = values if column not in joined else values.fillna(joined[column])
    return joined
