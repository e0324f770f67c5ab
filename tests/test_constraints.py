"""The constraints pin what pyproject.toml asks for, once for each Python that it names."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))


def pins(python: str) -> list[tuple[str, str]]:
    """Name and version of every pin that holds on a Python."""
    lines = (ROOT / "deploy" / "constraints.txt").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if not line.startswith("#")]
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    return [
        (canonicalize_name(pin.name), str(pin.specifier).removeprefix("=="))
        for pin in pinned
        if pin.marker is None or pin.marker.evaluate(environment)
    ]


def requirements() -> list[Requirement]:
    """Dependencies of the package and of all extras."""
    extras = PROJECT["optional-dependencies"].values()
    listed = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    parsed = [Requirement(line) for line in listed]
    return [requirement for requirement in parsed if requirement.name != PROJECT["name"]]


def test_pythons_begin_with_the_oldest_supported() -> None:
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert len(PYTHONS) == len(set(PYTHONS))


@pytest.mark.parametrize("python", PYTHONS)
def test_one_pin_for_each_requirement(python: str) -> None:
    pinned = pins(python)
    assert [name for name, count in Counter(name for name, _ in pinned).items() if count > 1] == []
    versions = dict(pinned)
    for requirement in requirements():
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), (requirement, version)
