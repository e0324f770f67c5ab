"""Per-atom columns of a trajectory and of results, joined on their steps and atoms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.expressions import writable_name
from icedask.core.matching import matched_rows
from icedask.core.provenance import positions_identity
from icedask.core.trajectory import ATOM_COORDS
from icedask.core.types import IntArray
from icedask.core.variables import ATOM, FRAME, XYZ
from icedask.errors import InputError

if TYPE_CHECKING:
    Result = xr.Dataset | xr.DataArray
    Results = Result | Sequence[Result] | Mapping[str, Result] | None
else:
    # To name the types would import xarray, which takes a second.
    Results = Any

_NOT_COLUMNS = ("cell", "cell_origin", "pbc")


@dataclass(frozen=True)
class Column:
    """Values of the atoms, of each frame or of all.

    `data` is an array or a Dask array ([frame,] atom[, component]); `frame_rows` and `atom_rows`
    are the places in it of the frames and atoms of the trajectory, -1 where there are none, or None
    where they are the same. `parts` names the components, `classes` the numbers of named classes.
    """

    name: str
    data: Any
    by_frame: bool
    parts: tuple[str, ...] = ()
    classes: Mapping[str, int] = field(default_factory=dict)
    attrs: Mapping[str, str] = field(default_factory=dict)
    frame_rows: IntArray | None = None
    atom_rows: IntArray | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its components, or its own where it has none."""
        if self.name == "positions":
            return self.parts
        return tuple(f"{self.name}_{part}" for part in self.parts) or (self.name,)

    @property
    def kind(self) -> str:
        """Kind of its values: f, i or U, as numpy names floats, integers and text."""
        kind = self.data.dtype.kind
        return {"b": "i", "u": "i", "O": "U", "T": "U", "S": "U"}.get(kind, kind)

    def of_frame(self, frame: int) -> npt.NDArray[Any]:
        """Return its values in a frame of the trajectory; reads them."""
        data = self.data
        row = frame if self.frame_rows is None else int(self.frame_rows[frame])
        if self.by_frame:
            data = data[max(row, 0)]
        values = plain(np.asarray(data), self.kind)
        values = of_atoms(values, self.atom_rows)
        return np.full_like(values, fill_value(values)) if row < 0 and self.by_frame else values


def plain(values: npt.NDArray[Any], kind: str) -> npt.NDArray[Any]:
    """Return values as floats of their own precision, int64 or fixed-width text."""
    if kind == "U":
        return values.astype(object).astype(np.str_)
    if kind == "i":
        return values.astype(np.int64, copy=False)
    return values.astype(np.float32) if values.dtype.itemsize < 4 else values


def fill_value(values: npt.NDArray[Any]) -> Any:
    """Return what stands for no value: NaN, -1 or an empty text."""
    return {"f": np.nan, "i": -1}.get(values.dtype.kind, "")


def of_atoms(values: npt.NDArray[Any], rows: IntArray | None) -> npt.NDArray[Any]:
    """Return the values at places along atom, the first dimension; none at -1."""
    if rows is None:
        return values
    if len(values) == 0:
        return np.full((len(rows), *values.shape[1:]), fill_value(values), values.dtype)
    taken = values[rows]
    taken[rows < 0] = fill_value(values)
    return taken


@dataclass(frozen=True)
class Joined:
    """Columns by name, and the frames and atoms of the trajectory that have a value in each.

    `aliases` are other names of columns in a condition.
    """

    columns: Mapping[str, Column]
    aliases: Mapping[str, str]
    frames: IntArray
    atoms: IntArray

    def component(self, name: str) -> tuple[Column, int | None]:
        """Return the column with a component of this name, and its place; KeyError for none."""
        for column in self.columns.values():
            if name in column.names:
                return column, column.names.index(name) if column.parts else None
        raise KeyError(name)

    @property
    def names(self) -> list[str]:
        """Names of all components, then the aliases."""
        return [*(n for c in self.columns.values() for n in c.names), *self.aliases]

    @property
    def classes(self) -> dict[str, Mapping[str, int]]:
        """Named classes by column and alias."""
        own = {name: column.classes for name, column in self.columns.items() if column.classes}
        return own | {a: own[name] for a, name in self.aliases.items() if name in own}

    @property
    def text_names(self) -> list[str]:
        """Names and aliases of the columns of text."""
        own = [name for name, column in self.columns.items() if column.kind == "U"]
        return [*own, *(alias for alias, name in self.aliases.items() if name in own)]


