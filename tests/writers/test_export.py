"""Exported files read by ASE, OVITO, MDAnalysis and pandas: equal positions, columns and ids."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ase.io
import MDAnalysis
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from ase import Atoms
from ase.build import bulk
from MDAnalysis.lib.mdamath import triclinic_box, triclinic_vectors

import icedask as ice
from icedask.store.lock import locked
from icedask.writers import export as module

N_FRAMES, N_ATOMS = 5, 40

CELLS = {
    "orthogonal": ([[9.0, 0, 0], [0, 10, 0], [0, 0, 11]], None, True),
    "triclinic": ([[9.0, 0, 0], [-3, 8, 0], [2, -2.5, 10]], [1.5, -2.0, 0.25], True),
    "general": ([[9, 0.5, 0.1], [-3, 8, 1], [2, -2, 10]], [1.5, -2.0, 0.25], True),
    "slab": ([[9.0, 0, 0], [4.5, 8, 0], [0, 0, 0]], None, [True, True, False]),
    "none": ([[0.0, 0, 0]] * 3, None, False),
}
IDS = np.random.default_rng(3).permutation(N_ATOMS) + 100


def trajectory(kind: str = "triclinic", *, ids: bool = True) -> xr.Dataset:
    cell, origin, pbc = CELLS[kind]
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(N_FRAMES):
        symbols = ["Cu", "O"] * (N_ATOMS // 2)
        atoms = Atoms(symbols, rng.normal(4, 5, (N_ATOMS, 3)), cell=cell, pbc=pbc)
        atoms.set_array("type", np.array(["2", "1"] * (N_ATOMS // 2)))
        if ids:
            atoms.set_array("id", np.sort(IDS))
        atoms.set_array("velocity", rng.normal(size=(N_ATOMS, 3)))
        atoms.set_array("c_pe", rng.normal(size=N_ATOMS))
        frames.append(atoms)
    trj = ice.from_ase(frames, frame_interval=0.5)
    trj = trj.assign_coords(step=("frame", np.arange(N_FRAMES) * 100))
    if origin is not None:
        trj["cell_origin"] = (("frame", "xyz"), np.tile(origin, (N_FRAMES, 1)))
    return trj


def labels(trj: xr.Dataset) -> xr.Dataset:
    rng = np.random.default_rng(1)
    shape, rows = (trj.sizes["frame"], trj.sizes["atom"]), ("frame", "atom")
    flags = {"flag_values": [0, 1], "flag_meanings": "ice liquid"}
    values = {
        "label": (rows, rng.integers(-1, 2, shape, dtype=np.int32), flags),
        "probability": (rows, rng.random(shape, np.float32)),
    }
    return xr.Dataset(values, {name: trj[name] for name in ("atom", "step", "time")})


def vectors(trj: xr.Dataset) -> xr.Dataset:
    values = np.random.default_rng(2).normal(size=(N_FRAMES, N_ATOMS, 2))
    values[-1] = np.nan
    rows = ("frame", "atom", "component")
    return xr.Dataset({"latent": (rows, values)}, {name: trj[name] for name in ("atom", "step")})


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("suffix", ["extxyz", "xyz", "extxyz.gz"])
def test_extended_xyz_read_by_ase(tmp_path: Path, kind: str, suffix: str) -> None:
    trj = trajectory(kind)
    states, latent = labels(trj), vectors(trj)
    done = ice.export(trj, tmp_path / f"a.{suffix}", [states, latent])
    assert (done.frames, done.rows) == (N_FRAMES, N_FRAMES * N_ATOMS)
    frames = ase.io.read(done.path, index=":", format="extxyz")
    assert len(frames) == N_FRAMES
    for k, atoms in enumerate(frames):
        read = atoms.arrays
        np.testing.assert_array_equal(atoms.positions.astype("f4"), trj["positions"][k])
        np.testing.assert_array_equal(atoms.cell.array, trj["cell"][k])
        assert atoms.pbc.tolist() == trj["pbc"].values.tolist()
        assert atoms.get_chemical_symbols() == trj["element"].values.tolist()
        np.testing.assert_array_equal(read["id"], trj["id"])
        np.testing.assert_array_equal(read["type"], trj["type"].astype(int))
        np.testing.assert_array_equal(read["velo"].astype("f4"), trj["velocity"][k])
        np.testing.assert_array_equal(read["c_pe"].astype("f4"), trj["c_pe"][k])
        np.testing.assert_array_equal(read["label"], states["label"][k])
        assert read["label"].dtype.kind == "i"
        np.testing.assert_array_equal(read["probability"].astype("f4"), states["probability"][k])
        np.testing.assert_array_equal(read["latent"], latent["latent"][k])
        assert (atoms.info["time"], atoms.info["step"]) == (0.5 * k, 100 * k)
        if "cell_origin" in trj:
            np.testing.assert_array_equal(atoms.info["Origin"], trj["cell_origin"][k])


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("suffix", ["extxyz", "lammpstrj", "lammpstrj.gz"])
def test_files_read_by_ovito(tmp_path: Path, kind: str, suffix: str) -> None:
    from ovito.io import import_file

    trj = trajectory(kind)
    states, latent = labels(trj), vectors(trj)
    done = ice.export(trj, tmp_path / f"a.{suffix}", [states, latent])
    pipeline = import_file(str(done.path))
    assert pipeline.num_frames == N_FRAMES
    for k in range(N_FRAMES):
        data = pipeline.compute(k)
        read = {name: np.asarray(data.particles[name]) for name in data.particles}
        np.testing.assert_array_equal(read["Position"].astype("f4"), trj["positions"][k])
        np.testing.assert_array_equal(read["Particle Identifier"], trj["id"])
        names = [data.particles.particle_types.type_by_id(n).name for n in read["Particle Type"]]
        assert names == trj["element"].values.tolist()
        np.testing.assert_array_equal(read["label"], states["label"][k])
        if suffix == "extxyz":
            # It rounds the last digit of doubles its own way.
            np.testing.assert_allclose(read["latent"], latent["latent"][k], rtol=4e-16)
        else:
            np.testing.assert_array_equal(read["Velocity"].astype("f4"), trj["velocity"][k])
            np.testing.assert_allclose(read["latent_0"], latent["latent"][k, :, 0], rtol=4e-16)
        if kind in ("orthogonal", "triclinic", "general"):
            np.testing.assert_allclose(np.asarray(data.cell)[:, :3].T, trj["cell"][k], atol=1e-13)
            assert list(data.cell.pbc) == trj["pbc"].values.tolist()
            if "cell_origin" in trj:
                np.testing.assert_allclose(np.asarray(data.cell)[:, 3], trj["cell_origin"][k])


@pytest.mark.parametrize("kind", ["orthogonal", "triclinic"])
def test_dumps_read_by_mdanalysis(tmp_path: Path, kind: str) -> None:
    trj = trajectory(kind)
    states = labels(trj)
    path = ice.export(trj, tmp_path / "a.lammpstrj", states).path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe(
            str(path),
            format="LAMMPSDUMP",
            topology_format="LAMMPSDUMP",
            additional_columns=["label", "probability"],
        )
        np.testing.assert_array_equal(universe.atoms.ids, np.sort(IDS))
        origin = trj["cell_origin"].values if "cell_origin" in trj else np.zeros((N_FRAMES, 3))
        for k, ts in enumerate(universe.trajectory):
            # It moves the corner of the box to zero.
            expected = trj["positions"].values[k] - origin[k].astype("f4")
            np.testing.assert_allclose(ts.positions, expected, atol=1e-5)
            if kind == "orthogonal":
                np.testing.assert_array_equal(ts.positions, trj["positions"][k])
            np.testing.assert_array_equal(ts.velocities, trj["velocity"][k])
            np.testing.assert_array_equal(ts.data["label"], states["label"][k])
            np.testing.assert_array_equal(
                ts.data["probability"].astype("f4"), states["probability"][k]
            )
            np.testing.assert_allclose(
                ts.triclinic_dimensions, rotated(trj["cell"].values[k]), atol=1e-4
            )
            assert ts.data["step"] == 100 * k


def rotated(cell: np.ndarray) -> np.ndarray:
    return triclinic_vectors(triclinic_box(*cell))


def test_extended_xyz_read_by_mdanalysis(tmp_path: Path) -> None:
    trj = trajectory("general")
    path = ice.export(trj, tmp_path / "a.xyz", labels(trj)).path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe(str(path))
        assert universe.atoms.names.tolist() == trj["element"].values.tolist()
        for k, ts in enumerate(universe.trajectory):
            np.testing.assert_array_equal(ts.positions, trj["positions"][k])


@pytest.mark.parametrize("kind", ["orthogonal", "triclinic", "general"])
def test_dumps_are_ingested_equal(tmp_path: Path, kind: str) -> None:
    trj = trajectory(kind)
    states = labels(trj)
    path = ice.export(trj, tmp_path / "a.lammpstrj", states).path
    back = ice.ingest(path, tmp_path / "a.zarr", units="metal", timestep=0.005)
    for name in ("positions", "velocity", "c_pe", "id", "element", "type", "step", "time", "pbc"):
        np.testing.assert_array_equal(back[name], trj[name])
    np.testing.assert_allclose(back["cell"], trj["cell"], atol=1e-13)
    np.testing.assert_array_equal(back["label"], states["label"])


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_tables_read_by_pandas(tmp_path: Path, suffix: str) -> None:
    trj = trajectory()
    states, latent = labels(trj), vectors(trj)
    path = ice.export(trj, tmp_path / f"a.{suffix}", [states, latent]).path
    table = pd.read_parquet(path) if suffix == "parquet" else pd.read_csv(path)
    assert list(table)[:8] == ["frame", "step", "time", "atom", "id", "element", "type", "x"]
    assert len(table) == N_FRAMES * N_ATOMS
    np.testing.assert_array_equal(table["frame"], np.repeat(np.arange(N_FRAMES), N_ATOMS))
    np.testing.assert_array_equal(table["time"], np.repeat(trj["time"], N_ATOMS))
    np.testing.assert_array_equal(table["id"], np.tile(trj["id"], N_FRAMES))
    assert table["element"].tolist() == np.tile(trj["element"], N_FRAMES).tolist()
    xyz = table[["x", "y", "z"]].to_numpy().astype("f4")
    np.testing.assert_array_equal(xyz, trj["positions"].values.reshape(-1, 3))
    np.testing.assert_array_equal(table["label"], states["label"].values.ravel())
    assert table["label"].dtype.kind == "i"
    np.testing.assert_array_equal(table["latent_1"], latent["latent"].values[..., 1].ravel())
    assert np.isnan(table["latent_0"].iloc[-1])


def test_texts_with_commas_and_blanks(tmp_path: Path) -> None:
    trj = trajectory().assign_coords(name=("atom", ['a "b",c', "", "d e", "f"] * 10))
    table = pd.read_csv(ice.export(trj, tmp_path / "a.csv").path, keep_default_na=False)
    assert table["name"].tolist() == np.tile(trj["name"], N_FRAMES).tolist()
    atoms = ase.io.read(ice.export(trj, tmp_path / "a.extxyz").path, index=0)
    assert atoms.arrays["name"].tolist()[:4] == ['a_"b",c', "_", "d_e", "f"]
    np.testing.assert_array_equal(atoms.positions.astype("f4"), trj["positions"][0])
    head = ice.export(trj, tmp_path / "a.lammpstrj").path.read_text().splitlines()[8]
    assert "name" not in head.split()


def test_types_that_are_no_numbers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trj = trajectory().assign_coords(type=("atom", ["HW", "OW"] * 20))
    with caplog.at_level("INFO", "icedask"):
        path = ice.export(trj, tmp_path / "a.lammpstrj").path
    assert "types are numbers: 1 HW, 2 OW" in caplog.text
    lines = path.read_text().splitlines()
    assert lines[8].split()[2:5] == ["id", "type", "element"]
    assert [line.split()[1] for line in lines[9:13]] == ["1", "2", "1", "2"]


@pytest.mark.parametrize("suffix", ["extxyz", "lammpstrj"])
def test_without_ids_the_index_is_named(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    trj = ice.select(trajectory("orthogonal", ids=False), "index 3:9")
    with caplog.at_level("INFO", "icedask"):
        path = ice.export(trj, tmp_path / f"a.{suffix}").path
    assert "the source has no ids, id is the index of the atom, from 0" in caplog.text
    first = path.read_text().splitlines()
    ids = [
        line.split()[4 if suffix == "extxyz" else 0]
        for line in first[2 if suffix == "extxyz" else 9 :][:7]
    ]
    assert ids == ["3", "4", "5", "6", "7", "8", "9"]


def test_large_ids_are_read_by_ase(tmp_path: Path) -> None:
    trj = trajectory().assign_coords(id=("atom", np.arange(N_ATOMS) + 2**40))
    atoms = ase.io.read(ice.export(trj, tmp_path / "a.extxyz").path, index=0)
    np.testing.assert_array_equal(atoms.arrays["id"], trj["id"])


@pytest.mark.parametrize("part_rows", [1, N_ATOMS, 3 * N_ATOMS, 2**18])
def test_any_parts_give_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part_rows: int
) -> None:
    trj = trajectory()
    whole = ice.export(trj, tmp_path / "whole.csv", labels(trj)).path.read_bytes()
    monkeypatch.setattr(module, "_PART_ROWS", part_rows)
    lazy = trj.chunk({"frame": 2})
    states = labels(trj).chunk({"frame": 3, "atom": 7})
    assert ice.export(lazy, tmp_path / "parts.csv", states).path.read_bytes() == whole
    assert sorted(os.listdir(tmp_path)) == ["parts.csv", "whole.csv"]


def test_where_and_frames(tmp_path: Path) -> None:
    trj = trajectory()
    states = labels(trj)
    text = "label == 'liquid' and x > 1 and step >= 100"
    path = ice.export(trj, tmp_path / "a.extxyz", states, where=text, frames="::2").path
    chosen = [
        np.flatnonzero((states["label"].values[k] == 1) & (trj["positions"].values[k, :, 0] > 1))
        for k in (2, 4)
    ]
    frames = ase.io.read(path, index=":")
    assert [len(atoms) for atoms in frames] == [len(rows) for rows in chosen]
    for k, rows, atoms in zip((2, 4), chosen, frames, strict=True):
        np.testing.assert_array_equal(atoms.positions.astype("f4"), trj["positions"][k, rows])
        np.testing.assert_array_equal(atoms.arrays["id"], trj["id"][rows])
        assert atoms.info["step"] == 100 * k
    last = ice.export(
        trj, tmp_path / "b.csv", states, frames=-1, columns=["label"], where="id < 105"
    )
    table = pd.read_csv(last.path)
    assert ",".join(table) == "frame,step,time,atom,id,element,type,x,y,z,label"
    assert set(table["frame"]) == {N_FRAMES - 1} and set(table["id"]) == set(range(100, 105))


def test_state_and_the_label_of_a_run_are_names_in_a_condition(tmp_path: Path) -> None:
    trj = trajectory()
    states = labels(trj).assign_attrs(label="states")
    done = [
        ice.export(trj, tmp_path / f"{n}.csv", states, where=text).path.read_bytes()
        for n, text in enumerate(["label == 1", "state == 1", "states == 1"])
    ]
    assert done[0] == done[1] == done[2]


def test_names_of_columns(tmp_path: Path) -> None:
    trj = trajectory()
    first = labels(trj).assign_attrs(label="states")
    second = labels(trj)[["label"]].assign_attrs(label="ice")
    names = ice.export(trj, tmp_path / "a.csv", [first, second]).columns
    assert names[-3:] == ["states_label", "probability", "ice_label"]
    names = ice.export(trj, tmp_path / "b.csv", {"a": first, "b": second}).columns
    assert names[-3:] == ["a", "a_probability", "b"]
    with pytest.raises(ice.InputError, match="found label twice; name the results"):
        ice.export(trj, tmp_path / "c.csv", [labels(trj), labels(trj)])


def test_names_that_a_format_has_already(tmp_path: Path) -> None:
    trj = trajectory()
    own = labels(trj)[["label"]]
    for name, suffix in (("species", "extxyz"), ("vx", "lammpstrj")):
        assert ice.export(trj, tmp_path / f"{name}.csv", {name: own}).columns[-1] == name
        with pytest.raises(ice.InputError, match=f"two columns are called {name}"):
            ice.export(trj, tmp_path / f"a.{suffix}", {name: own})
    with pytest.raises(ice.InputError, match="found x twice"):
        ice.export(trj, tmp_path / "a.csv", {"x": own})
    with pytest.raises(ice.InputError, match="without any"):
        ice.export(trj.isel(atom=[]), tmp_path / "a.csv")


def test_atoms_and_frames_of_results(tmp_path: Path) -> None:
    trj = trajectory()
    part = labels(trj)[["label"]].isel(atom=slice(None, None, -3), frame=[3, 1])
    path = ice.export(trj, tmp_path / "a.csv", part).path
    table = pd.read_csv(path)
    kept = np.sort(part["atom"])
    np.testing.assert_array_equal(table["atom"], np.tile(kept, 2))
    np.testing.assert_array_equal(table["frame"], np.repeat([1, 3], len(kept)))
    expected = labels(trj)["label"].values
    np.testing.assert_array_equal(table["label"], expected[table["frame"], table["atom"]])
    xyz = trj["positions"].values[table["frame"], table["atom"]]
    np.testing.assert_array_equal(table[["x", "y", "z"]].to_numpy("f4"), xyz)
    filled = pd.read_csv(ice.export(trj, tmp_path / "b.csv", part, fill=True).path)
    assert len(filled) == N_FRAMES * N_ATOMS
    known = filled["frame"].isin([1, 3]) & filled["atom"].isin(kept)
    assert (filled["label"][~known] == -1).all()
    np.testing.assert_array_equal(filled["label"][known], table["label"])
    lens = ice.lens(trj.chunk({"frame": 2}), r_cut=4.0, centers="element O")
    nan = pd.read_csv(ice.export(trj, tmp_path / "c.csv", lens.drop_attrs(), fill=True).path)
    np.testing.assert_array_equal(
        nan["lens"].isna(), (nan["element"] == "Cu") | (nan["frame"] == 4)
    )


def test_results_that_do_not_belong_are_refused(tmp_path: Path) -> None:
    trj = trajectory("orthogonal")
    lens = ice.lens(trj, r_cut=4.0)
    other = trj.assign(positions=trj["positions"] + np.float32(1))
    calls: list[tuple[Any, Any, str]] = [
        (other, lens, "expected a result of this trajectory"),
        (trj, trj, "found a second trajectory"),
        (trj, ice.populations(labels(trj)), "expected values of atoms"),
        (trj, labels(trj).assign_coords(time=trj["time"] + 1, step=trj["step"] * 2), "the times"),
        (trj, labels(trj).assign_coords(step=trj["step"] * 0), "has a value twice"),
        (trj, labels(trj).assign_coords(step=trj["step"] + 7), "none in common"),
        (trj, "lens", "results as Datasets"),
        (lens, None, "expected a trajectory"),
    ]
    for ds, results, message in calls:
        with pytest.raises(ice.InputError, match=message) as error:
            ice.export(ds, tmp_path / "a.csv", results)
        assert "\n" not in str(error.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.pdb", {}, r"ends in .*\.csv.*found a.pdb"),
        ("a.parquet.gz", {}, "ends in"),
        ("no/a.csv", {}, "expected an existing folder"),
        ("a.csv", {"frames": "9:"}, "no frame of the 5"),
        ("a.csv", {"frames": "a:b"}, "start:stop:step"),
        ("a.csv", {"frames": slice(None, None, -1)}, "positive step"),
        ("a.csv", {"where": "lens > 1"}, "no column 'lens'"),
        ("a.csv", {"where": "x > 1e9"}, "holds for no atom in 5 frames; nothing is written"),
        ("a.csv", {"columns": ["lens"]}, "no column 'lens'"),
        ("a.csv", {"overwrite": 1}, "True or False"),
    ],
)
def test_mistakes(tmp_path: Path, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ice.InputError, match=message):
        ice.export(trajectory(), tmp_path / name, **options)
    assert os.listdir(tmp_path) == []


def test_a_file_is_replaced_only_if_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("mine")
    with pytest.raises(ice.InputError, match="exists; give another path, or overwrite=True"):
        ice.export(trajectory(), path)
    assert path.read_text() == "mine"
    with pytest.raises(ice.InputError, match="holds for no atom"):
        ice.export(trajectory(), path, overwrite=True, where="x > 1e9")
    assert path.read_text() == "mine"
    ice.export(trajectory(), path, overwrite=True)
    assert path.read_text().startswith("frame,")
    with pytest.raises(ice.InputError, match="found the folder"):
        (tmp_path / "b.csv").mkdir()
        ice.export(trajectory(), tmp_path / "b.csv")


def test_an_interrupted_export_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = tmp_path / ".a.csv.parts"
    parts.mkdir()
    (parts / "part-7").write_text("of a killed export")
    # A call of another thread is other work; one of this thread would be part of it.
    with (
        locked(parts),
        ThreadPoolExecutor(1) as others,
        pytest.raises(ice.StoreError, match="another process is writing this file"),
    ):
        others.submit(ice.export, trajectory(), tmp_path / "a.csv").result()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.Export, "_join", fail)
    with pytest.raises(ice.StoreError, match=r"a.csv: cannot be written \(No space left"):
        ice.export(trajectory(), tmp_path / "a.csv")
    assert os.listdir(tmp_path) == []


def test_parquet_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icedask.writers.formats.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ice.InputError, match="pip install pyarrow, or export to"):
        ice.export(trajectory(), tmp_path / "a.parquet")


def test_on_workers(tmp_path: Path, mw: xr.Dataset, client: Any) -> None:
    cn = ice.coordination(mw, r_cut=3.5)
    path = ice.export(mw, tmp_path / "a.csv", cn, frames=":3").path
    table = pd.read_csv(path)
    np.testing.assert_array_equal(table["coordination"], cn["coordination"][:3].values.ravel())


def test_names_that_readers_take_apart(tmp_path: Path) -> None:
    trj = trajectory()
    trj["c_2[10]"] = trj["c_2[9]"] = trj["c_pe"]
    trj["v_a-b"] = trj["c_pe"]
    done = ice.export(trj, tmp_path / "a.extxyz", where="v_a_b > 0 and c_2[9] > 0")
    assert done.columns[-6:] == ["type", "c_2_9", "c_2_10", "c_pe", "v_a-b", "velo"]
    atoms = ase.io.read(done.path, 0)
    assert (atoms.arrays["c_2_9"] > 0).all()
    again = ice.ingest(done.path, tmp_path / "a.zarr", units="metal", frames=slice(0, 1))
    assert {"c_2_9", "c_2_10", "velocity"} <= set(again.data_vars)


def test_result_of_one_frame_is_of_that_frame(tmp_path: Path) -> None:
    trj = trajectory()
    last = labels(trj).isel(frame=-1)
    assert ice.export(trj, tmp_path / "a.csv", last).frames == 1
    assert pd.read_csv(tmp_path / "a.csv")["step"].unique().tolist() == [400]
    with pytest.raises(ice.InputError, match=r"no value for frame 0 \(step 0\)"):
        ice.to_ase(trj, 0, states=last)


def test_array_of_other_atoms_is_refused(tmp_path: Path) -> None:
    trj = trajectory()
    other = trj.isel(atom=slice(1, None)).assign_coords(atom=np.arange(N_ATOMS - 1))
    with pytest.raises(ice.InputError, match="c: expected the atoms of the trajectory, found"):
        ice.export(trj, tmp_path / "a.csv", {"c": other["c_pe"]})


def test_units_of_the_source_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trj = trajectory()
    trj["c_pe"].attrs["units"] = "unconverted (real)"
    with caplog.at_level("INFO", "icedask"):
        ice.export(trj, tmp_path / "a.lammpstrj")
    assert "in units of the source, not converted: c_pe (real)" in caplog.text


@pytest.mark.parametrize("path", [None, "y" * 300 + ".csv"])
def test_no_path_and_one_too_long(path: Any) -> None:
    with pytest.raises(ice.InputError, match=r"expected the path|File name too long"):
        ice.export(trajectory(), path)


def test_column_without_name(tmp_path: Path) -> None:
    trj = trajectory()
    with pytest.raises(ice.InputError, match="expected a name for each column, found ''"):
        ice.export(trj, tmp_path / "a.extxyz", {"": labels(trj)["label"]})


def test_extended_xyz_states_its_units_and_origin(tmp_path: Path) -> None:
    frames = []
    for k in range(3):
        atoms = bulk("Cu", cubic=True)
        atoms.set_velocities(np.full((4, 3), 0.01 * (k + 1)))
        frames.append(atoms)
    trj = ice.from_ase(frames, frame_interval=0.25)
    trj["cell_origin"] = ("frame", "xyz"), [[1.0, -2.0, 0.5 * k] for k in range(3)]
    path = tmp_path / "cu.extxyz"
    ice.export(trj, path)
    assert 'units="angstrom ps eV"' in path.read_text()
    for units in (None, "metal"):
        again = ice.ingest(path, tmp_path / f"{units}.zarr", units=units)
        for name in ("time", "step", "positions", "cell", "cell_origin", "velocity"):
            np.testing.assert_allclose(again[name].values, trj[name].values, rtol=1e-6)
    for option in ({"units": "real"}, {"timestep": 0.5}, {"lj_tau": 1.0}):
        (name,) = option
        with pytest.raises(ice.errors.InputError, match=rf"{name}: expected none.*leave {name}"):
            ice.ingest(path, tmp_path / "x.zarr", **option)
