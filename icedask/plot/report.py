"""Reports: one self-contained HTML file of text, figures and tables."""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import jinja2
import matplotlib
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from icedask.core.lineage import check_ancestors
from icedask.core.provenance import now, record_of
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.store.run_writing import versions
from icedask.store.runs import find_run, iter_runs

# Largest SVG by its estimated size, in which a rasterized artist counts as much as its image;
# larger figures are embedded as images.
_DRAWING_BYTES, _RASTER_BYTES = 150_000, 100_000
# Points per inch of images, sharp on screens of two pixels per point, and of CSS.
_IMAGE_DPI, _PIXELS = 192, 96
# Significant digits at least, and decimals at most, of the numbers in a table.
_DIGITS, _MOST_DECIMALS = 3, 4
# Smallest number that is written with an exponent.
_LARGE = 1e7
_NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Section:
    """Section of a report; everything but the title is optional."""

    title: str
    text: str = ""  # Plain; an empty line begins a new paragraph
    # Figures by their captions, "name: what is seen", which are also their alternative texts.
    figures: Mapping[str, Figure] = field(default_factory=dict)
    # Tables by their captions. The index is shown unless it only counts rows; units of columns are
    # taken from `attrs["units"]`, a mapping by column.
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


def html_report(
    path: str | os.PathLike[str], title: str, sections: Sequence[Section], *, subtitle: str = ""
) -> Path:
    """Write a report into one HTML file, which appears whole or not at all.

    Parameters
    ----------
    path : path
        The file; one that exists is replaced.
    title : str
        Title of the report.
    sections : sequence of Section
        Sections in their order.
    subtitle : str, optional
        Line below the title, before the date; such as `trajectory_summary` returns.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        If there is no folder for the file, or a section has content of other types.
    """
    file = Path(path).resolve()
    if not file.parent.is_dir():
        raise InputError(f"html_report: no folder {file.parent}; make it first")
    if file.is_dir():
        raise InputError(f"html_report: expected the path of a file, found the folder {file}")
    for section in sections:
        _check(section)
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = files("icedask.plot").joinpath("report.html").read_text(encoding="utf-8")
    template = environment.from_string(page)
    figures, tables = count(1), count(1)
    shown = [_shown(section, figures, tables) for section in sections]
    head = {"title": title, "subtitle": subtitle, "version": versions()["icedask"]}
    text = template.render(**head, sections=shown, written=_readable(now()))
    partial = file.with_name(f".{file.name}.{uuid4().hex[:8]}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return file


def _check(section: Section) -> None:
    if not isinstance(section, Section):
        raise InputError(f"html_report: expected a Section, found {type(section).__name__}")
    where = f"html_report: section {section.title!r}"
    for kind, wanted in (("figures", Figure), ("tables", pd.DataFrame)):
        for caption, value in getattr(section, kind).items():
            if not isinstance(value, wanted):
                raise InputError(
                    f"{where}, {kind}: expected a {wanted.__name__} for {caption!r}, found "
                    f"{type(value).__name__}"
                )


def _shown(section: Section, figures: Iterable[int], tables: Iterable[int]) -> dict[str, Any]:
    """Return the context of the template for a section, with numbers from the counts."""
    paragraphs = (" ".join(part.split()) for part in section.text.split("\n\n"))
    return {
        "title": section.title,
        "paragraphs": [text for text in paragraphs if text],
        "parameters": {name: _plain(value) for name, value in section.parameters.items()},
        "figures": [
            {"number": number, "caption": caption, **_image(figure)}
            for (caption, figure), number in zip(section.figures.items(), figures, strict=False)
        ],
        "tables": [
            {"number": number, "caption": caption, **_table(frame)}
            for (caption, frame), number in zip(section.tables.items(), tables, strict=False)
        ],
    }


def _image(figure: Figure) -> dict[str, Any]:
    """Return a figure as a data URL, SVG unless that is large, and its size in pixels."""
    buffer, kind = io.BytesIO(), "svg+xml"
    # Without times and random names: the same figure is the same text.
    if _drawing_bytes(figure) > _DRAWING_BYTES:
        kind = "png"
        figure.savefig(buffer, format="png", dpi=_IMAGE_DPI, metadata={"Software": None})
    else:
        with matplotlib.rc_context({"svg.hashsalt": "icedask", "svg.fonttype": "path"}):
            figure.savefig(buffer, format="svg", metadata={"Date": None})
    width, height = figure.get_size_inches() * _PIXELS
    return {
        "source": f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}",
        "width": round(width),
        "height": round(height),
    }


