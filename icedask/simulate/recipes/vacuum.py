"""Jobs of metals in vacuum at constant temperature."""

from __future__ import annotations

from icedask.errors import InputError
from icedask.simulate.job import Job, Start
from icedask.simulate.potentials import Potential
from icedask.simulate.recipe import Options, make_job, steps_of
from icedask.simulate.stages import Dynamics, Minimise

_SETTLING = 20.0
REFERENCE = "doi:10.1088/2632-2153/ad0fa5"


def in_vacuum(
    name: tuple[str, str],
    phase: str,
    start: Start,
    n_atoms: int,
    potential: Potential,
    temperature: float,
    length: tuple[float, float],
    options: Options,
    *,
    relax: bool = False,
    periodic: bool = True,
) -> Job:
    """Return the job of a crystalline start that vibrates and rearranges at a temperature, K.

    With default length and interval of frames (ps), and `relax` for a start under strain, which
    would heat itself. Raises InputError if the options have a pressure.
    """
    if options.pressure is not None:
        raise InputError(
            f"{name[0]}: pressure: expected none, found {options.pressure:g} bar: vacuum surrounds "
            "the metal; leave the pressure out"
        )
    steps, every = options.frames(*length, potential)
    # Half of the kinetic energy soon becomes potential energy: a crystal without thermal disorder
    # that starts at twice the temperature arrives at it.
    settle = Dynamics(
        "settle", steps_of(_SETTLING, potential), temperature, velocities=2 * temperature
    )
    produce = Dynamics("produce", steps, temperature, every=every)
    return make_job(
        name,
        start,
        n_atoms,
        potential,
        (*([Minimise()] if relax else []), settle, produce),
        options,
        REFERENCE,
        phase=phase,
        periodic=periodic,
    )
