"""The LAMMPS dump reader against the readers of MDAnalysis and ASE, and by hand."""

import gzip
import itertools
import warnings
from pathlib import Path

import ase.io
import MDAnalysis
import numpy as np
import pytest
from ase.units import kcal, mol

import icedask as ice

OPTIONS = {"units": "real", "timestep": 2.0, "elements": {"1": "O", "2": "H"}}
CUBE = np.diag([11.0, 12.0, 13.0])
N_FRAMES, N_ATOMS = 6, 9
TYPES = np.array([1, 2, 2] * 3)


def box(cell=CUBE, origin=(0, 0, 0), pbc="pp pp pp", tilted=None):
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell
    x = np.array([min(0, xy, xz, xy + xz), lx + max(0, xy, xz, xy + xz)]) + origin[0]
    y = np.array([min(0, yz), ly + max(0, yz)]) + origin[1]
    z = np.array([0, lz]) + origin[2]
    rows = [[*x, xy], [*y, xz], [*z, yz]]
    if tilted is None:
        tilted = bool(xy or xz or yz)
    head = "ITEM: BOX BOUNDS " + ("xy xz yz " if tilted else "") + pbc + "\n"
    return head + "".join(
        " ".join(f"{v:.17g}" for v in row[: 3 if tilted else 2]) + "\n" for row in rows
    )


def rows_of(values, ids=None):
    ids = np.arange(1, N_ATOMS + 1) if ids is None else ids
    return [
        f"{i} {TYPES[i - 1]} " + " ".join(f"{v:.9g}" for v in values[i - 1]) + " \n" for i in ids
    ]


def frame(values, step, names="x y z", bounds=None, ids=None, before=""):
    return (
        f"{before}ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(values)}\n"
        f"{bounds or box()}ITEM: ATOMS id type {names} \n" + "".join(rows_of(values, ids))
    )


def dump(path: Path, values, names="x y z", bounds=None, start=0) -> Path:
    text = (frame(v, start + 100 * i, names, bounds) for i, v in enumerate(values))
    path.write_text("".join(text))
    return path


def random(width=3, scale=10.0, n_frames=N_FRAMES, seed=3):
    rng = np.random.default_rng(seed)
    return np.round(rng.uniform(-0.2, 1.2, (n_frames, N_ATOMS, width)) * scale, 5)


def ingest(source, **options):
    first = source if isinstance(source, Path) else Path(source[0])
    store = first.parent / f"{first.name.replace('*', '_')}.zarr"
    return ice.ingest(source, store, **{**OPTIONS, **options})


