"""What the metals have in common: a system in vacuum at constant temperature."""

from __future__ import annotations

from dataclasses import dataclass

from icedask.errors import InputError
from icedask.simulate.job import Job, Start
from icedask.simulate.potentials import Potential
from icedask.simulate.recipe import Options, frame_steps, steps_of
from icedask.simulate.stages import Dynamics, Minimise

_SETTLING = 20.0


@dataclass(frozen=True)
class Length:
    """How long a trajectory is.

    Attributes
    ----------
    total, interval
        Picoseconds in all, and between frames.
    """

    total: float
    interval: float


def in_vacuum(
    job_name: tuple[str, str],
    phase: str,
    start: Start,
    n_atoms: int,
    potential: Potential,
    temperature: float,
    length: Length,
    options: Options,
    reference: str,
    *,
    relax: bool,
    periodic: bool,
) -> Job:
    """Return the job of a crystalline start that vibrates and rearranges at one temperature.

    Parameters
    ----------
    job_name
        Recipe and system.
    phase
        The label of what it is.
    start, n_atoms, potential
        The start structure and its interactions.
    temperature
        K.
    length
        Where the options leave it open.
    options, reference
        Of the recipe.
    relax
        Minimise the energy first: where the start is under strain, which would heat it.
    periodic
        Whether it has a cell.

    Raises
    ------
    InputError
        If the options ask for a pressure.
    """
    recipe, system = job_name
    if options.pressure is not None:
        raise InputError(
            f"{recipe}: pressure: expected none, found {options.pressure:g} bar: vacuum surrounds "
            "the metal; leave the pressure out"
        )
    steps, every = frame_steps(
        length.total if options.length is None else options.length,
        length.interval if options.interval is None else options.interval,
        potential,
    )
    # Half of the kinetic energy soon becomes potential energy: a crystal without thermal disorder
    # that starts at twice the temperature arrives at it.
    settle = Dynamics(
        "settle", steps_of(_SETTLING, potential), temperature, velocities=2 * temperature
    )
    produce = Dynamics("produce", steps, temperature, every=every)
    return Job(
        recipe=recipe,
        system=system,
        start=start,
        n_atoms=n_atoms,
        potential=potential,
        stages=(Minimise(), settle, produce) if relax else (settle, produce),
        seed=options.seed,
        labels={
            "phase": phase,
            "temperature": temperature,
            "model": potential.name,
            "seed": options.seed,
        },
        periodic=periodic,
        reference=reference,
    )
