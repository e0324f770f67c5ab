"""Resolve deploy/constraints.txt for every Python that pyproject.toml names.

Run with uv on the path (`pip install uv`):  python deploy/make_constraints.py [-U | -P PACKAGE ...]

Only metadata is read, nothing is installed, and no interpreter but this one is needed. Versions
in the file stay where they still resolve; -P (or -U) lets one (or all) of them move to the newest.
A version is taken only where it has a wheel for Linux on x86_64, glibc 2.36, on that Python.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
CONSTRAINTS = HERE / "constraints.txt"
HEADER = "# Versions that were resolved together: pip install -c deploy/constraints.txt ...\n"
# torch's metadata on the index is that of its CUDA build: its pin, and what its CPU build needs.
# MDAnalysisTests has no wheel, and needs nothing but what is here.
BY_HAND = {
    "torch": ["filelock", "fsspec", "jinja2", "networkx", "sympy", "typing-extensions"],
    "mdanalysistests": ["hypothesis", "MDAnalysis", "pytest"],
}


def canonical(requirement: str) -> str:
    """Name of a requirement's package, in the form that compares equal."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def requirements(project: dict) -> list[str]:
    """Dependencies with all extras, those resolved by hand replaced by what they need."""
    listed = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        listed += [line for line in extra if canonical(line) != project["name"]]
    return [new for line in listed for new in BY_HAND.get(canonical(line), [line])]


def holds(marker: str, python: str) -> bool:
    """Truth of a marker of the form that `merged` writes."""
    if not marker:
        return True
    minor = int(python.split(".")[1])
    tests = {"<": minor.__lt__, ">=": minor.__ge__, "==": minor.__eq__}
    comparisons = re.findall(r'python_version (<|>=|==) "3\.(\d+)"', marker)
    return all(tests[operator](int(bound)) for operator, bound in comparisons)


def pins(python: str) -> dict[str, str]:
    """Lines `package==version` of the present file that hold on a Python, by name."""
    lines = [line.split("#")[0].partition(";") for line in CONSTRAINTS.read_text().splitlines()]
    return {
        canonical(pin): pin.strip() for pin, _, marker in lines if pin and holds(marker, python)
    }


def resolved(python: str, wanted: list[str], options: list[str]) -> dict[str, str]:
    """Lines `package==version` for one Python, by name."""
    kept = pins(python)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.txt"), Path(folder, "out.txt")
        source.write_text("\n".join(wanted))
        target.write_text("\n".join(kept.values()))
        command = ["uv", "pip", "compile", source, "-o", target, "--python-version", python]
        command += ["--python-platform", "x86_64-manylinux_2_36", "--no-build", "--quiet"]
        command += ["--no-python-downloads", "--no-annotate", "--no-header", *options]
        subprocess.run(command, check=True)
        found = {canonical(line): line for line in target.read_text().splitlines()}
    # The spelling of the file stays, so that a change of it shows versions only.
    spelled = {name: kept[name].split("==")[0] if name in kept else name for name in found}
    new = {name: f"{spelled[name]}=={line.split('==')[1]}" for name, line in found.items()}
    return new | {name: kept[name] for name in BY_HAND if name in kept}


def merged(by_python: dict[str, dict[str, str]]) -> list[str]:
    """Lines of the file: a marker where a version does not hold on every Python."""
    pythons = list(by_python)
    lines = []
    for name in sorted(set().union(*by_python.values())):
        versions = [by_python[python].get(name) for python in pythons]
        for version in dict.fromkeys(version for version in versions if version):
            first = versions.index(version)
            last = len(versions) - 1 - versions[::-1].index(version)
            assert set(versions[first : last + 1]) == {version}, name
            bounds = [f'python_version >= "{pythons[first]}"'] if first else []
            if last + 1 < len(pythons):
                bounds.append(f'python_version < "{pythons[last + 1]}"')
            lines.append(" ; ".join([version, " and ".join(bounds)]) if bounds else version)
    return lines


def main() -> None:
    """Write the file."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    pythons = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    wanted = requirements(project)
    by_python = {python: resolved(python, wanted, sys.argv[1:]) for python in pythons}
    CONSTRAINTS.write_text(HEADER + "\n".join(merged(by_python)) + "\n")


if __name__ == "__main__":
    main()
