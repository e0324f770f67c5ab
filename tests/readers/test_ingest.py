"""Bad input of `ingest`: an error that names the fault and the remedy, and no store left."""

import gzip
import os
import shutil
import warnings
from pathlib import Path

import ase.io
import MDAnalysis
import numpy as np
import pytest
from ase import Atoms
from MDAnalysisTests import datafiles as data

import icedask as ice

OPTIONS = {"units": "real", "timestep": 1.0, "elements": {"1": "O", "2": "H"}}
BOX = "ITEM: BOX BOUNDS pp pp pp\n0 10\n0 10\n0 10\n"
ABC = "ITEM: BOX BOUNDS abc origin pp pp pp\n"
ROWS = ["1 1 0.5 1 2", "2 2 1.5 1 2", "3 2 2.5 1 2", "4 1 3.5 1 2"]


def frame(step=0, rows=ROWS, box=BOX, names="id type x y z"):
    return (
        f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(rows)}\n{box}"
        f"ITEM: ATOMS {names}\n" + "".join(f"{row}\n" for row in rows)
    )


def dump(tmp_path, *frames, name="a.lammpstrj"):
    path = tmp_path / name
    path.write_text("".join(frames) or "".join(frame(100 * i) for i in range(3)))
    return path


def refused(source, match, error=ice.InputError, **options):
    store = (source if hasattr(source, "parent") else source[0]).parent / "out.zarr"
    with pytest.raises(error, match=match) as caught:
        ice.ingest(source, store, **options)
    assert not store.exists()
    return str(caught.value)


def refused_dump(source, match, **options):
    options = {name: value for name, value in {**OPTIONS, **options}.items() if value is not None}
    return refused(source, match, **options)


def replaced(row, text):
    return [*ROWS[:row], text, *ROWS[row + 1 :]]


# Files


def test_missing_file(tmp_path):
    assert "none.xtc" in refused(tmp_path / "none.xtc", "no such file")
    refused(tmp_path / "none.*.lammpstrj", "no file matches")


def test_missing_topology(tmp_path):
    path = tmp_path / "a.xtc"
    shutil.copy(data.XTC_sub_sol, path)
    refused(path, "no such file", topology=tmp_path / "none.tpr")


def test_folder_as_source(tmp_path):
    (tmp_path / "run").mkdir()
    refused(tmp_path / "run", "folder")


@pytest.mark.parametrize("name", ["a.lammpstrj", "a.dump.gz", "a.extxyz", "a.xtc", "a.traj"])
def test_empty_file(tmp_path, name):
    (tmp_path / name).touch()
    refused(tmp_path / name, "empty")


def test_gzip_of_nothing(tmp_path):
    (tmp_path / "a.lammpstrj.gz").write_bytes(gzip.compress(b""))
    refused_dump(tmp_path / "a.lammpstrj.gz", "empty")


@pytest.mark.parametrize("name", ["a.lammpstrj", "a.lammpstrj.gz", "a.extxyz", "a.xtc", "a.traj"])
def test_not_that_format(tmp_path, name):
    (tmp_path / name).write_text("some text\nwhich is no trajectory\n" * 5)
    options = OPTIONS if "lammps" in name else {}
    assert name in refused(tmp_path / name, "expected|cannot", **options)


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz"])
def test_blank_lines_only(tmp_path, name):
    (tmp_path / name).write_text("\n\n")
    refused(tmp_path / name, "empty")


# Truncated

CUTS = {
    "in the atoms": lambda text: text[: text.rindex("3 2 2.5")],
    "in a number": lambda text: text[:-4],
    "in the last number": lambda text: text[:-1],
    "in the box": lambda text: text[: text.rindex("0 10\n") + 2],
    "after the first line": lambda text: text[: text.rindex("200\n")],
    "in the number of atoms": lambda text: text[: text.rindex("4\nITEM: BOX")],
    "in the column names": lambda text: text[: text.rindex("type x y z")],
}


