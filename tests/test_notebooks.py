"""The notebooks: names, links, and every cell from the first to the last."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import icedask as ice
from icedask import plot

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


def read(name: str) -> Any:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def code(cell: Any) -> ast.Module:
    """Syntax tree of a cell, without the lines that are IPython's."""
    return ast.parse(re.sub(r"^%.*$", "", cell.source, flags=re.MULTILINE))


def execute(name: str, folder: Path) -> Any:
    settings = {"metadata": {"path": str(folder)}}
    return NotebookClient(read(name), timeout=900, resources=settings).execute()


def shows(cell: Any) -> str:
    """Type of the output that a cell must have: an image where it draws, text where it prints."""
    last = code(cell).body[-1]
    if not isinstance(last, ast.Expr) or isinstance(last.value, ast.IfExp):
        return ""
    text = ast.unparse(last)
    if text.startswith("plot.") or text == "plt.show()":
        return "image/png"
    return "" if re.search(r"\.(scale|close|savefig|suptitle)\(", text) else "text/plain"


def expect_outputs(notebook: Any) -> None:
    """Every cell that ends in an expression shows it."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
        kinds |= {"text/plain" for output in cell.outputs if output.output_type == "stream"}
        assert not shows(cell) or shows(cell) in kinds, cell.source


@pytest.mark.parametrize("name", NAMES)
def test_names_and_links_are_there(name: str) -> None:
    for cell in read(name).cells:
        if cell.cell_type == "markdown":
            for link in re.findall(r"\]\(([^)#:]+)\)", cell.source):
                assert (NOTEBOOKS / link).exists(), link
            continue
        for node in ast.walk(code(cell)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                owner = {"ice": ice, "plot": plot}.get(node.value.id)
                assert owner is None or hasattr(owner, node.attr), ast.unparse(node)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "cluster"])
def test_every_cell_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.delenv("ICEDASK_CASE_STUDIES", raising=False)
    expect_outputs(execute(name, tmp_path))


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_every_cell_runs_on_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEDASK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    expect_outputs(execute("cluster", tmp_path))
    # The cluster is ended: no file of a scheduler is left.
    assert not list((tmp_path / "home" / "clusters").glob("*/scheduler.json"))
    assert os.listdir(tmp_path / "freezing.zarr")
