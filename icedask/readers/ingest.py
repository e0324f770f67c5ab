"""Read trajectory files into the trajectory of a store."""

from __future__ import annotations

import inspect
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import xarray as xr
from dask import delayed
from dask.delayed import Delayed
from dask.utils import format_bytes

from icedask.core.frames import check_slice
from icedask.core.options import Option, checked, documented, parameters_of, plain_signature
from icedask.core.types import IntArray
from icedask.core.variables import VARIABLES
from icedask.errors import InputError
from icedask.readers.elements import ElementMap, check_element_map, parse_element_map
from icedask.readers.formats import SourceOptions
from icedask.readers.identity import is_same_content, source_identity, with_contents
from icedask.readers.sources import (
    JoinedSource,
    find_files,
    open_source,
)
from icedask.store.folder import clear, make_folder
from icedask.store.frame_block import FrameBlock
from icedask.store.integrity import group_attrs
from icedask.store.root import writing
from icedask.store.runs import open_trajectory
from icedask.store.sidecars import STAGING, blocks_done
from icedask.store.trajectory import (
    TRAJECTORY,
    TrajectoryPlan,
    begin,
    conclude,
    encode_block,
    existing_status,
    finalise,
    is_stored,
    recorded_identity,
    run_blocks,
)
from icedask.tasks.progress import reporting

logger = logging.getLogger("icedask")


def _check_columns(value: Any, where: str) -> dict[str, str | None]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: expected a mapping from names to names, found {value!r}")
    return dict(value)


def _check_pbc(value: Any, where: str) -> tuple[bool, bool, bool]:
    try:
        a, b, c = value
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: expected three booleans, found {value!r}") from error
    return bool(a), bool(b), bool(c)


def _check_cell(value: Any, where: str) -> tuple[float, ...]:
    """Return the nine components of the cell vectors."""
    from ase.geometry import cellpar_to_cell

    try:
        numbers = np.asarray(value, float).ravel()
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: expected numbers, found {value!r}") from error
    if len(numbers) not in (3, 6, 9) or not np.isfinite(numbers).all():
        raise InputError(
            f"{where}: expected three lengths, three lengths and three angles (degree), or nine "
            f"components of the vectors a, b, c, found {value!r}"
        )
    matrix = numbers.reshape(3, 3) if len(numbers) == 9 else cellpar_to_cell(numbers)
    return tuple(np.asarray(matrix, float).ravel().tolist())