@pytest.mark.parametrize("cut", CUTS)
def test_truncated_dump(tmp_path, cut):
    path = dump(tmp_path)
    path.write_text(CUTS[cut](path.read_text()))
    message = refused_dump(path, "truncated")
    assert "--frames :2" in message
    refused_dump(path, "truncated", frames="1:")
    refused_dump(path, "truncated", frames=":3")
    trj = ice.ingest(path, tmp_path / "t.zarr", frames=":2", **OPTIONS)
    assert trj["step"].values.tolist() == [0, 100]
    np.testing.assert_array_equal(trj["positions"][:, :, 0], [[0.5, 1.5, 2.5, 3.5]] * 2)


def test_only_frame_truncated(tmp_path):
    path = dump(tmp_path, frame()[:-30])
    refused_dump(path, "no whole frame")


def many_frames(n=300):
    rng = np.random.default_rng(0)
    rows = rng.uniform(0, 10, (n, 4, 3)).round(6)
    return [
        frame(100 * i, [f"{j + 1} 1 {x} {y} {z}" for j, (x, y, z) in enumerate(xyz)])
        for i, xyz in enumerate(rows)
    ]


@pytest.mark.parametrize("where", ["stream", "text"])
def test_truncated_gzip(tmp_path, where):
    text = "".join(many_frames()).encode()
    path = tmp_path / "a.lammpstrj.gz"
    packed = gzip.compress(text)
    path.write_bytes(packed[:-2000] if where == "stream" else gzip.compress(text[:-20]))
    message = refused_dump(path, "truncated")
    whole = int(message.rsplit("--frames :")[1].rstrip(")"))
    assert 100 < whole < 300
    trj = ice.ingest(path, tmp_path / "t.zarr", frames=f":{whole}", **OPTIONS)
    plain = dump(tmp_path, text.decode())
    same = ice.ingest(plain, tmp_path / "u.zarr", frames=f":{whole}", **OPTIONS)
    np.testing.assert_array_equal(trj["positions"], same["positions"])


def test_gzip_without_its_checksum(tmp_path):
    path = tmp_path / "a.lammpstrj.gz"
    path.write_bytes(gzip.compress("".join(many_frames()).encode())[:-6])
    refused_dump(path, "truncated")


@pytest.mark.parametrize("cut", ["rows", "row", "number", "header", "comment"])
def test_truncated_extxyz(tmp_path, cut):
    atoms = Atoms("OH2Na", np.arange(12).reshape(4, 3) + 0.123456, cell=[20] * 3, pbc=True)
    path = tmp_path / "a.extxyz"
    ase.io.write(path, [atoms] * 3)
    text = path.read_text()
    keep = {
        "rows": text.rindex("Na"),
        "row": text.rindex("Na") + 20,
        "number": len(text.rstrip()) - 3,
        "header": text.rindex("4\nLattice") + 2,
        "comment": text.rindex("4\nLattice") + 30,
    }[cut]
    path.write_text(text[:keep])
    message = refused(path, "truncated|cannot be read")
    assert "frames" in message
    trj = ice.ingest(path, tmp_path / "t.zarr", frames=":2")
    np.testing.assert_allclose(trj["positions"], [atoms.positions] * 2, rtol=1e-6)


@pytest.mark.parametrize("name", ["XTC_sub_sol", "TRR_sub_sol"])
def test_truncated_gromacs(tmp_path, name):
    source = Path(getattr(data, name))
    path = tmp_path / f"a{source.suffix}"
    path.write_bytes(source.read_bytes()[:-1000])
    gro = tmp_path / "a.gro"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with MDAnalysis.coordinates.core.reader(str(source)) as reader:
            n_atoms, n_frames = reader.n_atoms, reader.n_frames
        universe = MDAnalysis.Universe.empty(n_atoms, trajectory=True)
        universe.add_TopologyAttr("names", ["C"] * n_atoms)
        universe.atoms.write(str(gro))
    options = {"topology": gro, "elements": "C"}
    message = refused(path, "truncated|cannot be read", **options)
    assert f":{n_frames - 1}" in message
    trj = ice.ingest(path, tmp_path / "t.zarr", frames=f":{n_frames - 1}", **options)
    assert trj.sizes["frame"] == n_frames - 1


def test_truncated_file_before_another(tmp_path):
    first = dump(tmp_path, frame(0), frame(100)[:-10], name="run.1.dump")
    second = dump(tmp_path, frame(200), name="run.2.dump")
    refused_dump([first, second], "truncated")


# Broken frames