def by_mdanalysis(path, convention="auto"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe(
            str(path),
            topology_format="LAMMPSDUMP",
            format="LAMMPSDUMP",
            lammps_coordinate_convention=convention,
        )
        frames = [
            (ts.positions.copy(), ts.triclinic_dimensions.copy()) for ts in universe.trajectory
        ]
    return [np.array(part) for part in zip(*frames, strict=True)]


def by_ase(path):
    return ase.io.read(path, index=":", format="lammps-dump-text")


def test_orthogonal(tmp_path):
    path = dump(tmp_path / "a.lammpstrj", random())
    trj = ingest(path)
    positions, cell = by_mdanalysis(path)
    np.testing.assert_array_equal(trj["positions"], positions)
    np.testing.assert_array_equal(
        trj["positions"], np.array([a.positions for a in by_ase(path)], np.float32)
    )
    np.testing.assert_allclose(trj["cell"], cell, atol=1e-5)
    np.testing.assert_array_equal(trj["cell"], np.array([CUBE] * N_FRAMES))
    assert trj["positions"].dtype == np.float32
    assert trj["element"].values.tolist() == ["O", "H", "H"] * 3
    assert trj["type"].values.tolist() == ["1", "2", "2"] * 3
    assert trj["id"].values.tolist() == list(range(1, 10))
    assert trj["atom"].values.tolist() == list(range(9))
    np.testing.assert_array_equal(trj["step"], np.arange(N_FRAMES) * 100)
    np.testing.assert_allclose(trj["time"], np.arange(N_FRAMES) * 0.2, rtol=1e-12)
    np.testing.assert_array_equal(trj["cell_origin"], np.zeros((N_FRAMES, 3)))


def test_shifted_box(tmp_path):
    origin = [-3.5, 4.25, 100.0]
    path = dump(tmp_path / "a.dump", random(), bounds=box(origin=origin))
    trj = ingest(path)
    frames = by_ase(path)
    expected = np.array([a.positions for a in frames], np.float32)
    np.testing.assert_array_equal(trj["positions"], expected)
    np.testing.assert_array_equal(trj["cell_origin"], [a.get_celldisp().ravel() for a in frames])
    np.testing.assert_array_equal(trj["cell_origin"][0], origin)


@pytest.mark.parametrize("signs", list(itertools.product([-1, 1], repeat=3)))
def test_triclinic(tmp_path, signs):
    xy, xz, yz = np.array(signs) * [2.0, 3.5, 1.25]
    cell = np.array([[11, 0, 0], [xy, 12, 0], [xz, yz, 13.0]])
    path = dump(tmp_path / "a.lammpstrj", random(), bounds=box(cell))
    trj = ingest(path)
    positions, oracle_cell = by_mdanalysis(path)
    np.testing.assert_allclose(trj["cell"], [cell] * N_FRAMES, atol=1e-12)
    np.testing.assert_allclose(trj["cell"], oracle_cell, atol=1e-4)
    np.testing.assert_allclose(trj["cell"], [a.cell.array for a in by_ase(path)], atol=1e-10)
    np.testing.assert_array_equal(trj["positions"], positions)

    origin = [-5.0, 1.5, 7.0]
    shifted = ingest(dump(tmp_path / "b.lammpstrj", random(), bounds=box(cell, origin)))
    np.testing.assert_allclose(shifted["cell"], [cell] * N_FRAMES, atol=1e-12)
    np.testing.assert_allclose(shifted["cell_origin"][0], origin, atol=1e-12)
    np.testing.assert_array_equal(shifted["positions"], trj["positions"])


def test_triclinic_with_one_zero_tilt_and_mixed_pbc(tmp_path):
    cell = np.array([[11, 0, 0], [-4.0, 12, 0], [0, 3.0, 13.0]])
    path = dump(tmp_path / "a.lammpstrj", random(), bounds=box(cell, pbc="pp pp ff"))
    trj = ingest(path)
    np.testing.assert_allclose(trj["cell"][0], cell, atol=1e-12)
    assert trj["pbc"].values.tolist() == [True, True, False]


ABC = np.array([[9.0, 1.0, 0.5], [-2.0, 10.0, 0.25], [0.5, -1.0, 11.0]])
ABC_ORIGIN = np.array([-1.0, 2.0, 3.0])
ABC_BOX = "ITEM: BOX BOUNDS abc origin pp pp ff\n" + "".join(
    f"{' '.join(map(str, row))} {o}\n" for row, o in zip(ABC, ABC_ORIGIN, strict=True)
)


def test_general_triclinic(tmp_path):
    values = random()
    path = dump(tmp_path / "a.lammpstrj", values, bounds=ABC_BOX)
    trj = ingest(path)
    np.testing.assert_array_equal(trj["cell"], [ABC] * N_FRAMES)
    np.testing.assert_array_equal(trj["cell_origin"], [ABC_ORIGIN] * N_FRAMES)
    assert trj["pbc"].values.tolist() == [True, True, False]
    np.testing.assert_allclose(trj["positions"], values, atol=1e-6)


def test_general_triclinic_scaled(tmp_path):
    values = random(scale=1.0)
    path = dump(tmp_path / "a.lammpstrj", values, "xs ys zs", ABC_BOX)
    x = ABC_ORIGIN + values[..., :1] * ABC[0] + values[..., 1:2] * ABC[1] + values[..., 2:] * ABC[2]
    np.testing.assert_allclose(ingest(path)["positions"], x, atol=1e-5)


def test_unwrapped(tmp_path):
    values = random(scale=50)
    path = dump(tmp_path / "a.lammpstrj", values, "xu yu zu")
    trj = ingest(path)
    np.testing.assert_array_equal(trj["positions"], by_mdanalysis(path, "unwrapped")[0])
    assert set(trj.data_vars) == {"positions", "cell", "pbc", "cell_origin"}


def test_unwrapped_wins_over_wrapped_and_neither_is_left_over(tmp_path):
    values = random(6)
    path = dump(tmp_path / "a.lammpstrj", values, "x y z xu yu zu")
    trj = ingest(path)
    np.testing.assert_array_equal(trj["positions"], by_mdanalysis(path, "unwrapped")[0])


@pytest.mark.parametrize("names", ["xs ys zs", "xsu ysu zsu"])
@pytest.mark.parametrize("tilt", [0.0, 3.0])
def test_scaled(tmp_path, names, tilt):
    cell = np.array([[11, 0, 0], [-tilt, 12, 0], [tilt / 2, tilt, 13.0]])
    values = random(scale=1.0)
    path = dump(tmp_path / "a.lammpstrj", values, names, box(cell))
    positions = ingest(path)["positions"]
    convention = "scaled" if names == "xs ys zs" else "scaled_unwrapped"
    np.testing.assert_allclose(positions, by_mdanalysis(path, convention)[0], atol=1e-5)
    np.testing.assert_allclose(positions, [a.positions for a in by_ase(path)], atol=1e-5)
    np.testing.assert_allclose(positions, values @ cell, atol=1e-5)

    shifted = dump(tmp_path / "b.lammpstrj", values, names, box(cell, [1, -2, 3]))
    np.testing.assert_allclose(ingest(shifted)["positions"], values @ cell + [1, -2, 3], atol=1e-5)


def test_image_flags(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(-3, 4, (N_FRAMES, N_ATOMS, 3))
    values = np.concatenate([random(), images], axis=2)
    trj = ingest(dump(tmp_path / "a.lammpstrj", values, "x y z ix iy iz"))
    plain = ingest(dump(tmp_path / "b.lammpstrj", values[..., :3]))
    np.testing.assert_array_equal(trj["positions"], plain["positions"])
    np.testing.assert_array_equal(trj["image"], images)
    assert trj["image"].dtype == np.int32
    assert trj["image"].dims == ("frame", "atom", "xyz")


def test_rows_are_sorted_by_id(tmp_path):
    rng = np.random.default_rng(1)
    values = random(4)
    path = tmp_path / "a.lammpstrj"
    path.write_text(
        "".join(
            frame(v, i * 100, "x y z c_1", ids=rng.permutation(N_ATOMS) + 1)
            for i, v in enumerate(values)
        )
    )
    trj = ingest(path)
    ordered = ingest(dump(tmp_path / "b.lammpstrj", values, "x y z c_1"))
    np.testing.assert_array_equal(trj["positions"], by_mdanalysis(path)[0])
    for name in ("positions", "c_1", "id", "type", "element"):
        np.testing.assert_array_equal(trj[name], ordered[name])
    np.testing.assert_array_equal(trj["id"], np.arange(1, N_ATOMS + 1))


def test_ids_with_gaps(tmp_path):
    text = frame(random()[0], 0).replace("\n9 2", "\n7000000000 2").replace("\n1 1 ", "\n12 1 ")
    (tmp_path / "a.lammpstrj").write_text(text)
    trj = ingest(tmp_path / "a.lammpstrj")
    assert trj["id"].values.tolist() == [2, 3, 4, 5, 6, 7, 8, 12, 7000000000]
    assert trj["type"].values.tolist() == ["2", "2", "1", "2", "2", "1", "2", "1", "2"]


def test_custom_columns(tmp_path):
    values = random(6)
    path = dump(tmp_path / "a.lammpstrj", values, "x y z c_pe v_2[1] q")
    columns = {"c_pe": "potential_energy", "v_2[1]": None}
    trj = ingest(path, columns=columns)
    assert set(trj.data_vars) - {"positions", "cell", "pbc", "cell_origin"} == {
        "potential_energy",
        "charge",
    }
    assert trj["potential_energy"].dims == ("frame", "atom")
    assert trj["potential_energy"].dtype == np.float32
    assert trj["potential_energy"].attrs["units"] == "eV"
    np.testing.assert_allclose(trj["potential_energy"], values[..., 3] * kcal / mol, rtol=1e-6)
    np.testing.assert_allclose(trj["charge"], values[..., 5], rtol=1e-6)

    kept = ice.ingest(path, tmp_path / "kept.zarr", **OPTIONS)
    assert kept["c_pe"].dtype == kept["v_2[1]"].dtype == np.float32
    assert "real" in kept["c_pe"].attrs["units"]
    np.testing.assert_array_equal(kept["c_pe"], values[..., 3].astype(np.float32))

    metal = {**OPTIONS, "units": "metal", "columns": columns}
    same = ice.ingest(path, tmp_path / "metal.zarr", **metal)
    np.testing.assert_allclose(same["potential_energy"], values[..., 3], rtol=1e-6)


def test_velocities_and_forces(tmp_path):
    values = random(9)
    path = dump(tmp_path / "a.lammpstrj", values, "x y z vx vy vz fx fy fz")
    trj = ingest(path)
    np.testing.assert_allclose(trj["velocity"], values[..., 3:6] * 1000, rtol=1e-6)
    np.testing.assert_allclose(trj["force"], values[..., 6:] * kcal / mol, rtol=1e-6)
    assert trj["velocity"].dtype == trj["force"].dtype == np.float32
    metal = ice.ingest(path, tmp_path / "metal.zarr", **{**OPTIONS, "units": "metal"})
    np.testing.assert_allclose(metal["velocity"], values[..., 3:6], rtol=1e-6)
    np.testing.assert_allclose(metal["force"], values[..., 6:], rtol=1e-6)
    np.testing.assert_allclose(metal["time"], np.arange(N_FRAMES) * 200)


def test_lj_scale(tmp_path):
    values = random(9)
    path = dump(tmp_path / "a.lammpstrj", values, "x y z vx vy vz fx fy fz")
    scale = {"units": "lj", "lj_sigma": 3.4, "lj_epsilon": 0.0104, "lj_tau": 2.16}
    trj = ingest(path, timestep=0.005, **scale)
    np.testing.assert_allclose(trj["positions"], values[..., :3] * 3.4, rtol=1e-6)
    np.testing.assert_allclose(trj["cell"][0], CUBE * 3.4)
    np.testing.assert_allclose(trj["time"], np.arange(N_FRAMES) * 0.5 * 2.16)
    np.testing.assert_allclose(trj["velocity"], values[..., 3:6] * 3.4 / 2.16, rtol=1e-6)
    np.testing.assert_allclose(trj["force"], values[..., 6:] * 0.0104 / 3.4, rtol=1e-6)


def test_element_mol_and_mass_columns(tmp_path):
    lines = [f"{i + 1} {i // 3 + 1} {'OHH'[i % 3]} {[16, 1, 1][i % 3]}.5 0 0 {i}\n" for i in (2, 0)]
    text = (
        f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\n{box()}"
        f"ITEM: ATOMS id mol element mass x y z\n{''.join(lines)}"
    )
    (tmp_path / "a.lammpstrj").write_text(text)
    trj = ingest(tmp_path / "a.lammpstrj", elements=None)
    assert trj["element"].values.tolist() == ["O", "H"]
    assert trj["molecule"].values.tolist() == [1, 1]
    assert trj["mass"].values.tolist() == [16.5, 1.5]
    assert trj["positions"].values[0, :, 2].tolist() == [0, 2]


def test_elements_as_one_symbol_and_integer_keys(tmp_path):
    path = dump(tmp_path / "a.lammpstrj", random())
    assert set(ingest(path, elements="Cu")["element"].values) == {"Cu"}
    trj = ice.ingest(path, tmp_path / "b.zarr", **{**OPTIONS, "elements": {1: "O", 2: "H"}})
    assert trj["element"].values.tolist() == ["O", "H", "H"] * 3


@pytest.mark.parametrize("every_frame", [True, False])
def test_units_and_time_in_the_file(tmp_path, every_frame):
    # LAMMPS writes the units before the first frame, and the time before each.
    values = random(6)
    units = "ITEM: UNITS\nreal\n"
    text = "".join(
        frame(
            v,
            i * 100,
            "x y z vx vy vz",
            before=(units if every_frame or i == 0 else "") + f"ITEM: TIME\n{i * 250.5}\n",
        )
        for i, v in enumerate(values)
    )
    (tmp_path / "a.lammpstrj").write_text(text)
    trj = ice.ingest(tmp_path / "a.lammpstrj", tmp_path / "a.zarr", elements={"1": "O", "2": "H"})
    np.testing.assert_allclose(trj["time"], np.arange(N_FRAMES) * 0.2505, rtol=1e-12)
    np.testing.assert_array_equal(trj["step"], np.arange(N_FRAMES) * 100)
    np.testing.assert_allclose(trj["velocity"], values[..., 3:] * 1000, rtol=1e-6)


def test_gzip(tmp_path):
    path = dump(tmp_path / "a.lammpstrj", random(5), "x y z c_1 c_2")
    packed = tmp_path / "b.lammpstrj.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    trj, same = ingest(path), ingest(packed)
    for name in trj.variables:
        np.testing.assert_array_equal(same[name], trj[name])
    members = tmp_path / "c.dump.gz"
    cut = path.read_bytes()
    members.write_bytes(gzip.compress(cut[:500]) + gzip.compress(cut[500:]))
    np.testing.assert_array_equal(ingest(members)["positions"], trj["positions"])
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".zarr") == [
        "a.lammpstrj",
        "b.lammpstrj.gz",
        "c.dump.gz",
    ]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda row: row.replace(" ", "   "), id="runs"),
        pytest.param(lambda row: row.replace(" ", "\t"), id="tabs"),
        pytest.param(lambda row: row.replace(" ", " \t  "), id="mixed"),
        pytest.param(lambda row: "   " + row, id="leading"),
        pytest.param(lambda row: row.rstrip() + "   \n", id="trailing"),
        pytest.param(lambda row: row.rstrip() + "\n", id="no-trailing"),
        pytest.param(lambda row: row.rstrip() + " " * (row[0] in "258") + "\n", id="some-trailing"),
        pytest.param(lambda row: row.rstrip() + " \r\n", id="crlf"),
    ],
)
def test_blanks(tmp_path, change):
    values = random(4)
    plain = dump(tmp_path / "a.lammpstrj", values, "x y z c_1")
    lines = plain.read_text().splitlines(keepends=True)
    odd = tmp_path / "b.lammpstrj"
    with odd.open("w", newline="") as file:
        file.writelines(change(line) if line.count(" ") == 6 else line for line in lines)
    trj, same = ingest(plain), ingest(odd)
    for name in ("positions", "c_1", "id", "type"):
        np.testing.assert_array_equal(same[name], trj[name])


