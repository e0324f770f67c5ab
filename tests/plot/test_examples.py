import doctest

import pytest

from icedask import plot


@pytest.mark.parametrize("name", plot.__all__)
def test_examples_run(name: str) -> None:
    finder = doctest.DocTestFinder(recurse=False)
    for test in finder.find(getattr(plot, name), name, globs={}):
        assert doctest.DocTestRunner().run(test).failed == 0