def _drawing_bytes(figure: Figure) -> int:
    """Return the size of a figure as SVG, estimated from its visible artists."""
    return sum(
        _artist_bytes(artist) for artist in figure.findobj(lambda artist: artist.get_visible())
    )


def _artist_bytes(artist: Any) -> int:
    if artist.get_rasterized():
        return _RASTER_BYTES
    if isinstance(artist, Line2D):
        return 250 + 15 * len(artist.get_path())
    if isinstance(artist, Collection):
        points, paths = np.atleast_2d(artist.get_offsets()), artist.get_paths()
        return 250 + 110 * len(points) + 20 * sum(map(len, paths))
    return int(np.size(np.asarray(artist.get_array()))) if isinstance(artist, AxesImage) else 400


def _table(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the columns of a table, with the index, and its rows of columns and texts."""
    units = frame.attrs.get("units", {})
    counted = isinstance(frame.index, pd.RangeIndex) and frame.index.name is None
    indices = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
    series = [] if counted else [pd.Series(index, name=index.name) for index in indices]
    n_heads = len(series)
    series += [frame.iloc[:, place] for place in range(frame.shape[1])]
    columns, texts = [], []
    for place, values in enumerate(series):
        numbers = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        columns.append(
            {
                "name": "" if values.name is None else _plain(values.name),
                "unit": units.get(values.name, ""),
                "kind": "quantity" if numbers else "words",
                "heads_rows": place < n_heads,
            }
        )
        texts.append(_numbers(values) if numbers else [_plain(value) for value in values])
    rows = [list(zip(columns, row, strict=True)) for row in zip(*texts, strict=True)]
    return {"columns": columns, "rows": rows}


def _numbers(values: pd.Series) -> list[str]:
    """Return numbers as texts with equal decimals, enough for the digits of the smallest."""
    known = values.to_numpy(float, na_value=np.nan)
    if pd.api.types.is_integer_dtype(values):
        pairs = zip(known, values, strict=True)
        return [_NOTHING if math.isnan(number) else _signed(str(value)) for number, value in pairs]
    sizes = np.abs(known[(known != 0) & (np.abs(known) < _LARGE)])
    decimals = 1
    if len(sizes):
        smallest, largest = (math.floor(math.log10(size)) for size in (sizes.min(), sizes.max()))
        decimals = min(_DIGITS - 1 - smallest, 2 * _DIGITS - 1 - largest)
        decimals = min(max(decimals, 0), _MOST_DECIMALS)
    return [_number(float(value), decimals) for value in known]


def _number(value: float, decimals: int) -> str:
    if math.isnan(value):
        return _NOTHING
    if math.isinf(value):
        return _signed("∞" if value > 0 else "-∞")
    fits = value == 0 or 10.0**-decimals <= abs(value) < _LARGE
    return _signed(f"{value:.{decimals}f}" if fits else f"{value:.{_DIGITS - 1}e}")


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _plain(value: Any) -> str:
    """Return a value as text."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NaT:
        return _NOTHING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items()) or _NOTHING
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(map(_plain, value)) or _NOTHING
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    return str(value)


