"""Crystals, the liquid and glasses of water, to train and test a classifier on whole trajectories.

Glasses are cold. Were all crystals warm, the width of the vibrations would tell glasses from
crystals, and a classifier could learn that in place of the structure. So the state of a crystal or
of the liquid changes with the seed: warm where the phase lasts, cold as the glasses, between them,
and last as it is recovered at 1 bar; from the fifth seed on again. A state that is asked for is
that of all replicas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from icedask.simulate.job import Job
from icedask.simulate.recipe import Options, Recipe
from icedask.simulate.recipes import amorphous, ice_phases

_REFERENCE = ice_phases.RECIPE.reference

_State = tuple[float, float]  # K and bar

# Ices of high pressure, recovered at 1 bar and 77 K, last there for years; here at 100 K.
STATES: Mapping[str, Sequence[_State]] = {
    "Ih": ((250.0, 1.0), (80.0, 1.0), (180.0, 1.0), (100.0, 1.0)),
    "Ic": ((250.0, 1.0), (80.0, 1.0), (180.0, 1.0), (100.0, 1.0)),
    "II": ((200.0, 3_000.0), (80.0, 3_000.0), (140.0, 3_000.0), (100.0, 1.0)),
    "III": ((250.0, 3_000.0), (80.0, 3_000.0), (170.0, 3_000.0), (100.0, 1.0)),
    "V": ((250.0, 5_000.0), (80.0, 5_000.0), (170.0, 5_000.0), (100.0, 1.0)),
    # Colder, it takes longer to equilibrate than a replica takes.
    "water": ((300.0, 1.0), (260.0, 1.0), (280.0, 1.0), (270.0, 1.0)),
}
_LIQUID_SETTLES = 60.0
# None of the nine: a classifier should find them unknown.
_UNKNOWN = ("VI", "VII", "sI")


def crystal(phase: str, options: Options) -> Job:
    """Return the job of a crystal, at the state of its seed."""
    return _named(phase, ice_phases.crystal(phase, _at_state(phase, options)))


def water(options: Options) -> Job:
    """Return the job of the liquid, at the state of its seed."""
    return _named("water", ice_phases.water(_at_state("water", options), _LIQUID_SETTLES))


def unknown(phase: str, options: Options) -> Job:
    """Return the job of a crystal that is none of the classes."""
    return _named(phase, ice_phases.crystal(phase, options))


def lda(options: Options) -> Job:
    """Return the job of LDA: of the liquid under tension, in the published size slowly cooled."""
    make = options.sized(amorphous.lda_stretched, amorphous.lda)
    return _named("LDA", make(options))


def mda(options: Options) -> Job:
    """Return the job of MDA."""
    return _named("MDA", amorphous.mda(options))


def hda(options: Options) -> Job:
    """Return the job of HDA: of the liquid under pressure, in the published size of Ih."""
    make = options.sized(amorphous.hda_vitrified, amorphous.hda)
    return _named("HDA", make(options))


def _at_state(phase: str, options: Options) -> Options:
    """Return options with the state of their seed, where none is asked for."""
    states = STATES[phase]
    temperature, pressure = options.state(*states[options.seed % len(states)])
    return replace(options, temperature=temperature, pressure=pressure)


def _named(system: str, job: Job) -> Job:
    return replace(job, recipe="water-classes", system=system)


_CRYSTALS = tuple(phase for phase in STATES if phase != "water")

RECIPE = Recipe(
    name="water-classes",
    summary="nine classes of water for classifiers: ices at states that change with the seed, "
    "warm and as cold as the glasses, the liquid, LDA, MDA and HDA as the recipe amorphous makes "
    "them; VI, VII and sI, which are none of the nine; TIP4P/Ice, O and H",
    systems={
        **{phase: partial(crystal, phase) for phase in _CRYSTALS},
        "water": water,
        "LDA": lda,
        "MDA": mda,
        "HDA": hda,
        **{phase: partial(unknown, phase) for phase in _UNKNOWN},
    },
    default=(*_CRYSTALS, "water", "LDA", "MDA", "HDA"),
    reference=_REFERENCE,
)