def test_windows_line_ends(tmp_path):
    plain = dump(tmp_path / "a.lammpstrj", random(), bounds=box(pbc="pp ff mm"))
    odd = tmp_path / "b.lammpstrj"
    odd.write_bytes(plain.read_bytes().replace(b"\n", b"\r\n"))
    trj, same = ingest(plain), ingest(odd)
    for name in trj.variables:
        np.testing.assert_array_equal(same[name], trj[name])


def test_files_in_natural_order_with_a_shared_seam(tmp_path):
    values = random(n_frames=7)
    whole = ingest(dump(tmp_path / "whole.lammpstrj", values))
    # The frame at step 300 ends the first file and starts the second.
    dump(tmp_path / "run.2.dump", values[:4])
    dump(tmp_path / "run.10.dump", values[3:], start=300)
    trj = ingest(tmp_path / "run.*.dump")
    assert trj.sizes["frame"] == 7
    for name in whole.variables:
        np.testing.assert_array_equal(trj[name], whole[name])

    listed = ice.ingest(
        [tmp_path / "run.2.dump", tmp_path / "run.10.dump"], tmp_path / "l.zarr", **OPTIONS
    )
    np.testing.assert_array_equal(listed["positions"], whole["positions"])
    part = ice.ingest(str(tmp_path / "run.*.dump"), tmp_path / "s.zarr", frames="1:6:2", **OPTIONS)
    np.testing.assert_array_equal(part["step"], [100, 300, 500])
    np.testing.assert_array_equal(part["positions"], whole["positions"][1:6:2])


