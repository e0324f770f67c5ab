"""A report: one HTML file of text, figures and tables that needs nothing else to be read."""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from matplotlib.figure import Figure

from icedask import __version__
from icedask.core.provenance import now, record_of
from icedask.errors import InputError
from icedask.store.runs import find_run, iter_runs

# A drawing of more is smaller as an image.
_DRAWING_BYTES = 150_000
# Points per inch of the images: sharp on screens of two pixels per point.
_IMAGE_DPI = 192
# CSS counts 96 pixels per inch.
_PIXELS = 96
# Significant digits at least, and decimals at most, of the numbers in a table.
_DIGITS = 3
_MOST_DECIMALS = 4
# From here on with an exponent.
_LARGE = 1e7
_NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Section:
    """A part of a report; everything but the title may be left out.

    Attributes
    ----------
    title : str
    text : str
        Plain; an empty line begins a new paragraph.
    figures : mapping of str to matplotlib.figure.Figure
        By their captions, which also stand for them where they cannot be seen.
    tables : mapping of str to pandas.DataFrame
        By their captions. The index is shown unless it only counts rows; units of columns are
        taken from `attrs["units"]`, a mapping by column.
    parameters : mapping
        Names and values.
    """

    title: str
    text: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


def html_report(path: str | os.PathLike[str], title: str, sections: Sequence[Section]) -> Path:
    """Write a report into one HTML file, which appears whole or not at all.

    Parameters
    ----------
    path : path
        The file; one that exists is replaced.
    title : str
        Of the report.
    sections : sequence of Section
        What is in it.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        If there is no folder for the file, or a section holds something else than it should.
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
    text = template.render(
        title=title, sections=shown, version=__version__, written=_readable(now())
    )
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
    """Return what the template needs of a section; numbers are taken from the counts."""
    parts = (" ".join(part.split()) for part in section.text.split("\n\n"))
    return {
        "title": section.title,
        "paragraphs": [part for part in parts if part],
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
    """Return a figure as a data URL, a drawing if that is small, and its size in pixels."""
    # Without times and random names: the same figure is the same text.
    with matplotlib.rc_context({"svg.hashsalt": "icedask", "svg.fonttype": "path"}):
        kind, content = "svg+xml", _saved(figure, "svg", metadata={"Date": None})
    if len(content) > _DRAWING_BYTES:
        kind, content = "png", _saved(figure, "png", dpi=_IMAGE_DPI, metadata={"Software": None})
    width, height = figure.get_size_inches() * _PIXELS
    return {
        "source": f"data:image/{kind};base64,{base64.b64encode(content).decode()}",
        "width": round(width),
        "height": round(height),
    }


def _saved(figure: Figure, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def _table(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the columns of a table, the index among them, and its rows of columns and texts."""
    units = frame.attrs.get("units", {})
    heads = 0 if isinstance(frame.index, pd.RangeIndex) and frame.index.name is None else 1
    indices = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
    series = [pd.Series(index, name=index.name) for index in indices] if heads else []
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
    """Return numbers, all with as many decimals as show the digits of the smallest."""
    known = values.to_numpy(float, na_value=np.nan)
    if pd.api.types.is_integer_dtype(values):
        pairs = zip(known, values, strict=True)
        return [_NOTHING if math.isnan(one) else _signed(str(value)) for one, value in pairs]
    sizes = np.abs(known[(known != 0) & (np.abs(known) < _LARGE)])
    decimals = 1
    if len(sizes):
        smallest, largest = (math.floor(math.log10(one)) for one in (sizes.min(), sizes.max()))
        decimals = min(_DIGITS - 1 - smallest, 2 * _DIGITS - 1 - largest)
        decimals = min(max(decimals, 0), _MOST_DECIMALS)
    return [_number(float(one), decimals) for one in known]


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
    """Return a value as words."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NaT:
        return _NOTHING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items()) or _NOTHING
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(_plain(one) for one in value) or _NOTHING
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    return str(value)


def provenance(store: str | os.PathLike[str], runs: Sequence[str]) -> pd.DataFrame:
    """Say how some runs of a store were computed, and what they were computed from.

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
        not in the store are among them, without label, time and version.

    Raises
    ------
    StoreError
        If there is no store at the path, or no such run in it.
    """
    rows: dict[str, dict[str, Any]] = {}
    for run, lineage, stored in _lines(store, runs):
        _add_run(rows, run, lineage, stored)
    columns = ["label", "function", "parameters", "parents", "seed", "created", "icedask"]
    frame = pd.DataFrame(list(rows.values()), list(rows), columns, dtype=object)
    return frame.rename_axis("run_id")


def package_versions(store: str | os.PathLike[str], runs: Sequence[str]) -> pd.DataFrame:
    """Say which packages wrote some runs of a store, and what they were computed from.

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
    found: dict[str, dict[str, None]] = {}
    for _, lineage, stored in _lines(store, runs):
        for run in lineage:
            for package, version in stored.get(run, {}).get("versions", {}).items():
                found.setdefault(package, {})[version] = None
    versions = {package: ", ".join(found[package]) for package in sorted(found)}
    return pd.DataFrame({"version": versions}, dtype=object).rename_axis("package")


def _lines(
    store: str | os.PathLike[str], runs: Sequence[str]
) -> list[tuple[str, dict[str, Any], dict[str, dict[str, Any]]]]:
    """Return of each run its id, the identities of it and its ancestors, and all stored runs."""
    root = Path(store).resolve()
    wanted = [find_run(root, run)[1] for run in runs]
    stored = {attrs["run_id"]: attrs for _, attrs in iter_runs(root)}
    lines = []
    for attrs in wanted:
        record = record_of(xr.Dataset(attrs=attrs))
        identities = {**record.lineage, record.run_id: record.identity}
        lines.append((record.run_id, identities, stored))
    return lines


def _add_run(
    rows: dict[str, dict[str, Any]],
    run: str,
    lineage: Mapping[str, Any],
    stored: Mapping[str, Mapping[str, Any]],
) -> None:
    """Add the row of a run, after those of its parents."""
    if run in rows:
        return
    for parent in lineage[run]["parents"]:
        _add_run(rows, parent, lineage, stored)
    known = stored.get(run, {})
    parameters = dict(lineage[run]["parameters"])
    rows[run] = {
        "label": known.get("label"),
        "function": lineage[run]["function"],
        "seed": parameters.pop("seed", None),
        "parameters": parameters,
        "parents": lineage[run]["parents"],
        "created": _readable(known["created"]) if known else None,
        "icedask": known.get("versions", {}).get("icedask"),
    }


def _readable(time: str) -> str:
    return time.replace("T", " ").replace("Z", " UTC")
