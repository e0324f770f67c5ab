"""Collections: labels, selections, weights, groups and splits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from ase.build import bulk

import icedask as ice
from icedask.core.groups import split_groups


def crystal(n: int, frames: int, seed: int, *, start: int = 0) -> xr.Dataset:
    """A rattled crystal of copper whose frames have steps 10 apart."""
    images = []
    for number in range(frames):
        atoms = bulk("Cu", cubic=True) * (n, n, n)
        atoms.rattle(0.1, seed=1000 * seed + number)
        images.append(atoms)
    trj = ice.from_ase(images)
    step = start + 10 * np.arange(frames)
    return trj.assign_coords(step=("frame", step), time=("frame", 0.01 * step))


@pytest.fixture
def four() -> ice.Collection:
    """Members of two phases and several sizes."""
    sizes = {"a-1": (2, 3), "a-2": (3, 2), "b-1": (1, 1), "b-2": (2, 4)}
    members = {
        name: crystal(n, frames, seed) for seed, (name, (n, frames)) in enumerate(sizes.items(), 1)
    }
    return ice.Collection(members, {name: {"phase": name[0]} for name in members})


def test_labels(four: ice.Collection) -> None:
    assert list(four.where(phase="b")) == ["b-1", "b-2"]
    assert list(four.where(phase=["a", "b"])) == list(four)
    assert list(four.where(phase=lambda value: value > "a")) == ["b-1", "b-2"]
    more = four.with_labels(pd.DataFrame({"t": [200.0, 250.0]}, index=["a-1", "b-2"]))
    assert list(more.where(t=250)) == ["b-2"]
    assert list(more.labels) == ["phase", "t"]
    assert list(four.labels) == ["phase"], "the first one is unchanged"
    assert more.table().loc["a-2", "frame"] == 2
    for wrong, text in (
        ({"phse": "a"}, "did you mean phase"),
        ({"phase": "c"}, "expected one of 'a', 'b', found 'c'"),
    ):
        with pytest.raises(ice.InputError, match=text):
            four.where(**wrong)
    with pytest.raises(ice.InputError, match="did you mean a-1"):
        four.with_labels({"a1": {"phase": "a"}})
    with pytest.raises(ice.InputError, match="a Dataset"):
        ice.Collection({"a": 1})  # type: ignore[dict-item]
    with pytest.raises(ice.InputError, match="at least one"):
        ice.Collection({})


def test_own_labels_are_replaced_by_those_given() -> None:
    trj = crystal(1, 1, 0).assign_attrs(labels={"phase": "old", "seed": 3})
    members = ice.Collection({"x": trj, "y": trj}, {"x": {"phase": "new"}})
    assert members.labels["phase"].to_dict() == {"x": "new", "y": "old"}
    assert members.labels["seed"].to_dict() == {"x": 3, "y": 3}


def test_results_keep_labels_and_report_failures(
    four: ice.Collection, caplog: pytest.LogCaptureFixture
) -> None:
    lens = ice.lens(four, r_cut=3.0)
    assert list(lens) == ["a-1", "a-2", "b-2"]
    assert "b-1" in lens.failed
    assert "b-1: left out: lens" in caplog.text
    assert list(lens.where(phase="b")) == ["b-2"]
    soap = ice.soap(four, r_cut=3.5, n_max=2, l_max=2)
    joined = ice.join(soap, lens)
    assert list(joined) == ["a-1", "a-2", "b-2"]
    xr.testing.assert_identical(joined["a-2"], ice.join(soap["a-2"], lens["a-2"]))
    with pytest.raises(ice.InputError, match="r_cut"):
        ice.soap(four, r_cut=-1)
    both = ice.describe(four, {"coordination": {"r_cut": 3.0}, "voronoi": {}})
    assert list(both) == ["coordination", "voronoi"]
    assert list(both["voronoi"]) == list(four)


def test_balanced(four: ice.Collection) -> None:
    rows = {name: trj.sizes["frame"] * trj.sizes["atom"] for name, trj in four.items()}
    weights = four.balanced().weights
    totals = [weights[name] * rows[name] for name in four]
    np.testing.assert_allclose(totals, sum(rows.values()) / 4)
    by_phase = four.subset(["a-1", "a-2", "b-1"]).balanced("phase").weights
    assert by_phase["b-1"] * rows["b-1"] == pytest.approx(2 * by_phase["a-1"] * rows["a-1"])


def test_groups() -> None:
    first = crystal(2, 5, 1)
    members = {
        "run": first,
        "shot": crystal(2, 3, 2),
        "copy": first.isel(frame=slice(3, 5)),
        "later": crystal(2, 2, 3, start=50),
        "other": crystal(2, 7, 4),
        "small": crystal(1, 2, 5, start=50),
    }
    # A shot begins with a frame of the run.
    positions = members["shot"]["positions"].copy()
    positions[0] = first["positions"].values[2]
    members["shot"] = members["shot"].assign(positions=positions)
    groups = ice.Collection(members).groups
    together = {name for name, number in groups.items() if number == groups["run"]}
    assert together == {"run", "shot", "copy", "later"}
    assert groups["other"] != groups["small"]
    named = ice.Collection(members, {name: {"start": "x"} for name in ("other", "small")})
    assert named.groups["other"] == named.groups["small"]
    simulated = {
        name: crystal(1, 1, seed).assign_attrs(simulation={"start": {"seed": number}})
        for seed, (name, number) in enumerate([("p", 1), ("q", 1), ("r", 2)])
    }
    groups = ice.Collection(simulated).groups
    assert groups["p"] == groups["q"] != groups["r"]


def test_groups_of_parts_and_of_all() -> None:
    first = crystal(1, 3, 1)
    members = ice.Collection({"a": first, "b": crystal(2, 2, 2), "copy": first})
    assert set(members.subset(["a", "b"]).groups.values()) == {0, 1}
    assert set(members.subset(["b", "copy"]).groups.values()) == {0, 1}
    # Numbers of parts are not those of all.
    assert members.groups == {"a": 0, "b": 1, "copy": 0}
    assert members.subset(["copy"]).groups == {"copy": 0}


def test_molecules_elsewhere_are_no_continuation() -> None:
    rng = np.random.default_rng(0)
    cell = np.diag([20.0] * 3)[None]

    def gas(start: int) -> xr.Dataset:
        trj = crystal(1, 3, 1, start=start)
        places = rng.uniform(0, 20, (1, 4, 3)) + rng.normal(0, 0.1, (3, 4, 3))
        positions = (("frame", "atom", "xyz"), places.astype(np.float32))
        return trj.assign(positions=positions, cell=(trj["cell"].dims, np.repeat(cell, 3, 0)))

    groups = ice.Collection({"one": gas(0), "two": gas(30)}).groups
    assert groups["one"] != groups["two"]


def test_split(four: ice.Collection, caplog: pytest.LogCaptureFixture) -> None:
    for seed in range(4):
        train, test = four.split(0.5, stratify="phase", seed=seed)
        assert sorted([*train, *test]) == sorted(four)
        assert sorted(train.labels["phase"]) == sorted(test.labels["phase"]) == ["a", "b"]
    first = four.split(0.5, seed=1)
    assert list(first[1]) == list(four.split(0.5, seed=1)[1])
    # A label that joins members.
    tied = four.with_labels({name: {"campaign": name[-1]} for name in four})
    train, test = tied.split(0.5, by="campaign", seed=0)
    assert set(train.labels["campaign"]).isdisjoint(test.labels["campaign"])
    lone = four.subset(["a-1", "a-2", "b-1"])
    _, test = lone.split(0.5, stratify="phase")
    assert set(test.labels["phase"]) == {"a"}
    assert "split: b on the first side alone" in caplog.text
    with pytest.raises(ice.InputError, match="two independent"):
        four.with_labels({name: {"run": 1} for name in four}).split()
    with pytest.raises(ice.InputError, match="between 0 and 1"):
        four.split(2)
    with pytest.raises(ice.InputError, match="did you mean phase"):
        four.split(stratify="phases")


def test_groups_of_several_classes_stay_whole() -> None:
    groups = {f"m{number}": number // 2 for number in range(20)}
    classes = {name: ("x", "y")[int(name[1:]) % 2] for name in groups}
    train, test = split_groups(groups, classes, 0.3, 0)
    assert {groups[name] for name in train}.isdisjoint(groups[name] for name in test)
    assert len(test) == 6


def test_open_collection(tmp_path: Path, four: ice.Collection) -> None:
    saved = ice.save(four, tmp_path)
    assert saved.store == tmp_path / "collection.zarr"
    nested = tmp_path / "more" / "c-10.zarr"
    ice.save(four["b-1"], nested)
    ice.save(four["b-2"], nested.with_name("c-9.zarr"))
    opened = ice.open_collection(tmp_path)
    assert list(opened) == ["a-1", "a-2", "b-1", "b-2", "more/c-9", "more/c-10"]
    table = tmp_path / "labels.csv"
    table.write_text("name,phase\na-1,a\nmore/c-9,c\n")
    labelled = ice.open_collection(tmp_path, labels=table)
    assert list(labelled.where(phase="c")) == ["more/c-9"]
    chosen = ice.open_collection([tmp_path / "a-1.zarr", nested])
    assert list(chosen) == ["a-1", "c-10"]
    assert chosen.store is None
    assert list(ice.open_collection({"x": nested})) == ["x"]
    with pytest.raises(ice.InputError, match="twice"):
        ice.open_collection([nested, nested])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ice.NotFoundError, match="expected stores with trajectories"):
        ice.open_collection(tmp_path / "empty")
    with pytest.raises(ice.NotFoundError, match="found nothing"):
        ice.open_collection(tmp_path / "none")


def test_stores_of_odd_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trj = crystal(1, 1, 0)
    for name in ("run.zarr", "run", "sub/run.zarr", "bad.zarr"):
        ice.save(trj, tmp_path / name)
    (tmp_path / "link.zarr").symlink_to(tmp_path / "run.zarr")
    shutil.rmtree(tmp_path / "bad.zarr" / "trajectory")
    members = ice.open_collection(tmp_path)
    assert list(members) == ["link", "run", "run.zarr", "sub/run"]
    assert "bad: left out" in caplog.text
    assert "holds no trajectory" in members.failed["bad"]
    with pytest.raises(ice.InputError, match="a store for each member"):
        ice.save(ice.voronoi(members))
    for name in ("../out", "/out", "collection"):
        with pytest.raises(ice.InputError, match="names of files"):
            ice.save(ice.Collection({name: trj}), tmp_path / "new")