def test_files_without_a_seam_frame(tmp_path):
    values = random(n_frames=5)
    dump(tmp_path / "run.1.dump", values[:2])
    dump(tmp_path / "run.2.dump", values[2:], start=200)
    trj = ingest(tmp_path / "run.*.dump")
    np.testing.assert_array_equal(trj["step"], np.arange(5) * 100)


@pytest.mark.parametrize("frames", ["1:5:2", "::3", ":2", "-2:", slice(2, None)])
def test_frames(tmp_path, frames):
    path = dump(tmp_path / "a.lammpstrj", random())
    python = frames
    if isinstance(frames, str):
        python = slice(*[int(part) if part else None for part in frames.split(":")])
    trj = ingest(path, frames=frames)
    np.testing.assert_array_equal(trj["positions"], by_mdanalysis(path)[0][python])
    np.testing.assert_array_equal(trj["step"], np.arange(0, 100 * N_FRAMES, 100)[python])


@pytest.mark.parametrize(
    ("expression", "atoms"),
    [
        ("type 1", [0, 3, 6]),
        ("element H", [1, 2, 4, 5, 7, 8]),
        ("index 2:3", [2, 3]),
        ("id 1 9", [0, 8]),
    ],
)
def test_select(tmp_path, expression, atoms):
    path = dump(tmp_path / "a.lammpstrj", random(4), "x y z c_1")
    trj = ingest(path, select=expression)
    whole = ice.ingest(path, tmp_path / "whole.zarr", **OPTIONS)
    assert trj["atom"].values.tolist() == atoms
    for name in ("positions", "c_1", "element", "type", "id"):
        np.testing.assert_array_equal(trj[name], whole[name].isel(atom=atoms))
    np.testing.assert_array_equal(ice.select(whole, expression)["positions"], trj["positions"])


