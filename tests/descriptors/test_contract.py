"""All descriptors of the registry keep the promises of `helpers.contract`."""

from __future__ import annotations

import pytest
from helpers.contract import PROMISES

from icedask.descriptors import registry


@pytest.mark.parametrize("name", registry())
@pytest.mark.parametrize("promise", PROMISES)
def test_promise(promise: str, name: str) -> None:
    PROMISES[promise](registry()[name])
