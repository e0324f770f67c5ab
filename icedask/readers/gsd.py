"""GSD files of HOOMD-blue, whose lengths and times have no unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.contents import content_of
from icedask.readers.formats import SourceOptions
from icedask.readers.mdanalysis import MDAnalysisFile
from icedask.readers.units import Units, lammps_units
from icedask.store.frame_block import FrameBlock

_LJ = ("lj_sigma", "lj_epsilon", "lj_tau")


@dataclass(frozen=True)
class GsdFile(MDAnalysisFile):
    """A GSD file: positions and steps; units and time step are asked for."""

    title: ClassVar = "GSD"
    options: ClassVar[tuple[str, ...]] = (*MDAnalysisFile.options, "units", "timestep", *_LJ)
    rank: ClassVar = 0

    timestep: float | None = None
    scale: Units = field(default_factory=lambda: Units("", 1.0, 1.0, 1.0))

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether a file is a GSD file."""
        content = content_of(file)
        return content is not None and content.key == "GSD"

    @classmethod
    def open(cls, file: SourceFile, options: SourceOptions, scratch: Path | None = None) -> Self:
        """Open the file with the units of the run."""
        if options.units is None:
            raise InputError(
                f"{file.path}: a GSD file does not state its units; give units= (--units) lj with "
                "lj_sigma, lj_epsilon and lj_tau (--lj-sigma, ...: angstrom, eV, ps), or real or "
                "metal where its lengths are angstrom"
            )
        scale = lammps_units(options.units, **{name: getattr(options, name) for name in _LJ})
        source = super().open(file, options, scratch)
        return replace(source, scale=scale, timestep=options.timestep)

    def raw(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames, in angstrom and picoseconds; the time is NaN without a time step."""
        block, scale = super().raw(frames), self.scale
        time = np.full(len(frames), np.nan)
        if self.timestep is not None:
            time = block.step * (self.timestep * scale.time)
        columns = {
            name: (values * np.float32(scale.velocity)).astype(np.float32)
            for name, values in block.columns.items()
            if name == "velocity"
        }
        return replace(
            block,
            positions=(block.positions * np.float32(scale.length)).astype(np.float32),
            cell=block.cell * scale.length,
            time=time,
            columns=columns,
        )