def test_geometric_select_uses_the_periodic_cell(tmp_path):
    values = np.full((1, N_ATOMS, 3), 5.0)
    values[0, 0] = [0.2, 5, 5]
    values[0, 1] = [10.8, 5, 5]
    path = dump(tmp_path / "a.lammpstrj", values)
    assert ingest(path, select="around 1 id 1")["atom"].values.tolist() == [1]


@pytest.mark.parametrize(
    ("words", "pbc"),
    [
        ("pp ff mm", [True, False, False]),
        ("ss pp pp", [False, True, True]),
        ("fm pp fs", [False, True, False]),
    ],
)
@pytest.mark.parametrize("tilted", [False, True])
def test_pbc(tmp_path, words, pbc, tilted):
    bounds = box(pbc=words, tilted=tilted)
    assert ingest(dump(tmp_path / "a.dump", random(), bounds=bounds))["pbc"].values.tolist() == pbc


@pytest.mark.parametrize(("units", "ps"), [("real", 0.05), ("metal", 50.0)])
def test_time(tmp_path, units, ps):
    trj = ingest(dump(tmp_path / "a.dump", random(), start=1000), units=units, timestep=0.5)
    np.testing.assert_allclose(trj["time"], ps * 10 + np.arange(N_FRAMES) * ps, rtol=1e-12)
    assert trj["time"].attrs["units"] == "picosecond"


