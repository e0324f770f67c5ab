"""Reports: valid HTML that needs nothing else, safe with any text, and where runs come from."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pandas as pd
import pytest
from helpers.systems import system
from matplotlib.figure import Figure

import icedask as ice
from icedask.errors import InputError, StoreError
from icedask.plot.report import (
    Drawings,
    Section,
    atom_name,
    html_report,
    package_versions,
    provenance,
    trajectory_summary,
)
from icedask.plot.style import new_figure
from icedask.store.run_writing import versions

# Elements that have no end tag in HTML5.
VOID = {"meta", "img", "br", "hr", "link", "input"}
NASTY = "<script>alert('x')</script> & \"quotes\" {{ 7 * 7 }} {% raw %}"


class Page(HTMLParser):
    """Elements with their attributes and texts; fails where tags do not match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.append((self.open[-1], data.strip()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]

    def text(self, *tags: str) -> list[str]:
        return [data for name, data in self.texts if name in tags]


def line() -> Figure:
    figure = new_figure(4, 2)
    figure.subplots().plot([0, 1, 2], [1, 0, 2])
    return figure


def cloud() -> Figure:
    figure = new_figure(4, 3)
    figure.subplots().scatter(*np.random.default_rng(0).normal(size=(2, 5000)))
    return figure


def rows(page: Page) -> list[list[str]]:
    """Return the cells of all tables, row by row."""
    result: list[list[str]] = []
    cells = iter(page.text("td", "th"))
    for tag, _ in page.elements:
        if tag == "tr":
            result.append([])
        elif tag in ("td", "th"):
            result[-1].append(next(cells))
    return result


def test_one_valid_file(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [1.5, 2.5]}, index=pd.Index(["x", "y"], name="state"))
    sections = [
        Section("First", "One paragraph,\nin two lines.\n\n\nAnother.", parameters={"r_cut": 4.0}),
        Section("Second", figures={"a line": line(), "a cloud": cloud()}),
        Section("Third", tables={"numbers": table, "the same": table}),
        Section("Fourth", figures={"a line": line()}, tables={"again": table}),
    ]
    path = html_report(tmp_path / "r.html", "Ice", sections, subtitle="2 atoms")
    assert path == (tmp_path / "r.html").resolve()
    page = Page(path)
    assert page.source.startswith("<!DOCTYPE html>\n")
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("meta")[0] == {"charset": "utf-8"}
    assert page.text("title", "h1") == ["Ice", "Ice"]
    subtitle, *paragraphs = page.text("p")
    assert subtitle.startswith("2 atoms; written 20") and subtitle.endswith(" UTC")
    assert paragraphs[:2] == ["One paragraph, in two lines.", "Another."]
    assert (page.text("dt"), page.text("dd")) == (["r_cut"], ["4"])
    # Nothing from elsewhere, and no scripts.
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert "url(" not in page.source and "@import" not in page.source
    assert all((image["src"] or "").startswith("data:image/") for image in page.all("img"))
    # The table of contents leads to what there is.
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [(link["href"] or "").removeprefix("#") for link in page.all("a")]
    assert targets == [f"section-{number}" for number in (1, 2, 3, 4)]
    assert set(targets) <= set(ids)
    named = [attrs["aria-labelledby"] for _, attrs in page.elements if "aria-labelledby" in attrs]
    assert set(named) <= set(ids)
    numbers = ["Figure 1.", "Figure 2.", "Table 1.", "Table 2.", "Figure 3.", "Table 3."]
    assert page.text("span") == numbers


def test_drawings_and_images(tmp_path: Path) -> None:
    figures = {"a line": line(), "a cloud": cloud()}
    path = html_report(tmp_path / "r.html", "Ice", [Section("One", figures=figures)])
    drawing, image = Page(path).all("img")
    kind, content = (drawing["src"] or "").split(",")
    assert kind == "data:image/svg+xml;base64"
    assert b"<svg" in base64.b64decode(content)
    kind, content = (image["src"] or "").split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content).startswith(b"\x89PNG")
    assert (image["alt"], image["width"], image["height"]) == ("a cloud", "384", "288")


