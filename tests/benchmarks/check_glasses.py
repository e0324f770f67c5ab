"""Table of amorphous ices that were tried: schedule, rates, measures, and the check's verdict.

    python tests/benchmarks/check_glasses.py STORE ...

Stores of `icedask simulate amorphous` or `water-classes`, or of schedules that are no recipe.
Measures are of the last ten frames. Writes results/glasses.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import icedask as ice

RESULTS = Path(__file__).parent / "results"
_FEMTOSECONDS = 4.0
_ICES = ("hexagonal_ice", "cubic_ice", "hydrate")
# Stages before and after the quench, the same in all.
_COMMON = ("minimise", "mix", "equilibrate", "settle", "produce", "eq")
_GLASS_TRANSITION = ("vitrify", "cool2")
HEAD = """# Amorphous ices: what was tried

Written by `tests/benchmarks/check_glasses.py`: TIP4P/Ice, frames at 80 K and 1 bar. The verdict is
that of `icedask.simulate.checks.amorphous`, whose bounds were set before. Cooling rates are of the
interval that holds the glass transition.

| phase meant | molecules, seed | schedule | K/ns | GPa/ns | density, g/cm3 | O within 3.4 \
| g(3.3) | ice, CHILL+ | verdict |
|---|---|---|---|---|---|---|---|---|---|"""
# Of runs without a store.
TAIL = """
Of earlier runs, one seed each: LDA from 220 to 180 K in 650 ps (62 K/ns), 216 molecules, 0.963
g/cm3 and 4.09 oxygens within 3.4: LDA. From 240 to 180 K in 650 ps (92 K/ns), 1.021 g/cm3 and
4.32: none. All of the way from 300 to 80 K in 20 ps, 1.017 g/cm3: none. Ih to 2 GPa in 10 ps and
back: 1.264 g/cm3 at 2 GPa, Ih again when released.

Stopped before their end, without a verdict: Ih, 432 molecules, compressed at 80 K and 10 GPa/ns,
had 1.43 g/cm3 and 8.5 oxygens within 3.4 at 3 GPa, a collapsed crystal, and was not released: the
short schedule of the system HDA has not been run to its end. The liquid at 1 bar from 225 to 205
K in 700 ps (29 K/ns), seeds 1 and 2, had 0.977 and 0.956 g/cm3 at 215 and 219 K.

So few molecules have a density that fluctuates by some two per cent where they stop moving, half
of what the bounds allow: one seed of a schedule says little, and a rate that passes once may
fail."""


def schedule(stages: list[dict[str, Any]]) -> tuple[str, list[str], list[str]]:
    """Return the text of a quench, and its rates: of temperature and of pressure."""
    texts, cooling, pressing = [], [], []
    for stage in stages:
        if stage["name"] in _COMMON:
            continue
        if stage["kind"] == "Shear":
            texts.append(f"{stage['cycles']} shears")
            continue
        ps = stage["steps"] * _FEMTOSECONDS * 1e-3
        low, high = stage["temperature"], stage["temperature_end"]
        start, end = stage["pressure"], stage["pressure_end"]
        if high is not None:
            at = f" at {start / 1e4:g} GPa" if abs(start) > 1 else ""
            texts.append(f"{low:g} to {high:g} K{at} in {ps:g} ps")
            if stage["name"] in _GLASS_TRANSITION:
                cooling.append(f"{abs(high - low) / ps * 1e3:.3g}")
        elif end is not None:
            texts.append(f"{start / 1e4:.2g} to {end / 1e4:.2g} GPa at {low:g} K in {ps:g} ps")
            pressing.append(f"{abs(end - start) / 1e4 / ps * 1e3:.3g}")
        else:
            texts.append(f"{ps:g} ps at {start / 1e4:.2g} GPa, {low:g} K")
    return "; ".join(texts), cooling, pressing


def row(store: Path) -> str:
    """Return the row of a store."""
    trj = ice.open_trajectory(store)
    record, labels = trj.attrs["simulation"], trj.attrs["labels"]
    values = record["verdict"]["values"]
    text, cooling, pressing = schedule(record["stages"])
    meant, _, reason = record["verdict"]["reason"].partition(": ")
    frozen = sum(values[name] for name in _ICES)
    verdict = labels["phase"] or f"none: {reason}"
    return (
        f"| {meant.removeprefix('not ')} | {trj.sizes['atom'] // 3}, {labels['seed']} | {text} "
        f"| {', '.join(cooling)} | {', '.join(pressing)} | {values['density']:.3f} "
        f"| {values['coordination']:.2f} | {values['g_3.3']:.2f} | {frozen:.3f} | {verdict} |"
    )


def main(*stores: str) -> None:
    """Write the table."""
    rows = sorted(row(Path(store)) for store in stores)
    (RESULTS / "glasses.md").write_text("\n".join([HEAD, *rows, TAIL, ""]))


if __name__ == "__main__":
    main(*sys.argv[1:])
