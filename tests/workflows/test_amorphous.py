"""The workflow of amorphous ices: its parts on planted features, and the whole on shipped data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import icedask as ice
from icedask.workflows.amorphous import CLASSES
from icedask.workflows.amorphous_benchmark import (
    benchmark,
    flagged,
    make_splits,
    shuffled_labels,
    single_components,
)
from icedask.workflows.amorphous_features import FAMILIES, SIMPLE, seconds_for_thousand

OPTIONS = {"layers": (8,), "epochs": 15, "learning_rate": 0.01}


def member(seed: int, center: float) -> xr.Dataset:
    """Features of which the second separates the classes."""
    rows = np.random.default_rng(seed).normal(size=(4, 50, 3))
    rows[:, :, 1] += center
    return xr.Dataset({"features": (("frame", "atom", "feature"), rows)})


@pytest.fixture
def planted() -> ice.Collection:
    """Four trajectories of each of two classes, and one of another."""
    centers = {"ice": 0.0, "glass": 6.0}
    members = {
        f"{name}-{seed}": member(100 * number + seed, center)
        for number, (name, center) in enumerate(centers.items())
        for seed in range(4)
    }
    members["gas-0"] = member(999, 30.0)
    return ice.Collection(members, {name: {"phase": name.split("-")[0]} for name in members})


def test_benchmark(planted: ice.Collection) -> None:
    known = planted.where(phase=["ice", "glass"])
    splits = make_splits(known, "phase", 0.25, 2, 0)
    for split in splits:
        assert set(split.train).isdisjoint(split.test)
        assert sorted(name.split("-")[0] for name in split.test) == ["glass", "ice"]
    result = benchmark("planted", known, splits, "phase", ("ice", "glass"), None, 0, **OPTIONS)
    assert (result.accuracy > 0.98).all()
    assert (result.recall > 0.97).all()
    assert result.confusion.sum() == 2 * 2 * 200
    assert result.n_components == 3
    model = result.scores[0].model
    assert flagged(model, planted.where(phase="gas"))["gas-0"] > 0.99
    assert max(flagged(model, known.subset(splits[0].test)).values()) < 0.1
    areas = single_components(known, "phase", ("ice", "glass"), 0)
    assert (areas[:, 1] > 0.99).all()
    assert (areas[:, [0, 2]] < 0.56).all()


def test_shuffled_labels(planted: ice.Collection) -> None:
    known = planted.where(phase=["ice", "glass"])
    shuffled = shuffled_labels(known, "phase", 0)
    values = np.concatenate([each["label"].values.ravel() for each in shuffled.values()])
    assert np.bincount(values).tolist() == [800, 800]
    assert abs(float((shuffled["ice-0"]["label"] == 0).mean()) - 0.5) < 0.15
    assert not np.array_equal(shuffled["ice-0"]["label"], shuffled["ice-1"]["label"])
    again = shuffled_labels(known, "phase", 0)
    np.testing.assert_array_equal(again["glass-2"]["label"], shuffled["glass-2"]["label"])


def test_classes_with_one_trajectory_are_left_out(
    planted: ice.Collection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ice.InputError, match="two independent trajectories or more"):
        ice.workflows.amorphous(planted.subset(["ice-0", "glass-1"]), tmp_path / "models.zarr")
    with pytest.raises(ice.InputError, match="families: expected some of symmetry"):
        ice.workflows.amorphous(planted, tmp_path / "models.zarr", families=["sope"])
    with pytest.raises(ice.InputError, match="did you mean phase"):
        ice.workflows.amorphous(planted, tmp_path / "models.zarr", label="phas")


@pytest.mark.slow
def test_shipped_trajectories(tmp_path: Path) -> None:
    phases = ["II", "HDA", "VII"]
    ice.amorphous_ices(tmp_path / "ices", phases)
    members = ice.open_collection(tmp_path / "ices")
    assert set(members.labels["phase"]) <= {*CLASSES, "VII"}
    options = {
        "families": ["soap-small"],
        "described": "soap-small",
        "n_splits": 2,
        "epochs": 4,
        "cutoffs": [3.5],
        "denoiser": False,
        "components": [3],
    }
    result = ice.workflows.amorphous(members, **options)
    assert result.classes == ("II", "HDA")
    assert result.benchmarks["soap-small"].accuracy.min() > 0.9
    assert set(result.cutoffs) == {3.5, 6.0}
    assert set(result.simple) == {*SIMPLE, "all"}
    assert 0 <= result.shuffled <= 1
    assert all(float(each["completeness_error"]) < 1e-3 for each in result.importances)
    labels = ice.open_runs(members, "amorphous")
    assert any(name.startswith("VII") for name in labels)
    workflow = ice.workflows.amorphous.workflow
    sections = workflow.present(result, members, figures=tmp_path / "figures")
    assert len(list((tmp_path / "figures").glob("*.png"))) >= 6
    assert "Families of descriptors" in [section.title for section in sections]
    again = ice.workflows.amorphous(members, **options)
    assert again.benchmarks["soap-small"].accuracy.tolist() == (
        result.benchmarks["soap-small"].accuracy.tolist()
    )


@pytest.mark.parametrize("name", list(FAMILIES))
def test_families_describe_oxygens(name: str) -> None:
    from ase import Atoms

    rng = np.random.default_rng(0)
    oxygens = rng.uniform(0, 9, (12, 3))
    hydrogens = [oxygens + np.array(bond) for bond in ((0.9, 0, 0), (0, 0.9, 0))]
    places = np.concatenate([oxygens, *hydrogens])
    trj = ice.from_ase(Atoms("O12H24", places, cell=[9] * 3, pbc=True))
    features = ice.Collection({"x": FAMILIES[name].describe(trj, 4.0)})
    expected = {"bispectrum": 30, "soap-small": 36, "soap": 324}
    variable = next(iter(features["x"].data_vars.values()))
    assert variable.shape[:2] == (1, 12)
    assert variable.shape[2] == expected.get(name, variable.shape[2])
    if name == "bispectrum":
        assert seconds_for_thousand(features) > 0