def test_each_figure_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []
    savefig = Figure.savefig

    def counted(figure: Figure, *args: Any, **options: Any) -> None:
        kinds.append(options["format"])
        savefig(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", counted)
    figures = {"a line": line(), "a cloud": cloud()}
    html_report(tmp_path / "r.html", "Ice", [Section("One", figures=figures)])
    assert kinds == ["svg", "png"]


def test_rasterized_artists_count_as_images(tmp_path: Path) -> None:
    figure = new_figure(4, 4)
    axes = figure.subplots(2)
    axes[0].scatter([0, 1], [0, 1], rasterized=True)
    section = Section("One", figures={"one": figure})
    (image,) = Page(html_report(tmp_path / "r.html", "Ice", [section])).all("img")
    assert (image["src"] or "").startswith("data:image/svg")
    axes[1].scatter([0, 1], [0, 1], rasterized=True)
    (image,) = Page(html_report(tmp_path / "r.html", "Ice", [section])).all("img")
    assert (image["src"] or "").startswith("data:image/png")


def test_summary_of_a_trajectory() -> None:
    water = ase.Atoms("OH2", np.eye(3))
    trj = ice.from_ase([water] * 3)
    assert trajectory_summary(trj) == "3 atoms (2 H, 1 O), 3 frames"
    timed = trj.assign_coords(time=("frame", [0.5, 1.0, 1.5]))
    assert trajectory_summary(timed) == "3 atoms (2 H, 1 O), 3 frames, 0.5 to 1.5 ps"


def test_name_of_an_atom() -> None:
    trj = ice.from_ase(ase.Atoms("OH2", np.eye(3))).isel(atom=[2, 0])
    assert atom_name(trj, 0) == "atom 2"
    assert atom_name(trj.assign_coords(id=("atom", [3, 1])), 0) == "atom 2 (id 3)"


def test_figures_are_drawn_only_if_wanted() -> None:
    for draw, captions in ((True, ["a line"]), (False, [])):
        figures = Drawings(draw)
        figures.add("a line", line)
        figures.add("a cloud", cloud, when=False)
        assert list(figures) == captions


def test_same_figure_same_text(tmp_path: Path) -> None:
    sources = []
    for name in ("a", "b"):
        path = html_report(tmp_path / name, "Ice", [Section("One", figures={"x": line()})])
        sources.append(Page(path).all("img"))
    assert sources[0] == sources[1]


def test_any_text_is_safe(tmp_path: Path) -> None:
    table = pd.DataFrame({NASTY: [NASTY]}, index=pd.Index([NASTY], name=NASTY))
    table.attrs["units"] = {NASTY: NASTY}
    section = Section(NASTY, NASTY, {NASTY: line()}, {NASTY: table}, {NASTY: NASTY})
    page = Page(html_report(tmp_path / "r.html", NASTY, [section, section]))
    assert not page.all("script")
    for tag in ("title", "h1", "h2", "a", "p", "dt", "dd", "figcaption", "caption", "th", "td"):
        assert NASTY in page.text(tag), tag
    assert [image["alt"] for image in page.all("img")] == [NASTY, NASTY]


def test_numbers_in_tables(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "share": [0.61234, 0.3, -1.234e-5, 0.0],
            "time": [1204.2, 35.1, np.inf, np.nan],
            "count": [1200, -3, 7, 0],
            "large": [2e9, 3.0, 1.0, 0.0],
            "moved": [True, False, True, True],
            "note": ["a", None, ["b", 2], {"r_cut": 6.0}],
        },
        index=pd.Index([0, 1, 2, 10], name="state"),
    )
    table.attrs["units"] = {"time": "picosecond"}
    page = Page(html_report(tmp_path / "r.html", "Ice", [Section("One", tables={"x": table})]))
    minus, none = "\N{MINUS SIGN}", "\N{EN DASH}"
    assert rows(page)[1:] == [
        ["0", "0.6123", "1204.2", "1200", "2.00e+09", "yes", "a"],
        ["1", "0.3000", "35.1", f"{minus}3", "3.00", "no", none],
        ["2", f"{minus}1.23e{minus}05", "∞", "7", "1.00", "yes", "b, 2"],
        ["10", "0.0000", none, "0", "0.00", "yes", "r_cut 6"],
    ]
    assert page.text("span") == ["Table 1.", "picosecond"]
    kinds = [attrs["class"] for attrs in page.all("td")[:6]]
    assert kinds == ["quantity"] * 4 + ["words"] * 2
    assert [attrs["scope"] for attrs in page.all("th")] == ["col"] * 7 + ["row"] * 4


