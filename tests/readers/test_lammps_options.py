"""Options of LAMMPS dumps: asked for where the file states nothing, refused where it differs."""

from __future__ import annotations

import numpy as np
import pytest
from readers.test_lammps_strict import frame, opened, read

import icedask as ice

FLAT = "ITEM: BOX BOUNDS pp pp pp\n0 10\n0 10\n-0.5 0.5\n"
OLD = "ITEM: BOX BOUNDS\n0 10\n0 11\n0 12\n"
SQUARE = [f"{i * 10 + j + 1} 1 {i} {j} 0" for i in range(10) for j in range(10)]


def refused(folder, text, match, **options):
    with pytest.raises(ice.InputError, match=match):
        read(folder, text, **options)


def test_boundaries_of_flat_runs(tmp_path):
    text = frame(rows=SQUARE, box=FLAT)
    refused(tmp_path, text, r"dimension 2.*--pbc xy\).*--pbc xyz")
    scaled = frame(rows=["1 1 .1 .1 .5", "2 2 .5 .5 .5"], box=FLAT, names="id type xs ys zs")
    refused(tmp_path, scaled, "dimension 2")
    for height in ("0 1", "-5 5"):
        refused(tmp_path, frame(rows=SQUARE, box=FLAT.replace("-0.5 0.5", height)), "dimension 2")
    refused(tmp_path, text, "periodic along xyz.*gives x;", pbc=(True, False, False))
    for z, neighbours in ((False, 4), (True, 6)):
        trj = ice.ingest(
            tmp_path / "a.lammpstrj",
            tmp_path / f"{z}.zarr",
            units="metal",
            timestep=1.0,
            elements="Cu",
            pbc=(True, True, z),
        )
        counts = ice.coordination(trj, r_cut=1.2)["coordination"].values
        assert (counts == neighbours).all()


def test_layers_that_are_not_flat_runs(tmp_path):
    assert read(tmp_path, frame(rows=["1 1 5 5 3", "2 1 5 1 3"])).pbc.all()
    assert read(tmp_path, frame(rows=["1 1 5 5 3"])).pbc.all()


def test_boundaries_of_old_dumps(tmp_path):
    refused(tmp_path, frame(box=OLD), r"does not state its boundaries.*--pbc")
    slab = (True, True, False)
    assert read(tmp_path, frame(box=OLD), pbc=slab).pbc.tolist() == list(slab)
    assert read(tmp_path, frame(), pbc=(True, True, True)).pbc.all()
    refused(tmp_path, frame(), "periodic along xyz, pbc= .*gives xy; leave pbc out", pbc=slab)
    refused(tmp_path, frame(box=OLD) + frame(100), "boundaries change", pbc=slab)


ELEMENT = "id type element x y z"


def elements(folder, names, rows, option):
    source = opened(folder, frame(rows=rows, names=names), elements=option)
    atoms = source.atoms()
    source.files[0].ask_elements({**atoms, "atom": np.arange(len(rows))})
    return atoms["element"].tolist()


@pytest.mark.parametrize(
    ("names", "values", "option", "expected"),
    [
        (ELEMENT, ("1 O", "2 D"), {"D": "H"}, ["O", "H"]),
        (ELEMENT, ("1 O", "2 H"), {"1": "O", "2": "H"}, ["O", "H"]),
        (ELEMENT, ("1 Na", "2 NA"), {"NA": "Na"}, ["Na", "Na"]),
        (ELEMENT, ("1 AU", "2 AL"), None, ["Au", "Al"]),
        (ELEMENT, ("1 C", "2 C"), {"1": "Si", "2": "O"}, ["Si", "O"]),
        (ELEMENT, ("1 C", "2 C"), "C", ["C", "C"]),
        (ELEMENT, ("1 X", "2 O"), {"1": "Cu"}, ["Cu", "O"]),
        ("id type typelabel x y z", ("1 OW", "2 HW"), {"OW": "O", "HW": "H"}, ["O", "H"]),
        ("id type typelabel x y z", ("1 OW", "2 HW"), {"1": "O", "2": "H"}, ["O", "H"]),
        ("id type q x y z", ("OW 0", "HW 1"), {"OW": "O", "HW": "H"}, ["O", "H"]),
    ],
)
def test_elements(tmp_path, names, values, option, expected):
    rows = [f"{n + 1} {value} {n} 2 {n}" for n, value in enumerate(values)]
    assert elements(tmp_path, names, rows, option) == expected