def join_columns(ds: xr.Dataset, results: Results, caller: str, *, fill: bool = False) -> Joined:
    """Join the per-atom variables of results to a trajectory.

    Frames are matched by step, atoms by the coordinate atom. Only those with a row in every result
    are kept; all of them with `fill`. Raises InputError if a result belongs to another trajectory,
    has nothing per atom, or cannot be matched, or if two columns have the same name.
    """
    columns = own_columns(ds)
    parts = [(name, _with_frames(ds, result)) for name, result in _named(results, caller)]
    _check_belong(ds, [result for _, result in parts], caller)
    groups = [(_result_columns(ds, name, part, caller), part.attrs) for name, part in parts]
    names = [name for name, _ in parts]
    columns, aliases = name_columns(columns, names, groups, caller)
    frames, atoms = np.ones(ds.sizes.get(FRAME, 1), bool), np.ones(ds.sizes[ATOM], bool)
    for column in columns.values() if not fill else ():
        if column.frame_rows is not None:
            frames &= column.frame_rows >= 0
        if column.atom_rows is not None:
            atoms &= column.atom_rows >= 0
    if parts and not (frames.any() and atoms.any()):
        dim = ATOM if frames.any() else FRAME
        raise InputError(
            f"{caller}: expected results of {dim}s of the trajectory, found none in common; "
            "compute them of this trajectory"
        )
    return Joined(columns, aliases, np.flatnonzero(frames), np.flatnonzero(atoms))


def name_columns(
    own: Mapping[str, Column],
    names: Sequence[str | None],
    groups: Sequence[tuple[Mapping[str, Column], Mapping[str, Any]]],
    caller: str,
) -> tuple[dict[str, Column], dict[str, str]]:
    """Name the columns of results, which stand beside the columns of their trajectory.

    Parameters
    ----------
    own
        Columns of the trajectory.
    names, groups
        Name of each result, None where it has none; its columns by variable, and its attributes.

    Returns
    -------
    dict, dict
        All columns, and their other names in a condition.

    Raises
    ------
    InputError
        If two columns have the same name.
    """
    columns, aliases = dict(own), dict[str, str]()
    named = [_named_group(name, group) for name, (group, _) in zip(names, groups, strict=True)]
    joined = _distinct(own, names, [attrs for _, attrs in groups], named)
    for group, (_, attrs) in zip(joined, groups, strict=True):
        for column in group.values():
            if column.name in columns:
                raise _twice(column.name, caller)
            columns[column.name] = column
        aliases |= _alias(attrs, group)
    _check_names(columns, caller)
    labels = [c.name for g in joined for v, c in g.items() if v == "label" or c.classes]
    if len(labels) == 1:
        aliases["state"] = labels[0]
    parts = [name for column in columns.values() for name in column.names]
    writable = Counter(map(writable_name, parts))
    aliases |= {w: n for n in parts if (w := writable_name(n)) != n and writable[w] == 1}
    taken = {*parts, FRAME, "step", "time"}
    return columns, {alias: name for alias, name in aliases.items() if alias not in taken}


def own_columns(ds: xr.Dataset) -> dict[str, Column]:
    """Return the per-atom variables of a Dataset as columns: first those that frames share."""
    columns: dict[str, Column] = {}
    for name in ATOM_COORDS:
        if name in ds.variables and ds[name].dims == (ATOM,):
            columns[name] = _constant(name, ds[name])
    if ATOM not in columns:
        columns[ATOM] = Column(ATOM, np.arange(ds.sizes[ATOM]), by_frame=False)
    for name in _variables(ds, "positions"):
        columns[name] = _column(name, ds[name])
    return columns


def _variables(ds: xr.Dataset, first: str) -> list[str]:
    """Return the names of per-atom variables; by name, as a store has no order of them."""
    return variable_names({str(name): ds[name].dims for name in ds.data_vars}, first)