@pytest.mark.parametrize("at", [1, 2])
def test_rows_missing_in_the_middle(tmp_path, at):
    broken = frame(100 * at)[:-12] + "\n"
    frames = [frame(0), frame(100), frame(200), frame(300)]
    frames[at] = broken
    refused_dump(dump(tmp_path, *frames), "expected|cannot")


@pytest.mark.parametrize(
    "header",
    [
        "ITEM: TIMESTEP\n100\nITEM: NUMBER OF ATOMS\n",
        "ITEM: TIMESTEP\n100\nITEM: NUMBER OF ATOMS\n4\nITEM: BOX BOUNDS pp pp pp\n0 1",
        "ITEM: TIMESTEP\n",
    ],
)
def test_killed_in_a_header_and_appended_to(tmp_path, header):
    path = dump(tmp_path, frame(0), header, frame(100), frame(200))
    refused_dump(path, "header|frame|step")


def test_dump_without_a_box(tmp_path):
    refused_dump(dump(tmp_path, frame(box="")), "BOX BOUNDS|header is incomplete")


@pytest.mark.parametrize("tilts", ["", " xy xz yz"])
def test_box_without_boundary_flags(tmp_path, tilts):
    # As old versions of LAMMPS wrote it: what is periodic must not be guessed.
    row = "0 10 0\n" if tilts else "0 10\n"
    box = f"ITEM: BOX BOUNDS{tilts}\n" + row * 3
    refused_dump(dump(tmp_path, frame(box=box)), "boundar|pbc|period")


def test_atom_count_changes(tmp_path):
    more = [*ROWS, "5 2 4.5 1 2"]
    message = refused_dump(dump(tmp_path, frame(0), frame(100, more)), "expected 4 atoms.*found 5")
    assert "constant number" in message
    refused_dump(dump(tmp_path, frame(0), frame(100, ROWS[:3])), "expected 4 atoms.*found 3")


def test_atom_count_changes_in_extxyz(tmp_path):
    path = tmp_path / "a.extxyz"
    ase.io.write(path, [Atoms("OH2", cell=[5] * 3, pbc=True), Atoms("OH", cell=[5] * 3, pbc=True)])
    refused(path, "expected the 3 atoms.*found 2")


def test_elements_change_in_extxyz(tmp_path):
    path = tmp_path / "a.extxyz"
    ase.io.write(path, [Atoms("OHH"), Atoms("HOH")])
    refused(path, "other elements")


def test_ids_change(tmp_path):
    refused_dump(dump(tmp_path, frame(0), frame(100, replaced(3, "5 1 3.5 1 2"))), "column id")


def test_types_change(tmp_path):
    refused_dump(dump(tmp_path, frame(0), frame(100, replaced(3, "4 2 3.5 1 2"))), "column type")


def test_columns_change(tmp_path):
    names = "id type x z y"
    refused_dump(dump(tmp_path, frame(0), frame(100, names=names)), "columns")


def test_duplicate_ids(tmp_path):
    refused_dump(dump(tmp_path, frame(0, replaced(3, "3 1 3.5 1 2"))), "id")


def test_boundaries_change(tmp_path):
    slab = BOX.replace("pp pp pp", "pp pp ff")
    refused_dump(dump(tmp_path, frame(0), frame(100, box=slab)), "boundaries")


def test_boundaries_change_in_extxyz(tmp_path):
    path = tmp_path / "a.extxyz"
    ase.io.write(path, [Atoms("O", cell=[5] * 3, pbc=p) for p in ([1, 1, 1], [1, 1, 0])])
    refused(path, "boundaries")


@pytest.mark.parametrize("later", [True, False])
def test_arrays_of_extxyz_change(tmp_path, later):
    plain, more = Atoms("OH"), Atoms("OH")
    more.new_array("order", np.array([1.0, 2.0]))
    path = tmp_path / "a.extxyz"
    ase.io.write(path, [plain, more] if later else [more, plain])
    refused(path, "order")


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-inf", "1e39"])
@pytest.mark.parametrize("at", [0, 1])
def test_not_finite(tmp_path, value, at):
    frames = [frame(0), frame(100)]
    frames[at] = frame(100 * at, replaced(2, f"3 2 2.5 {value} 2"))
    refused_dump(dump(tmp_path, *frames), f"frame {at}, atom 2.*not finite")