@pytest.mark.parametrize(
    ("values", "option", "match"),
    [
        (("1 Si", "2 O"), {"1": "O", "2": "O"}, "states Si, elements .*gives O"),
        (("1 O", "2 H"), "Cu", "states (H|O), elements .*gives Cu"),
        (("1 O", "2 D"), None, "value of element, found none for 'D'.*--elements D="),
        (("1 NA", "2 Na"), None, "found none for 'NA'"),
        (("1 nan", "2 None"), None, "found none for 'None', 'nan'"),
        (("1 CO", "2 O"), None, "found none for 'CO'"),
        (("1 C", "2 C"), None, r"holds C for every atom.*dump_modify element.*'1', '2'"),
        (("1 C", "2 C"), {"1": "Si"}, "found none for '2'"),
        (("1 D", "2 D"), {"1": "O", "D": "H", "2": "H"}, "H for element D, O for type 1"),
    ],
)
def test_elements_that_are_not_clear(tmp_path, values, option, match):
    rows = [f"{n + 1} {value} {n} 2 {n}" for n, value in enumerate(values)]
    with pytest.raises(ice.InputError, match=match):
        elements(tmp_path, ELEMENT, rows, option)


def test_carbon_by_its_mass(tmp_path):
    rows = ["1 1 C 0 1 2 12.011", "2 1 C 1 2 3 12.011"]
    assert elements(tmp_path, f"{ELEMENT} mass", rows, None) == ["C", "C"]


def test_order_of_atoms(tmp_path):
    text = frame(rows=["1 1 2 3", "2 3 2 1"], names="type x y z") * 2
    assert not opened(tmp_path, text).files[0].keeps_order
    assert opened(tmp_path, text, fixed_order=True).files[0].keeps_order
    assert opened(tmp_path, frame()).files[0].keeps_order
    refused(tmp_path, frame(), "fixed_order: expected for dumps without ids", fixed_order=False)


TIMED = "".join(
    frame(100 * n, before=("ITEM: UNITS\nreal\n" * (n == 0)) + f"ITEM: TIME\n{n * 250.5}\n")
    for n in range(3)
)


def test_times(tmp_path):
    free = {"units": None, "timestep": None}
    expected = np.arange(3) * 0.2505
    np.testing.assert_allclose(read(tmp_path, TIMED, **free).time, expected)
    steps, times = opened(tmp_path, TIMED, **free).files[0].stamps()
    np.testing.assert_array_equal(steps, [0, 100, 200])
    np.testing.assert_allclose(times, expected)
    np.testing.assert_allclose(read(tmp_path, TIMED, units="real", timestep=2.505).time, expected)
    refused(tmp_path, TIMED, "time step of 2.505, timestep .*gives 1;", units=None)
    refused(tmp_path, TIMED, "expected units real.*metal", units="metal", timestep=None)
    lost = TIMED.replace("ITEM: TIME\n250.5\n", "")
    refused(tmp_path, lost, "frame 1: expected ITEM: TIME", **free)
    other = TIMED.replace("ITEM: TIME\n250.5", "ITEM: UNITS\nmetal\nITEM: TIME\n250.5")
    refused(tmp_path, other, "frame 1: expected units real.*found metal", **free)


def test_time_step_or_interval(tmp_path):
    text = frame() + frame(100)
    refused(tmp_path, text, "--timestep.*--frame-interval", timestep=None)
    refused(tmp_path, text, "found both, 1 and 5; leave one out", frame_interval=5.0)
    block = read(tmp_path, text, timestep=None, frame_interval=5.0)
    np.testing.assert_array_equal(block.time, [0, 5])


def test_units_of_lj_elsewhere(tmp_path):
    refused(tmp_path, frame(), "lj_sigma: expected with units lj only", lj_sigma=3.4)


def test_elements_are_asked_for_what_is_selected(tmp_path):
    path = tmp_path / "a.lammpstrj"
    path.write_text(frame(rows=["1 1 1 1 1", "2 2 2 2 2", "3 1 3 3 3"], names="id type x y z"))
    options = {"units": "metal", "timestep": 0.001, "elements": {"1": "Cu"}}
    trj = ice.ingest(path, tmp_path / "t.zarr", select="type 1", **options)
    assert trj["element"].values.tolist() == ["Cu", "Cu"]
    with pytest.raises(ice.InputError, match="atom type, found none for '2'"):
        ice.ingest(path, tmp_path / "u.zarr", **options)


@pytest.mark.parametrize("name", ["frame", "xyz", "a/b", "."])
def test_names_that_are_no_variable(tmp_path, name):
    opened(tmp_path, frame(names="id type x y z c_e", rows=["1 1 1 1 1 5"]))
    with pytest.raises(ice.InputError, match=r"no dimension and has no slash.*OTHER"):
        ice.ingest(
            tmp_path / "a.lammpstrj",
            tmp_path / "a.zarr",
            units="metal",
            timestep=1.0,
            elements="Cu",
            columns={"c_e": name},
        )


def test_a_map_as_text(tmp_path):
    path = tmp_path / "a.lammpstrj"
    path.write_text(frame(rows=["1 1 1 1 1", "2 2 2 2 2"], names="id type x y z"))
    trj = ice.ingest(path, tmp_path / "t.zarr", units="real", timestep=1.0, elements="1=O,2=H")
    assert trj["element"].values.tolist() == ["O", "H"]
    with pytest.raises(ice.InputError, match="one symbol for each key, as in 1=O,2=H"):
        ice.ingest(path, tmp_path / "u.zarr", units="real", timestep=1.0, elements="1=O,2")