def variable_names(dims: Mapping[str, Sequence[Any]], first: str) -> list[str]:
    """Return the names of per-atom variables, of which the dimensions are given, in order."""
    names = [name for name, own in dims.items() if ATOM in own and name not in _NOT_COLUMNS]
    return sorted(names, key=lambda name: (name != first, _natural(name)))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which numbers in names are in order, c_2 before c_10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _constant(name: str, array: xr.DataArray) -> Column:
    kind = "U" if array.dtype.kind in "UTOS" else array.dtype.kind
    values = plain(np.asarray(array.values), kind)
    if name == "type" and values.dtype.kind == "U" and len(values):
        # Numbers of types, which files of text and stores hold as text.
        whole = [re.fullmatch(r"0|[1-9]\d{0,17}", text) for text in np.unique(values).tolist()]
        values = values.astype(np.int64) if all(whole) else values
    return Column(name, values, by_frame=False, attrs=_attrs(array))


def _attrs(array: xr.DataArray) -> dict[str, str]:
    return {key: str(array.attrs[key]) for key in ("units", "long_name") if key in array.attrs}


def _column(name: str, array: xr.DataArray, where: str = "") -> Column:
    rest = [dim for dim in array.dims if dim not in (FRAME, ATOM)]
    if len(rest) > 1:
        raise InputError(
            f"{where or name}: expected the dimensions (frame, atom[, component]), found "
            f"{tuple(map(str, array.dims))}; stack the last ones, or leave the variable out"
        )
    by_frame = FRAME in array.dims
    array = array.transpose(*([FRAME] if by_frame else []), ATOM, *rest)
    if array.dtype.kind not in "fiubUTOS":
        raise InputError(
            f"{where or name}: expected numbers or text, found dtype {array.dtype}; convert it, or "
            "leave the variable out"
        )
    dim = rest[0] if rest else None
    labels = array[dim].values if dim is not None and dim in array.coords else None
    return Column(
        name,
        array.data,
        by_frame,
        part_names(str(dim), array.sizes[dim], labels) if rest else (),
        classes_of(array.attrs),
        _attrs(array),
    )


def classes_of(attrs: Mapping[str, Any]) -> dict[str, int]:
    """Return the numbers of the named classes of a variable."""
    flags = np.atleast_1d(np.asarray(attrs.get("flag_values", []))).tolist()
    meanings = str(attrs.get("flag_meanings", "")).split()
    return dict(zip(meanings, map(int, flags), strict=False))


def part_names(dim: str, size: int, labels: npt.NDArray[Any] | None) -> tuple[str, ...]:
    """Return the names of components: the labels along the dimension, or numbers."""
    if dim == XYZ and size == 3:
        return ("x", "y", "z")
    if labels is not None:
        texts = [re.sub(r"\W", "_", str(label)) for label in labels.tolist()]
        if len(set(texts)) == len(texts) and all(texts):
            return tuple(texts)
    return tuple(map(str, range(size)))


def _named(results: Results, caller: str) -> list[tuple[str | None, xr.Dataset]]:
    """Return results with their names, None where they have none."""
    pairs: list[tuple[str | None, Any]]
    if results is None:
        return []
    if isinstance(results, xr.Dataset | xr.DataArray):
        pairs = [(None, results)]
    elif isinstance(results, Mapping):
        pairs = [(str(name), result) for name, result in results.items()]
    elif isinstance(results, Sequence) and not isinstance(results, str):
        pairs = [(None, result) for result in results]
    else:
        pairs = [(None, results)]
    named: list[tuple[str | None, xr.Dataset]] = []
    for name, result in pairs:
        if isinstance(result, xr.DataArray):
            result = result.to_dataset(name=str(name or result.name or "values"))
        if not isinstance(result, xr.Dataset):
            raise InputError(
                f"{caller}: expected results as Datasets, such as those of open_run, found "
                f"{_short(result)}"
            )
        named.append((name, result))
    return named


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 and "\n" not in text else f"an object {type(value).__name__}"


def _with_frames(ds: xr.Dataset, result: xr.Dataset) -> xr.Dataset:
    """Return a result of one frame, as isel(frame=0) leaves it, as that of its step only."""
    step = result.variables.get("step")
    if FRAME in result.dims or step is None or step.dims or "step" not in ds.variables:
        return result
    return result.expand_dims(FRAME) if ds.sizes.get(FRAME, 1) > 1 else result


