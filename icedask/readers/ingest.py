"""From a trajectory file to the trajectory of a store."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed
from dask.delayed import Delayed

from icedask.core.trajectory import select_in_universe, selected_indices, trajectory
from icedask.errors import InputError
from icedask.readers.elements import ElementMap
from icedask.readers.lammps import LammpsDump
from icedask.readers.mdanalysis import MDAnalysisFile, open_universe
from icedask.readers.sources import (
    JoinedSource,
    SourceOptions,
    file_identity,
    find_files,
    open_source,
)
from icedask.store.arrays import group_attrs
from icedask.store.frame_block import FrameBlock
from icedask.store.lock import locked
from icedask.store.runs import open_trajectory
from icedask.store.trajectory import (
    STAGING,
    TRAJECTORY,
    TrajectoryPlan,
    begin,
    blocks_done,
    clear,
    conclude,
    encode_block,
    existing_status,
    finalise,
    make_folder,
    run_blocks,
)
from icedask.tasks.progress import reporting

logger = logging.getLogger("icedask")


def parse_frames(frames: slice | str | None) -> slice:
    """Return a slice from "start:stop:step"."""
    if frames is None:
        return slice(None)
    if isinstance(frames, slice):
        return frames
    if not isinstance(frames, str):
        raise InputError(f'frames: expected a slice or "start:stop:step", found {frames!r}')
    try:
        parts = [int(part) if part.strip() else None for part in frames.split(":")]
    except ValueError as error:
        raise InputError(f"frames: expected start:stop:step, found {frames!r}") from error
    if not 2 <= len(parts) <= 3:
        raise InputError(
            f"frames: expected start:stop:step, for example 0:100 or ::10, found {frames!r}"
        )
    return slice(*parts)


def chosen_frames(source: JoinedSource, frames: slice) -> npt.NDArray[np.int64]:
    """Return the frames of the source to read.

    Raises
    ------
    InputError
        If there are none, or they would reach into a truncated last frame.
    """
    whole = source.n_frames
    within = frames.stop is not None and 0 <= frames.stop <= whole
    if source.truncated and not within:
        raise InputError(
            f"{source.files[-1].path}: the last frame is truncated ({source.truncated}); to ingest "
            f"the {whole} whole frames give frames=slice({whole}) (--frames :{whole})"
        )
    step = 1 if frames.step is None else frames.step
    if step < 1:
        raise InputError(f"frames: expected a positive step, found {step}")
    chosen = np.arange(whole)[frames]
    if len(chosen) == 0:
        raise InputError(f"frames: no frame of the {whole} in the source is in {frames}")
    return chosen


def selected_atoms(source: JoinedSource, expression: str | None) -> npt.NDArray[np.int64] | None:
    """Return the atoms that a selection matches in the first frame; None stands for all."""
    if expression is None:
        return None
    first = source.files[0]
    if isinstance(first, MDAnalysisFile):
        universe = open_universe(first.topology, first.path)
        if not hasattr(universe.atoms, "elements") or first.elements is not None:
            universe.add_TopologyAttr("elements", first.atoms()["element"].astype(object))
        universe.trajectory[0]
        return select_in_universe(universe, expression)
    block, atoms = source.read([0]), source.atoms()
    element = atoms.pop("element")
    ds = trajectory(block.positions, element=element, cell=block.cell, pbc=block.pbc, atoms=atoms)
    return selected_indices(ds, expression)


def _plan(
    source: JoinedSource,
    frames: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64] | None,
    identity: Mapping[str, Any],
) -> tuple[TrajectoryPlan, FrameBlock]:
    first = source.read([int(frames[0])]).take(indices)
    atoms = source.atoms()
    atoms["atom"] = np.arange(len(atoms["element"]))
    if indices is not None:
        atoms = {name: values[indices] for name, values in atoms.items()}
    reader = source.files[0]
    style = reader.units.style if isinstance(reader, LammpsDump) else "eV, angstrom"
    plan = TrajectoryPlan(
        n_frames=len(frames),
        atoms=atoms,
        columns={name: (values.ndim, values.dtype) for name, values in first.columns.items()},
        identity=identity,
        attrs={
            "source": ", ".join(Path(file.path).name for file in source.files),
            "column_units": f"unconverted ({style})",
        },
    )
    return plan, first


def _encode(
    source: JoinedSource,
    frames: list[int],
    indices: npt.NDArray[np.int64] | None,
    store: str,
    index: int,
    start: int,
    pbc: Sequence[bool],
    columns: Sequence[str],
) -> None:
    """Read and write one block; runs in a Dask task."""
    block = source.read(frames).take(indices)
    where = Path(source.files[0].path).name
    if sorted(block.columns) != sorted(columns):
        raise InputError(
            f"{where}: expected the per-atom columns {', '.join(sorted(columns)) or 'none'} in "
            f"every frame, found {', '.join(sorted(block.columns)) or 'none'} in frames "
            f"{frames[0]} to {frames[-1]}; choose frames with frames= (--frames)"
        )
    encode_block(block, store, index, start, pbc, where)


def _summary(plan: TrajectoryPlan, store: Path, done: int) -> str:
    total = plan.frame_bytes * plan.n_frames
    # A task holds its block, the same once more while it is compressed, and one frame as text.
    memory = 2 * plan.frame_bytes * plan.block_frames + 8 * plan.frame_bytes
    lines = [
        f"ingest {plan.attrs['source']} -> {store}",
        f"  frames {plan.n_frames}, atoms {plan.n_atoms}, "
        f"columns {', '.join(plan.columns) or 'none'}",
        f"  blocks {plan.n_blocks} of {plan.block_frames} frames"
        + (f", {done} done already" if done else ""),
        f"  {total / 1e6:.1f} MB before compression, at most {max(memory / 1e6, 1):.0f} MB a task",
    ]
    return "\n".join(lines)


def ingest(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    store: str | os.PathLike[str],
    *,
    topology: str | os.PathLike[str] | None = None,
    select: str | None = None,
    frames: slice | str | None = None,
    overwrite: bool = False,
    units: str | None = None,
    timestep: float | None = None,
    frame_interval: float | None = None,
    elements: ElementMap = None,
    columns: Mapping[str, str | None] | None = None,
    pbc: Sequence[bool] | None = None,
    lj_sigma: float | None = None,
    lj_epsilon: float | None = None,
    lj_tau: float | None = None,
) -> xr.Dataset:
    """Read a trajectory file and write it into a new store.

    The work is planned, then done in Dask tasks that each read some frames and write one shard.
    An interrupted ingest is continued by the same call; one that is complete is opened.

    Parameters
    ----------
    source : path, glob pattern or sequence of these
        One or several files, in the order of time: LAMMPS text dump (.lammpstrj, .dump, .gz),
        whatever MDAnalysis reads (xtc, trr, dcd, NetCDF, ...) or ASE (extended XYZ, traj, ...).
    store : path
        Of the new store, by convention ending in .zarr.
    topology : path, optional
        The file with the atoms, for formats that hold coordinates only (tpr, gro, psf, ...).
    select : str, optional
        Atoms to keep, in MDAnalysis' selection language, evaluated on the first frame.
    frames : slice or "start:stop:step", optional
        Frames to keep.
    overwrite : bool
        Replace a store that holds something else, with all its results.
    units : {"real", "metal", "lj"}, optional
        Unit style of a LAMMPS dump that does not say it.
    timestep : float, optional
        Time step of a LAMMPS dump without times, in the file's unit (fs, ps, tau).
    frame_interval : float, optional
        Picoseconds between frames, for other formats, in place of the file's times. Time is NaN
        where neither is there.
    elements : str or mapping, optional
        Element of all atoms, or of each type (LAMMPS) or atom name (MDAnalysis).
    columns : mapping, optional
        Names for per-atom columns of the source, for example {"c_e": "potential_energy"}; None
        drops a column. Columns that icedask knows are converted to its units.
    pbc : three bool, optional
        Periodicity, for formats that do not state it. Without it, a unit cell in an MDAnalysis
        format means periodic in three directions.
    lj_sigma, lj_epsilon, lj_tau : float, optional
        Scale of units lj in angstrom, eV and picosecond.

    Returns
    -------
    xarray.Dataset
        The trajectory, as `open_trajectory` gives it.

    Raises
    ------
    InputError
        If the source is missing, empty, truncated, inconsistent or lacks units, times, elements.
    StoreError
        If the store exists with other content, is locked, or the disk is full.
    """
    path = Path(store).resolve()
    _check_number("timestep", timestep)
    _check_number("frame_interval", frame_interval)
    options = SourceOptions(
        topology=None if topology is None else str(topology),
        units=units,
        timestep=timestep,
        frame_interval=frame_interval,
        elements=elements if isinstance(elements, str | None) else _text_keys(elements),
        columns=columns,
        pbc=None if pbc is None else (bool(pbc[0]), bool(pbc[1]), bool(pbc[2])),
        lj_sigma=lj_sigma,
        lj_epsilon=lj_epsilon,
        lj_tau=lj_tau,
    )
    wanted = parse_frames(frames)
    files = find_files(source)
    identity = {
        "files": [file_identity(file) for file in files],
        "topology": None if topology is None else file_identity(find_files(topology)[0]),
        "select": select,
        "frames": str(wanted),
        "options": {name: value for name, value in asdict(options).items() if name != "topology"},
    }
    job = _Job(files, options, identity, select, wanted)
    created = make_folder(path)
    with locked(path):
        if existing_status(path, identity, overwrite=overwrite) != "other":
            _run(job, path, created)
        else:
            with reporting(path, "ingest"):
                _replace(job, path)
        shutil.rmtree(_beside(path), ignore_errors=True)
    return open_trajectory(path)


def _check_number(name: str, value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InputError(f"{name}: expected a number, found {value!r}")


def _text_keys(elements: Mapping[str | int, str]) -> dict[str | int, str]:
    if not isinstance(elements, Mapping):
        raise InputError(
            f'elements: expected one symbol or a mapping such as {{"1": "O"}}, found {elements!r}'
        )
    return {str(key): symbol for key, symbol in elements.items()}


class _Job(NamedTuple):
    """What is to be ingested."""

    files: Sequence[str]
    options: SourceOptions
    identity: Mapping[str, Any]
    select: str | None
    frames: slice


def _run(job: _Job, store: Path, created: bool) -> None:
    try:
        with reporting(store, "ingest"):
            _ingest(job, store)
    except InputError:
        _remove_half(store, created)
        raise


def _replace(job: _Job, store: Path) -> None:
    """Ingest beside the store, and put the result in its place once it is complete."""
    beside = _beside(store)
    created = make_folder(beside)
    with locked(beside):
        if existing_status(beside, job.identity, overwrite=True) == "other":
            clear(beside)
        _run(job, beside, created)
        clear(store)
        # The root first: what a crash leaves is a store without trajectory, to be ingested again.
        for name in ("zarr.json", TRAJECTORY):
            (beside / name).rename(store / name)


def _beside(store: Path) -> Path:
    return store.with_name(f".{store.name}.new")


def _remove_half(path: Path, created: bool) -> None:
    """Leave nothing of a trajectory whose source turned out to be bad."""
    group = path / TRAJECTORY
    shutil.rmtree(path / STAGING, ignore_errors=True)
    if (group / "zarr.json").exists() and group_attrs(group)["status"] != "complete":
        shutil.rmtree(group)
    if created:
        shutil.rmtree(path)


def _ingest(job: _Job, store: Path) -> None:
    status = existing_status(store, job.identity)
    if status == "complete":
        logger.info("%s: complete already, nothing to do", store)
        conclude(store)
        return
    (store / STAGING).mkdir(exist_ok=True)
    source = open_source(job.files, job.options, store / STAGING)
    chosen = chosen_frames(source, job.frames)
    indices = selected_atoms(source, job.select)
    plan, first = _plan(source, chosen, indices, job.identity)
    if status == "absent":
        begin(store, plan)
    logger.info("%s", _summary(plan, store, blocks_done(store)))
    encode = delayed(_encode, pure=False)
    shared, kept = delayed(source), delayed(indices)

    def task(index: int) -> Delayed:
        block = plan.block(index)
        return encode(
            shared,
            chosen[block.start : block.stop].tolist(),
            kept,
            str(store),
            index,
            block.start,
            first.pbc.tolist(),
            list(plan.columns),
        )

    run_blocks(store, plan, task)
    if [file_identity(file) for file in job.files] != job.identity["files"]:
        raise InputError(
            f"{plan.attrs['source']}: changed while it was read; ingest it when the simulation has "
            "ended, or the frames that are there with frames= (--frames) from a copy"
        )
    finalise(store, plan)
    conclude(store)