def _parse_cell(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _parse_pbc(text: str) -> tuple[bool, bool, bool]:
    if text != "none" and set(text) - set("xyz"):
        raise ValueError
    return "x" in text, "y" in text, "z" in text


def _chosen_frames(source: JoinedSource, frames: slice) -> IntArray:
    """Return the frames to read, which must not reach into a truncated last frame."""
    whole = source.n_frames
    within = frames.stop is not None and 0 <= frames.stop <= whole
    if source.truncated and not within:
        raise InputError(
            f"{source.files[-1].path}: truncated or damaged after {whole} whole frames "
            f"({source.truncated}); to ingest these give frames=slice({whole}) (--frames :{whole})"
        )
    step = 1 if frames.step is None else frames.step
    if step < 1:
        raise InputError(f"frames: expected a positive step, found {step}")
    chosen = np.arange(whole)[frames]
    if len(chosen) == 0:
        raise InputError(f"frames: no frame of the {whole} in the source is in {frames}")
    return chosen


def _plan(
    source: JoinedSource, frames: IntArray, indices: IntArray | None, identity: Mapping[str, Any]
) -> tuple[TrajectoryPlan, FrameBlock]:
    """Return the plan, and the first frame to write."""
    first = source.read([int(frames[0])]).take(indices)
    atoms = source.atoms()
    atoms["atom"] = np.arange(len(atoms["element"]))
    if indices is not None:
        atoms = {name: values[indices] for name, values in atoms.items()}
    source.files[0].ask_elements(atoms)
    columns = {name: (values.ndim, values.dtype) for name, values in first.columns.items()}
    attrs: dict[str, Any] = {
        "source": ", ".join(Path(file.path).name for file in source.files),
        "atom_order": "kept" if all(file.keeps_order for file in source.files) else "not known",
    }
    if source.notes:
        attrs["notes"] = list(source.notes)
    unknown = [name for name in columns if name not in VARIABLES]
    units = dict.fromkeys(unknown, source.files[0].column_units)
    return TrajectoryPlan(len(frames), atoms, columns, identity, attrs, units), first


def _encode(
    source: JoinedSource,
    frames: list[int],
    indices: IntArray | None,
    columns: Sequence[str],
    store: str,
    index: int,
    start: int,
    pbc: Sequence[bool],
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
        f"  {format_bytes(total)} before compression, at most {format_bytes(memory)} a task",
    ]
    return "\n".join(lines)


def ingest(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    store: str | os.PathLike[str],
    *,
    topology: Annotated[
        str | os.PathLike[str] | None,
        Option(
            "File with the atoms (tpr, gro, psf, prmtop, ...), for formats that hold coordinates "
            "only."
        ),
    ] = None,
    select: Annotated[
        str | None,
        Option(
            'Atoms to keep, in MDAnalysis\' selection language, for example "element O"; evaluated '
            "on the first frame."
        ),
    ] = None,
    frames: Annotated[
        slice | str | None, Option("Frames to keep, start:stop:step.", check=check_slice)
    ] = None,
    overwrite: Annotated[
        bool, Option("Replace a store that holds something else, with all its results.")
    ] = False,
    units: Annotated[
        str | None,
        Option(
            "Unit style of a LAMMPS dump, or of velocities, forces and times in an XYZ file, that "
            "does not state it.",
            choices=("real", "metal", "lj"),
        ),
    ] = None,
    timestep: Annotated[
        int | float | None,
        Option(
            "Time step of a LAMMPS dump or XYZ file with steps and no times: fs in units real, ps "
            "in metal, tau in lj.",
            above=0,
        ),
    ] = None,
    frame_interval: Annotated[
        int | float | None,
        Option(
            "Time between frames, in place of the times of the files; NaN where neither is there.",
            "ps",
            above=0,
        ),
    ] = None,
    elements: Annotated[
        ElementMap,
        Option(
            "Element of all atoms, or of each type (LAMMPS), label (XYZ) or atom name "
            "(MDAnalysis).",
            check=check_element_map,
            parse=parse_element_map,
            metavar="O|1=O,2=H",
        ),
    ] = None,
    columns: Annotated[
        Mapping[str, str | None] | None,
        Option(
            "Names for per-atom columns, such as potential_energy for c_e; no name drops a column. "
            "A column that gets the name of a known quantity (potential_energy, kinetic_energy) is "
            "converted from the units of the file to those of icedask (eV).",
            check=_check_columns,
        ),
    ] = None,
    cell: Annotated[
        Sequence[float] | None,
        Option(
            "Unit cell of a file that has none: lengths, lengths and angles, or the nine "
            "components of its vectors.",
            "angstrom",
            check=_check_cell,
            parse=_parse_cell,
            metavar="a,b,c[,alpha,beta,gamma]",
        ),
    ] = None,
    atom_style: Annotated[
        str | None,
        Option("Atom style of a LAMMPS data file that does not state it, such as full."),
    ] = None,
    fixed_order: Annotated[
        bool | None,
        Option(
            "Whether the atoms of a file without ids are in the same order in every frame; not "
            "known by default, and then what follows atoms in time is refused."
        ),
    ] = None,
    repeated: Annotated[
        str | None,
        Option(
            "Frames to keep where a time comes twice with other positions, as after a restart: "
            "those read first or last; refused by default.",
            choices=("first", "last"),
        ),
    ] = None,
    pbc: Annotated[
        Sequence[bool] | None,
        Option(
            "Periodic directions, where the file does not state them. Without them, the unit cell "
            "of a format that states no directions means periodic in all three.",
            check=_check_pbc,
            parse=_parse_pbc,
            metavar="xyz|xy|...|none",
        ),
    ] = None,
    lj_sigma: Annotated[int | float | None, Option("Length of units lj.", "angstrom")] = None,
    lj_epsilon: Annotated[int | float | None, Option("Energy of units lj.", "eV")] = None,
    lj_tau: Annotated[int | float | None, Option("Time of units lj.", "ps")] = None,
) -> xr.Dataset:
    """Read a trajectory file and write it into a new store.

    The work is planned, then done in Dask tasks that each read some frames and write one shard.
    An interrupted ingest is continued by the same call; one that is complete is opened.

    {parameters}

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
    arguments = dict(locals())
    names = [parameter.name for parameter in PARAMETERS]
    values = checked("", PARAMETERS, {name: arguments[name] for name in names})
    path = Path(store).resolve()
    files = find_files(source)
    if values["topology"] is not None:
        values["topology"] = find_files(values["topology"])[0]
    options = SourceOptions(**{field.name: values[field.name] for field in fields(SourceOptions)})
    chosen = slice(None) if values["frames"] is None else values["frames"]
    job = _Job(files, options, select, chosen)
    if not _beside(path).exists() and is_stored(path, job.identity(path)):
        logger.info("%s: complete already, nothing to do", path)
        return open_trajectory(path)
    created = make_folder(path)
    with writing(path, "ingest", [TRAJECTORY]):
        if existing_status(path, job.identity(path), overwrite=values["overwrite"]) != "other":
            _run(job, path, created)
        else:
            with reporting(path, "ingest"):
                _replace(job, path)
        shutil.rmtree(_beside(path), ignore_errors=True)
    return open_trajectory(path)


PARAMETERS = parameters_of(ingest)
ingest.__doc__ = documented(
    ingest.__doc__,
    PARAMETERS,
    "source : path, glob pattern or sequence of these\n"
    "    One or several files, in the order of time, plain or compressed, of any name:\n"
    "    LAMMPS dumps and data, XYZ, GROMACS, DCD, AMBER, PDB, VASP, ASE's traj and more.",
    "store : path\n    Path of the new store, by convention ending in .zarr.",
)
ingest.__signature__ = plain_signature(  # type: ignore[attr-defined]
    inspect.signature(ingest), PARAMETERS, "xarray.Dataset"
)


class _Job(NamedTuple):
    """Files, options and frames of one ingest."""

    files: Sequence[str]
    options: SourceOptions
    select: str | None
    frames: slice

    def identity(self, store: Path) -> dict[str, Any]:
        """Return what an ingest into a store must have in common with one that it continues."""
        recorded = recorded_identity(store)
        options = asdict(self.options)
        topology = options.pop("topology")
        topologies = [] if topology is None else [topology]
        known = recorded.get("topology")
        atoms = source_identity(topologies, [] if known is None else [known])
        return {
            "files": source_identity(self.files, recorded.get("files", [])),
            "topology": atoms[0] if atoms else None,
            "select": self.select,
            "frames": str(self.frames),
            # What is not given does not count: stores stay valid when options are added.
            "options": {name: value for name, value in options.items() if value is not None},
        }


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
    with writing(beside, "ingest", [TRAJECTORY]):
        if existing_status(beside, job.identity(beside), overwrite=True) == "other":
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
    identity = job.identity(store)
    status = existing_status(store, identity)
    if status == "complete":
        logger.info("%s: complete already, nothing to do", store)
        conclude(store)
        return
    (store / STAGING).mkdir(exist_ok=True)
    source = open_source(job.files, job.options, store / STAGING)
    for note in source.notes:
        logger.info("%s", note)
    chosen = _chosen_frames(source, job.frames)
    indices = None if job.select is None else source.files[0].select(job.select)
    if status == "absent":
        identity["files"] = with_contents(identity["files"], job.files)
    plan, first = _plan(source, chosen, indices, identity)
    if status == "absent":
        begin(store, plan)
    logger.info("%s", _summary(plan, store, blocks_done(store)))
    encode, pbc = delayed(_encode, pure=False), first.pbc.tolist()
    shared = delayed(source), delayed(indices)

    def task(index: int) -> Delayed:
        block = plan.block(index)
        frames = chosen[block.start : block.stop].tolist()
        columns = list(plan.columns)
        return encode(shared[0], frames, shared[1], columns, str(store), index, block.start, pbc)

    run_blocks(store, plan, task)
    if not all(map(is_same_content, identity["files"], job.files)):
        raise InputError(
            f"{plan.attrs['source']}: changed while it was read; ingest it when the simulation has "
            "ended, or the frames that are there with frames= (--frames) from a copy"
        )
    finalise(store, plan)
    conclude(store)