def test_a_box_that_changes(tmp_path):
    values = random()
    sizes = np.linspace(10, 12, N_FRAMES)
    (tmp_path / "a.dump").write_text(
        "".join(
            frame(v, 100 * i, "xs ys zs", bounds=box(np.eye(3) * sizes[i]))
            for i, v in enumerate(values)
        )
    )
    trj = ingest(tmp_path / "a.dump")
    np.testing.assert_allclose(trj["cell"], sizes[:, None, None] * np.eye(3))
    np.testing.assert_allclose(trj["positions"], sizes[:, None, None] * values, rtol=1e-6)


def test_a_dump_by_its_first_line_whatever_its_name(tmp_path):
    path = dump(tmp_path / "trajectory.out", random())
    np.testing.assert_array_equal(ingest(path)["positions"], by_mdanalysis(path)[0])


def test_many_blocks(tmp_path, monkeypatch):
    from icedask.store import trajectory as encode

    monkeypatch.setattr(encode, "TRAJECTORY_ATOM_FRAMES", 2 * N_ATOMS)
    path = dump(tmp_path / "a.lammpstrj", random(5, n_frames=25), "x y z c_1 c_2")
    trj = ingest(path)
    np.testing.assert_array_equal(trj["positions"], by_mdanalysis(path)[0])
    np.testing.assert_array_equal(trj["step"], np.arange(25) * 100)
