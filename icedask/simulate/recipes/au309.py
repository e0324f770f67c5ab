"""An icosahedron of 309 gold atoms, whose vertices and surface rearrange below melting."""

from __future__ import annotations

from functools import partial

from icedask.simulate.job import Job, Start
from icedask.simulate.potentials import AU_GUPTA
from icedask.simulate.recipe import Options, Recipe
from icedask.simulate.recipes.vacuum import REFERENCE, in_vacuum

# Length and interval, ps.
_PUBLISHED = (2_000_000.0, 1000.0)
_MINUTES = (8_000.0, 40.0)


def cluster(system: str, temperature: float, options: Options) -> Job:
    """Return the job of the icosahedron at a default temperature, K."""
    return in_vacuum(
        ("au309", system),
        "Au309 icosahedron",
        Start("icosahedron", {"element": "Au", "shells": 4, "a": 4.079}),
        309,
        AU_GUPTA,
        options.temperature or temperature,
        options.sized(_MINUTES, _PUBLISHED),
        options,
        # The shells of an ideal icosahedron are strained: let go, they heat it by 300 K.
        relax=True,
        periodic=False,
    )


RECIPE = Recipe(
    name="au309",
    summary="Au309 icosahedron, Gupta potential: at 400 K surface atoms move within 8 ns; at "
    "200 K it is static for a nanosecond (published: 2 microseconds)",
    systems={"200K": partial(cluster, "200K", 200.0), "400K": partial(cluster, "400K", 400.0)},
    default=("400K",),
    reference=REFERENCE,
)
