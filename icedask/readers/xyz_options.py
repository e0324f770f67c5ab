"""Options of an XYZ file: asked for where the file states nothing, refused where it does."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from icedask.readers.formats import SourceOptions
from icedask.readers.lammps_boundaries import is_flat_without_origin
from icedask.readers.units import OWN, Units, lammps_units
from icedask.readers.xyz_comment import Comment
from icedask.readers.xyz_frame import XyzFrame

LJ = ("lj_sigma", "lj_epsilon", "lj_tau")
# Files of CP2K with other vectors in the place of positions.
_NO_POSITIONS = re.compile(r"-(vel|frc)-\d+\.xyz")


def units_of(comment: Comment, options: SourceOptions, name: str) -> Units | None:
    """Return the units of the run; None where they are not given.

    Raises ValueError where the program that wrote the file has its own, or options do not fit.
    """
    if comment.writer == "CP2K" and _NO_POSITIONS.search(name):
        raise ValueError("expected positions, found velocities or forces of CP2K by its name")
    if comment.units is not None:
        _check_stated(comment.units, options)
        return OWN
    if options.units is None:
        for option in ("timestep", *LJ):
            if getattr(options, option) is not None:
                raise ValueError(f"{option}: expected with units= (--units), found without it")
        return None
    if comment.writer in ("CP2K", "i-PI"):
        raise ValueError(
            f"units: expected none, as {comment.writer} writes its own, found {options.units!r}; "
            "leave units out"
        )
    if options.timestep is not None and comment.time is not None:
        raise ValueError(
            f"timestep: expected none, as the comments state the time (frame 0: {comment.time:g}), "
            f"found {options.timestep:g}; leave timestep out"
        )
    if options.timestep is not None and comment.step is None:
        raise ValueError(
            "timestep: expected steps in the comments (Timestep=), found none; give frame_interval "
            "(--frame-interval) in its place"
        )
    scale = {option: getattr(options, option) for option in LJ}
    if options.units != "lj" and any(value is not None for value in scale.values()):
        raise ValueError(f"{', '.join(LJ)}: expected with units lj, found {options.units!r}")
    return lammps_units(options.units, **scale)


def _check_stated(stated: str, options: SourceOptions) -> None:
    """Raise ValueError for options that differ from the units and times that comments state."""
    for name in ("units", "timestep", *LJ):
        value = getattr(options, name)
        # Units metal are the same.
        if value is not None and (name, value) != ("units", "metal"):
            raise ValueError(
                f"{name}: expected none, as the comments state units={stated!r}, found {value!r}; "
                f"leave {name} out"
            )


def boundaries_of(frame: XyzFrame, options: SourceOptions) -> tuple[bool, bool, bool] | None:
    """Return the periodic directions where the comments do not state them, None where they do.

    Raises ValueError where they are not known, or the file and the options differ.
    """
    comment = frame.comment
    if comment.cell is not None and options.cell is not None:
        raise ValueError(
            f"cell: the file says {_text(comment.cell)}, cell= (--cell) says "
            f"{_text(options.cell)}; leave cell out"
        )
    # LAMMPS states a run of dimension 2 as periodic along z.
    flat = _is_flat_run(frame)
    if flat and options.pbc is None:
        raise ValueError(
            "all atoms lie in one plane, and LAMMPS states a run of dimension 2 as periodic along "
            "z all the same; give pbc=(True, True, False) (--pbc xy) for such a run, or --pbc xyz "
            "if z is periodic indeed"
        )
    if flat and comment.pbc is not None and comment.pbc[:2] == (options.pbc or ())[:2]:
        return options.pbc
    if None not in (comment.pbc, options.pbc) and comment.pbc != options.pbc:
        raise ValueError(
            f"pbc: the file says {comment.pbc}, pbc= (--pbc) says {options.pbc}; leave pbc out"
        )
    pbc = comment.pbc or options.pbc
    without_cell = comment.cell is None and options.cell is None
    if without_cell and pbc is None:
        raise ValueError(
            "the file states neither a cell nor boundaries; give cell= and pbc= (for example "
            "--cell 10,10,10 --pbc xyz, in angstrom), or pbc=(False, False, False) (--pbc none) "
            "for atoms in a vacuum"
        )
    if without_cell and any(pbc or ()):
        raise ValueError("the file states no cell; give cell= (--cell 10,10,10) in angstrom")
    if pbc is None and comment.cell is None:
        raise ValueError("the file states no boundaries; give pbc= too (--pbc xyz, --pbc xy)")
    # A Lattice alone is periodic, as ASE and OVITO read it, and so is the cell of i-PI.
    return (True, True, True) if pbc is None else options.pbc if comment.pbc is None else None


def _is_flat_run(frame: XyzFrame) -> bool:
    comment = frame.comment
    if comment.writer != "LAMMPS" or comment.cell is None or comment.pbc is None:
        return False
    cell = np.array(comment.cell).reshape(3, 3)
    return comment.pbc[2] and is_flat_without_origin(frame.positions, cell)


def _text(cell: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in cell)
