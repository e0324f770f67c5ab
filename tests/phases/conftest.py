"""Networks and classifiers that are made once."""

from __future__ import annotations

import pytest

import icedask as ice


@pytest.fixture(scope="session")
def ices() -> ice.Phases:
    """The seven ices of the shipped denoiser."""
    return ice.Phases.ices()


@pytest.fixture(scope="session")
def shipped() -> ice.Denoiser:
    """The denoiser of ices; not to be changed."""
    return ice.Denoiser.shipped()


@pytest.fixture(scope="session")
def classifier(ices: ice.Phases, shipped: ice.Denoiser) -> ice.PhaseClassifier:
    """A classifier of the seven ices after denoising; not to be changed."""
    return ice.PhaseClassifier().fit(ices, shipped)