def test_not_finite_in_extxyz(tmp_path):
    path = tmp_path / "a.extxyz"
    path.write_text('1\npbc="F F F"\nH 0 0 0\n1\npbc="F F F"\nH 0 nan 0\n')
    refused(path, "frame 1, atom 0.*not finite")


def test_not_finite_box(tmp_path):
    refused_dump(dump(tmp_path, frame(box=BOX.replace("10", "nan", 1))), "cell.*NaN")


# Cells


def test_left_handed_cell(tmp_path):
    box = ABC + "0 10 0 0\n10 0 0 0\n0 0 10 0\n"
    refused_dump(dump(tmp_path, frame(box=box)), "left-handed.*swap")
    path = tmp_path / "a.extxyz"
    ase.io.write(path, Atoms("H", cell=[[0, 5, 0], [5, 0, 0], [0, 0, 5]], pbc=True))
    refused(path, "left-handed")


def test_flat_cell(tmp_path):
    box = "ITEM: BOX BOUNDS pp pp pp\n0 10\n0 10\n3 3\n"
    refused_dump(dump(tmp_path, frame(box=box)), "periodic direction")
    box = ABC + "10 0 0 0\n0 10 0 0\n10 10 0 0\n"
    refused_dump(dump(tmp_path, frame(box=box)), "zero volume")
    path = tmp_path / "a.extxyz"
    ase.io.write(path, Atoms("H", cell=[5, 5, 0], pbc=True))
    refused(path, "zero length along a periodic direction")


def test_box_inside_out(tmp_path):
    box = "ITEM: BOX BOUNDS pp pp pp\n0 10\n0 10\n10 0\n"
    refused_dump(dump(tmp_path, frame(box=box)), "cell")


# Options


@pytest.mark.parametrize(
    ("expression", "match"),
    [
        ("element Cu", "matches no atom"),
        ("type 7", "matches no atom"),
        ("elment O", "not understood"),
        ("element O and", "not understood"),
        ("(type 1", "not understood"),
        ("", "no atom|not understood"),
        ("resname SOL", "not understood|matches no atom"),
    ],
)
def test_bad_selection(tmp_path, expression, match):
    message = refused_dump(dump(tmp_path), match, select=expression)
    if expression:
        assert expression in message


@pytest.mark.parametrize("expression", ["name XX", "nme CA", "protein and (name CA"])
def test_bad_selection_mdanalysis(tmp_path, expression):
    for file in (data.PSF_TRICLINIC, data.DCD_TRICLINIC):
        shutil.copy(file, tmp_path)
    options = {
        "topology": tmp_path / "tip125_tric_C36.psf",
        "elements": {"OH2": "O", "H1": "H", "H2": "H"},
    }
    refused(
        tmp_path / "tip125_tric_C36.dcd", "not understood|matches no", select=expression, **options
    )


def test_units(tmp_path):
    path = dump(tmp_path)
    refused_dump(path, "units: expected one of real, metal, lj", units="imperial")
    assert "--units" in refused_dump(path, "does not say its units", units=None)
    assert "lj_sigma" in refused_dump(path, "positive", units="lj")
    path.write_text("ITEM: UNITS\nmetal\n" + path.read_text())
    refused_dump(path, "expected units metal", units="real")


def test_timestep(tmp_path):
    path = dump(tmp_path)
    assert "--timestep" in refused_dump(path, "does not say its time", timestep=None)
    refused_dump(path, "above 0", timestep=0)
    refused_dump(path, "above 0", timestep=-1.0)
    refused_dump(path, "expected a number", timestep="1 fs")


def test_elements(tmp_path):
    path = dump(tmp_path)
    assert "--elements" in refused_dump(path, "found none for '1', '2'", elements=None)
    refused_dump(path, "found none for '2'", elements={"1": "O"})
    assert "X for a massless site" in refused_dump(path, "'Qq'", elements={"1": "O", "2": "Qq"})
    refused_dump(path, "'o'", elements="o")
    rows = ["1 O 0 0 0", "2 Qq 1 0 0"]
    named = dump(tmp_path, frame(0, rows, names="id element x y z"), name="b.lammpstrj")
    refused_dump(named, "'Qq'", elements=None)


