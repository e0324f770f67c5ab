"""An icosahedron of 309 gold atoms, whose vertices and surface rearrange below melting."""

from __future__ import annotations

from functools import partial

from icedask.simulate.job import Job, Start
from icedask.simulate.potentials import AU_GUPTA
from icedask.simulate.recipe import Options, Recipe
from icedask.simulate.recipes.vacuum import Length, in_vacuum

_REFERENCE = "doi:10.1088/2632-2153/ad0fa5"
_N = 309
_PUBLISHED = Length(2_000_000.0, 1000.0)
_MINUTES = Length(8_000.0, 40.0)


def cluster(system: str, temperature: float, options: Options) -> Job:
    """Return the job of the icosahedron at a temperature, K, which the options may change."""
    if options.temperature is not None:
        temperature = options.temperature
    return in_vacuum(
        ("au309", system),
        phase="Au309 icosahedron",
        start=Start("icosahedron", {"element": "Au", "shells": 4, "a": 4.079}),
        n_atoms=_N,
        potential=AU_GUPTA,
        temperature=temperature,
        length=_PUBLISHED if options.published else _MINUTES,
        options=options,
        reference=_REFERENCE,
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
    reference=_REFERENCE,
)