class Drawings(dict[str, Figure]):
    """Figures by caption, drawn only if they are wanted."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted

    def add(self, caption: str, draw: Any, *args: Any, when: bool = True, **options: Any) -> None:
        """Add the figure that a function draws from its arguments, under a condition."""
        if self.wanted and when:
            self[caption] = draw(*args, **options)


def trajectory_summary(trj: xr.Dataset) -> str:
    """Return the numbers of atoms by element and of frames, and the time, of a trajectory."""
    elements, counts = np.unique(trj["element"].values.astype(str), return_counts=True)
    atoms = ", ".join(f"{count} {name}" for name, count in zip(elements, counts, strict=True))
    times = trj["time"].values if "time" in trj.variables else np.array([np.nan])
    time = f", {times[0]:g} to {times[-1]:g} ps" if np.isfinite(times).all() else ""
    return f"{trj.sizes[ATOM]} atoms ({atoms}), {trj.sizes[FRAME]} frames{time}"


def collection_summary(members: Mapping[str, xr.Dataset]) -> str:
    """Return the numbers of trajectories, of their frames, and of their atoms."""
    frames = [trj.sizes[FRAME] for trj in members.values()]
    atoms = sorted({trj.sizes[ATOM] for trj in members.values()})
    size = f"{atoms[0]}" if len(atoms) == 1 else f"{atoms[0]} to {atoms[-1]}"
    return f"{len(members)} trajectories of {size} atoms, {sum(frames)} frames"


def atom_name(trj: xr.Dataset, place: int) -> str:
    """Return the index of an atom in the source, and its identifier there if it has one."""
    index = int(trj[ATOM].values[place]) if ATOM in trj.coords else place
    return f"atom {index}" + (f" (id {int(trj['id'].values[place])})" if "id" in trj else "")


def settings_section(settings: Any, store: Path, results: Iterable[xr.Dataset]) -> Section:
    """Return the section of the options of a workflow, a dataclass, and of its saved results.

    Raises StoreError if a result is not in the store.
    """
    runs = [ds.attrs["run_id"] for ds in results]
    return Section(
        "Settings and provenance",
        parameters={**asdict(settings), "store": str(store)},
        tables={
            "Runs: function and parameters of each result, after its parents": provenance(
                store, runs
            ),
            "Packages: versions that wrote the runs": package_versions(store, runs),
        },
    )


def provenance(store: str | os.PathLike[str], runs: Sequence[str]) -> pd.DataFrame:
    """Return the provenance of runs of a store and of their ancestors.

    Parameters
    ----------
    store : path
        The store.
    runs : sequence of str
        Run ids or labels.

    Returns
    -------
    pandas.DataFrame
        Indexed by run_id, each run after its parents: label, function, parameters, parents, seed,
        created and icedask (the version that wrote it; see `package_versions`). Parents that are
        not in the store are listed without label, time and version.

    Raises
    ------
    StoreError
        If there is no store at the path, or no such run in it.
    """
    lineage, stored = _lineage(store, runs)
    rows = []
    for run, identity in lineage.items():
        known = stored.get(run, {})
        parameters = dict(identity["parameters"])
        rows.append(
            {
                "label": known.get("label"),
                "function": identity["function"],
                "seed": parameters.pop("seed", None),
                "parameters": parameters,
                "parents": identity["parents"],
                "created": _readable(known["created"]) if known else None,
                "icedask": known.get("versions", {}).get("icedask"),
            }
        )
    columns = ["label", "function", "parameters", "parents", "seed", "created", "icedask"]
    return pd.DataFrame(rows, list(lineage), columns, dtype=object).rename_axis("run_id")


def package_versions(store: str | os.PathLike[str], runs: Sequence[str]) -> pd.DataFrame:
    """Return the versions of the packages that wrote runs of a store and their ancestors.

    Parameters
    ----------
    store, runs
        As for `provenance`.

    Returns
    -------
    pandas.DataFrame
        Indexed by package: version, or several where runs were written with different ones.

    Raises
    ------
    StoreError
        If there is no store at the path, or no such run in it.
    """
    lineage, stored = _lineage(store, runs)
    names: dict[str, dict[str, None]] = {}
    for run in lineage:
        for package, version in stored.get(run, {}).get("versions", {}).items():
            names.setdefault(package, {})[version] = None
    versions = {package: ", ".join(names[package]) for package in sorted(names)}
    return pd.DataFrame({"version": versions}, dtype=object).rename_axis("package")


def _lineage(
    store: str | os.PathLike[str], runs: Sequence[str]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the identities of runs and their ancestors, parents first, and all stored runs."""
    root = Path(store).resolve()
    ordered: dict[str, Any] = {}

    for run in runs:
        record = record_of(xr.Dataset(attrs=find_run(root, run)[1]))
        identities = {**record.lineage, record.run_id: record.identity}
        parents = {run_id: identity["parents"] for run_id, identity in identities.items()}
        for run_id in (*check_ancestors(record.run_id, parents), record.run_id):
            ordered.setdefault(run_id, identities[run_id])
    return ordered, {attrs["run_id"]: attrs for _, attrs in iter_runs(root)}


def _readable(time: str) -> str:
    return time.replace("T", " ").replace("Z", " UTC")
