"""The rule of words: docstrings, identifiers and helps in the terms of the field."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Words that stand where the field has a term: broadcast, threshold, all-reduce, resume, group by.
RIDDLES = re.compile(
    r"\b(tell|tells|told|say|says|said|speak|speaks|spoken|anew|nobody|whoever|those of)\b"
    r"|\bwhat\b.*\bis\b",
    re.IGNORECASE,
)
FRAGMENTS = {"tell", "told", "say", "said", "speak", "anew", "nobody", "whoever"}
VAGUE = {"one", "found", "some", "given"}
# Names of variables that fit all the same, as "path:name".
FITTING: set[str] = set()

Finding = tuple[Path, int, str]


def folders() -> list[str]:
    """Folders with Python files, as paths from the root of the repository."""
    files = [*ROOT.glob("icedask/**/*.py"), *ROOT.glob("tests/**/*.py")]
    return sorted({path.parent.relative_to(ROOT).as_posix() for path in files})


@cache
def trees(folder: str) -> list[tuple[Path, ast.Module]]:
    """Syntax tree of every file of a folder, not of the folders in it."""
    paths = sorted((ROOT / folder).glob("*.py"))
    return [(path.relative_to(ROOT), ast.parse(path.read_text())) for path in paths]


def nodes(folder: str) -> Iterator[tuple[Path, ast.AST]]:
    """Every node of every file of a folder."""
    for path, tree in trees(folder):
        for node in ast.walk(tree):
            yield path, node


def variables(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Names that a node binds as a variable or an argument."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.lineno, node.id
    elif isinstance(node, ast.arg):
        yield node.lineno, node.arg
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.lineno, node.attr


def bound(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Names that a node defines: functions, classes, variables, arguments, attributes."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.lineno, node.name
    yield from variables(node)


def helps(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of the help that a call of Option or of click's decorators declares."""
    if not isinstance(node, ast.Call):
        return
    called = ast.unparse(node.func)
    texts = [keyword.value for keyword in node.keywords if keyword.arg == "help"]
    if called == "Option":
        texts += node.args[:1]
    elif called.rpartition(".")[2] not in ("option", "argument"):
        return
    for text in texts:
        if isinstance(text, ast.Constant | ast.JoinedStr):
            yield node.lineno, literal(text)


def literal(text: ast.Constant | ast.JoinedStr) -> str:
    """Text of a literal, with dots for each value of an f-string."""
    if isinstance(text, ast.Constant):
        return str(text.value)
    return "".join(str(v.value) if isinstance(v, ast.Constant) else "..." for v in text.values)


def fault(text: str) -> str:
    """Fault of a help, empty for a full phrase and for the name of a field of a tuple."""
    if not text:
        return "empty"
    if re.match(r"(Of|As|Between)\b", text):
        return "begins in the middle of a phrase"
    return "" if text.isidentifier() or re.search(r"\.( \[.+\])?$", text) else "no full stop"


def words(identifier: str) -> set[str]:
    """Words of an identifier, between underscores and capitals."""
    return set(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", identifier).lower().split("_"))


def expect_none(findings: list[Finding]) -> None:
    """Fail with file, line and text of each finding."""
    if findings:
        lines = sorted(f"{path}:{line}: {text}" for path, line, text in findings)
        pytest.fail("\n".join([f"{len(lines)} to rewrite:", *lines]), pytrace=False)


@pytest.mark.parametrize("folder", folders())
def test_first_lines_name_the_thing(folder: str) -> None:
    findings = []
    for path, node in nodes(folder):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            match = RIDDLES.search(first)
            if match:
                findings.append((path, getattr(node, "lineno", 1), f"{match[0]!r} in {first!r}"))
    expect_none(findings)


@pytest.mark.parametrize("folder", folders())
def test_identifiers_use_the_terms_of_the_field(folder: str) -> None:
    findings = [(path, 1, path.stem) for path, _ in trees(folder) if words(path.stem) & FRAGMENTS]
    for path, node in nodes(folder):
        findings += [(path, line, name) for line, name in bound(node) if words(name) & FRAGMENTS]
    expect_none(findings)


@pytest.mark.parametrize("folder", folders())
def test_variables_are_named_after_their_values(folder: str) -> None:
    findings = [
        (path, line, name)
        for path, node in nodes(folder)
        for line, name in variables(node)
        if name in VAGUE and f"{path.as_posix()}:{name}" not in FITTING
    ]
    expect_none(findings)


@pytest.mark.parametrize("folder", [name for name in folders() if name.startswith("icedask")])
def test_helps_are_phrases_with_a_full_stop(folder: str) -> None:
    findings = [
        (path, line, f"{fault(text)}: {text!r}")
        for path, node in nodes(folder)
        for line, text in helps(node)
        if fault(text)
    ]
    expect_none(findings)
