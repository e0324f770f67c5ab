"""Physical constants that several modules must agree on."""

from __future__ import annotations

# Molar mass of water, g/mol.
WATER_MASS = 18.015
# Avogadro constant, 1/mol, times cubic centimetre per cubic angstrom.
AVOGADRO = 0.602214076
