"""The recipes, by name; a new recipe is one new file."""

from __future__ import annotations

import importlib
from functools import cache

from icedask.errors import InputError
from icedask.simulate.recipe import Recipe

_MODULES = (
    "nucleation",
    "ice_phases",
    "ice_water",
    "amorphous",
    "water_classes",
    "metals",
    "cu211",
    "au309",
)


@cache
def recipes() -> dict[str, Recipe]:
    """Return all recipes by name."""
    loaded = [importlib.import_module(f"{__name__}.{module}").RECIPE for module in _MODULES]
    return {recipe.name: recipe for recipe in loaded}


def recipe_named(name: str) -> Recipe:
    """Return a recipe.

    Raises InputError if there is none of that name.
    """
    if name not in recipes():
        raise InputError(f"recipe: expected one of {', '.join(recipes())}, found {name!r}")
    return recipes()[name]
