"""Make the shipped ices: oxygens of one unit cell of GenIce2 of each, as JSON.

    python make_ice_phases.py ice_phases.json

Cells of the ices of high pressure are scaled, alike along all axes, to densities measured at or
near the state where they live; GenIce2's are of mixed origin, and that of XII is D2O's.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from icedask.core.constants import AVOGADRO, WATER_MASS
from icedask.simulate.structures import ice

PHASES = ("Ih", "Ic", "II", "III", "IV", "V", "VI", "VII", "XII", "XVII", "sI", "sII", "sH")

# g/cm3 of H2O, to about one per cent, and the state it was measured near to; what was measured on
# D2O is given for H2O of the same volume.
# II: Fortes et al., J. Appl. Cryst. 38, 612 (2005): 1.17 at no pressure, 1.19 at 0.25 GPa.
# III: Petrenko and Whitworth, Physics of Ice (1999). IV: Engelhardt and Kamb, J. Chem. Phys. 75,
# 5887 (1981). V: Gagnon et al., J. Chem. Phys. 92, 1909 (1990): 1.25 at 0.33 GPa.
# VI: Bezacier et al., J. Chem. Phys. 141, 104505 (2014). VII: Kuhs et al., J. Chem. Phys. 81,
# 3612 (1984). XII: Lobban, Finney and Kuhs, Nature 391, 268 (1998).
DENSITIES = {
    "II": (1.18, "225 K, 0.25 GPa"),
    "III": (1.16, "250 K, 0.3 GPa"),
    "IV": (1.272, "110 K, no pressure"),
    "V": (1.24, "238 K, 0.33 GPa"),
    "VI": (1.33, "300 K, 0.7 GPa"),
    "VII": (1.60, "263 K, 2.4 GPa"),
    "XII": (1.292, "260 K, 0.5 GPa"),
}
_DECIMALS = 8


def record(phase: str) -> dict[str, Any]:
    """Return cell vectors in rows (angstrom), fractions of them, and where they are from."""
    atoms = ice(phase, (1, 1, 1), 0, "O")
    fractions = atoms.get_scaled_positions(wrap=False)
    cell, origin = atoms.cell.array, atoms.info["origin"]
    if phase in DENSITIES:
        density, state = DENSITIES[phase]
        volume = len(atoms) * WATER_MASS / (AVOGADRO * density)
        cell = cell * np.cbrt(volume / atoms.get_volume())
        origin += f", scaled to {density:g} g/cm3, as near {state}"
    return {
        "origin": origin,
        "cell": np.round(cell, _DECIMALS).tolist(),
        "fractions": (np.round(fractions, _DECIMALS) % 1.0).tolist(),
    }


def main(out: str) -> None:
    """Write the file, one phase a line."""
    lines = [f"{json.dumps(phase)}: {json.dumps(record(phase))}" for phase in PHASES]
    Path(out).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