def test_elements_of_a_gro_file(tmp_path):
    shutil.copy(data.GRO_velocity, tmp_path / "a.gro")
    refused(tmp_path / "a.gro", "atom name.*'HW2'")
    refused(tmp_path / "a.gro", "found none for 'HW3'", elements={"OW1": "O", "HW2": "H"})


def test_trajectory_without_its_topology(tmp_path):
    shutil.copy(data.XTC_sub_sol, tmp_path / "a.xtc")
    refused(tmp_path / "a.xtc", "--topology")


def test_topology_of_another_system(tmp_path):
    shutil.copy(data.XTC_sub_sol, tmp_path / "a.xtc")
    shutil.copy(data.GRO_velocity, tmp_path / "a.gro")
    refused(tmp_path / "a.xtc", "atoms", topology=tmp_path / "a.gro", elements="O")


@pytest.mark.parametrize("option", [{"units": "real"}, {"timestep": 1.0}, {"lj_sigma": 1.0}])
def test_lammps_options_for_another_format(tmp_path, option):
    shutil.copy(data.XTC_sub_sol, tmp_path / "a.xtc")
    refused(
        tmp_path / "a.xtc",
        "is read as GROMACS xtc, which .*: leave out " + next(iter(option)),
        **option,
    )


def test_options_of_other_formats_for_a_dump(tmp_path):
    path = dump(tmp_path)
    refused_dump(path, "topology", topology=path)
    refused_dump(path, "cell", cell=(10, 10, 10))


def test_elements_for_a_format_that_names_them(tmp_path):
    path = tmp_path / "a.extxyz"
    ase.io.write(path, Atoms("H"))
    refused(path, "elements", elements={"H": "O"})


@pytest.mark.parametrize(
    ("frames", "match"),
    [
        ("5:", "no frame of the 3"),
        ("2:1", "no frame of the 3"),
        ("::0", "positive step"),
        ("::-1", "positive step"),
        ("4", "start:stop:step"),
        ("a:b", "start:stop:step"),
        ("1:2:3:4", "start:stop:step"),
    ],
)
def test_frames(tmp_path, frames, match):
    refused_dump(dump(tmp_path), match, frames=frames)


def test_columns(tmp_path):
    path = dump(tmp_path, frame(0, [f"{row} abc" for row in ROWS], names="id type x y z c_1"))
    assert "--column c_1=" in refused_dump(path, "c_1 is not numeric")
    refused_dump(path, "has no c_2", columns={"c_2": "potential_energy"})
    trj = ice.ingest(path, tmp_path / "t.zarr", columns={"c_1": None}, **OPTIONS)
    assert "c_1" not in trj


def test_coordinate_that_is_not_a_number(tmp_path):
    refused_dump(dump(tmp_path, frame(0), frame(100, replaced(0, "1 1 0.5 ?? 2"))), "not numeric")


def test_id_or_type_that_is_not_a_number(tmp_path):
    refused_dump(dump(tmp_path, frame(0, replaced(0, "one 1 0.5 1 2"))), "id")


def test_no_coordinates(tmp_path):
    path = dump(tmp_path, frame(0, names="id type vx vy vz"))
    refused_dump(path, "expected the columns x y z")


@pytest.mark.parametrize("name", ["positions", "cell", "time", "velocity", "id"])
def test_column_named_like_another_variable(tmp_path, name):
    path = dump(tmp_path, frame(0, [f"{row} 1" for row in ROWS], names="id type x y z c_1"))
    refused_dump(path, name, columns={"c_1": name})


def test_two_columns_of_one_name(tmp_path):
    rows = [f"{row} 1 2" for row in ROWS]
    path = dump(tmp_path, frame(0, rows, names="id type x y z c_1 c_2"))
    refused_dump(
        path, "potential_energy", columns=dict.fromkeys(("c_1", "c_2"), "potential_energy")
    )


# Several files


def test_files_of_different_atoms(tmp_path):
    a = dump(tmp_path, frame(0), name="a.dump")
    b = dump(tmp_path, frame(100, ROWS[:3]), name="b.dump")
    refused_dump([a, b], "different systems")


