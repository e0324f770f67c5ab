"""Checks of the phase at the end of a simulation.

Each takes a trajectory, of which the last frames count, and the phase that it would be labelled
with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from icedask.errors import InputError
from icedask.simulate.measures import (
    ICES,
    LATTICES,
    chill_shares,
    coordination,
    density,
    displacement,
    lattice_shares,
    oxygens,
    radial_distribution,
    soap_distances,
    turning,
)

_FRAMES = 10

# CHILL+ classes of each crystal that it knows.
_CHILL_PHASES = {"Ih": "hexagonal_ice", "Ic": "cubic_ice", "sI": "hydrate"}
# At 250 K TIP4P/Ice has 0.97 to 1.00 of its molecules in the class of its crystal.
_CRYSTAL_SHARE = 0.8
_LIQUID_ICE = 0.1
# Distance to the nearest ideal structure over that to the second nearest. In 12 ps of TIP4P/Ice at
# the state points of the ices it is 0.03 to 0.22, in the liquid 0.8.
_NEAREST = 0.6
# In 10 ps oxygens of ices at up to 300 K move by 0.3 to 0.6 angstrom, those of the liquid by 2.8.
_SOLID_MOVES = 1.0

# Mean cosine between bonds some picoseconds apart: 0.13 after one of a plastic crystal at 450 K.
_TURNED = 0.2


@dataclass(frozen=True)
class Verdict:
    """Result of a check: phase, or None where a condition fails; measured values; conditions."""

    phase: str | None
    values: Mapping[str, float]
    reason: str


@dataclass(frozen=True)
class Glass:
    """Bounds for an amorphous ice at 1 bar."""

    density: tuple[float, float]  # Bounds of the density, g/cm3
    coordination: tuple[float, float]  # Bounds of the number of oxygens within 3.4 angstrom
    ice: float  # Largest share of molecules in the classes of ice or hydrate of CHILL+


# Densities at 1 bar: 0.94 and 1.17 g/cm3 of LDA and HDA (Mishima, Calvert and Whalley, Nature 314,
# 76 (1985), doi:10.1038/314076a0), 1.06 +- 0.06 of MDA (Rosu-Finsen et al., Science 379, 474
# (2023), doi:10.1126/science.abq2105); the bounds are this error, and 0.04 to 0.05 for what the
# model and the making change. LDA is a tetrahedral network, four neighbours; HDA has about one more
# between the shells, beyond 3.1 angstrom (Finney et al., Phys. Rev. Lett. 88, 225503 (2002),
# doi:10.1103/PhysRevLett.88.225503; Bowron et al., J. Chem. Phys. 125, 194502 (2006),
# doi:10.1063/1.2378921); MDA is like the liquid, 4.7 in TIP4P/Ice. Slowly made LDA may be partly
# crystalline, hence its larger share of ice.
GLASSES: Mapping[str, Glass] = {
    "LDA": Glass((0.90, 0.98), (3.8, 4.4), 0.2),
    "MDA": Glass((1.00, 1.12), (4.3, 5.1), 0.1),
    "HDA": Glass((1.12, 1.22), (4.6, 6.2), 0.1),
}
_COORDINATION_WITHIN = 3.4
# 2.75 angstrom in LDA, 2.78 in HDA (Mariedahl et al., J. Phys. Chem. B 122, 7616 (2018),
# doi:10.1021/acs.jpcb.8b04823), with a bin of the histogram and what a rigid model may be off.
_FIRST_PEAK = (2.65, 2.90)


def crystal(trj: xr.Dataset, *, phase: str) -> Verdict:
    """Check for a crystal of a phase.

    By CHILL+ for "Ih", "Ic" and "sI"; for others, which CHILL+ does not know or distinguish, by the
    distances of SOAP vectors to those of the ideal structures.
    """
    trj = trj.isel(frame=slice(-_FRAMES, None))
    if phase in _CHILL_PHASES:
        name = _CHILL_PHASES[phase]
        shares = chill_shares(trj)
        return _verdict(
            phase,
            {"density": density(trj), **shares},
            [_at_least(f"share of {name}", shares[name], _CRYSTAL_SHARE)],
        )
    if phase not in ICES:
        raise InputError(f"phase: expected one of {', '.join(ICES)}, found {phase!r}")
    distances = soap_distances(trj)
    nearest, ratio = _nearest(distances)
    return _verdict(
        phase,
        {"density": density(trj), **{f"soap_{name}": d for name, d in distances.items()}},
        [
            (nearest == phase, f"nearest ideal structure {nearest}, expected {phase}"),
            _at_most("SOAP distance to the nearest over the second", ratio, _NEAREST),
        ],
    )


def liquid(trj: xr.Dataset, *, phase: str = "liquid") -> Verdict:
    """Check for a liquid in some picoseconds: no crystal, and its molecules diffuse."""
    trj = trj.isel(frame=slice(-_FRAMES, None))
    shares, moved = chill_shares(trj), displacement(trj)
    nearest, ratio = _nearest(soap_distances(trj))
    return _verdict(
        phase,
        {"density": density(trj), "displacement": moved, **shares},
        [
            _at_most("share of ice and hydrate", _ice(shares), _LIQUID_ICE),
            _at_least(f"SOAP distance to {nearest} over that to the second", ratio, _NEAREST),
            _at_least("displacement", moved, _SOLID_MOVES),
        ],
    )


def amorphous(trj: xr.Dataset, *, phase: str) -> Verdict:
    """Check for an amorphous ice at 1 bar: "LDA", "MDA" or "HDA"."""
    if phase not in GLASSES:
        raise InputError(f"phase: expected one of {', '.join(GLASSES)}, found {phase!r}")
    expected = GLASSES[phase]
    trj = trj.isel(frame=slice(-_FRAMES, None))
    shares, moved, scale = chill_shares(trj), displacement(trj), density(trj)
    r, g = radial_distribution(trj, 6.0, 0.05)
    first = float(r[np.argmax(g)])
    second = float(r[r > 3.8][np.argmax(g[r > 3.8])])
    neighbors = coordination(trj, _COORDINATION_WITHIN)
    nearest, ratio = _nearest(soap_distances(trj))
    values = {
        "density": scale,
        "coordination": neighbors,
        "first_peak": first,
        "second_peak": second,
        "g_3.3": float(np.interp(3.3, r, g)),
        "displacement": moved,
        **shares,
    }
    return _verdict(
        phase,
        values,
        [
            _within("density", scale, expected.density),
            _at_most("share of ice and hydrate", _ice(shares), expected.ice),
            _at_least(f"SOAP distance to {nearest} over that to the second", ratio, _NEAREST),
            _within("first peak of g(r)", first, _FIRST_PEAK),
            _within(
                f"oxygens within {_COORDINATION_WITHIN} angstrom", neighbors, expected.coordination
            ),
            _at_most("displacement", moved, _SOLID_MOVES),
        ],
    )


def coexistence(trj: xr.Dataset, *, phase: str, crystal: str) -> Verdict:
    """Check for both a crystal ("Ih", "Ic" or "sI") and its melt."""
    shares = chill_shares(trj.isel(frame=slice(-_FRAMES, None)))
    name = _CHILL_PHASES[crystal]
    other = max(share for other, share in shares.items() if other not in (name, "liquid"))
    return _verdict(
        phase,
        shares,
        [
            _within(f"share of {name}", shares[name], (0.15, 0.85)),
            _within("share of liquid", shares["liquid"], (0.15, 0.85)),
            _at_most("largest share of another class", other, shares[name]),
        ],
    )


def plastic(trj: xr.Dataset, *, phase: str, lattice: str) -> Verdict:
    """Check for a plastic crystal in some picoseconds of molecules O, H, H.

    Oxygens stay on the sites of the lattice ("fcc", "hcp" or "bcc") while the molecules turn.
    """
    trj = trj.isel(frame=slice(-_FRAMES, None))
    shares = lattice_shares(oxygens(trj))
    moved, cosine = displacement(trj), turning(trj)
    return _verdict(
        phase,
        {"density": density(trj), "displacement": moved, "turning": cosine, **shares},
        [
            _at_least(f"share of oxygens in {lattice}", shares[lattice], _CRYSTAL_SHARE),
            _at_most("displacement", moved, _SOLID_MOVES),
            _at_most("mean cosine that O-H bonds turn by", cosine, _TURNED),
        ],
    )


def metal(trj: xr.Dataset, *, phase: str) -> Verdict:
    """Check for a crystal of a metal: "fcc", "hcp" or "bcc"."""
    if phase not in LATTICES:
        raise InputError(f"phase: expected one of {', '.join(LATTICES)}, found {phase!r}")
    shares = lattice_shares(trj.isel(frame=slice(-_FRAMES, None)))
    return _verdict(phase, shares, [_at_least(f"share of {phase}", shares[phase], _CRYSTAL_SHARE)])


def _nearest(distances: Mapping[str, float]) -> tuple[str, float]:
    """Return the nearest phase, and its distance over that of the second nearest."""
    first, second = sorted(distances, key=distances.__getitem__)[:2]
    return first, distances[first] / distances[second]


def _ice(shares: Mapping[str, float]) -> float:
    return sum(shares[name] for name in _CHILL_PHASES.values())


def _at_least(name: str, value: float, bound: float) -> tuple[bool, str]:
    return value >= bound, f"{name} {value:.3f}, expected at least {bound:.3g}"


def _at_most(name: str, value: float, bound: float) -> tuple[bool, str]:
    return value <= bound, f"{name} {value:.3f}, expected at most {bound:.3g}"


def _within(name: str, value: float, bounds: tuple[float, float]) -> tuple[bool, str]:
    low, high = bounds
    return low <= value <= high, f"{name} {value:.3f}, expected {low:g} to {high:g}"


def _verdict(
    phase: str, values: Mapping[str, float], conditions: list[tuple[bool, str]]
) -> Verdict:
    failed = [text for holds, text in conditions if not holds]
    if failed:
        return Verdict(None, values, f"not {phase}: " + "; ".join(failed))
    return Verdict(phase, values, f"{phase}: " + "; ".join(text for _, text in conditions))