def _check_belong(ds: xr.Dataset, results: Sequence[xr.Dataset], caller: str) -> None:
    """Raise InputError if a result was computed from other positions."""
    known = [result for result in results if result.attrs.get("positions")]
    if not known:
        return
    derived = "function" in ds.attrs or "positions" not in ds.variables
    own = ds.attrs.get("positions") if derived else positions_identity(ds["positions"])
    for result in known:
        if own and result.attrs["positions"] != own:
            raise InputError(
                f"{caller}: {_title(result)}: expected a result of this trajectory, found one of "
                "other positions; give the trajectory that it was computed from (or the result "
                "without its record, result.drop_attrs(), if you know that they belong together)"
            )


def _title(result: xr.Dataset) -> str:
    name = result.attrs.get("label") or result.attrs.get("run_id")
    return str(name or ", ".join(map(str, result.data_vars)) or "result")


def _result_columns(
    ds: xr.Dataset, name: str | None, result: xr.Dataset, caller: str
) -> dict[str, Column]:
    """Return the columns of a result by variable, matched to the frames and atoms of `ds`."""
    title = name or _title(result)
    if name is None and "positions" in result.data_vars and "function" not in result.attrs:
        raise InputError(
            f"{caller}: expected a trajectory and its results, found a second trajectory; give the "
            "results of one trajectory"
        )
    variables = _variables(result, "label")
    if not variables:
        held = ", ".join(f"{v} {tuple(map(str, a.dims))}" for v, a in result.data_vars.items())
        raise InputError(
            f"{caller}: {title}: expected values of atoms, found {held or 'no variable'}; give "
            "results with the dimension atom"
        )
    where = f"{caller}: {title}"
    atom_rows = matched_rows(ds, result, ATOM, ATOM, where)
    frame_rows = matched_rows(ds, result, FRAME, "step", where) if FRAME in result.dims else None
    columns = {}
    for variable in variables:
        column = _column(variable, result[variable], f"{where}: {variable}")
        rows = frame_rows if column.by_frame else None
        columns[variable] = replace(column, frame_rows=rows, atom_rows=atom_rows)
    return columns


def _named_group(name: str | None, group: Mapping[str, Column]) -> Mapping[str, Column]:
    """Return the columns of a result with its name: for the label or the only one, else before."""
    if name is None:
        return group
    main = "label" if "label" in group else next(iter(group))
    alone = "label" in group or len(group) == 1
    return {
        variable: replace(column, name=name if alone and variable == main else f"{name}_{variable}")
        for variable, column in group.items()
    }


def _distinct(
    own: Mapping[str, Column],
    names: Sequence[str | None],
    attributes: Sequence[Mapping[str, Any]],
    joined: Sequence[Mapping[str, Column]],
) -> list[dict[str, Column]]:
    """Put the label of the run, or its function, before names that several columns have."""
    counts = Counter([*own, *(column.name for group in joined for column in group.values())])
    renamed = []
    for name, attrs, group in zip(names, attributes, joined, strict=True):
        prefix = attrs.get("label") or attrs.get("function")
        columns = {}
        for variable, column in group.items():
            if counts[column.name] > 1 and name is None and prefix:
                new = f"{re.sub(r'[^0-9A-Za-z_]+', '_', str(prefix))}_{column.name}"
                column = replace(column, name=new)
            columns[variable] = column
        renamed.append(columns)
    return renamed


def _check_names(columns: Mapping[str, Column], caller: str) -> None:
    counts = Counter(name for column in columns.values() for name in column.names)
    for name, count in counts.items():
        if not name.strip():
            raise InputError(f"{caller}: expected a name for each column, found {name!r}")
        if count > 1 or name in (FRAME, "step", "time"):
            raise _twice(name, caller)


def _twice(name: str, caller: str) -> InputError:
    return InputError(
        f"{caller}: expected a name for each column, found {name} twice; name the results, for "
        'example {"first": ..., "second": ...} (first=RUN second=RUN)'
    )


def _alias(attrs: Mapping[str, Any], group: Mapping[str, Column]) -> dict[str, str]:
    """Return the label of a run as another name of its only column, or of its classes."""
    label = str(attrs.get("label") or "")
    main = group.get("label") or (next(iter(group.values())) if len(group) == 1 else None)
    if main is None or main.parts or not label.isidentifier():
        return {}
    return {label: main.name}