def test_types_change_between_files(tmp_path):
    a = dump(tmp_path, frame(0), name="a.dump")
    b = dump(tmp_path, frame(100, replaced(3, "4 3 3.5 1 2")), name="b.dump")
    refused_dump([a, b], "type", elements="O")


@pytest.mark.parametrize("later", [True, False])
def test_columns_change_between_files(tmp_path, later):
    names, rows = "id type x y z c_1", [f"{row} 1" for row in ROWS]
    plain, more = frame(100 * (not later)), frame(100 * later, rows, names=names)
    a = dump(tmp_path, plain if later else more, name="a.dump")
    b = dump(tmp_path, more if later else plain, name="b.dump")
    refused_dump([a, b], "c_1")


def test_time_goes_back_inside_a_file(tmp_path):
    refused_dump(dump(tmp_path, frame(0), frame(200), frame(100)), "before frame 1")


# The store


def files_under(path):
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_store_of_another_source(tmp_path):
    store = tmp_path / "t.zarr"
    ice.ingest(dump(tmp_path), store, **OPTIONS)
    before = files_under(store)
    other = dump(tmp_path, frame(0), name="b.dump")
    with pytest.raises(ice.StoreError, match=r"exists.*overwrite"):
        ice.ingest(other, store, **OPTIONS)
    with pytest.raises(ice.StoreError, match=r"exists.*other select"):
        ice.ingest(tmp_path / "a.lammpstrj", store, select="type 1", **OPTIONS)
    with pytest.raises(ice.InputError, match="no such file"):
        ice.ingest(tmp_path / "none.dump", store, overwrite=True, **OPTIONS)
    assert files_under(store) == before
    assert ice.open_trajectory(store).sizes["frame"] == 3
    again = ice.ingest(other, store, overwrite=True, **OPTIONS)
    assert again.sizes["frame"] == 1


@pytest.mark.parametrize("bad", ["truncated", "nan", "elements"])
def test_bad_source_does_not_destroy_what_it_would_overwrite(tmp_path, bad):
    store = tmp_path / "t.zarr"
    ice.ingest(dump(tmp_path), store, **OPTIONS)
    rows = replaced(2, "3 2 2.5 nan 2") if bad == "nan" else ROWS
    text = frame(0, rows)[:-3] if bad == "truncated" else frame(0, rows)
    options = {**OPTIONS, "elements": None} if bad == "elements" else OPTIONS
    with pytest.raises(ice.InputError):
        ice.ingest(dump(tmp_path, text, name="b.dump"), store, overwrite=True, **options)
    assert ice.open_trajectory(store).sizes["frame"] == 3


def test_bad_source_in_an_empty_folder_of_the_user(tmp_path):
    store = tmp_path / "t.zarr"
    store.mkdir()
    with pytest.raises(ice.InputError):
        ice.ingest(dump(tmp_path), store, **{**OPTIONS, "elements": None})
    assert ice.ingest(dump(tmp_path), store, **OPTIONS).sizes["frame"] == 3


def test_store_is_a_folder_of_something_else(tmp_path):
    store = tmp_path / "results"
    store.mkdir()
    (store / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ice.StoreError, match="expected an icedask store"):
            ice.ingest(dump(tmp_path), store, overwrite=overwrite, **OPTIONS)
        assert os.listdir(store) == ["thesis.txt"]


def test_store_is_a_file(tmp_path):
    store = tmp_path / "t.zarr"
    store.write_text("")
    with pytest.raises(ice.StoreError, match="file"):
        ice.ingest(dump(tmp_path), store, **OPTIONS)
    assert store.read_text() == ""


def test_nothing_is_left_beside_the_source(tmp_path):
    refused_dump(dump(tmp_path), "elements", elements=None)
    assert os.listdir(tmp_path) == ["a.lammpstrj"]


def test_source_that_changes_while_it_is_read(tmp_path, monkeypatch):
    from icedask.readers import ingest as module

    path = tmp_path / "a.lammpstrj"
    path.write_text("".join(many_frames()))
    original = module.run_blocks

    def growing(*args):
        original(*args)
        with path.open("a") as file:
            file.write("ITEM: TIMESTEP\n")

    monkeypatch.setattr(module, "run_blocks", growing)
    refused_dump(path, "changed while it was read")