def test_index_that_counts_rows_is_left_out(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [1, 2]})
    two = table.set_index(pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["n", "m"]))
    page = Page(html_report(tmp_path / "r", "Ice", [Section("One", tables={"x": table, "y": two})]))
    assert rows(page) == [["a"], ["1"], ["2"], ["n", "m", "a"], ["x", "1", "1"], ["y", "2", "2"]]


def test_whole_or_not_at_all(tmp_path: Path) -> None:
    path = html_report(tmp_path / "r.html", "Ice", [])
    before = path.read_text()

    class Broken(Figure):
        def savefig(self, *args: Any, **kwargs: Any) -> None:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        html_report(path, "Water", [Section("One", figures={"x": Broken()})])
    assert path.read_text() == before
    html_report(path, "Water", [])
    assert "Water" in path.read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        html_report(tmp_path / "none" / "r.html", "Ice", [])
    with pytest.raises(InputError, match="found the folder"):
        html_report(tmp_path, "Ice", [])
    with pytest.raises(InputError, match="expected a Section, found str"):
        html_report(tmp_path / "r.html", "Ice", ["One"])  # type: ignore[list-item]
    wrong: dict[str, Any] = {"x": [1, 2]}
    with pytest.raises(InputError, match="'One', tables: expected a DataFrame for 'x', found list"):
        html_report(tmp_path / "r.html", "Ice", [Section("One", tables=wrong)])


def test_provenance(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    trj = ice.from_ase([system("orthogonal")] * 2)
    trj["positions"][1] += 0.1
    soap = ice.soap(trj, r_cut=4.0, n_max=2, l_max=2)
    latent = ice.save(ice.PCA(2).fit_transform(soap), store)
    model = ice.HDBSCAN(20, sample_size=300, seed=7).fit(latent)
    ice.save(model, store)
    labels = ice.save(model.predict(latent), store, label="states")
    runs = provenance(store, ["states", latent.attrs["run_id"]])
    run_ids = list(runs.index)
    functions = ["descriptors/soap", "models/pca", "results/pca", "models/hdbscan"]
    assert list(runs["function"]) == [*functions, "results/hdbscan"]
    assert run_ids[0] == soap.attrs["run_id"] and run_ids[-1] == labels.attrs["run_id"]
    for place, parents in enumerate(runs["parents"]):
        assert set(parents) <= set(run_ids[:place])
    assert runs["parameters"].iloc[0]["r_cut"] == 4.0
    assert list(runs["seed"]) == [None, None, None, 7, None]
    assert list(runs["label"]) == [None] * 4 + ["states"]
    assert list(runs["icedask"]) == [None, None, *[ice.__version__] * 3]
    assert runs["created"].iloc[0] is None and runs["created"].iloc[-1].endswith(" UTC")
    packages = package_versions(store, ["states"])
    assert packages["version"].to_dict() == versions()
    tables = {"Runs.": runs, "Packages.": packages}
    page = Page(html_report(tmp_path / "r.html", "Ice", [Section("Runs", tables=tables)]))
    assert rows(page)[5][0] == labels.attrs["run_id"]
    with pytest.raises(StoreError, match="no run 'nothing'"):
        provenance(store, ["nothing"])
