"""Planted clusters and their map, which takes seconds, shared with the tests of estimators."""

from learn.conftest import clusters, few_steps, fitted_map

__all__ = ["clusters", "few_steps", "fitted_map"]
